import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { addressRules, embeddedIpv4 } from '../../../mta/outbound/address-rules.ts'

const examples: [address: string, isAllowed: boolean, why: string][] = [
  ['52.101.40.2', true, 'Exchange Online'],
  ['8.8.8.8', true, 'public'],
  ['172.15.255.255', true, 'just below 172.16.0.0/12'],
  ['172.32.0.0', true, 'just above it'],
  ['2a01:111:f403::1', true, 'global unicast'],
  ['2606:4700:4700::1111', true, 'global unicast'],
  ['127.0.0.1', false, 'loopback'],
  ['127.255.255.254', false, 'all of 127.0.0.0/8'],
  ['0.0.0.0', false, 'this host'],
  ['0.1.2.3', false, 'this network'],
  ['10.1.2.3', false, 'private'],
  ['172.16.0.1', false, 'private'],
  ['172.31.255.255', false, 'private'],
  ['192.168.1.1', false, 'private'],
  ['169.254.169.254', false, 'link-local: metadata of clouds'],
  ['100.64.0.1', false, 'carrier-grade NAT'],
  ['100.127.255.255', false, 'carrier-grade NAT'],
  ['192.0.0.8', false, 'protocol assignments'],
  ['198.18.0.1', false, 'benchmarks'],
  ['203.0.113.1', false, 'documentation'],
  ['224.0.0.1', false, 'multicast'],
  ['255.255.255.255', false, 'broadcast'],
  ['::', false, 'unspecified'],
  ['::1', false, 'loopback'],
  ['fe80::1', false, 'link-local'],
  ['fec0::1', false, 'site-local'],
  ['fc00::1', false, 'unique local'],
  ['fdff::1', false, 'unique local'],
  ['ff02::1', false, 'multicast'],
  ['2001:db8::1', false, 'documentation'],
  ['2001:0:4136:e378:8000:63bf:3fff:fdd2', false, 'Teredo'],
  ['100::1', false, 'discard'],
  ['::ffff:127.0.0.1', false, 'IPv4-mapped loopback'],
  ['::ffff:7f00:1', false, 'the same in words'],
  ['::ffff:10.0.0.1', false, 'IPv4-mapped private'],
  ['::ffff:8.8.8.8', true, 'IPv4-mapped public'],
  ['::127.0.0.1', false, 'IPv4-compatible, deprecated'],
  ['64:ff9b::a00:1', false, 'NAT64 to a private address'],
  ['64:ff9b::8.8.8.8', true, 'NAT64 to a public one'],
  ['64:ff9b:1::a00:1', false, 'local NAT64: nobody knows where to'],
  ['2002:a00:1::1', false, '6to4 of a private address'],
  ['2002:7f00:1::', false, '6to4 of loopback'],
  ['2002:808:808::1', true, '6to4 of a public one'],
  ['fe80::1%eth0', false, 'a zone'],
  ['mx.example', false, 'no address'],
  ['', false, 'nothing'],
]
for (const [address, isAllowed, why] of examples) {
  test(`DL-7: ${address || 'nothing'} ${isAllowed ? 'may' : 'must not'} be connected to: ${why}`, () => {
    assert.equal(addressRules([])(address), isAllowed)
  })
}

test('DL-7: what the operator lists is allowed, also inside an IPv6 address, and nothing beside it', () => {
  const may = addressRules(['10.1.0.0/16', 'fd00:1::/32'])
  for (const address of ['10.1.2.3', '::ffff:10.1.2.3', '64:ff9b::10.1.2.3', 'fd00:1::25'])
    assert.ok(may(address), address)
  for (const address of ['10.2.0.1', '::ffff:10.2.0.1', 'fd00:2::25', '127.0.0.1']) assert.ok(!may(address), address)
})

test('property: an embedded IPv4 address is judged like itself, however it is written', () => {
  fc.assert(
    fc.property(fc.ipV4(), (inner) => {
      const may = addressRules([])
      const [a = 0, b = 0, c = 0, d = 0] = inner.split('.').map(Number)
      const words = [(a << 8) | b, (c << 8) | d].map((word) => word.toString(16)).join(':')
      for (const outer of [`::ffff:${inner}`, `0:0:0:0:0:ffff:${words}`, `64:ff9b::${words}`, `2002:${words}::25`]) {
        assert.equal(embeddedIpv4(outer), inner, outer)
        assert.equal(may(outer), may(inner), outer)
      }
    }),
  )
})

test('property: no text makes the rules throw', () => {
  fc.assert(fc.property(fc.oneof(fc.string(), fc.ipV6()), (text) => typeof addressRules([])(text) === 'boolean'))
})
