import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nextHopOf, routeFinder } from '../../../mta/outbound/route.ts'
import type { SmartHost } from '../../../mta/settings.ts'

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
  const hopOf = routeFinder({ 'owner-tenant': host('a.example'), 'tenant:contoso': host('b.example') }, undefined)
  assert.equal(hopOf('owner-tenant')?.host, 'a.example')
  assert.equal(hopOf('constructor'), undefined)
  assert.equal(hopOf('mx:example.net'), undefined)
  assert.equal(routeFinder({}, { port: 25 })('mx:example.net')?.hostPort, 'example.net:25')
})

const verified = (more: Partial<SmartHost> = {}): SmartHost => ({
  host: 'mx.example',
  port: 25,
  tls: 'verify',
  ...more,
})
const apart: [a: string, b: string, why: string][] = [
  [nextHopOf(verified(), 'contoso').key, nextHopOf(verified(), 'fabrikam').key, 'another tenant'],
  [nextHopOf(verified(), 'contoso').key, nextHopOf(verified()).key, 'no tenant'],
  [nextHopOf(verified()).key, nextHopOf(host('mx.example')).key, 'TLS or none'],
  [nextHopOf(verified()).key, nextHopOf(verified({ tlsName: 'other.example' })).key, 'another name to prove'],
  [nextHopOf(verified()).key, nextHopOf(verified({ trust: { file: '/a.pem' } })).key, 'other authorities'],
]
for (const [a, b, why] of apart) test(`R85: one server is two next hops for ${why}`, () => assert.notEqual(a, b))
