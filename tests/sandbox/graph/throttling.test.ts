// Budgets by the published numbers on a clock of the test's: costs, refusals, headers, and when it is good again.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { RETRY_AFTER_FORMS, retryAfterText } from '../../../sandbox/graph/retry-after.ts'
import { Throttling } from '../../../sandbox/graph/throttling.ts'
import type { PublishedThrottling, Throttled } from '../../../sandbox/graph/throttling.ts'
import { TokenBucket } from '../../../sandbox/graph/token-bucket.ts'
import { CONTRACTS } from './graph-server.ts'
import { APP, OTHER_TENANT, TENANT } from './tiny-tenant.ts'

const PUBLISHED = CONTRACTS.throttling as unknown as PublishedThrottling
const OTHER_APP = 'a0a0a0a0-0000-4000-8000-00000000000f'

function throttlingAt(scale?: number) {
  const clock = { nowMs: 1_000_000_000_000 }
  const throttling = new Throttling(PUBLISHED, () => clock.nowMs)
  throttling.limit(scale)
  return { clock, throttling }
}

function call(method: string, template: string, query = '', changes: Partial<Throttled> = {}): Throttled {
  return { method, template, query: new URLSearchParams(query), appId: APP, tenantId: TENANT, users: 10, ...changes }
}

const costs: [method: string, template: string, query: string, units: string | undefined, why: string][] = [
  ['GET', '/users', '', '2', 'published'],
  ['GET', '/users', '$select=id', '1', '$select takes one off'],
  ['GET', '/users', '$expand=manager', '3', '$expand adds one'],
  ['GET', '/users', '$top=19', '1', 'a small page takes one off'],
  ['GET', '/users', '$top=20', '2', 'twenty are not few'],
  ['GET', '/users', '$select=id&$top=5', '1', 'never below one'],
  ['GET', '/users/{user-id}', '', '1', 'the default of GET'],
  ['GET', '/users/delta()', '$select=id', '1', 'the default of GET, not below one'],
  ['GET', '/users/{user-id}/licenseDetails', '', '2', 'a template with a parameter'],
  ['GET', '/groups/{group-id}/members', '', '3', 'published'],
  ['GET', '/groups/{group-id}/transitiveMembers', '', '5', 'published'],
  ['GET', '/domains/{domain-id}/domainNameReferences', '', '4', 'published'],
  ['GET', '/subscribedSkus', '', '3', 'published'],
  ['PATCH', '/users/{user-id}', '', '1', 'the default of writes'],
  ['GET', "/reports/getMailboxUsageDetail(period='{period}')", '', undefined, 'reports are counted, not weighed'],
  ['GET', '/users/{user-id}/drive', '', undefined, 'files have a budget of their own'],
]
for (const [method, template, query, units, why] of costs) {
  test(`${method} ${template}?${query} costs ${units ?? 'no units of the directory'}: ${why}`, () => {
    const { throttling } = throttlingAt()
    assert.equal(throttling.charge(call(method, template, query)).headers['x-ms-resource-unit'], units)
  })
}

test('without a scale nothing is refused', () => {
  const { throttling } = throttlingAt()
  for (let index = 0; index < 100_000; index++) {
    if (throttling.charge(call('GET', '/users')).isRefused) assert.fail('refused')
  }
})

/** How many calls pass at once. */
function passing(throttling: Throttling, made: Throttled): number {
  for (let count = 0; ; count++) if (throttling.charge(made).isRefused) return count
}

const budgets: [made: Throttled, scale: number, passes: number, why: string][] = [
  [call('GET', '/users', '', { users: 49 }), 1, 1750, '3,500 units for a tenant under 50'],
  [call('GET', '/users', '', { users: 50 }), 1, 2500, '5,000 up to 500'],
  [call('GET', '/users', '', { users: 501 }), 1, 4000, '8,000 above'],
  [call('GET', '/users', '', { users: 49 }), 0.01, 17, 'a hundredth of it'],
  [call('PATCH', '/users/{user-id}', '', { users: 501 }), 1, 3000, '3,000 writes before 8,000 units are spent'],
  [call('POST', '/invitations'), 1, 150, '150 invitations'],
  [call('GET', "/reports/getMailboxUsageDetail(period='{period}')"), 1, 14, '14 reports'],
  [call('GET', '/users/{user-id}/drive'), 1, 1250, '1,250 units of files'],
  [call('GET', '/tenantRelationships/x'), 0.001, 130, '130,000 requests whatever they are'],
  [call('GET', '/groups/{group-id}/transitiveMembers'), 0.0001, 1, 'no budget is too small for one call'],
]
for (const [made, scale, passes, why] of budgets) {
  test(`${passes} ${made.method} ${made.template} pass at scale ${scale}, ${made.users} users: ${why}`, () => {
    assert.equal(passing(throttlingAt(scale).throttling, made), passes)
  })
}

test('budgets are of an application in a tenant: another of either has its own', () => {
  const { throttling } = throttlingAt(0.01)
  const users = call('GET', '/users')
  passing(throttling, users)
  assert.equal(throttling.charge({ ...users, tenantId: OTHER_TENANT }).isRefused, false)
  assert.equal(throttling.charge({ ...users, appId: OTHER_APP }).isRefused, false)
  assert.equal(throttling.charge(users).isRefused, true)
})

test('invitations of all applications share the budget of a tenant', () => {
  const { throttling } = throttlingAt(1)
  passing(throttling, call('POST', '/invitations'))
  assert.equal(throttling.charge(call('POST', '/invitations', '', { appId: OTHER_APP })).isRefused, true)
})

test('each report has its own budget', () => {
  const { throttling } = throttlingAt(1)
  passing(throttling, call('GET', "/reports/getMailboxUsageDetail(period='{period}')"))
  const other = call('GET', "/reports/getOneDriveUsageAccountDetail(period='{period}')")
  assert.equal(throttling.charge(other).isRefused, false)
})

test('whoever waits as long as Retry-After says passes, and whoever comes before doesn’t and waits longer', () => {
  const { clock, throttling } = throttlingAt(0.01)
  throttling.retryAfterForm = 'fractional'
  const users = call('GET', '/users')
  passing(throttling, users)
  const first = Number(throttling.charge(users).headers['retry-after'])
  clock.nowMs += 500
  const second = throttling.charge(users)
  assert.equal(second.isRefused, true)
  assert.ok(Number(second.headers['retry-after']) > first - 0.5, 'the refused call was charged')
  clock.nowMs += Number(second.headers['retry-after']) * 1000
  assert.equal(throttling.charge(users).isRefused, false)
})

test('headers warn from eight tenths of the budget on, and a refusal says who ran into what', () => {
  const { throttling } = throttlingAt(0.01)
  const users = call('GET', '/users')
  const shares = []
  for (let count = 0; count < 17; count++) {
    shares.push(throttling.charge(users).headers['x-ms-throttle-limit-percentage'])
  }
  // 35 units, two a call: the fourteenth is the first at 28.
  assert.deepEqual(shares, [...Array.from({ length: 13 }, () => undefined), '0.80', '0.86', '0.91', '0.97'])
  const { headers } = throttling.charge(users)
  assert.equal(headers['x-ms-throttle-limit-percentage'], '1.03')
  assert.equal(headers['x-ms-throttle-scope'], `Tenant_Application/ReadWrite/${APP}/${TENANT}`)
  assert.equal(headers['x-ms-throttle-information'], 'ResourceUnitLimitExceeded')
  for (let count = 0; count < 100; count++) throttling.charge(users)
  assert.equal(throttling.charge(users).headers['x-ms-throttle-limit-percentage'], '1.80')
})

test('too many writes are told apart from too many units', () => {
  const { throttling } = throttlingAt(0.01)
  const write = call('PATCH', '/users/{user-id}', '', { users: 501 })
  passing(throttling, write)
  const { headers } = throttling.charge(write)
  assert.equal(headers['x-ms-throttle-information'], 'WriteLimitExceeded')
  assert.equal(headers['x-ms-throttle-scope'], `Tenant_Application/Write/${APP}/${TENANT}`)
})

test('files warn in the form of SharePoint', () => {
  const { throttling } = throttlingAt(0.01)
  const drive = call('GET', '/users/{user-id}/drive')
  const warned = Array.from({ length: 12 }, () => throttling.charge(drive).headers)
  assert.equal(warned[8]?.['RateLimit-Limit'], undefined)
  assert.deepEqual(warned[9], { 'RateLimit-Limit': '12', 'RateLimit-Remaining': '2', 'RateLimit-Reset': '48' })
})

test('Retry-After comes in every form in turn, or in the one asked for', () => {
  const { throttling } = throttlingAt(0.01)
  const users = call('GET', '/users')
  passing(throttling, users)
  throttling.retryAfterForm = 'rotate'
  const forms = Array.from({ length: 5 }, () => throttling.charge(users).headers['retry-after'])
  assert.match(forms[0] ?? '', /^\d+$/)
  assert.match(forms[1] ?? '', /^\d+\.\d{3}$/)
  assert.match(forms[2] ?? '', /GMT$/)
  assert.equal(forms[3], undefined)
  assert.match(forms[4] ?? '', /^\d+$/)
  throttling.retryAfterForm = 'missing'
  assert.equal(throttling.charge(users).headers['retry-after'], undefined)
})

test('no form of Retry-After says sooner than it is', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 10_000_000 }), fc.integer({ min: 0, max: 4e12 }), (waitMs, nowMs) => {
      for (const form of RETRY_AFTER_FORMS) {
        const text = retryAfterText(form, waitMs, nowMs)
        if (text === undefined) continue
        // A client reads a date against the `Date` of the answer, which is cut to seconds.
        const dateMs = Math.floor(nowMs / 1000) * 1000
        const readMs = form === 'date' ? Date.parse(text) - dateMs : Number(text) * 1000
        assert.ok(readMs >= waitMs - 0.001, `${form} ${text}`)
        assert.ok(readMs <= waitMs + 3_000, `${form} ${text}`)
      }
    }),
  )
})

test('a budget lets through what it holds and what it gains, no more', () => {
  const step = fc.record({ afterMs: fc.integer({ min: 0, max: 2_000 }), amount: fc.integer({ min: 1, max: 5 }) })
  fc.assert(
    fc.property(fc.integer({ min: 5, max: 100 }), fc.array(step, { maxLength: 200 }), (capacity, steps) => {
      const bucket = new TokenBucket(capacity, 10_000, 0)
      let nowMs = 0
      let passed = 0
      for (const { afterMs, amount } of steps) {
        nowMs += afterMs
        const { isRefused, waitMs, usedShare } = bucket.charge(amount, nowMs)
        if (!isRefused) passed += amount
        assert.equal(waitMs > 0, isRefused)
        assert.ok(usedShare >= 0 && usedShare <= 1.8 + 1e-9)
        assert.ok(passed <= capacity + (capacity * nowMs) / 10_000 + 1e-6)
      }
    }),
  )
})

test('a scale of nothing is a mistake', () => {
  const { throttling } = throttlingAt()
  assert.throws(() => throttling.limit(0), RangeError)
})
