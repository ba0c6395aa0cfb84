// What becomes of a job whose attempt failed, and names in the queue. (JQ-5, TI-3)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { OrganisationId } from '../../../control-plane/ids.ts'
import { Draining, parseQueueId, queueId, StaleAttempt } from '../../../control-plane/jobs/job.ts'
import {
  GiveUp,
  judgeFailure,
  MAX_ATTEMPTS,
  reasonOf,
  RetryLater,
  retryWaitMs,
} from '../../../control-plane/jobs/retry.ts'
import type { Verdict } from '../../../control-plane/jobs/retry.ts'

const failures: [error: unknown, attempt: number, verdict: Verdict, why: string][] = [
  [new Error('x'), 1, { kind: 'retry', waitMs: 5_000 }, 'unknown trouble is tried again'],
  [new Error('x'), 4, { kind: 'retry', waitMs: 600_000 }, 'with longer and longer waits'],
  [new Error('x'), 5, { kind: 'give-up', reason: 'Error' }, 'five times at most'],
  [new Error('x'), 9, { kind: 'give-up', reason: 'Error' }, 'also when somebody counted on'],
  ['x', 5, { kind: 'give-up', reason: 'unknown' }, 'whatever was thrown'],
  [
    new GiveUp('too-many-rows'),
    1,
    { kind: 'give-up', reason: 'too-many-rows' },
    'what can not succeed is given up at once',
  ],
  [new RetryLater(70), 5, { kind: 'release', waitMs: 70 }, 'what was told to wait has not failed'],
  [new Draining('x'), 5, { kind: 'release', waitMs: 0 }, 'nor has what had to give way'],
  [new StaleAttempt('x'), 1, { kind: 'leave' }, 'what another attempt has taken is not ours to judge'],
]
for (const [error, attempt, verdict, why] of failures) {
  test(`judgeFailure(${error instanceof Error ? error.name : String(error)}, ${attempt}): ${why}`, () => {
    assert.deepEqual(judgeFailure(error, attempt, 0.5), verdict)
  })
}

test('waits grow with the attempts and stay within ±20 %', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: MAX_ATTEMPTS }),
      fc.float({ min: 0, max: 1, noNaN: true }),
      (attempt, jitter) => {
        const middle = retryWaitMs(attempt, 0.5)
        const wait = retryWaitMs(attempt, jitter)
        assert.ok(wait >= middle * 0.8 - 1 && wait <= middle * 1.2 + 1 && wait <= 720_000)
        assert.ok(middle <= retryWaitMs(attempt + 1, 0.5))
      },
    ),
  )
})

test('a reason is a name and a code: nothing of a message gets into the list', () => {
  const reasons: [error: unknown, reason: string][] = [
    [new TypeError('alice@contoso.com'), 'TypeError'],
    [Object.assign(new Error('x'), { code: 'ECONNRESET' }), 'Error ECONNRESET'],
    [Object.assign(new Error('x'), { code: 'alice@contoso.com\r\n' }), 'Error alicecontoso.com'],
    [Object.assign(new Error('x'), { code: { a: 1 } }), 'Error'],
    [undefined, 'unknown'],
  ]
  for (const [error, reason] of reasons) assert.equal(reasonOf(error), reason)
  const long = Object.assign(new Error('x'), { code: 'A'.repeat(1_000) })
  assert.ok(reasonOf(long).length <= 100)
})

test('TI-3: a name says organisation, number and turn, and nothing else is one', () => {
  const name = queueId({ organisation: 'org_1' as OrganisationId, id: 12, turn: 0 })
  assert.deepEqual(parseQueueId(name), { organisation: 'org_1', id: 12, turn: 0 })
  for (const nonsense of [
    '',
    '12',
    'org_1',
    'org_1.',
    'org_1.1',
    'org_1.1.',
    'org_1.0.1',
    'org_1.-1.1',
    'org_1.1e3.1',
    'org_1.1.-1',
    'org_1.1.01',
    'org_1.1.2.3',
    'Org.1.1',
    'a:b.1.1',
    `o.${'9'.repeat(16)}.1`,
    `o.1.${'9'.repeat(16)}`,
  ])
    assert.equal(parseQueueId(nonsense), undefined, nonsense)
  fc.assert(
    fc.property(fc.string(), (text) => {
      const parsed = parseQueueId(text)
      if (parsed !== undefined) assert.equal(`${parsed.organisation}.${parsed.id}.${parsed.turn}`, text)
    }),
  )
})
