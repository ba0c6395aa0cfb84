// Token buckets: as many as the rate gives, no more, in bounded memory. (reliability-security.md §4)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Problem } from '../../../control-plane/http/problem.ts'
import { demand, networkOf, rateLimitHeaders, TokenBuckets } from '../../../control-plane/http/rate-limits.ts'

const RATE = { perSecond: 2, burst: 4 }

function buckets(rate = RATE) {
  const clock = { now: 0 }
  return { clock, buckets: new TokenBuckets(rate, () => clock.now) }
}

test('a burst is granted, then so many a second; a refusal says when to come back', () => {
  const { clock, buckets: it } = buckets()
  const take = () => it.take('a')
  assert.deepEqual(
    [take(), take(), take(), take()].map(({ isGranted, remaining }) => [isGranted, remaining]),
    [
      [true, 3],
      [true, 2],
      [true, 1],
      [true, 0],
    ],
  )
  assert.deepEqual(take(), { isGranted: false, remaining: 0, retryAfter: 1 })
  clock.now += 499
  assert.equal(take().isGranted, false, 'asking too early costs nothing and gives nothing')
  clock.now += 1
  assert.equal(take().isGranted, true)
  assert.equal(take().isGranted, false)
  clock.now += 60_000
  assert.equal(take().remaining, 3, 'never more than a burst')
})

test('one caller takes nothing from another', () => {
  const { buckets: it } = buckets()
  for (let requests = 0; requests < 10; requests++) it.take('a')
  assert.equal(it.take('b').remaining, 3)
})

test('over any time nobody gets more than burst and rate', () => {
  const steps = fc.array(fc.integer({ min: 0, max: 3000 }), { maxLength: 200 })
  fc.assert(
    fc.property(steps, (waits) => {
      const { clock, buckets: it } = buckets()
      let granted = 0
      for (const wait of waits) {
        clock.now += wait
        if (it.take('a').isGranted) granted++
        assert.ok(granted <= RATE.burst + (clock.now / 1000) * RATE.perSecond + 1e-6)
      }
    }),
  )
})

test('buckets that are full again are forgotten', () => {
  const { clock, buckets: it } = buckets()
  for (let name = 0; name < 1000; name++) it.take(`n${name}`)
  assert.equal(it.size, 1000)
  clock.now += 500
  it.take('a')
  assert.equal(it.size, 1)
})

test('a flood from ever new addresses takes bounded memory and time, and does not give back what somebody in use has spent', () => {
  const { buckets: it } = buckets({ perSecond: 1, burst: 10 })
  for (let requests = 0; requests < 10; requests++) it.take('busy')
  const started = performance.now()
  for (let name = 0; name < 200_000; name++) {
    it.take(`n${name}`)
    if (name % 1000 === 0) assert.equal(it.take('busy').isGranted, false)
  }
  assert.ok(it.size <= 50_000, `${it.size} buckets`)
  // 0.2 s alone; looking through all of them at every request would take minutes.
  assert.ok(performance.now() - started < 20_000)
})

test('a refusal is a 429 that says when; the headers are those of the draft', () => {
  const { buckets: it } = buckets()
  const first = it.take('a')
  demand(first)
  assert.deepEqual(rateLimitHeaders(RATE, first), {
    'RateLimit-Policy': '"default";q=4;w=2',
    RateLimit: '"default";r=3;t=1',
  })
  for (let requests = 0; requests < 3; requests++) demand(it.take('a'))
  assert.throws(
    () => demand(it.take('a')),
    (error) => error instanceof Problem && error.status === 429 && error.members.retryAfter === 1,
  )
})

const networks: [address: string, network: string, why: string][] = [
  ['192.0.2.7', '192.0.2.7', 'an IPv4 address is one caller'],
  ['::ffff:192.0.2.7', '192.0.2.7', 'also when it comes over an IPv6 socket'],
  ['::FFFF:192.0.2.7', '192.0.2.7', 'in any case'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64', 'an IPv6 network is one'],
  ['2001:db8:1:2::1', '2001:db8:1:2::/64', 'shortened'],
  ['2001:0DB8:1:2::', '2001:db8:1:2::/64', 'other spelling'],
  ['2001:db8::1', '2001:db8:0:0::/64', 'zeros inside'],
  ['::1', '0:0:0:0::/64', 'loopback'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64', 'with its zone'],
  ['64:ff9b::192.0.2.33', '64:ff9b:0:0::/64', 'with an IPv4 end'],
  ['', '', 'a connection that is gone'],
]
for (const [address, network, why] of networks) {
  test(`networkOf(${JSON.stringify(address)}): ${why}`, () => assert.equal(networkOf(address), network))
}
