// The tour: green from nothing as `npm start` takes it, and red when one rule of a tenant writes one wrong word, with nothing left switched on.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { FABRIKAM } from '../../sandbox/tenants/constants.ts'
import { startEvaluation } from '../harness/evaluation.ts'
import type { Evaluation } from '../harness/evaluation.ts'
import { ROOT } from '../harness/relay.ts'

const MINUTE_MS = 60_000
/** Of a tenant's own: what leaves Fabrikam says more than its author wrote. Of certain mail alone, or the product's own probes would find it first. */
const WRONG_RULE = {
  guid: '66666666-0000-4000-8000-0000000000ee',
  noun: 'TransportRule',
  properties: {
    Identity: 'Wrong word',
    Name: 'Wrong word',
    Priority: 1,
    State: 'Enabled',
    Mode: 'Enforce',
    SentToScope: 'NotInOrganization',
    SubjectContainsWords: ['Figures'],
    PrependSubject: 'Re',
  },
}

interface Line {
  readonly step: number
  readonly of: number
  readonly name: string
  readonly state: string
  readonly result: string
  readonly checks: readonly { readonly what: string; readonly isHeld: boolean }[]
}

test('npm start takes the tour and all of it holds; a wrong word fails it', { timeout: 9 * MINUTE_MS }, async (t) => {
  const product = await startEvaluation(t, { takesTour: true })
  assert.match(product.output(), /^All of it held: \d+ steps, \d{3,} checks/m, product.output())
  assert.match(
    product.output(),
    /\+ From: Alice Smith <alice\.smith@fabrikam\.com>/,
    'a message before and after is shown',
  )
  assert.match(product.output(), /All of it is up until Ctrl-C/)

  const control = controlOf(product)
  await control('put-object', { tenant: FABRIKAM, kind: 'exchange-object', object: WRONG_RULE })
  const broken = tour(product)
  assert.equal(broken.status, 1, broken.text)
  const failed = broken.lines.filter(({ state }) => state === 'failed')
  assert.deepEqual(
    failed.map(({ name }) => name),
    ['write'],
    broken.text,
  )
  assert.match(failed[0]?.result ?? '', /every byte of .*Subject: Re ?Figures/)
  const stateOf = (name: string) => broken.lines.find((line) => line.name === name)?.state
  assert.deepEqual(['answer', 'move', 'disable', 'compare'].map(stateOf), ['skipped', 'skipped', 'held', 'held'])
  assert.deepEqual(
    broken.lines.map(({ step }) => step),
    Array.from({ length: broken.lines[0]?.of ?? 0 }, (_, index) => index + 1),
  )
  assert.equal(await product.stop(), 0, product.output())
})

/** Once more, as a script asks for it. */
function tour({ checkout }: Evaluation): { status: number | null; lines: readonly Line[]; text: string } {
  const env = { ...process.env, CAUSEWAY_DATA: join(checkout, 'data') }
  const ran = spawnSync(join(ROOT, 'bin/causeway'), ['tour', '--json'], {
    env,
    encoding: 'utf8',
    timeout: 4 * MINUTE_MS,
  })
  const text = `${ran.stdout}${ran.stderr}`
  const lines = ran.stdout.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as Line]))
  return { status: ran.status, lines, text }
}

function controlOf(product: Evaluation) {
  const port = /(\d+) \(control\)/.exec(product.output())?.[1] ?? ''
  return async (operation: string, fields: object): Promise<void> => {
    const response = await fetch(`http://127.0.0.1:${port}/control/${operation}`, {
      method: 'POST',
      headers: { 'x-sandbox-control': '1' },
      body: JSON.stringify(fields),
    })
    assert.equal(response.status, 200, await response.text())
  }
}
