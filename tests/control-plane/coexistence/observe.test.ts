// Observing a tenant, against the simulated Exchange and against one that answers badly; and what differs between two observations. (coexistence.md §2)
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { createLog } from '../../../common/log.ts'
import { emptyMetrics } from '../../../common/metrics.ts'
import { equalTenants } from '../../../control-plane/coexistence/equal-tenants.ts'
import { writeMark } from '../../../control-plane/coexistence/mark.ts'
import { observeTenant } from '../../../control-plane/coexistence/observe.ts'
import type { Noun, ObservedObject } from '../../../control-plane/coexistence/tenant-object.ts'
import type { TenantId } from '../../../control-plane/ids.ts'
import { parseBudgets } from '../../../control-plane/microsoft/budgets.ts'
import { createMicrosoft365 } from '../../../control-plane/microsoft/microsoft365.ts'
import { seedTenants } from '../../../sandbox/tenants/seed.ts'
import { CONTOSO, testSandbox } from '../../harness/sandbox.ts'
import { connectionOf, json, scene } from '../microsoft/scene.ts'
import { VirtualPace } from '../microsoft/virtual-pace.ts'

const tenant = 'tnt_source' as TenantId
const options = { tenant, groupPrefix: 'Causeway-00112233-' }
const SECRET = 'c2VjcmV0LW9mLTI1Ni1iaXRz'
const sha256 = createHash('sha256').update(SECRET).digest('hex')
const guid = (nth: number) => `00000000-0000-4000-8000-${String(nth).padStart(12, '0')}`
const mark = { project: 'prj_00112233445566778899aabb', key: 'rule-20', specHash: 'a1b2c3d4e5f60718' }

async function contoso(t: TestContext) {
  const sandbox = await testSandbox(t, { tenants: Object.values(seedTenants(1)) })
  for (const role of ['View-Only Recipients', 'View-Only Configuration'])
    sandbox.control.grantExchangeRole(CONTOSO, sandbox.app.clientId, role)
  const pace = new VirtualPace()
  const lines: string[] = []
  const [now, monotonicMs] = [() => sandbox.clock.nowMs(), () => pace.monotonicMs()]
  const [entra, graph, exchange] = [sandbox.entra.url, sandbox.graphUrl, sandbox.exchangeUrl].map((url) => new URL(url))
  const microsoft = createMicrosoft365({
    settings: {
      mode: 'evaluation',
      microsoft: { budgets: parseBudgets('', assert.fail), sandbox: { entra, graph, exchange } },
    },
    log: createLog({ write: (line) => lines.push(line), level: 'debug', now }),
    metrics: emptyMetrics(),
    now,
    monotonicMs,
    pace: { now, monotonicMs, random: () => 0.5, setTimer: (callback, ms) => pace.setTimer(callback, ms) },
  })
  const data = sandbox.tenants.get(CONTOSO)
  assert.ok(data !== undefined)
  const clients = microsoft.clientsOf(connectionOf({ entraTenantId: CONTOSO, ...sandbox.app }))
  return { data, lines, observe: () => observeTenant(clients.exchange, options) }
}

test('all objects of a tenant are seen with their settable properties; no proof token, and no group of others', async (t) => {
  const { data, lines, observe } = await contoso(t)
  const before = await observe()
  const nouns: Noun[] = [
    'InboundConnector',
    'OutboundConnector',
    'ArcConfig',
    'RemoteDomain',
    'OrganizationRelationship',
  ]
  for (const noun of [...nouns, 'TransportRule'] as const) {
    const known = data.exchangeObjects(noun).map((object) => object.guid.toLowerCase())
    const found = before.filter((object) => object.noun === noun).map((object) => object.guid)
    assert.deepEqual(found.toSorted(), known.toSorted(), noun)
  }
  assert.ok(
    before.some(({ noun }) => noun === 'InboundConnector') && before.some(({ noun }) => noun === 'TransportRule'),
  )
  assert.ok(!before.some(({ noun }) => noun === 'DistributionGroup'))
  const connector = before.find(({ noun, name }) => noun === 'InboundConnector' && name === 'From the scanner')
  assert.deepEqual(connector?.properties['SenderDomains'], ['*'])
  assert.equal(connector?.properties['Enabled'], false)
  assert.equal(equalTenants(before, await observe()).isEqual, true)

  data.putExchangeObject({
    guid: guid(20),
    noun: 'TransportRule',
    properties: {
      Name: 'Causeway-00112233-20-Route-Sender',
      Priority: 9,
      State: 'Disabled',
      Comments: writeMark(mark, 'ours'),
      SetHeaderName: 'x-causeway-PROJECT',
      SetHeaderValue: SECRET,
      Description: `set the header to ${SECRET}`,
    },
  })
  const after = await observe()
  const { added, removed, changed, isEqual, ruleOrder } = equalTenants(before, after)
  assert.deepEqual([isEqual, removed, changed, ruleOrder], [false, [], [], undefined])
  const [rule] = added
  assert.deepEqual([added.length, rule?.mark, rule?.isEnabled, rule?.priority], [1, mark, false, 9])
  assert.deepEqual(rule?.properties['SetHeaderValue'], { proof: 'out', sha256 })
  assert.ok(!JSON.stringify(after).includes(SECRET) && !lines.join('').includes(SECRET), 'KM-5')
})

/** @param rows  by cmdlet; of others there are none */
const playing = (t: TestContext, rows: Readonly<Record<string, readonly unknown[]>>) =>
  scene(t, ({ body }, response) => {
    const { CmdletInput: call } = JSON.parse(body) as { CmdletInput: { CmdletName: string } }
    json(response, { value: rows[call.CmdletName] ?? [] })
  })

test('of groups only ours are seen, with their notes and their members by Guid', async (t) => {
  const group = (nth: number, name: string) => ({ Guid: guid(nth).toUpperCase(), Name: name, MailTip: '' })
  const { exchange } = await playing(t, {
    'Get-DistributionGroup': [group(1, 'Causeway-00112233-Presented'), group(2, 'Sales')],
    'Get-Group': [{ Guid: guid(1), Notes: writeMark({ ...mark, key: 'group-presented' }) }],
    'Get-DistributionGroupMember': [{ Guid: guid(8) }, { Guid: guid(7) }, { Guid: guid(7), Name: 'Ann' }],
    'Get-ArcConfig': [{ Identity: 'Default', ArcTrustedSealers: ['a.example'] }],
  })
  const [seen, arc, ...others] = await observeTenant(exchange, options)
  assert.deepEqual(others, [])
  assert.deepEqual([seen?.guid, seen?.mark?.key, seen?.members], [guid(1), 'group-presented', [guid(7), guid(8)]])
  assert.deepEqual([arc?.noun, arc?.guid], ['ArcConfig', 'default'])
})

const rule = (more: object) => ({ Guid: guid(3), SetHeaderName: 'X-Causeway-Project', SetHeaderValue: SECRET, ...more })
const directions: [row: object, known: boolean, proof: string, why: string][] = [
  [rule({}), false, 'out', 'nothing says another'],
  [rule({ RouteMessageOutboundConnector: 'Causeway-00112233-Elsewhere' }), false, 'in', 'its connector'],
  [rule({ Comments: writeMark({ ...mark, key: 'rule-40' }) }), false, 'in', 'its mark'],
  [rule({}), true, 'in', 'the token is known'],
]
for (const [row, known, proof, why] of directions)
  test(`KM-5: the token of a rule stands as the digest of the direction ${proof}: ${why}`, async (t) => {
    const { exchange } = await playing(t, { 'Get-TransportRule': [row] })
    const more = known ? { proofs: [{ proof: 'in', sha256 } as const] } : {}
    const [seen] = await observeTenant(exchange, { ...options, ...more })
    assert.deepEqual(seen?.properties['SetHeaderValue'], { proof, sha256 })
  })

const hostile: [cmdlet: string, rows: unknown[], serviceCode: string, why: string][] = [
  ['Get-TransportRule', [{ Name: 'x' }], 'no-guid', 'an object that nothing tells apart'],
  ['Get-RemoteDomain', [{ Guid: { a: 1 } }], 'no-guid', 'a Guid that is none'],
  [
    'Get-InboundConnector',
    Array.from({ length: 5_001 }, (_, nth) => ({ Guid: guid(nth) })),
    'too-many-objects',
    'more than any tenant has',
  ],
]
for (const [operation, rows, serviceCode, why] of hostile)
  test(`an observation ends at ${why}`, async (t) => {
    const { exchange } = await playing(t, { [operation]: rows })
    await assert.rejects(observeTenant(exchange, options), { code: 'UNEXPECTED', operation, serviceCode })
  })

test('a prefix that would change the filter is refused before anything is asked', async (t) => {
  const { exchange, asked } = await playing(t, {})
  await assert.rejects(observeTenant(exchange, { tenant, groupPrefix: "x' -or Name -like '" }), RangeError)
  assert.equal(asked.length, 0)
})

const seen = (nth: number, more: Partial<ObservedObject> = {}): ObservedObject => ({
  tenant,
  noun: 'TransportRule',
  guid: guid(nth),
  name: `rule ${nth}`,
  properties: { FromMemberOf: ['a'] },
  isEnabled: true,
  priority: nth,
  ...more,
})
const names = (before: ObservedObject, after: ObservedObject) =>
  equalTenants([before], [after]).changed.flatMap(({ properties }) => properties.map(({ name }) => name))

test('what others changed is named property by property', () => {
  const changed = { name: 'x', isEnabled: false, properties: { FromMemberOf: ['b'], RemoveHeader: 'x' }, priority: 9 }
  assert.deepEqual(names(seen(1), seen(1, changed)), ['FromMemberOf', 'Name', 'RemoveHeader', 'State'])
  assert.deepEqual(names(seen(1, { members: [guid(7)] }), seen(1, { members: [guid(8)] })), ['Members'])
  const [change] = equalTenants([seen(1)], [seen(1, { isEnabled: false })]).changed
  assert.deepEqual(change?.properties, [{ name: 'State', before: 'Enabled', after: 'Disabled' }])
})

test('the order of rules is compared among those in both: rules that came or went between move nobody', () => {
  const before = [seen(0), seen(1), seen(2)]
  const shifted = [seen(9, { priority: 0 }), seen(0, { priority: 1 }), seen(2, { priority: 2 })]
  const come = equalTenants(before, shifted)
  assert.deepEqual([come.ruleOrder, come.added.length, come.removed.length, come.isEqual], [undefined, 1, 1, false])
  const swapped = equalTenants(before, [seen(0), seen(1, { priority: 2 }), seen(2, { priority: 1 })])
  assert.deepEqual(swapped.ruleOrder, {
    before: [guid(0), guid(1), guid(2)],
    after: [guid(0), guid(2), guid(1)],
  })
  assert.deepEqual([swapped.isEqual, swapped.changed], [false, []])
})

test('the same Guid under another noun is another object', () => {
  const { added, removed } = equalTenants([seen(1)], [seen(1, { noun: 'RemoteDomain' })])
  assert.deepEqual([added.length, removed.length], [1, 1])
})
