// LM-1: the rows of reliability-security.md §4 that are about time, at the limit and one past it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SessionClock } from '../../../mta/inbound/session-clock.ts'
import type { Overdue } from '../../../mta/inbound/session-clock.ts'
import { DEFAULT_LIMITS } from '../../../mta/limits.ts'

const S = 1000

function clock(): SessionClock {
  return new SessionClock(DEFAULT_LIMITS, 0)
}

/** A client in DATA since 0 that sends 600 octets each second, so that its rate is never the matter. */
function steadyUntil(untilMs: number): SessionClock {
  const steady = clock()
  steady.dataBegins(0)
  for (let at = S; at <= untilMs; at += S) steady.dataArrived(at, 600)
  return steady
}

const limits: [name: string, clock: () => SessionClock, limitMs: number, overdue: Overdue][] = [
  ['idle since the greeting', clock, 300 * S, 'idle'],
  [
    'TLS handshake, octets or not',
    () => {
      const shaking = clock()
      shaking.handshakeBegins(0)
      for (let at = S; at <= 30 * S; at += S) shaking.dataArrived(at, 1)
      return shaking
    },
    30 * S,
    'handshake',
  ],
  ['DATA without an octet', () => steadyUntil(0), 30 * S, 'data-rate'],
  [
    'DATA processing after the final dot',
    () => {
      const processing = steadyUntil(5 * S)
      processing.dataEnds(5 * S)
      return processing
    },
    65 * S,
    'processing',
  ],
  ['whole DATA', () => steadyUntil(1800 * S), 1800 * S, 'data'],
]
for (const [name, make, limitMs, overdue] of limits) {
  test(`LM-1 ${name}: ${limitMs} ms is within the limit, one more is not`, () => {
    assert.equal(make().overdue(limitMs - 1, false), undefined)
    assert.equal(make().overdue(limitMs, false), undefined)
    assert.equal(make().overdue(limitMs + 1, false), overdue)
  })
}

test('LM-1 whole session: 3600 s, however busy it is', () => {
  const busy = clock()
  for (let at = 0; at <= 3600 * S; at += 100 * S) busy.answered(at)
  assert.equal(busy.overdue(3600 * S, false), undefined)
  assert.equal(busy.overdue(3600 * S + 1, false), 'session')
})

test('LM-1 DATA block: 180 s without an octet, where the rate allows it', () => {
  const patient = new SessionClock({ ...DEFAULT_LIMITS, minDataBytesPerSecond: 0 }, 0)
  patient.dataBegins(0)
  assert.equal(patient.overdue(180 * S, false), undefined)
  assert.equal(patient.overdue(180 * S + 1, false), 'data-block')
})

test('LM-1 minimum rate: 500 octets a second over 30 s pass, one octet less does not', () => {
  for (const [bytes, overdue] of [
    [15_001, undefined],
    [15_000, 'data-rate'],
    [14_999, 'data-rate'],
  ] as const) {
    const slow = clock()
    slow.dataBegins(0)
    slow.dataArrived(29 * S, bytes)
    assert.equal(slow.overdue(30 * S, false), undefined, 'judged only after 30 s')
    assert.equal(slow.overdue(30_001, false), overdue, `${bytes} octets in 30.001 s`)
  }
})

test('a client that was fast at first and then trickles is slow', () => {
  const slow = clock()
  slow.dataBegins(0)
  for (let at = S; at <= 60 * S; at += S) slow.dataArrived(at, 100_000)
  for (let at = 61 * S; at <= 95 * S; at += S) slow.dataArrived(at, 1)
  assert.equal(slow.overdue(95 * S, false), 'data-rate')
})

test('a command sent octet by octet is idle all the same', () => {
  const slow = clock()
  for (let at = 0; at <= 301 * S; at += S) slow.dataArrived(at, 1)
  assert.equal(slow.overdue(301 * S, false), 'idle')
})

test('time in which the relay takes nothing is not the client’s slowness', () => {
  const held = clock()
  held.dataBegins(0)
  held.dataArrived(S, 10)
  held.hold(S)
  assert.equal(held.overdue(200 * S, false), undefined)
  held.release(200 * S)
  assert.equal(held.overdue(229 * S, false), undefined)
  assert.equal(held.overdue(231 * S, false), 'data-rate')
})

test('LM-1 under stress idle and DATA block are 10 s', () => {
  assert.equal(clock().overdue(10 * S, true), undefined)
  assert.equal(clock().overdue(10 * S + 1, true), 'idle')
  const data = clock()
  data.dataBegins(0)
  assert.equal(data.overdue(10 * S + 1, true), 'data-block')
})
