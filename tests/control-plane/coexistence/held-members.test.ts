// Who leaves the mapping table leaves the groups first, and relays know him until then; who comes is known to them before he is in a group. (coexistence.md §1.4)
import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import { sql } from 'kysely'
import { rowOf } from '../../../control-plane/db/database.ts'
import { newId } from '../../../control-plane/ids.ts'
import { switchScene } from './switch-scene.ts'

const scene = await switchScene()
const { it, place, inside } = scene
const WAITS = { kind: 'waiting', reason: 'relay-behind' } as const

await inside((tx) =>
  sql`insert into relay (organisation_id, project_id, id, name, state, signing_key, sealing_key, software_version, enrolled_at, state_changed_at, pinned_key, seen_at)
      values (${place.organisation}, ${place.project}, ${newId('relay')}, 'relay.example', 'active', 'x', 'y', '1.0.0', now(), now(), 'k', now())`.execute(
    tx,
  ),
)

afterEach(() => {
  scene.refuse(undefined)
  for (const gate of Object.keys(scene.said)) delete scene.said[gate as keyof typeof scene.said]
})

const heldRevision = async (): Promise<number | undefined> =>
  (
    await inside((tx) =>
      rowOf<{ held: number | null }>(tx, sql`select held_revision as held from project where id = ${place.project}`),
    )
  )?.held ?? undefined
const newest = async (): Promise<number> =>
  (
    await inside((tx) =>
      rowOf<{ newest: number }>(tx, sql`select mapping_revision as newest from project where id = ${place.project}`),
    )
  )?.newest ?? 0

async function leave(id: string | undefined): Promise<void> {
  const headers = { 'if-match': '*' }
  const gone = await scene.api.request('DELETE', `${it.path}/mappings/${id}?confirm=1`, undefined, { ...it, headers })
  assert.equal(gone.status, 200, JSON.stringify(gone.body))
}

const problems = async () => (await scene.view()).problems.map(({ code }) => code)

/** Cmdlets since, without what each was called with. */
const since = (made: number): string[] => scene.calls.slice(made).map((call) => call.split(' ')[0] ?? '')
const REMOVED = ['Remove-DistributionGroupMember', 'Remove-DistributionGroupMember']
const ADDED = ['Add-DistributionGroupMember', 'Add-DistributionGroupMember']

test('the table is let go once who left is out of his groups, and who came waits until relays have it', async () => {
  await scene.enable()
  const third = await scene.map(2)
  await scene.lookAfter()
  const before = await newest()
  await leave(third)
  assert.equal(await heldRevision(), before)
  await leave(scene.mappings[1])
  scene.mappings[1] = await scene.map(1)
  assert.equal(await heldRevision(), before, 'what came after waits behind it')

  scene.refuse((_tenant, cmdlet) => cmdlet === 'Remove-DistributionGroupMember')
  assert.equal(await scene.lookAfter(), 60_000, 'refused: tried again later')
  assert.equal(await heldRevision(), before, 'he is in a group still')
  assert.deepEqual(await problems(), ['RBAC_MISSING'])

  scene.refuse(undefined)
  const made = scene.calls.length
  scene.said['table-after'] = WAITS
  await scene.attempt(place.project)
  assert.deepEqual([since(made), await heldRevision()], [REMOVED, undefined])
  delete scene.said['table-after']
  await scene.lookAfter()
  assert.deepEqual([since(made), await problems(), (await scene.view()).state], [REMOVED, [], 'on'])

  // Another one leaves while one comes.
  await leave(scene.mappings[1])
  const third2 = await scene.map(2)
  const wanted = await newest()
  scene.said['table-before'] = WAITS
  await scene.attempt(place.project)
  assert.deepEqual([since(made), await heldRevision()], [[...REMOVED, ...REMOVED], undefined])
  const waited = scene.looks.findLast(({ gate }) => gate === 'table-before')
  assert.equal(waited?.about.revision, wanted, 'the one that names him')
  delete scene.said['table-before']
  await scene.lookAfter()
  assert.deepEqual(since(made), [...REMOVED, ...REMOVED, ...ADDED])
  await leave(third2)
  scene.mappings[1] = await scene.map(1)
  await scene.lookAfter()
})

test('who leaves does not wait for what others wait for', async () => {
  await scene.enable()
  scene.said['probes'] = WAITS
  await scene.set({ mode: 'all-outbound' })
  await scene.work(({ waitingFor }) => waitingFor !== undefined)
  const made = scene.calls.length
  await leave(scene.mappings[1])
  assert.notEqual(await heldRevision(), undefined)
  await scene.work(({ waitingFor }) => waitingFor !== undefined)
  assert.deepEqual([since(made), await heldRevision()], [REMOVED, undefined])
  delete scene.said['probes']
  await scene.work()
  scene.mappings[1] = await scene.map(1)
  await scene.enable()
})

test('somebody who leaves while others are taken out holds the table on, and leaves in his turn', async () => {
  await scene.enable()
  const third = await scene.map(2)
  await scene.lookAfter()
  await leave(third)
  let isFirst = true
  let second: Promise<void> = Promise.resolve()
  scene.refuse((_tenant, cmdlet) => {
    if (cmdlet === 'Remove-DistributionGroupMember' && isFirst) {
      isFirst = false
      second = leave(scene.mappings[1])
    }
    return false
  })
  const made = scene.calls.length
  await scene.lookAfter()
  await second
  await scene.lookAfter()
  assert.deepEqual([since(made), await heldRevision()], [[...REMOVED, ...REMOVED], undefined])
  scene.mappings[1] = await scene.map(1)
  await scene.lookAfter()
})

test('when all have left, rules are disabled first, and relays need not wait for the rest to go', async () => {
  await scene.enable({ connectorHoldMs: 60_000 })
  const made = scene.calls.length
  for (const id of scene.mappings) await leave(id)
  assert.notEqual(await heldRevision(), undefined)
  scene.said['hold'] = WAITS
  await scene.attempt(place.project)
  assert.deepEqual([new Set(since(made)), await heldRevision()], [new Set(['Disable-TransportRule']), undefined])
  delete scene.said['hold']
  for (let nth = 0; nth < scene.mappings.length; nth++) scene.mappings[nth] = await scene.map(nth)
  await scene.enable()
})

test('off, and the stop of an emergency, let the table go at once', async () => {
  for (const end of [() => scene.set({ state: 'off' }), () => scene.stop()]) {
    await scene.enable()
    await leave(scene.mappings[1])
    assert.notEqual(await heldRevision(), undefined)
    await end()
    assert.equal(await heldRevision(), undefined)
    scene.mappings[1] = await scene.map(1)
    await leave(scene.mappings[1])
    assert.equal(await heldRevision(), undefined, 'nor is it held any more')
    scene.mappings[1] = await scene.map(1)
    await scene.work()
    assert.equal((await scene.view()).state, 'off')
  }
  await scene.isAsBefore()
})
