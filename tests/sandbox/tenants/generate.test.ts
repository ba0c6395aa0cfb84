// Tenants of any size, and the changes of a week.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { changeSome } from '../../../sandbox/tenants/change-some.ts'
import { generateTenant, peopleInCommon } from '../../../sandbox/tenants/generate.ts'
import type { TenantData } from '../../../sandbox/tenants/objects.ts'
import { SeededRandom } from '../../../sandbox/tenants/seeded-random.ts'
import { SimulatedTenant } from '../../../sandbox/tenants/tenant.ts'

const employeeNumbers = ({ objects }: TenantData) =>
  new Set(
    objects.flatMap(({ properties }) =>
      typeof properties['employeeId'] === 'string' ? [properties['employeeId']] : [],
    ),
  )

test('two of one seed have the promised people in common, by employee number', () => {
  const size = { seed: 4, people: 1_000, overlap: 0.7 }
  const source = employeeNumbers(generateTenant(size))
  const target = employeeNumbers(generateTenant({ ...size, side: 'target' }))
  assert.equal(source.size, 1_000)
  assert.equal(source.intersection(target).size, peopleInCommon(size))
  assert.equal(peopleInCommon(size), 700)
})

test('a generated tenant is the same from the same seed, with ids and addresses used once', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 31 }), fc.integer({ min: 0, max: 60 }), (seed, people) => {
      const tenant = generateTenant({ seed, people, groups: 5 })
      assert.equal(JSON.stringify(tenant), JSON.stringify(generateTenant({ seed, people, groups: 5 })))
      assert.equal(new Set(tenant.objects.map(({ id }) => id)).size, tenant.objects.length)
      const names = tenant.objects.flatMap(({ properties }) => properties['userPrincipalName'] ?? [])
      assert.equal(new Set(names).size, names.length)
    }),
    { numRuns: 20 },
  )
})

test('a hundred thousand people are made in seconds, with one group of ten thousand', () => {
  const startedAt = performance.now()
  const tenant = generateTenant({ seed: 1, people: 100_000, bigGroupMembers: 10_000 })
  // Three seconds on a quiet machine; the limit leaves room for a busy one.
  assert.ok(performance.now() - startedAt < 15_000)
  assert.equal(tenant.objects.filter(({ kind }) => kind === 'group')[0]?.members.length, 10_000)
  assert.equal(Object.keys(tenant.drives).length, 100_000)
})

test('changes are exactly those that the log of changes has', () => {
  const tenant = new SimulatedTenant(generateTenant({ seed: 9, people: 500 }))
  const before = new Set([...tenant.objects('user')].map(({ id }) => id))
  const changed = changeSome(tenant, 50, 3)
  assert.deepEqual([changed.renamed.length, changed.added.length, changed.removed.length], [20, 10, 10])
  assert.ok(changed.membersAdded.length > 0)
  const log = tenant.changesSince(0)
  assert.deepEqual(
    log.map(({ number }) => number),
    log.map((_, index) => index + 1),
  )
  const properties = log.filter(({ what }) => what === 'properties').map(({ id }) => id)
  assert.deepEqual(properties.toSorted(), [...changed.renamed, ...changed.added].toSorted())
  assert.deepEqual(
    log.filter(({ what }) => what === 'removed').map(({ id }) => id),
    changed.removed,
  )
  const after = new Set([...tenant.objects('user')].map(({ id }) => id))
  assert.deepEqual([...before.difference(after)].toSorted(), changed.removed.toSorted())
  const groups = [...tenant.objects('group')]
  assert.ok(
    groups.every(({ members }) => members.every((id) => !changed.removed.includes(id))),
    'nobody is member who is gone',
  )
  const other = new SimulatedTenant(generateTenant({ seed: 9, people: 500 }))
  assert.deepEqual(changeSome(other, 50, 3), changed)
})

test('ids of the seeded source are of version 4 and do not come twice', () => {
  const random = new SeededRandom(7)
  const ids = Array.from({ length: 10_000 }, () => random.guid())
  assert.equal(new Set(ids).size, ids.length)
  for (const id of ids) assert.match(id, /^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/)
  const spread = Array.from({ length: 6_000 }, () => random.below(6))
  for (let side = 0; side < 6; side++) {
    const count = spread.filter((each) => each === side).length
    assert.ok(count > 800 && count < 1_200, `${side} came ${count} times`)
  }
})
