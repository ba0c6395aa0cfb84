// DL-3: places are shared out so that hosts that hang never hold what hosts that work need.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { mayTakePlace } from '../../../mta/queue/share.ts'
import { recipient } from '../outbound/fixtures.ts'
import { accept, settle, world } from './world.ts'

const rows: [running: number, runningInAll: number, limit: number, isWell: boolean, mayTake: boolean, why: string][] = [
  [0, 0, 100, false, true, 'nothing is under way'],
  [19, 19, 100, false, true, 'alone it gets all that one host may have'],
  [49, 49, 100, true, true, 'and half of all where its own limit is larger'],
  [50, 50, 100, true, false, 'but not more: the other half is for whoever wakes up'],
  [16, 80, 100, false, false, 'five that hang leave room for a sixth'],
  [0, 80, 100, true, true, 'which takes it'],
  [0, 80, 100, false, false, 'unless nothing is known for it: then it waits for one that ends'],
  [0, 99, 100, true, true, 'the last place, for a host that works'],
  [0, 100, 100, true, false, 'no place is left'],
  [0, 0, 1, false, true, 'a relay with one place'],
  [0, 1, 1, true, false, 'which is taken'],
]
for (const [running, runningInAll, limit, isWell, mayTake, why] of rows) {
  test(`${running} of ${runningInAll} running, ${limit} places, ${isWell ? 'well' : 'unknown'}: ${why}`, () => {
    assert.equal(mayTakePlace({ running, runningInAll, limit }, isWell), mayTake)
  })
}

test('property: however many hosts hang, one that works finds a place; and one alone never starves', () => {
  fc.assert(
    fc.property(fc.integer({ min: 5, max: 200 }), fc.integer({ min: 1, max: 300 }), (limit, hosts) => {
      const running = Array.from({ length: hosts }, () => 0)
      let all = 0
      for (let wasTaken = true; wasTaken;) {
        wasTaken = false
        for (let host = 0; host < hosts; host++) {
          if (!mayTakePlace({ running: running[host] ?? 0, runningInAll: all, limit }, false)) continue
          running[host] = (running[host] ?? 0) + 1
          all++
          wasTaken = true
        }
      }
      assert.ok(all > 0 && all <= limit)
      assert.ok(mayTakePlace({ running: 0, runningInAll: all, limit }, true), `${all} of ${limit} are taken`)
    }),
  )
})

for (const hanging of [5, 30, 150]) {
  test(`DL-3: ${hanging} hosts that hang leave places to one that works, whether it was busy before them or not`, async () => {
    const names = Array.from({ length: hanging }, (_, number) => `tenant:hangs-${number}`)
    const routes = Object.fromEntries(
      [...names, 'tenant:well'].map((name) => [
        name,
        { host: `${name.slice(7)}.example`, port: 25, tls: 'none' as const },
      ]),
    )
    const w = world({ routes })
    w.queue.start()
    w.outbound.answer = ({ hop }) => (hop.host === 'well.example' ? {} : new Promise(() => {}))
    const send = (route: string) => accept(w, { recipients: [recipient('x@a.example', { route })] })
    const delivered = () => w.events.filter(({ result }) => result === 'delivered').length
    await send('tenant:well') // so that it is known to work
    await settle()
    for (let round = 0; round < 25; round++) for (const name of names) await send(name)
    await settle()
    for (let i = 0; i < 50; i++) await send('tenant:well')
    await settle()
    assert.equal(delivered(), 51)
  })
}
