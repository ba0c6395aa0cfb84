// What the README tells somebody to try, done: `npm start`'s whole product, and every line of the shell that it shows. (control-plane.md §6)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { lacksShell, shownLines, startEvaluation } from '../harness/evaluation.ts'
import { eventually } from '../harness/wait.ts'

test('the ten lines of the README do what it says', { skip: lacksShell, timeout: 240_000 }, async (t) => {
  const lines = shownLines('tests/e2e/readme.test.ts', 10)
  const product = await startEvaluation(t)
  const shown = product.run(`trap 'kill $!' EXIT\n${lines}`)
  for (const [expected, what] of [
    [/"revision":1,"created":1/, 'import'],
    [/"result": "alice\.smith@fabrikam\.com"/, 'look-up'],
    [/"ready":true/, 'enrolled relay'],
    [/"delivered": 1/, 'trace'],
    [/"revision":2/, 'the relay has the change'],
    [/holds|verified|sound/i, 'the audit trail verifies'],
  ] as const)
    assert.match(shown, expected, what)
  const arrived = /mailbox: a message from <alice\.smith@fabrikam\.com> to <dana@example\.net>/g
  await eventually('the message is in the mailbox', () =>
    product.output().match(arrived)?.length === 1 ? true : undefined,
  )
  assert.equal(await product.stop(), 0, product.output())
})
