// How long a session lasts (AZ-3): every limit just before it and at it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { idleEnd, isUseWorthNoting, judgeSession } from '../../../control-plane/access/session.ts'
import type { SessionVerdict } from '../../../control-plane/access/session.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const START = Date.parse('2026-11-22T10:00:00Z')

const live: SessionVerdict = { kind: 'live' }
const soon: SessionVerdict = { kind: 'recheck', isOverdue: false }
const overdue: SessionVerdict = { kind: 'recheck', isOverdue: true }
const idle: SessionVerdict = { kind: 'ended', reason: 'idle' }
const expired: SessionVerdict = { kind: 'ended', reason: 'expired' }

const examples: [
  ageMs: number,
  checkedMs: number,
  usedMs: number,
  isBreakGlass: boolean,
  SessionVerdict,
  why: string,
][] = [
  [0, 0, 0, false, live, 'new'],
  [HOUR, 5 * MINUTE - 1, 0, false, live, 'checked less than 5 minutes ago'],
  [HOUR, 5 * MINUTE, 0, false, soon, 'from 5 minutes on the provider is asked'],
  [HOUR, 10 * MINUTE - 1, 0, false, soon, 'and until 10 it may go on meanwhile'],
  [HOUR, 10 * MINUTE, 0, false, overdue, 'at 10 nothing goes without an answer'],
  [HOUR, 20 * MINUTE - 1, 20 * MINUTE - 1, false, overdue, 'idle for not quite 20 minutes'],
  [HOUR, 0, 20 * MINUTE, false, idle, '20 minutes without a request'],
  [12 * HOUR - 1, 0, 0, false, live, 'up to 12 hours'],
  [12 * HOUR, 0, 0, false, expired, '12 hours, however busy'],
  [HOUR - 1, HOUR - 1, 0, true, live, 'the break-glass session has no provider to ask'],
  [10 * MINUTE, 10 * MINUTE, 20 * MINUTE, true, idle, 'but idles like any'],
]
for (const [ageMs, checkedMs, usedMs, isBreakGlass, verdict, why] of examples) {
  test(`AZ-3: a session ${why}: ${JSON.stringify(verdict)}`, () => {
    const now = START + ageMs
    const times = { isBreakGlass, checkedAt: now - checkedMs, lastUsedAt: now - usedMs, expiresAt: START + 12 * HOUR }
    assert.deepEqual(judgeSession(times, now), verdict)
  })
}

test('AZ-3: what is allowed never rests on a word of the provider that is 10 minutes old, nor on one from beyond a limit', () => {
  const offset = fc.integer({ min: -HOUR, max: 13 * HOUR })
  fc.assert(
    fc.property(offset, offset, offset, (checked, used, end) => {
      const times = {
        isBreakGlass: false,
        checkedAt: START - checked,
        lastUsedAt: START - used,
        expiresAt: START + end,
      }
      const verdict = judgeSession(times, START)
      const mayGoOn = verdict.kind === 'live' || (verdict.kind === 'recheck' && !verdict.isOverdue)
      assert.equal(mayGoOn, checked < 10 * MINUTE && used < 20 * MINUTE && end > 0)
    }),
  )
})

test('a use is written at most once a minute, and the end that is shown is the nearer one', () => {
  assert.equal(isUseWorthNoting({ lastUsedAt: START }, START + MINUTE - 1), false)
  assert.equal(isUseWorthNoting({ lastUsedAt: START }, START + MINUTE), true)
  assert.equal(idleEnd({ lastUsedAt: START, expiresAt: START + HOUR }), START + 20 * MINUTE)
  assert.equal(idleEnd({ lastUsedAt: START, expiresAt: START + MINUTE }), START + MINUTE)
})
