// The administrator's first morning as the README shows it, line by line: consent of both tenants, discovery, findings, matching, mapping table.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { lacksShell, shownLines, startEvaluation } from '../harness/evaluation.ts'

test(
  'the lines of the README connect two tenants and make a mapping table of them',
  { skip: lacksShell, timeout: 240_000 },
  async (t) => {
    const lines = shownLines('tests/e2e/administrator.test.ts', 10)
    const product = await startEvaluation(t)
    const shown = product.run(lines)
    for (const [expected, what] of [
      [/^User\.Read\.All: \S/m, 'the manifest gives reasons'],
      [/consent\/start\?link=/, 'the link is shown'],
      [/New-ServicePrincipal -AppId/, 'commands for the administrator of Exchange'],
      [/\["full","completed",96\]/, 'everything of the source is found'],
      [/\["full","completed",79\]/, 'and of the target'],
      [/^Sales\tsales@contoso\.com$/m, 'accounts by tenant and kind'],
      [/^user\talice\.smith@fabrikam\.com$/m, 'accounts by the beginning of a name'],
      [/^Grace Hall\n {2}or ghall/m, 'who is ambiguous, with the candidates'],
      [/\["confirmed","written"\]/, 'a pair made by hand'],
      [/"confirmed":20,"revision":2/, 'all proposals, in one revision'],
      [/^carol@contoso\.com\tcarol@fabrikam\.com$/m, 'entries in the mapping table'],
      [/^\[2,"\w+"\]$/m, 'and how it came about'],
    ] as const)
      assert.match(shown, expected, `${what}\n${shown}`)
    const kept = (name: string) => readFileSync(join(product.checkout, 'data', name), 'utf8')
    assert.match(kept('page.html'), /consent was recorded/)
    assert.match(kept('assessment.html'), /^<!doctype html>/i)
    assert.ok(!kept('assessment.html').includes('<script>alert'), 'hostile names are text')
    assert.match(kept('pairs.csv'), /grace\.hall@contoso\.com,ghall@fabrikam\.com,,pair/)
    assert.equal(await product.stop(), 0, product.output())
  },
)
