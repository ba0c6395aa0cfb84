// One budget: never more than our share in any window, paused and lowered by what the service says, and back again. (microsoft-365.md §3)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Bucket, SHARE } from '../../../control-plane/microsoft/throttle.ts'

const WINDOW_MS = 10_000
const limit = (amount: number) => ({ units: { amount, windowMs: WINDOW_MS } })

/** Takes as soon as it may, from `fromMs` on; at once done. @returns when each was taken */
function drain(bucket: Bucket, costs: readonly number[], fromMs = 0): { atMs: number; cost: number }[] {
  let nowMs = fromMs
  return costs.map((cost) => {
    nowMs = bucket.earliestMs(cost, nowMs)
    assert.equal(bucket.earliestMs(cost, nowMs), nowMs, 'when it says so, it may')
    bucket.take(cost, nowMs)
    bucket.done(cost, {}, 0.5, nowMs)
    return { atMs: nowMs, cost }
  })
}

const most = (taken: readonly { atMs: number; cost: number }[], windowMs: number): number =>
  Math.max(
    0,
    ...taken.map(({ atMs: from }) =>
      taken.reduce((sum, { atMs, cost }) => (atMs >= from && atMs < from + windowMs ? sum + cost : sum), 0),
    ),
  )

test('no window of any beginning holds more than our share, however calls come', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 20, max: 500 }),
      fc.array(fc.record({ cost: fc.integer({ min: 1, max: 8 }), gapMs: fc.nat(3_000) }), { maxLength: 200 }),
      (amount, calls) => {
        const bucket = new Bucket(limit(amount))
        let nowMs = 0
        const taken = calls.map(({ cost, gapMs }) => {
          nowMs = bucket.earliestMs(cost, nowMs + gapMs)
          bucket.take(cost, nowMs)
          bucket.done(cost, {}, 0.5, nowMs)
          return { atMs: nowMs, cost }
        })
        assert.ok(most(taken, WINDOW_MS) <= amount * SHARE)
      },
    ),
    { numRuns: 200 },
  )
})

test('a burst may use all of the share at once, and a long drain keeps near it', () => {
  const taken = drain(
    new Bucket(limit(100)),
    Array.from({ length: 900 }, () => 1),
  )
  assert.equal(taken.filter(({ atMs }) => atMs === 0).length, 90)
  const lastMs = taken.at(-1)?.atMs ?? 0
  assert.ok(lastMs >= 9 * WINDOW_MS && lastMs <= 9.5 * WINDOW_MS, `${lastMs}`)
})

test('a call that costs more than everything goes when nothing else is taken', () => {
  const taken = drain(new Bucket(limit(0.14)), [1, 1, 5])
  assert.deepEqual(
    taken.map(({ atMs }) => atMs),
    [0, 10_000, 20_000],
  )
})

test('throttled: nothing goes until the service says, and then less for a while', () => {
  const bucket = new Bucket(limit(100))
  bucket.take(1, 0)
  bucket.done(1, { throttled: { retryAfterMs: 25_000 } }, 0.5, 100)
  assert.equal(bucket.earliestMs(1, 200), 25_100)
  const after = drain(
    bucket,
    Array.from({ length: 200 }, () => 1),
    25_100,
  )
  const first = after.filter(({ atMs }) => atMs === 25_100).length
  assert.ok(first < 90 && first >= 60, `${first} of 90`)
  assert.ok(bucket.isFresh(3_600_000), 'an hour later nothing of it is left')
})

test('without Retry-After it rests for 15 s and twice as long each time, 300 s at most', () => {
  const bucket = new Bucket(limit(100))
  let nowMs = 0
  const rests: number[] = []
  for (let time = 0; time < 7; time++) {
    bucket.take(1, nowMs)
    bucket.done(1, { throttled: { retryAfterMs: undefined } }, 0.5, nowMs)
    rests.push(bucket.pausedUntilMs - nowMs)
    nowMs = Math.max(bucket.earliestMs(1, nowMs), bucket.pausedUntilMs)
  }
  assert.deepEqual(rests, [15_000, 30_000, 60_000, 120_000, 240_000, 300_000, 300_000])
  bucket.take(1, nowMs)
  bucket.done(1, {}, 0.5, nowMs)
  bucket.take(1, nowMs)
  bucket.done(1, { throttled: { retryAfterMs: undefined } }, 0.5, nowMs)
  assert.equal(bucket.pausedUntilMs - nowMs, 15_000, 'a good answer in between begins anew')
})

test('answers that were under way together count once', () => {
  const bucket = new Bucket({ concurrent: 5 })
  for (let each = 0; each < 5; each++) bucket.take(1, 0)
  for (let each = 0; each < 5; each++) bucket.done(1, { throttled: { retryAfterMs: undefined } }, 0.5, each)
  assert.equal(bucket.pausedUntilMs, 15_004)
})

test('a shorter Retry-After does not shorten a pause', () => {
  const bucket = new Bucket({ concurrent: 5 })
  bucket.take(1, 0)
  bucket.take(1, 0)
  bucket.done(1, { throttled: { retryAfterMs: 30_000 } }, 0.5, 0)
  bucket.done(1, { throttled: { retryAfterMs: 1_000 } }, 0.5, 0)
  assert.equal(bucket.earliestMs(1, 0), 30_000)
})

test('what a call really cost is charged, and what it would have cost is not given back', () => {
  const bucket = new Bucket(limit(100))
  bucket.take(2, 0)
  bucket.done(2, { units: 80 }, 0.5, 0)
  assert.equal(bucket.earliestMs(10, 0), 0)
  assert.equal(bucket.earliestMs(11, 0), WINDOW_MS)
  bucket.take(2, 0)
  bucket.done(2, { units: 1 }, 0.5, 0)
  assert.equal(bucket.earliestMs(9, 0), WINDOW_MS)
})

test('a limit that is used beyond our share lowers what we use; RateLimit headers near the end stop it until they begin anew', () => {
  const others = new Bucket(limit(100))
  others.take(1, 0)
  others.done(1, { usedShare: 1.8 }, 0.5, 0)
  assert.equal(others.earliestMs(44, 0), 0)
  assert.equal(others.earliestMs(45, 0), WINDOW_MS)
  const scarce = new Bucket(limit(100))
  scarce.take(1, 0)
  scarce.done(1, { rateLimit: { limit: 1_200, remaining: 60, resetMs: 42_000 } }, 0.5, 0)
  assert.equal(scarce.earliestMs(1, 0), 42_000)
  const plenty = new Bucket(limit(100))
  plenty.take(1, 0)
  plenty.done(1, { usedShare: 0.85, rateLimit: { limit: 1_200, remaining: 200, resetMs: 42_000 } }, 0.5, 0)
  assert.equal(plenty.earliestMs(89, 0), 0)
})

test('however often it is throttled, a tenth stays', () => {
  const bucket = new Bucket(limit(100))
  let nowMs = 0
  for (let time = 0; time < 50; time++) {
    bucket.take(1, nowMs)
    bucket.done(1, { throttled: { retryAfterMs: 1_000 } }, 0.5, nowMs)
    nowMs += 11_000
  }
  assert.equal(bucket.earliestMs(9, nowMs), nowMs)
})

test('so many at the same time, and the next when one has ended', () => {
  const bucket = new Bucket({ concurrent: 2 })
  bucket.take(1, 0)
  bucket.take(1, 0)
  assert.equal(bucket.earliestMs(1, 0), Infinity)
  bucket.done(1, {}, 0.5, 5)
  assert.equal(bucket.earliestMs(1, 5), 5)
})
