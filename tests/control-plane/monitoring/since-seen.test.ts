// For how long something is so, by looking again and again.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SinceSeen } from '../../../control-plane/monitoring/since-seen.ts'

test('the time runs from when it was first seen, begins anew with another state, and ends when it is gone', () => {
  const since = new SinceSeen()
  const looks: [seen: Record<string, string>, now: number, longest: number, why: string][] = [
    [{}, 1_000, 0, 'nothing'],
    [{ a: '7' }, 2_000, 0, 'it begins'],
    [{ a: '7', b: '1' }, 5_000, 3_000, 'the older of two'],
    [{ a: '8', b: '1' }, 6_000, 1_000, 'what has moved on is not late any more'],
    [{ b: '1' }, 9_000, 4_000, 'what is gone is not counted'],
    [{ a: '8', b: '2' }, 10_000, 0, 'and begins anew when it comes again'],
  ]
  for (const [seen, now, longest, why] of looks)
    assert.equal(since.longest(new Map(Object.entries(seen)), now), longest, why)
})
