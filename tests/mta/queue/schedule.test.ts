import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isGivenUp, isLate, longestWaitMs, messageAgeMs, retryDelayMs } from '../../../mta/queue/schedule.ts'
import { DAY_MS, HOUR_MS, MINUTE_MS, RETRY } from './world.ts'

const waits: [retry: number, ageMs: number, waitMs: number, why: string][] = [
  [1, 0, MINUTE_MS, 'DL-1: first 1 min'],
  [2, MINUTE_MS, 5 * MINUTE_MS, 'then 5'],
  [3, 6 * MINUTE_MS, 15 * MINUTE_MS, 'then 15'],
  [4, 21 * MINUTE_MS, 30 * MINUTE_MS, 'then 30'],
  [5, 51 * MINUTE_MS, HOUR_MS, 'then an hour'],
  [9, 6 * HOUR_MS - 1, HOUR_MS, 'until it is 6 h old'],
  [10, 6 * HOUR_MS, 3 * HOUR_MS, 'from then on 3 h'],
  [99, 4 * DAY_MS, 3 * HOUR_MS, 'to the end'],
  [1, 4 * DAY_MS, MINUTE_MS, 'the first waits are those of an old message, too'],
]
for (const [retry, ageMs, waitMs, why] of waits) {
  test(`retry ${retry} at ${ageMs} ms: ${why}`, () => {
    assert.equal(retryDelayMs(retry, ageMs, 0.5, RETRY), waitMs)
    assert.equal(retryDelayMs(retry, ageMs, 0, RETRY), Math.round(waitMs * 0.9))
    assert.ok(retryDelayMs(retry, ageMs, 0.999999, RETRY) <= Math.ceil(waitMs * 1.1))
  })
}

test('no wait is longer than the longest', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 100 }),
      fc.integer({ min: 0, max: 10 * DAY_MS }),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (retry, age, jitter) => {
        assert.ok(retryDelayMs(retry, age, jitter, RETRY) <= longestWaitMs(RETRY))
      },
    ),
  )
})

test('age is that of the wall clock, but no less than what this process has seen of the message (DU-9)', () => {
  assert.equal(messageAgeMs({ nowMs: 5_000, receivedAt: 1_000, runningMs: 100, seenMs: 0 }), 4_000)
  assert.equal(messageAgeMs({ nowMs: 0, receivedAt: 1_000, runningMs: 700, seenMs: 100 }), 600)
})

const ends: [
  ageMs: number,
  isNullSender: boolean,
  attempts: number,
  tryingMs: number | undefined,
  isOver: boolean,
  why: string,
][] = [
  [5 * DAY_MS, false, 3, HOUR_MS, true, 'DL-1: 5 days'],
  [5 * DAY_MS - 1, false, 99, DAY_MS, false, 'not a moment sooner'],
  [2 * DAY_MS, true, 3, HOUR_MS, true, 'DL-1: null sender, 2 days'],
  [2 * DAY_MS, false, 99, DAY_MS, false, 'only null senders'],
  [50 * DAY_MS, false, 2, DAY_MS, false, 'DU-9: 3 attempts'],
  [50 * DAY_MS, false, 3, HOUR_MS - 1, false, 'DU-9: over an hour'],
  [50 * DAY_MS, false, 9, undefined, false, 'DU-9: none of them in this process'],
]
for (const [ageMs, isNullSender, attempts, tryingMs, isOver, why] of ends) {
  test(`${ageMs / DAY_MS} days, ${attempts} attempts over ${tryingMs} ms: ${isOver ? 'given up' : 'kept'} (${why})`, () => {
    assert.equal(isGivenUp({ ageMs, isNullSender }, { attempts, tryingMs }, RETRY), isOver)
  })
}

const lates: [ageMs: number, attempts: number, tryingMs: number | undefined, isTold: boolean, why: string][] = [
  [4 * HOUR_MS, 3, HOUR_MS, true, 'DL-4: 4 h'],
  [4 * HOUR_MS - 1, 9, 4 * HOUR_MS - 1, false, 'not a moment sooner'],
  [5 * DAY_MS, 2, DAY_MS, false, 'DU-9: 3 attempts'],
  [5 * DAY_MS, 3, HOUR_MS - 1, false, 'DU-9: over an hour'],
  [5 * DAY_MS, 9, undefined, false, 'DU-9: none of them in this process'],
]
for (const [ageMs, attempts, tryingMs, isTold, why] of lates) {
  test(`${ageMs / HOUR_MS} h, ${attempts} attempts over ${tryingMs} ms: ${isTold ? 'late' : 'not late'} (${why})`, () => {
    assert.equal(isLate(ageMs, { attempts, tryingMs }, RETRY), isTold)
  })
}

test('where senders are warned within the hour, it has been tried since that long', () => {
  const quick = { ...RETRY, warnAfter: 10 * MINUTE_MS }
  assert.equal(isLate(10 * MINUTE_MS, { attempts: 3, tryingMs: 10 * MINUTE_MS }, quick), true)
  assert.equal(isLate(10 * MINUTE_MS, { attempts: 3, tryingMs: 10 * MINUTE_MS - 1 }, quick), false)
})
