// What the tour finds of two states of a tenant: every difference by name, and none where there is none.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { stateDifferences } from '../../../cli/tour/state-differences.ts'
import { contoso } from '../../../sandbox/tenants/contoso.ts'

const state = () => structuredClone(contoso(1)) as unknown as Record<string, unknown>
type Listed = { properties: Record<string, unknown>; noun?: string }[]
const listOf = (tenant: Record<string, unknown>, name: string) => tenant[name] as Listed

test('the same state has no difference, also when something was written there and back', () => {
  const after = state()
  for (const { properties } of listOf(after, 'exchangeObjects')) properties['WhenChanged'] = '2026-11-29T12:00:00Z'
  assert.deepEqual(stateDifferences(state(), after), [])
})

const CHANGES: readonly [what: string, change: (tenant: Record<string, unknown>) => void, told: RegExp][] = [
  [
    'an object more',
    (tenant) => listOf(tenant, 'exchangeObjects').push({ noun: 'TransportRule', properties: { Name: 'Ours' } }),
    /^TransportRule Ours is new$/,
  ],
  ['an object less', (tenant) => listOf(tenant, 'exchangeObjects').shift(), /^OrganizationConfig .* is gone$/],
  [
    'another value',
    (tenant) => Object.assign(listOf(tenant, 'exchangeObjects')[0]?.properties ?? {}, { RejectDirectSend: false }),
    /RejectDirectSend differ$/,
  ],
  [
    'another priority',
    (tenant) =>
      Object.assign(
        listOf(tenant, 'exchangeObjects').find(({ properties }) => properties['Name'] === 'Disclaimer')?.properties ??
          {},
        { Priority: 3 },
      ),
    /^TransportRule Disclaimer: Priority differ$/,
  ],
  [
    'a domain more',
    (tenant) => (tenant['domains'] as unknown[]).push({ id: 'new.example' }),
    /^domains new\.example is new$/,
  ],
  ['another name', (tenant) => Object.assign(tenant, { displayName: 'Contoso Ltd' }), /^displayName differs$/],
]

for (const [what, change, told] of CHANGES)
  test(`one difference is told: ${what}`, () => {
    const after = state()
    change(after)
    const found = stateDifferences(state(), after)
    assert.equal(found.length, 1, found.join('\n'))
    assert.match(found[0] ?? '', told)
  })
