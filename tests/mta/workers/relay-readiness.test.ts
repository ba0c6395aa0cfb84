// BP-3, OP-1: when a relay with several workers may take mail, and what it says of the others.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseReadiness, relayReadiness } from '../../../mta/workers/relay-readiness.ts'
import type { WorkerCondition } from '../../../mta/workers/relay-readiness.ts'

const ready = { isReady: true, reasons: [] }
const full = { isReady: false, reasons: ['the volume is nearly full'] }
const taker = (worker: number, said: WorkerCondition['said']) => ({ worker, takesMail: true, said })
const left = (said: WorkerCondition['said']) => ({ worker: 0, takesMail: false, said })

const examples: [conditions: WorkerCondition[], own: string[], isReady: boolean, reasons: string[], why: string][] = [
  [[taker(1, ready), taker(2, ready)], [], true, [], 'all may'],
  [[taker(1, full), taker(2, ready)], [], true, ['worker 1: the volume is nearly full'], 'one is enough'],
  [
    [taker(1, full), taker(2, 'it died')],
    [],
    false,
    ['worker 1: the volume is nearly full', 'worker 2: it died'],
    'none may',
  ],
  [[taker(1, undefined), taker(2, ready)], [], true, ['worker 1: does not answer'], 'silence is no yes'],
  [[taker(1, undefined)], [], false, ['worker 1: does not answer'], 'silence is no yes'],
  [[taker(1, 'starting'), left(ready)], [], false, ['worker 1: starting'], 'one that only empties takes no mail'],
  [[taker(1, ready)], ['the relay is stopping'], false, ['the relay is stopping'], 'the relay as a whole'],
  [[], [], false, [], 'nobody'],
]
for (const [conditions, own, isReady, reasons, why] of examples) {
  test(`${isReady ? 'ready' : 'not ready'}: ${why}: ${reasons.join(', ')}`, () => {
    assert.deepEqual(relayReadiness(conditions, own), { isReady, reasons })
  })
}

test('an answer that is none is no readiness', () => {
  assert.deepEqual(parseReadiness(full), full)
  for (const answer of [undefined, null, 'yes', {}, { isReady: 1, reasons: [] }, { isReady: true, reasons: 'x' }]) {
    assert.equal(parseReadiness(answer), undefined)
  }
})
