import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sumOfFigures } from '../../../mta/workers/sum-of-figures.ts'
import { ToldEvents } from '../../../mta/workers/told-events.ts'

test("what all workers hold is the relay's: counts add up, the oldest message and the first certificate to end count", () => {
  const first = { messages: 3, oldestAgeMs: 5_000, quarantined: 1, dead: 0, certificateNotAfter: 2_000 }
  const second = { messages: 4, oldestAgeMs: 9_000, quarantined: 0, dead: 2, certificateNotAfter: undefined }
  assert.deepEqual(sumOfFigures([first, second]), {
    queue: { messages: 7, oldestAgeMs: 9_000, quarantined: 1, dead: 2 },
    certificateNotAfter: 2_000,
  })
})

test('a worker that gives no answer, or one of another revision, counts nothing', () => {
  for (const answer of [undefined, null, 'x', {}, { messages: 'many', certificateNotAfter: Number.NaN }]) {
    assert.deepEqual(sumOfFigures([answer]), {
      queue: { messages: 0, oldestAgeMs: 0, quarantined: 0, dead: 0 },
      certificateNotAfter: undefined,
    })
  }
})

test('RC-7 events go to the primary in batches, after a moment or when there are many, in order and once', () => {
  const told: (readonly [readonly string[], readonly string[]])[] = []
  const timers: (() => void)[] = []
  const events = new ToldEvents({
    tell: (messages, audit) => void told.push([messages, audit]),
    timer: (run) => void timers.push(run),
  })
  events.message('a')
  events.audit('b')
  events.message('c')
  assert.equal(timers.length, 1)
  timers[0]?.()
  assert.deepEqual(told, [[['a', 'c'], ['b']]])
  for (let i = 0; i < 1000; i++) events.message(String(i))
  assert.equal(told.length, 2)
  events.flush()
  for (const run of timers) run()
  assert.equal(told.length, 2, 'nothing is told twice')
})
