import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nextHopOf, nextHopsOf } from '../../../mta/outbound/route.ts'

const host = (name: string, port = 25) => ({ kind: 'smart-host', host: name, port, tls: 'none' }) as const

test('a smart host is one next hop; another port or host is another (R85)', () => {
  assert.equal(nextHopOf(host('mx.example')).key, nextHopOf(host('mx.example')).key)
  assert.notEqual(nextHopOf(host('mx.example')).key, nextHopOf(host('mx.example', 26)).key)
  assert.notEqual(nextHopOf(host('mx.example')).key, nextHopOf(host('mx2.example')).key)
})

test('the name of an IPv6 host can be told from its port', () => {
  assert.equal(nextHopOf(host('::1', 2525)).hostPort, '[::1]:2525')
})

test('each configured route has its next hop, and no other name has one', () => {
  const hops = nextHopsOf({ 'owner-tenant': host('a.example'), mailbox: host('b.example') })
  assert.equal(hops.get('mailbox')?.host, 'b.example')
  assert.equal(hops.get('constructor'), undefined)
})
