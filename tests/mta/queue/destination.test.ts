import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { HostVerdict } from '../../../mta/outbound/outcome.ts'
import { Destination } from '../../../mta/queue/destination.ts'
import type { Turn } from '../../../mta/queue/destination.ts'
import { HOUR_MS, MINUTE_MS, RETRY } from './world.ts'

const HALF = 0.5

function begin(destination: Destination, nowMs: number, count = Infinity): Turn[] {
  const turns: Turn[] = []
  while (turns.length < count && destination.canBegin(nowMs)) turns.push(destination.begin())
  return turns
}

function end(destination: Destination, turns: readonly Turn[], verdict: HostVerdict | undefined, nowMs: number): void {
  for (const turn of turns) destination.end(turn, verdict, nowMs, HALF)
}

test('a host that has not failed gets all at once: no slow start', () => {
  assert.equal(begin(new Destination(20, RETRY), 0).length, 20)
})

test('DL-2: down or 421 closes the host for the wait of DL-1; one probe follows, then the next wait', () => {
  for (const verdict of ['down', 'said421'] as const) {
    const destination = new Destination(20, RETRY)
    let nowMs = 1_000
    for (const wait of [1, 5, 15, 30, 60, 60, 60]) {
      const turns = begin(destination, nowMs, 1)
      assert.equal(turns.length, 1)
      end(destination, turns, verdict, nowMs)
      assert.equal(destination.closedUntilMs, nowMs + wait * MINUTE_MS)
      assert.equal(begin(destination, nowMs + wait * MINUTE_MS - 1).length, 0)
      nowMs += wait * MINUTE_MS
    }
    assert.equal(begin(destination, nowMs).length, 1, 'one probe')
  }
})

test('many attempts that fail together are one failure', () => {
  const destination = new Destination(20, RETRY)
  end(destination, begin(destination, 0), 'down', 10)
  assert.equal(destination.closedUntilMs, 10 + MINUTE_MS)
  assert.deepEqual(destination.failuresSince(0), { count: 1, firstMs: 10 })
})

test('DL-1: a success lets one more go at once, up to the limit', () => {
  const destination = new Destination(20, RETRY)
  end(destination, begin(destination, 0, 1), 'down', 0)
  let nowMs = MINUTE_MS
  const widths: number[] = []
  for (let i = 0; i < 7; i++) {
    const turns = begin(destination, nowMs)
    widths.push(turns.length)
    end(destination, turns, 'well', ++nowMs)
  }
  assert.deepEqual(widths, [1, 2, 4, 8, 16, 20, 20])
})

test('an older attempt that ends well opens the host again, gradually', () => {
  const destination = new Destination(20, RETRY)
  const turns = begin(destination, 0, 3)
  end(destination, turns.slice(0, 1), 'said421', 10)
  assert.equal(destination.isClosed(11), true)
  end(destination, turns.slice(1, 2), 'well', 12)
  assert.equal(destination.isClosed(13), false)
  assert.equal(begin(destination, 13).length, 1)
})

test('a host that lets attempts go wrong one after the other gets fewer, and after five none', () => {
  const destination = new Destination(20, RETRY)
  end(destination, begin(destination, 0, 1), 'unwell', 0)
  assert.equal(destination.isClosed(0), false)
  assert.equal(begin(destination, 0).length, 10)
  const other = new Destination(20, RETRY)
  for (let i = 1; i <= 5; i++) {
    assert.equal(other.isClosed(0), false)
    end(other, begin(other, 0, 1), 'unwell', 0)
  }
  assert.equal(other.isClosed(0), true)
})

test('one message that the host chokes on does not close it for the others', () => {
  const destination = new Destination(20, RETRY)
  for (let i = 0; i < 20; i++) {
    end(destination, begin(destination, i, 1), 'unwell', i)
    end(destination, begin(destination, i, 1), 'well', i)
  }
  assert.equal(destination.isClosed(21), false)
})

test('a probe that goes wrong in any way closes the host again', () => {
  const destination = new Destination(20, RETRY)
  end(destination, begin(destination, 0, 1), 'down', 0)
  end(destination, begin(destination, MINUTE_MS, 1), 'unwell', MINUTE_MS)
  assert.equal(destination.closedUntilMs, 6 * MINUTE_MS)
})

test('an attempt that never reached the host says nothing of it, but gives back its turn', () => {
  const destination = new Destination(2, RETRY)
  end(destination, begin(destination, 0, 1), 'down', 0)
  end(destination, begin(destination, MINUTE_MS), undefined, MINUTE_MS)
  assert.deepEqual([destination.closedUntilMs, destination.canBegin(MINUTE_MS)], [MINUTE_MS, true])
})

test('failures are remembered until a success, for the judgement whether mail behind them has had its chance (DU-9)', () => {
  const destination = new Destination(20, RETRY)
  for (const atMs of [0, HOUR_MS, 2 * HOUR_MS, 5 * HOUR_MS]) end(destination, begin(destination, atMs, 1), 'down', atMs)
  assert.deepEqual(destination.failuresSince(HOUR_MS), { count: 2, firstMs: 2 * HOUR_MS })
  assert.deepEqual(destination.failuresSince(9 * HOUR_MS), { count: 0, firstMs: undefined })
  end(destination, begin(destination, 9 * HOUR_MS, 1), 'well', 9 * HOUR_MS)
  assert.deepEqual(destination.failuresSince(0), { count: 0, firstMs: undefined })
})

test('the operator opens it for a probe', () => {
  const destination = new Destination(20, RETRY)
  end(destination, begin(destination, 0), 'down', 0)
  destination.reopen()
  assert.equal(begin(destination, 1).length, 1)
})
