// Delivery by MX has a lane for each domain: thousands pass through, and what is left of them, and what each costs the others, is bounded. (DL-3, DL-7)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { mxRoute } from '../../../mta/route-names.ts'
import { recipient } from '../outbound/fixtures.ts'
import { accept, all, deferred, delivered, DOWN, MINUTE_MS, settle, world } from './world.ts'
import type { World } from './world.ts'

function sendTo(w: World, domain: string) {
  return accept(w, { recipients: [recipient(`dana@${domain}`, { route: mxRoute(domain) })] })
}

test('each domain is a next hop of its own, and waits by itself', async () => {
  const w = world()
  w.outbound.answer = (asked) => (asked.hop.host === 'down.example' ? DOWN(asked) : {})
  await sendTo(w, 'down.example')
  w.queue.start()
  await settle()
  await sendTo(w, 'down.example')
  await sendTo(w, 'well.example')
  await settle()
  assert.deepEqual(
    w.outbound.asked.map(({ hop }) => hop.host),
    ['down.example', 'well.example'],
  )
  w.outbound.answer = all(delivered)
  await w.clock.pass(2 * MINUTE_MS)
  assert.equal(w.outbound.asked.length, 4)
})

test('a domain whose mail was delivered is forgotten, with what was known of its host', async () => {
  const w = world()
  w.queue.start()
  w.outbound.answer = DOWN
  await sendTo(w, 'a.example')
  await settle()
  w.outbound.answer = all(delivered)
  await w.clock.pass(2 * MINUTE_MS)
  // Nothing waits, nothing is remembered: the next message goes out at once, and no timer is left.
  w.outbound.answer = all(deferred, 'down')
  await sendTo(w, 'a.example')
  await settle()
  assert.equal(w.outbound.asked.length, 3)
})

/** Without the books that the fake of the others keeps, which grow with every host. */
function withoutBooks(w: World, isDown: (host: string) => boolean): World {
  w.outbound.place = (hop) => ({
    freesPlace: () => true,
    deliver: async (message, recipients) => ({
      outcomes: recipients.map(() => (isDown(hop.host) ? deferred : delivered)),
      host: isDown(hop.host) ? 'down' : 'well',
      remote: hop.hostPort,
      tls: undefined,
      offersDsn: true,
      connectMs: 1,
      sendMs: message.record.bodyBytes,
    }),
    release: () => {},
    recorded: () => {},
    lost: () => {},
  })
  w.queue.start()
  return w
}

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** Octets that stay after `messages` messages, each to the domain that `domainOf` names. */
async function left(domainOf: (i: number) => string): Promise<number> {
  const w = withoutBooks(world(), () => false)
  const usedAfter = async (from: number, to: number): Promise<number> => {
    for (let i = from; i < to; i++) {
      await sendTo(w, domainOf(i))
      w.events.length = 0
      w.spool.journal.length = 0
    }
    await settle()
    collectGarbage()
    return process.memoryUsage().heapUsed
  }
  const before = await usedAfter(0, 1_000)
  return (await usedAfter(1_000, 21_000)) - before
}

test('domains pass through by the ten thousand, and nothing is left of them', async () => {
  const ofOne = await left(() => 'one.example')
  const ofMany = await left((i) => `d${i}.example`)
  // A lane takes some 600 octets: 20,000 of them would be 12 MB. Some megabytes up or down are the compiler's.
  assert.ok(ofMany - ofOne < 6_000_000, `${ofMany} octets of many, ${ofOne} of one`)
})

test('DL-3: 10,000 domains that are down cost the mail of another no more than a look at those that are due', async () => {
  const cost = async (w: World): Promise<number> => {
    const began = performance.now()
    for (let i = 0; i < 500; i++) await accept(w)
    await settle()
    return performance.now() - began
  }
  const crowded = withoutBooks(world(), (host) => host !== 'owner.example')
  for (let i = 0; i < 10_000; i++) await sendTo(crowded, `d${i}.example`)
  await settle()
  const quiet = withoutBooks(world(), () => false)
  await cost(quiet)
  const alone = await cost(quiet)
  const beside = await cost(crowded)
  // Looking at every lane each time would be 5,000,000 looks.
  assert.ok(beside < 5 * alone + 200, `${beside} ms beside them, ${alone} ms alone`)
})
