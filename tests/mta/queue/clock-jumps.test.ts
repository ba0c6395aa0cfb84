// DU-9 for the whole queue: the wall clock jumps by an hour or five days, either way, whatever mail is waiting for at that moment; running time
// goes on as ever. Nothing is given up that hasn't had its chance, nothing is told too early, and nothing stands still.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { QueueId } from '../../../mta/queue-id.ts'
import { recipient } from '../outbound/fixtures.ts'
import { accept, all, DAY_MS, deferred, delivered, DOWN, failed, HOUR_MS, MINUTE_MS, settle, world } from './world.ts'
import type { Answer, World } from './world.ts'

const JUMPS: readonly [jumpMs: number, text: string][] = [
  [HOUR_MS, 'an hour ahead'],
  [-HOUR_MS, 'an hour back'],
  [5 * DAY_MS, 'five days ahead'],
  [-5 * DAY_MS, 'five days back'],
]
/** The longest wait of DL-1, with its jitter. */
const LONGEST_MS = 3.3 * HOUR_MS

/** The same spool in a new process, as after a restart in order or a crash. */
function restarted(before: World): World {
  const after = world({ spool: before.spool.crash(), clock: before.clock })
  after.queue.start()
  return after
}

interface Situation {
  readonly what: string
  readonly answer: Answer
  /** From the first attempt to the jump. */
  readonly beforeMs: number
  readonly isRestarted: boolean
}

const situations: readonly Situation[] = [
  { what: 'waits after its first attempt', answer: all(deferred), beforeMs: 0, isRestarted: false },
  { what: 'waits in the middle of its day', answer: all(deferred), beforeMs: 10 * HOUR_MS, isRestarted: false },
  { what: 'waits behind a host that is down', answer: DOWN, beforeMs: 0, isRestarted: false },
  { what: 'has waited a day behind one', answer: DOWN, beforeMs: DAY_MS, isRestarted: false },
  { what: 'waits while the relay starts again', answer: all(deferred), beforeMs: 10 * HOUR_MS, isRestarted: true },
  { what: 'waits behind a dead host while it starts again', answer: DOWN, beforeMs: 10 * HOUR_MS, isRestarted: true },
]

for (const [jumpMs, text] of JUMPS) {
  for (const { what, answer, beforeMs, isRestarted } of situations) {
    test(`DU-9: the clock jumps ${text} while mail ${what}: when its host is back, it is delivered`, async () => {
      let w = world()
      w.queue.start()
      w.outbound.answer = answer
      const queueIds: QueueId[] = []
      for (let i = 0; i < 20; i++) queueIds.push(await accept(w, { recipients: [recipient(`r${i}@a.example`)] }))
      await w.clock.pass(beforeMs)
      w.clock.wallMs += jumpMs
      if (isRestarted) {
        w = restarted(w)
        w.outbound.answer = answer
      }
      // Not yet an hour of trying since a restart; without one, after a jump ahead, whatever has been tried for long is as old as it looks.
      await w.clock.pass(20 * MINUTE_MS)
      if (isRestarted || beforeMs === 0 || jumpMs < 4 * DAY_MS) {
        const kept = queueIds.filter((queueId) => w.spool.stored.has(queueId))
        assert.equal(kept.length, 20, `${20 - kept.length} were given up`)
      }
      w.outbound.answer = all(delivered)
      await w.clock.pass(LONGEST_MS)
      assert.equal(w.spool.stored.size, 0, 'something stands still')
    })
  }
}

test('DU-9: mail that comes just before the clock is set back, or just after, is given up in its time', async () => {
  for (const [jumpMs] of JUMPS) {
    const w = world()
    w.queue.start()
    // Its reports are taken.
    w.outbound.answer = (asked) => (asked.hop.host === 'owner.example' ? all(deferred)(asked) : {})
    await accept(w)
    await settle()
    w.clock.wallMs += jumpMs
    await accept(w)
    await w.clock.pass(5 * DAY_MS + LONGEST_MS + HOUR_MS)
    assert.equal(w.spool.stored.size, 0)
  }
})

test('DU-9 property: over any jumps nothing is given up before 3 attempts over an hour, and all ends when its host is back', async () => {
  const step = fc.record({
    passMs: fc.integer({ min: 0, max: 12 * HOUR_MS }),
    jumpMs: fc.constantFrom(0, 0, ...JUMPS.map(([jumpMs]) => jumpMs)),
    isDown: fc.boolean(),
    isRestarted: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
      let w = world()
      w.queue.start()
      let isDown = false
      const answering = (of: World) => {
        of.outbound.answer = (asked) => {
          if (asked.hop.host !== 'owner.example') return {}
          return isDown ? DOWN(asked) : all(deferred)(asked)
        }
      }
      answering(w)
      let startedMs = w.clock.runningMs
      const sent: QueueId[] = []
      for (const each of steps) {
        sent.push(await accept(w))
        isDown = each.isDown
        w.clock.wallMs += each.jumpMs
        await w.clock.pass(each.passMs)
        for (const queueId of sent.filter((id) => !w.spool.stored.has(id))) {
          const ageMs = w.clock.runningMs - startedMs
          assert.ok(ageMs >= HOUR_MS, `${queueId} was given up ${ageMs / MINUTE_MS} min after the start`)
        }
        if (!each.isRestarted) continue
        w = restarted(w)
        answering(w)
        startedMs = w.clock.runningMs
        sent.splice(0, sent.length, ...sent.filter((id) => w.spool.stored.has(id)))
      }
      w.outbound.answer = all(delivered)
      await w.clock.pass(LONGEST_MS + HOUR_MS)
      assert.equal(w.spool.stored.size, 0, 'something stands still')
    }),
    { numRuns: 40 },
  )
})

test('DL-2: a definite refusal is final whatever the clock says', async () => {
  for (const [jumpMs] of JUMPS) {
    const w = world()
    w.queue.start()
    w.clock.wallMs += jumpMs
    w.outbound.answer = (asked) => (asked.hop.host === 'owner.example' ? all(failed)(asked) : {})
    await accept(w)
    await settle()
    assert.equal(w.spool.stored.size, 0)
  }
})
