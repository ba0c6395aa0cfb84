// SP-2, SP-3: who may connect; RFC 5321 §4.5.1: who is the postmaster.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addressRanges } from '../../../mta/inbound/admission.ts'

const cases: [ranges: string[], address: string, isIn: boolean, why: string][] = [
  [[], '127.0.0.1', false, 'an empty list means nobody (SP-3)'],
  [['127.0.0.0/8'], '127.0.0.1', true, 'in the range'],
  [['127.0.0.0/8'], '128.0.0.1', false, 'beside it'],
  [['192.0.2.7'], '192.0.2.7', true, 'one address'],
  [['192.0.2.7'], '192.0.2.70', false, 'not its prefix'],
  [['10.0.0.0/8', '2001:db8::/32'], '2001:db8::1', true, 'IPv6'],
  [['2001:db8::/32'], '2001:db9::1', false, 'beside it'],
  [['127.0.0.0/8'], '::ffff:127.0.0.1', true, 'an IPv4 peer of a listener for both'],
  [['0.0.0.0/0'], '::1', false, 'all of IPv4 is none of IPv6'],
  [['127.0.0.0/8'], '', false, 'a peer that is gone already'],
]
for (const [ranges, address, isIn, why] of cases) {
  test(`SP-3 ${address || 'no address'} in [${ranges.join(', ')}]: ${why}`, () => {
    assert.equal(addressRanges(ranges).includes(address), isIn)
  })
}
