import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isAddress, isLoopback, parseAddressRange, parseHostName } from '../../mta/network-names.ts'
import type { AddressRange } from '../../mta/network-names.ts'

const hosts: [written: string, name: string | undefined, why: string][] = [
  ['mx.example', 'mx.example', 'a name'],
  ['MX.Example.', 'mx.example', 'case and the last dot mean nothing'],
  ['münchen.example', 'xn--mnchen-3ya.example', 'A-labels go on the wire'],
  ['localhost', 'localhost', 'one label'],
  ['a'.repeat(63), 'a'.repeat(63), 'the longest label'],
  ['a'.repeat(64), undefined, 'one past it'],
  [`${'a.'.repeat(126)}a`, `${'a.'.repeat(126)}a`, 'the longest name'],
  [`${'a.'.repeat(127)}a`, undefined, 'past it'],
  ['under_score.example', undefined, 'no host name'],
  ['-a.example', undefined, 'a hyphen at the edge'],
  ['a-.example', undefined, 'a hyphen at the edge'],
  ['a..b', undefined, 'an empty label'],
  ['', undefined, 'nothing'],
  ['a b', undefined, 'a space'],
  ['a\r\nb', undefined, 'a line break'],
]
for (const [written, name, why] of hosts) {
  test(`parseHostName(${JSON.stringify(written.slice(0, 30))}): ${why}`, () => {
    assert.equal(parseHostName(written), name)
  })
}

const ranges: [written: string, range: AddressRange | undefined, why: string][] = [
  ['192.0.2.1', { address: '192.0.2.1', bits: 32, family: 'ipv4' }, 'one address'],
  ['192.0.2.1/24', { address: '192.0.2.1', bits: 24, family: 'ipv4' }, 'host bits mean the range'],
  ['0.0.0.0/0', { address: '0.0.0.0', bits: 0, family: 'ipv4' }, 'everybody'],
  ['192.0.2.0/32', { address: '192.0.2.0', bits: 32, family: 'ipv4' }, 'the longest prefix'],
  ['192.0.2.0/33', undefined, 'one past it'],
  ['2001:db8::/32', { address: '2001:db8::', bits: 32, family: 'ipv6' }, 'IPv6'],
  ['2001:db8::/128', { address: '2001:db8::', bits: 128, family: 'ipv6' }, 'the longest prefix'],
  ['2001:db8::/129', undefined, 'one past it'],
  ['192.0.2.0/', undefined, 'no prefix'],
  ['192.0.2.0/-1', undefined, 'no number'],
  ['192.0.2.0/8/8', undefined, 'two'],
  ['192.0.2', undefined, 'three octets'],
  ['fe80::1%eth0/64', undefined, 'a zone'],
  ['mx.example', undefined, 'a name could be anybody'],
]
for (const [written, range, why] of ranges) {
  test(`parseAddressRange(${JSON.stringify(written)}): ${why}`, () => {
    assert.deepEqual(parseAddressRange(written), range)
  })
}

test('a zone makes an address mean something on one machine only', () => {
  assert.deepEqual([isAddress('fe80::1'), isAddress('fe80::1%eth0'), isAddress('::1%lo')], [true, false, false])
  assert.equal(isLoopback('::1%lo'), false)
})

const loopback = ['127.0.0.1', '127.255.255.255', '::1', '0:0:0:0:0:0:0:1']
const reachable = [
  '126.255.255.255',
  '128.0.0.0',
  '0.0.0.0',
  '::',
  '::2',
  '10.0.0.1',
  '::ffff:10.0.0.1',
  'localhost',
  '',
]
for (const address of [...loopback, ...reachable]) {
  test(`SP-8 isLoopback(${JSON.stringify(address)})`, () => {
    assert.equal(isLoopback(address), loopback.includes(address))
  })
}
