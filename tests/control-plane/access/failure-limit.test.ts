// Brute force (AZ-9): what is counted, and for how long.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addressBlock, FailureLimit } from '../../../control-plane/access/failure-limit.ts'
import { Problem } from '../../../control-plane/http/problem.ts'

function aLimit() {
  const clock = { now: 1_000 }
  const limit = new FailureLimit(() => clock.now)
  const retryAfter = (address: string, account?: string) => {
    try {
      limit.demand(address, account)
      return undefined
    } catch (error) {
      assert.ok(error instanceof Problem && error.type === 'too-many-requests')
      return error.members.retryAfter
    }
  }
  const fail = (times: number, address: string, account?: string) => {
    for (let n = 0; n < times; n++) limit.note(address, account)
  }
  return { clock, retryAfter, fail }
}

test('AZ-9: ten failures in a minute from an address, and the next attempt is refused until the first is a minute old', () => {
  const { clock, retryAfter, fail } = aLimit()
  fail(9, '192.0.2.1')
  assert.equal(retryAfter('192.0.2.1'), undefined)
  clock.now += 20_000
  fail(1, '192.0.2.1')
  assert.equal(retryAfter('192.0.2.1'), 40)
  assert.equal(retryAfter('192.0.2.2'), undefined)
  clock.now += 39_999
  assert.equal(retryAfter('192.0.2.1'), 1)
  clock.now += 1
  assert.equal(retryAfter('192.0.2.1'), undefined)
})

test('AZ-9: an account is guarded against many addresses, and another account is not held up', () => {
  const { retryAfter, fail } = aLimit()
  for (let n = 0; n < 10; n++) fail(1, `192.0.2.${n}`, 'break-glass')
  assert.equal(retryAfter('198.51.100.1', 'break-glass'), 60)
  assert.equal(retryAfter('198.51.100.1', 'other'), undefined)
  assert.equal(retryAfter('198.51.100.1'), undefined)
})

test('a flood from ever new addresses is forgotten from its oldest end, and memory stays bounded', () => {
  const { retryAfter, fail } = aLimit()
  fail(10, '192.0.2.1')
  for (let n = 0; n < 49_999; n++) fail(1, `10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`)
  assert.equal(retryAfter('192.0.2.1'), 60)
  fail(1, '203.0.113.1')
  assert.equal(retryAfter('192.0.2.1'), undefined)
})

const blocks: [address: string, block: string, why: string][] = [
  ['192.0.2.1', '192.0.2.1', 'an IPv4 address is one host'],
  ['::ffff:192.0.2.1', '192.0.2.1', 'also where it is written as IPv6'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64', 'a host has a /64'],
  ['2001:db8:1:2::', '2001:db8:1:2::/64', 'in any spelling'],
  ['2001:0DB8:0001:0002:ffff:ffff:ffff:ffff', '2001:db8:1:2::/64', 'zeros and capitals'],
  ['2001:db8::1', '2001:db8:0:0::/64', 'what :: stands for counts'],
  ['::1', '0:0:0:0::/64', 'loopback'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64', 'with a zone'],
  ['', '', 'unknown'],
]
for (const [address, block, why] of blocks) {
  test(`AZ-9: the address ${JSON.stringify(address)} counts as ${block}: ${why}`, () => {
    assert.equal(addressBlock(address), block)
  })
}
