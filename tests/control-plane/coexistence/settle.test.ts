// What became of a call whose answer was lost, and whose work a difference is, told from what a tenant has. (coexistence.md §2.2)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { proveEquality } from '../../../control-plane/coexistence/equality-proof.ts'
import { judgeIntent } from '../../../control-plane/coexistence/settle.ts'
import type { TenantChange } from '../../../control-plane/coexistence/tenant-change-store.ts'
import type { ObservedObject, Value } from '../../../control-plane/coexistence/tenant-object.ts'
import type { OperationId } from '../../../control-plane/ids.ts'
import { S } from './tenant-model.ts'

const change = (more: Partial<TenantChange>): TenantChange => ({
  tenant: S,
  noun: 'TransportRule',
  key: 'rule-20',
  cmdlet: 'Set-TransportRule',
  parameters: {},
  guid: 'g',
  operation: 'opr_1' as OperationId,
  author: 'a',
  sequence: 1,
  state: 'intent',
  before: undefined,
  after: undefined,
  problem: undefined,
  createdAt: new Date(0),
  settledAt: undefined,
  ...more,
})
const object = (more: Partial<ObservedObject>): ObservedObject => ({
  tenant: S,
  noun: 'TransportRule',
  guid: 'g',
  name: 'X',
  properties: {},
  ...more,
})
const mark = { project: 'prj_1', key: 'rule-20', specHash: 'abcdef01' }

const CASES: [string, Partial<TenantChange>, ObservedObject[], 'done' | 'not-done'][] = [
  [
    'made: it bears our mark',
    { cmdlet: 'New-TransportRule', guid: undefined, parameters: { Name: 'X' } },
    [object({ mark })],
    'done',
  ],
  [
    'made: of that name, but of another project',
    { cmdlet: 'New-TransportRule', guid: undefined, parameters: { Name: 'X' } },
    [object({ mark: { ...mark, project: 'prj_2' } })],
    'not-done',
  ],
  [
    'made, of a noun without comments: as it was meant',
    {
      noun: 'RemoteDomain',
      cmdlet: 'New-RemoteDomain',
      guid: undefined,
      parameters: { Name: 'X', DomainName: 'A.example' },
    },
    [object({ noun: 'RemoteDomain', properties: { DomainName: 'a.example' } })],
    'done',
  ],
  [
    'made, of a noun without comments: somebody else has the name',
    {
      noun: 'RemoteDomain',
      cmdlet: 'New-RemoteDomain',
      guid: undefined,
      parameters: { Name: 'X', DomainName: 'a.example' },
    },
    [object({ noun: 'RemoteDomain', properties: { DomainName: 'b.example' } })],
    'not-done',
  ],
  [
    'set: as it was to be',
    { parameters: { Identity: 'g', SentToScope: 'InOrganization' } },
    [object({ properties: { SentToScope: 'InOrganization' } })],
    'done',
  ],
  [
    'set: as before',
    { parameters: { Identity: 'g', SentToScope: 'InOrganization' } },
    [object({ properties: { SentToScope: null } })],
    'not-done',
  ],
  ['moved', { parameters: { Identity: 'g', Priority: 3 } }, [object({ priority: 3 })], 'done'],
  ['enabled', { cmdlet: 'Enable-TransportRule' }, [object({ isEnabled: true })], 'done'],
  ['not enabled', { cmdlet: 'Enable-TransportRule' }, [object({ isEnabled: false })], 'not-done'],
  ['disabled, since it is gone', { cmdlet: 'Disable-TransportRule' }, [], 'done'],
  ['removed', { cmdlet: 'Remove-TransportRule' }, [], 'done'],
  ['not removed', { cmdlet: 'Remove-TransportRule' }, [object({})], 'not-done'],
  [
    'a member came',
    { noun: 'DistributionGroup', cmdlet: 'Add-DistributionGroupMember', parameters: { Member: 'M1' } },
    [object({ noun: 'DistributionGroup', members: ['m1'] })],
    'done',
  ],
  [
    'a member did not go',
    { noun: 'DistributionGroup', cmdlet: 'Remove-DistributionGroupMember', parameters: { Member: 'm1' } },
    [object({ noun: 'DistributionGroup', members: ['m1'] })],
    'not-done',
  ],
  [
    'mail that was asked for leaves no trace',
    { noun: 'OutboundConnector', cmdlet: 'Validate-OutboundConnector' },
    [object({ noun: 'OutboundConnector' })],
    'not-done',
  ],
]
for (const [why, asked, seen, expected] of CASES) {
  test(`a lost answer: ${why}`, () => assert.equal(judgeIntent(change(asked), seen, 'prj_1').kind, expected))
}

test('RC-9: the proof tells what is left of ours from what others changed', () => {
  const lists = { From: ['a'], SentTo: ['b'], CopyTo: ['c'] }
  const before = [
    object({ properties: { Mode: 'Enforce', SentToScope: 'InOrganization', Quarantine: false, ...lists } }),
  ]
  const after = [
    object({
      properties: {
        Mode: 'Audit',
        SentToScope: null,
        Quarantine: true,
        From: ['a', 'ours'],
        SentTo: ['b', 'theirs'],
        CopyTo: [],
      },
    }),
    object({ guid: 'ours', name: 'Ours', mark }),
    object({ guid: 'theirs', name: 'Theirs' }),
    object({ guid: 'kept', name: 'Kept', mark }),
  ]
  const values: Record<string, [before: Value, value: Value][]> = {
    Mode: [['Enforce', 'Audit']],
    // Ours was another: somebody has set it since.
    Quarantine: [[null, false]],
    From: [[['a'], ['a', 'ours']]],
    SentTo: [
      [['b'], ['b', 'ours']],
      [
        ['b', 'ours', 'theirs'],
        ['b', 'theirs'],
      ],
    ],
    CopyTo: [[['c'], ['c', 'ours']]],
  }
  const written = Object.entries(values).map(
    ([name, all]) => [name, all.map(([was, value]) => ({ before: was, value }))] as const,
  )
  const proof = proveEquality([{ tenant: S, before, after }], new Map([[`${S} TransportRule g`, new Map(written)]]), {
    project: 'prj_1',
    kept: new Set([`${S} TransportRule kept`]),
    at: new Date(0),
  })
  const told = (differences: typeof proof.ours) =>
    differences.map(({ kind, name, properties }) => [kind, name, properties?.map((each) => each.name)])
  assert.deepEqual(told(proof.ours), [
    ['added', 'Ours', undefined],
    ['changed', 'X', ['CopyTo', 'From', 'Mode']],
  ])
  assert.deepEqual(told(proof.byOthers), [
    ['added', 'Theirs', undefined],
    ['changed', 'X', ['Quarantine', 'SentTo', 'SentToScope']],
  ])
  assert.deepEqual([proof.isRestored, proof.isEqual], [false, false])
})
