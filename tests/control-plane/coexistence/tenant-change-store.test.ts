// The ledger of changes in tenants, in a real database. (coexistence.md §2.2, EC-5)
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { sql } from 'kysely'
import {
  appendIntent,
  keepState,
  lastWritten,
  listChanges,
  newestState,
  openIntents,
  settleChange,
} from '../../../control-plane/coexistence/tenant-change-store.ts'
import type { ChangeIntent } from '../../../control-plane/coexistence/tenant-change-store.ts'
import type { ObservedObject } from '../../../control-plane/coexistence/tenant-object.ts'
import { withScope } from '../../../control-plane/db/database.ts'
import type { Tx } from '../../../control-plane/db/database.ts'
import { newId } from '../../../control-plane/ids.ts'
import type { OperationId, OrganisationId } from '../../../control-plane/ids.ts'
import type { ProjectPlace } from '../../../control-plane/tenants/tenant-store.ts'
import { testDatabase } from '../../harness/postgres.ts'

const { db } = await testDatabase({ after })
const AT = new Date('2026-08-01T10:00:00Z')
const LATER = new Date('2026-08-01T10:00:05Z')
const tenant = newId('tenant')

async function freshProject(): Promise<ProjectPlace> {
  const [organisation, project] = [newId('organisation'), newId('project')]
  await withScope(db, { organisation }, async (tx) => {
    await sql`insert into organisation (organisation_id, name) values (${organisation}, 'Test')`.execute(tx)
    await sql`insert into project (organisation_id, id, name, created_by) values (${organisation}, ${project}, 'Test', 'test')`.execute(
      tx,
    )
    await sql`insert into tenant_connection (organisation_id, project_id, id, side, label, cloud, entra_tenant_id, app_model, created_by)
              values (${organisation}, ${project}, ${tenant}, 'source', 'contoso', 'global', 'guid', 'multi-tenant', 'test')`.execute(
      tx,
    )
  })
  return { organisation, project }
}

const inside = <T>({ organisation }: { organisation: OrganisationId }, work: (tx: Tx) => Promise<T>) =>
  withScope(db, { organisation }, work)

const intent = (more: Partial<ChangeIntent> = {}): ChangeIntent => ({
  tenant,
  noun: 'TransportRule',
  key: 'rule-20',
  cmdlet: 'New-TransportRule',
  parameters: { SetHeaderName: 'X-Causeway-Project', SetHeaderValue: { proof: 'out', sha256: 'ab' }, Enabled: false },
  operation: 'opr_1' as OperationId,
  author: 'tid/oid',
  ...more,
})
const object: ObservedObject = { tenant, noun: 'TransportRule', guid: 'g', name: 'x', properties: { Mode: 'Enforce' } }

test('EC-5: a change is in the ledger before it is made, open until it is settled, and then says what came of it', async () => {
  const place = await freshProject()
  const sequence = await inside(place, (tx) => appendIntent(tx, place, intent(), AT))
  const [open] = await inside(place, (tx) => openIntents(tx, place))
  const expected = { ...intent(), sequence: 1, state: 'intent', createdAt: AT, guid: undefined, before: undefined }
  assert.deepEqual(open, { ...expected, after: undefined, problem: undefined, settledAt: undefined })

  const settlement = { state: 'done', guid: 'g', after: object } as const
  assert.equal(await inside(place, (tx) => settleChange(tx, place, sequence, settlement, LATER)), true)
  assert.equal(await inside(place, (tx) => settleChange(tx, place, sequence, settlement, LATER)), false, 'once')
  assert.deepEqual(await inside(place, (tx) => openIntents(tx, place)), [])
  const [done] = await inside(place, (tx) => listChanges(tx, place, { after: undefined, limit: 10 }))
  const settled = { state: 'done', guid: 'g', after: object, settledAt: LATER }
  assert.deepEqual(done, { ...expected, problem: undefined, ...settled })
})

test('what was done can be undone; what failed stays failed, with its problem', async () => {
  const place = await freshProject()
  const states = await inside(place, async (tx) => {
    for (let nth = 1; nth <= 3; nth++) await appendIntent(tx, place, intent(), AT)
    const to = (sequence: number, state: 'done' | 'undone') => settleChange(tx, place, sequence, { state }, LATER)
    const failed = { state: 'failed', problem: 'RBAC_MISSING' } as const
    assert.deepEqual([await to(1, 'done'), await to(1, 'undone'), await to(1, 'undone')], [true, true, false])
    assert.deepEqual([await settleChange(tx, place, 2, failed, LATER), await to(2, 'undone')], [true, false])
    assert.equal(await to(3, 'undone'), true, 'an intent that turned out not to have happened')
    return (await listChanges(tx, place, { after: undefined, limit: 10 })).map(({ state, problem }) => [state, problem])
  })
  assert.deepEqual(states, [
    ['undone', undefined],
    ['failed', 'RBAC_MISSING'],
    ['undone', undefined],
  ])
})

test('changes written at the same time are numbered without a gap, and listed newest first from where a page ended', async () => {
  const place = await freshProject()
  const append = () => inside(place, (tx) => appendIntent(tx, place, intent(), AT))
  assert.deepEqual((await Promise.all([append(), append(), append(), append()])).toSorted(), [1, 2, 3, 4])
  const page = async (from: readonly number[] | undefined) =>
    (await inside(place, (tx) => listChanges(tx, place, { after: from, limit: 2 }))).map(({ sequence }) => sequence)
  assert.deepEqual([await page(undefined), await page([3]), await page([1])], [[4, 3, 2], [2, 1], []])
})

test('of each object the last change that stands is known, whatever was tried or undone after it', async () => {
  const place = await freshProject()
  const last = await inside(place, async (tx) => {
    const write = async (more: Partial<ChangeIntent>, ...states: ('done' | 'undone')[]) => {
      const sequence = await appendIntent(tx, place, intent(more), AT)
      for (const state of states) await settleChange(tx, place, sequence, { state }, LATER)
    }
    await write({}, 'done')
    await write({ cmdlet: 'Set-TransportRule' }, 'done')
    await write({ cmdlet: 'Enable-TransportRule' }, 'done', 'undone')
    await write({ cmdlet: 'Remove-TransportRule' })
    await write({ noun: 'InboundConnector', key: 'in', cmdlet: 'New-InboundConnector' }, 'done')
    return lastWritten(tx, place)
  })
  assert.deepEqual(
    last.map(({ key, cmdlet }) => `${key} ${cmdlet}`),
    ['in New-InboundConnector', 'rule-20 Set-TransportRule'],
  )
})

const leaks: [more: Partial<ChangeIntent>, why: string][] = [
  [{ parameters: { SetHeaderName: 'x-causeway-project', SetHeaderValue: 'secret' } }, 'beside its header'],
  [{ parameters: { SetHeaderValue: 'secret' } }, 'alone, as when it is rotated'],
  [{ before: { ...object, properties: { SetHeaderValue: 'secret' } } }, 'in the image before'],
]
for (const [more, why] of leaks)
  test(`KM-5: a proof token is not written as it is: ${why}`, async () => {
    const place = await freshProject()
    await assert.rejects(
      inside(place, (tx) => appendIntent(tx, place, intent(more), AT)),
      TypeError,
    )
    assert.deepEqual(await inside(place, (tx) => openIntents(tx, place)), [])
  })

test('the header of somebody else’s rule is kept as it is', async () => {
  const place = await freshProject()
  const parameters = { SetHeaderName: 'X-Theirs', SetHeaderValue: 'plain' }
  await inside(place, (tx) => appendIntent(tx, place, intent({ parameters }), AT))
  const [open] = await inside(place, (tx) => openIntents(tx, place))
  assert.deepEqual(open?.parameters, parameters)
})

test('of an operation that is done again the first state before stays, and the last after', async () => {
  const place = await freshProject()
  const [first, second] = [[object], [object, { ...object, guid: 'h' }]]
  for (const [objects, observedAt] of [
    [first, AT],
    [second, LATER],
  ] as const)
    for (const moment of ['before', 'after'] as const) {
      const state = { tenant, operation: 'opr_1' as OperationId, moment, objects, observedAt }
      await inside(place, (tx) => keepState(tx, place, state))
    }
  const [before, afterwards] = await inside(place, async (tx) => [
    await newestState(tx, place, tenant, 'before'),
    await newestState(tx, place, tenant, 'after'),
  ])
  assert.deepEqual([before?.objects, before?.observedAt], [first, AT])
  assert.deepEqual([afterwards?.objects, afterwards?.observedAt], [second, LATER])
})

test('TI-1: another organisation sees none of it and settles none of it', async () => {
  const [place, stranger] = [await freshProject(), await freshProject()]
  const state = { tenant, operation: 'opr_1' as OperationId, moment: 'before', objects: [], observedAt: AT } as const
  await inside(place, async (tx) => {
    await appendIntent(tx, place, intent(), AT)
    await keepState(tx, place, state)
  })
  await inside(stranger, async (tx) => {
    assert.deepEqual(await listChanges(tx, place, { after: undefined, limit: 10 }), [])
    assert.deepEqual(await openIntents(tx, place), [])
    assert.equal(await newestState(tx, place, tenant, 'before'), undefined)
    assert.equal(await settleChange(tx, place, 1, { state: 'done' }, LATER), false)
  })
  assert.equal((await inside(place, (tx) => openIntents(tx, place))).length, 1)
})
