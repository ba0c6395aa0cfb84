// Routes that lead elsewhere while mail waits: each next attempt goes where they lead then, and what was known of the old host is forgotten. (DL-1, RC-3)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SmartHost } from '../../../mta/settings.ts'
import { recipient } from '../outbound/fixtures.ts'
import { accept, all, delivered, DOWN, MINUTE_MS, settle, world } from './world.ts'
import type { World } from './world.ts'

const host = (name: string): SmartHost => ({ host: name, port: 25, tls: 'none' })
const [OLD, NEW] = [host('old.example'), host('new.example')]
const to = (tenant: string) => ({ recipients: [recipient('a@a.example', { route: `tenant:${tenant}` })] })

function started(routes: Record<string, SmartHost>): World {
  const made = world({ routes })
  made.queue.start()
  return made
}

const hosts = ({ outbound }: World): string[] => outbound.asked.map(({ hop }) => hop.host)

test('what waits behind a host that is down goes to the new one at once', async () => {
  const w = started({ 'tenant:a': OLD })
  w.outbound.answer = DOWN
  for (let i = 0; i < 30; i++) await accept(w, to('a'))
  await settle()
  const tried = hosts(w).length
  w.outbound.answer = all(delivered)
  w.queue.reroute({ 'tenant:a': NEW })
  for (let i = 0; i < 20; i++) await settle()
  await w.clock.pass(2 * MINUTE_MS)
  assert.equal(w.spool.stored.size, 0)
  assert.deepEqual(new Set(hosts(w).slice(tried)), new Set(['new.example']))
})

test('an attempt under way ends where it began, and says nothing of the new host', async () => {
  const w = started({ 'tenant:a': OLD })
  const hanging = Promise.withResolvers<void>()
  w.outbound.answer = async (asked) => {
    if (asked.hop.host === 'new.example') return all(delivered)(asked)
    await hanging.promise
    return DOWN(asked)
  }
  await accept(w, to('a'))
  await settle()
  w.queue.reroute({ 'tenant:a': NEW })
  hanging.resolve()
  await settle()
  // The old host's failure does not close the new one: mail that comes now is delivered now.
  await accept(w, to('a'))
  await settle()
  assert.deepEqual(hosts(w), ['old.example', 'new.example'])
  await w.clock.pass(2 * MINUTE_MS)
  assert.equal(w.spool.stored.size, 0)
  // More attempts at once than the host has places would be begun if the old one's end were counted twice.
  w.outbound.answer = async (asked) => {
    await settle()
    return all(delivered)(asked)
  }
  for (let i = 0; i < 100; i++) await accept(w, to('a'))
  for (let i = 0; i < 400 && w.spool.stored.size > 0; i++) await settle()
  assert.equal(w.spool.stored.size, 0)
  assert.ok((w.outbound.mostActive.get(w.outbound.asked.at(-1)?.hop.key ?? '') ?? 99) <= 20)
})

test('a route that comes to be, and one that ends: mail goes, and waits', async () => {
  const w = started({ 'tenant:a': OLD })
  await accept(w, to('b'))
  await settle()
  assert.deepEqual(hosts(w), [])
  w.queue.reroute({ 'tenant:a': OLD, 'tenant:b': NEW })
  await w.clock.pass(2 * MINUTE_MS)
  assert.deepEqual(hosts(w), ['new.example'])
  w.queue.reroute({ 'tenant:b': NEW })
  await accept(w, to('a'))
  await w.clock.pass(2 * MINUTE_MS)
  assert.deepEqual(hosts(w), ['new.example'])
  assert.equal(w.spool.stored.size, 1)
})

test('two tenants that exchange their hosts are not mistaken for each other', async () => {
  const w = started({ 'tenant:a': OLD, 'tenant:b': NEW })
  w.outbound.answer = DOWN
  await accept(w, to('a'))
  await accept(w, to('b'))
  await settle()
  w.outbound.answer = all(delivered)
  w.queue.reroute({ 'tenant:a': NEW, 'tenant:b': OLD })
  await w.clock.pass(2 * MINUTE_MS)
  assert.equal(w.spool.stored.size, 0)
  const last = w.outbound.asked
    .slice(2)
    .map(({ hop }) => (hop.kind === 'smart-host' ? `${hop.tenant} ${hop.host}` : hop.kind))
  assert.deepEqual(last.toSorted(), ['a new.example', 'b old.example'])
})

test('mail by MX goes on as it was', async () => {
  const w = started({ 'tenant:a': OLD })
  w.outbound.answer = DOWN
  await accept(w, { recipients: [recipient('a@far.example', { route: 'mx:far.example' })] })
  await settle()
  const before = w.outbound.asked.length
  w.queue.reroute({ 'tenant:a': NEW })
  await settle()
  assert.equal(w.outbound.asked.length, before, 'its host is still given up')
  w.outbound.answer = all(delivered)
  await w.clock.pass(2 * MINUTE_MS)
  assert.equal(w.spool.stored.size, 0)
})
