// In which order people leave the groups and come: who leaves before relays forget him, who comes once they know him. Pure. (coexistence.md §1.4)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { desiredObjects } from '../../../control-plane/coexistence/desired.ts'
import type { CoexistenceSetting } from '../../../control-plane/coexistence/coexistence.ts'
import type { MappedPerson } from '../../../control-plane/coexistence/desired.ts'
import { planChanges } from '../../../control-plane/coexistence/plan.ts'
import { isLeaving } from '../../../control-plane/coexistence/planning.ts'
import type { Step } from '../../../control-plane/coexistence/step.ts'
import { firstState, inputOf, S, T, TenantModel } from './tenant-model.ts'

const inS = (name: string): MappedPerson => ({
  mailboxIn: S,
  presentedBy: T,
  mailboxGuid: `mailbox-${name}`,
  presentedGuid: `object-${name}`,
})
const inT = (name: string): MappedPerson => ({ ...inS(name), mailboxIn: T, presentedBy: S })

function plan(model: TenantModel, people: readonly MappedPerson[], setting: Partial<CoexistenceSetting> = {}) {
  const desired = desiredObjects({ ...inputOf(model.objects, { hasPartners: false, ...setting }), people })
  const { steps, problems } = planChanges(desired, model.objects, model.ledger, {
    project: 'prj_1',
    route: 'owner-tenant',
    validationRecipients: {},
    now: new Date('2026-11-29T06:00:00Z'),
    isDriftConfirmed: false,
  })
  assert.deepEqual(problems, [])
  return { steps, desired }
}

/** Both tenants as these people want them. */
function settled(people: readonly MappedPerson[]): TenantModel {
  const model = new TenantModel(firstState())
  for (let run = 0; run < 4; run++) for (const step of plan(model, people).steps) model.run(step)
  assert.deepEqual(plan(model, people).steps, [])
  return model
}

function line(step: Step): string {
  if (step.kind === 'gate') return `-- ${step.gate}`
  const { tenant, cmdlet, key, parameters } = step
  const member = typeof parameters['Member'] === 'string' ? ` ${parameters['Member']}` : ''
  return `${tenant === S ? 'S' : 'T'} ${cmdlet} ${key}${member}`
}

test('one leaves and one comes: out of the groups, the table without him, the table with the other, into the groups', () => {
  const { steps } = plan(settled([inS('a'), inS('b')]), [inS('b'), inS('c')])
  assert.deepEqual(steps.map(line), [
    'S Remove-DistributionGroupMember group-presented mailbox-a',
    'T Remove-DistributionGroupMember group-elsewhere object-a',
    '-- table-after',
    '-- relays-ready',
    '-- table-before',
    'S Add-DistributionGroupMember group-presented mailbox-c',
    'T Add-DistributionGroupMember group-elsewhere object-c',
  ])
})

test('one who leaves waits for no gate before he has left, one who comes for no table without anybody', () => {
  const model = settled([inS('a'), inS('b')])
  const leaves = plan(model, [inS('b')]).steps.map(line)
  assert.deepEqual([leaves.length, leaves[2]], [3, '-- table-after'])
  const comes = plan(model, [inS('a'), inS('b'), inS('c')]).steps.map(line)
  assert.deepEqual(comes.slice(0, 2), ['-- relays-ready', '-- table-before'])
  assert.ok(!comes.includes('-- table-after'))
})

test('somebody else under the same name is one who leaves and one who comes', () => {
  const { steps } = plan(settled([inS('a'), inS('b')]), [{ ...inS('a'), mailboxGuid: 'mailbox-new' }, inS('b')])
  assert.deepEqual(steps.map(line), [
    'S Remove-DistributionGroupMember group-presented mailbox-a',
    '-- table-after',
    '-- relays-ready',
    '-- table-before',
    'S Add-DistributionGroupMember group-presented mailbox-new',
  ])
})

test('where all have left, the rules of their groups are disabled before anybody comes elsewhere; the rest goes last', () => {
  const { steps, desired } = plan(settled([inS('a')]), [inT('b')])
  const lines = steps.map(line)
  const leaving = steps.filter((step) => isLeaving(step, desired)).map(line)
  assert.deepEqual(leaving, lines.slice(0, leaving.length))
  assert.deepEqual(leaving.toSorted(), [
    'S Disable-TransportRule rule-20',
    'S Disable-TransportRule rule-21',
    'T Disable-TransportRule rule-40',
  ])
  assert.ok(lines.indexOf('-- table-before') > leaving.length)
  assert.ok(lines.indexOf('-- hold') > lines.indexOf('-- propagated'), lines.join('\n'))
})

test('where one way ends and the other goes on, the hold is for the mail of each connector that goes', () => {
  const { steps } = plan(settled([inS('a'), inT('b')]), [inS('a')])
  assert.deepEqual(
    steps.filter((step) => step.kind === 'gate' && step.gate === 'hold'),
    [
      { kind: 'gate', gate: 'hold', tenant: S, key: 'elsewhere' },
      { kind: 'gate', gate: 'hold', tenant: T, key: 'out' },
    ],
  )
})

test('rules that others take the place of are no leaving: they go once those act', () => {
  const { steps, desired } = plan(settled([inS('a')]), [inS('a')], { mode: 'all-outbound' })
  const lines = steps.map(line)
  assert.ok(!steps.some((step) => isLeaving(step, desired)))
  assert.ok(lines.indexOf('S Disable-TransportRule rule-20') > lines.indexOf('S Enable-TransportRule rule-30'))
})
