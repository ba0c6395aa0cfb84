// Coexistence and free/busy are two switches: what is asked of one ends nothing of the other, and what fails in one keeps the other from nothing. With them what
// a run remembers of the relays it waits for. (coexistence.md §1.1, §2.1 rows 8 and 12)
import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import { sql } from 'kysely'
import { rowOf } from '../../../control-plane/db/database.ts'
import type { OperationId } from '../../../control-plane/ids.ts'
import { switchScene } from './switch-scene.ts'

const scene = await switchScene()
const { it, inside, sandbox } = scene
const HOUR_MS = 3_600_000

afterEach(async () => {
  scene.refuse(undefined)
  for (const gate of Object.keys(scene.said)) delete scene.said[gate as keyof typeof scene.said]
  await scene.setBusy({ state: 'off' })
  await scene.work()
  await scene.disable()
  await scene.isAsBefore()
})

const problems = async () => (await scene.view()).problems.map(({ code }) => code)
const ended = async (operation: OperationId | undefined) => {
  const row = await inside((tx) =>
    rowOf<{ state: string; type: string | null }>(
      tx,
      sql`select state, problem->>'type' as type from operation where id = ${operation}`,
    ),
  )
  return [row?.state, row?.type ?? undefined]
}
const levelsOf = async () =>
  (await scene.ours())
    .filter(({ noun }) => noun === 'OrganizationRelationship')
    .map(({ properties }) => properties['FreeBusyAccessLevel'])

/** In turns, as jobs of their own would. */
async function workBoth(...operations: readonly (OperationId | undefined)[]): Promise<void> {
  const open = new Set(operations)
  for (let rounds = 0; rounds < 200 && open.size > 0; rounds++) {
    for (const operation of open) {
      const waitMs = await scene.attempt(operation ?? '')
      if (waitMs === undefined) open.delete(operation)
      else sandbox.control.advanceClock(waitMs)
    }
  }
  assert.equal(open.size, 0, JSON.stringify(await scene.view()))
}

test('a change of free/busy that can not be made leaves what is in force, is told, keeps coexistence from nothing, and is tried again', async () => {
  await scene.setBusy({ accessLevel: 'AvailabilityOnly' })
  await scene.work()
  assert.deepEqual(await levelsOf(), ['AvailabilityOnly', 'AvailabilityOnly'])
  await scene.setBusy({ accessScope: 'Nobody has this group' })
  await scene.work(({ problems: all }) => all.length > 0)
  const { freeBusyState, freeBusy } = await scene.view()
  assert.deepEqual([freeBusyState, freeBusy.state, await problems()], ['turning_on', 'on', ['NOT_FOUND', 'NOT_FOUND']])
  assert.deepEqual(await levelsOf(), ['AvailabilityOnly', 'AvailabilityOnly'])

  await scene.set({})
  await scene.work()
  const seen = await scene.view()
  assert.deepEqual([seen.state, seen.freeBusyState, await problems()], ['on', 'turning_on', ['NOT_FOUND', 'NOT_FOUND']])

  await scene.writer(it.source.entraTenantId)('New-DistributionGroup', {
    Name: 'Nobody has this group',
    Type: 'Security',
  })
  await scene.writer(it.target.entraTenantId)('New-DistributionGroup', {
    Name: 'Nobody has this group',
    Type: 'Security',
  })
  await scene.lookAfter()
  assert.deepEqual([(await scene.view()).freeBusyState, await problems()], ['on', []])
  assert.deepEqual(await levelsOf(), ['LimitedDetails', 'LimitedDetails'])
  for (const tenant of [it.source, it.target])
    await scene.writer(tenant.entraTenantId)('Remove-DistributionGroup', {
      Identity: 'Nobody has this group',
      BypassSecurityGroupManagerCheck: true,
      Confirm: false,
    })
})

test('an enable goes on, and ends as it would, when free/busy is asked for meanwhile', async () => {
  scene.said['probes'] = { kind: 'waiting', reason: 'probes-not-back' }
  const enable = await scene.set({})
  await scene.work(({ waitingFor }) => waitingFor === 'probes-not-back')
  const busy = await scene.setBusy({})
  assert.notEqual(busy.operation, enable.operation)
  assert.deepEqual(await ended(enable.operation), ['running', undefined])
  assert.equal(await scene.attempt(enable.operation ?? ''), 5_000, 'it waits for its turn')
  delete scene.said['probes']
  await workBoth(enable.operation, busy.operation)
  assert.deepEqual([(await scene.view()).state, (await scene.view()).freeBusyState], ['on', 'on'])
  assert.deepEqual(await ended(enable.operation), ['succeeded', undefined])
  assert.deepEqual(await ended(busy.operation), ['succeeded', undefined])
})

test('an enable that is being undone ends as refused, though free/busy is asked for meanwhile', async () => {
  scene.said['validated'] = { kind: 'closed', problem: 'validation-not-seen' }
  scene.refuse((_tenant, cmdlet) => cmdlet === 'Remove-OutboundConnector')
  const enable = await scene.set({})
  await scene.work(({ state }) => state === 'turning_off')
  const busy = await scene.setBusy({})
  scene.refuse(undefined)
  await workBoth(enable.operation, busy.operation)
  const { state, freeBusyState } = await scene.view()
  assert.deepEqual([state, freeBusyState, await problems()], ['off', 'on', ['validation-not-seen']])
  assert.deepEqual(await ended(enable.operation), ['failed', '/problems/coexistence-refused'])
  assert.deepEqual(await ended(busy.operation), ['succeeded', undefined])
})

test('an operation goes on with the rest when the one that had its turn has been given up', async () => {
  scene.said['probes'] = { kind: 'waiting', reason: 'probes-not-back' }
  const enable = await scene.set({})
  await scene.work(({ waitingFor }) => waitingFor === 'probes-not-back')
  const busy = await scene.setBusy({})
  await inside((tx) => sql`update operation set state = 'failed' where id = ${busy.operation}`.execute(tx))
  delete scene.said['probes']
  for (let attempts = 0; attempts < 50; attempts++) {
    const waitMs = await scene.attempt(enable.operation ?? '')
    if (waitMs === undefined) break
    sandbox.control.advanceClock(waitMs)
  }
  assert.deepEqual(await ended(enable.operation), ['succeeded', undefined])
  assert.deepEqual([(await scene.view()).state, (await scene.view()).freeBusyState], ['on', 'on'])
})

test('free/busy does not wait for the connectors of an off that are kept for the hold', async () => {
  await scene.enable()
  scene.said['hold'] = { kind: 'waiting', reason: 'mail-may-still-come' }
  const off = await scene.set({ state: 'off' })
  await scene.work(({ waitingFor }) => waitingFor === 'mail-may-still-come')
  const busy = await scene.setBusy({})
  for (let attempts = 0; attempts < 20; attempts++) {
    const waitMs = await scene.attempt(busy.operation ?? '')
    if (waitMs === undefined) break
    sandbox.control.advanceClock(Math.max(waitMs, 60_000))
  }
  assert.deepEqual(await ended(busy.operation), ['succeeded', undefined])
  assert.deepEqual([(await scene.view()).state, (await scene.view()).freeBusyState], ['turning_off', 'on'])
  assert.deepEqual(await ended(off.operation), ['running', undefined])
  delete scene.said['hold']
  await workBoth(off.operation)
  assert.deepEqual(await ended(off.operation), ['succeeded', undefined])
})

test('what others did to ours is drift also while a connector is kept for the hold', async () => {
  await scene.enable()
  scene.said['hold'] = { kind: 'waiting', reason: 'mail-may-still-come' }
  const headers = { 'if-match': '*' }
  for (const id of scene.mappings) {
    const gone = await scene.api.request('DELETE', `${it.path}/mappings/${id}?confirm=1`, undefined, { ...it, headers })
    assert.equal(gone.status, 200, JSON.stringify(gone.body))
  }
  await scene.lookAfter(({ waitingFor }) => waitingFor === 'mail-may-still-come')
  assert.deepEqual([(await scene.view()).state, (await scene.view()).waitingFor], ['on', 'mail-may-still-come'])
  sandbox.control.advanceClock(HOUR_MS)
  const connector = (await scene.ours()).find(({ noun }) => noun === 'InboundConnector')
  assert.ok(connector)
  const { entraTenantId } = connector.tenant === it.source.id ? it.source : it.target
  await scene.writer(entraTenantId)('Set-InboundConnector', { Identity: connector.guid, RequireTls: false })
  await scene.lookAfter(({ state }) => state === 'drift')
  const { drift } = await scene.view()
  assert.deepEqual(
    drift.map(({ properties }) => properties),
    [['RequireTls']],
  )
  await scene.writer(entraTenantId)('Set-InboundConnector', { Identity: connector.guid, RequireTls: true })
  sandbox.control.advanceClock(HOUR_MS)
  await scene.lookAfter(({ state }) => state === 'on')
  assert.deepEqual([(await scene.view()).state, await problems()], ['on', []])
  for (const nth of scene.mappings.keys()) await scene.map(nth)
})

test('row 12: while no relay lives the two hours of the probes do not run', async () => {
  scene.said['probes'] = { kind: 'waiting', reason: 'probes-not-back' }
  const { operation } = await scene.set({})
  await scene.work(({ waitingFor }) => waitingFor === 'probes-not-back')
  const since = () => scene.looks.at(-1)?.about.since.getTime() ?? 0
  const first = since()
  sandbox.control.advanceClock(60_000)
  await scene.attempt(operation ?? '')
  assert.equal(since(), first, 'one that lives and is slow is given its time once')
  scene.said['probes'] = { kind: 'waiting', reason: 'no-live-relay' }
  for (let nth = 0; nth < 4; nth++) {
    sandbox.control.advanceClock(HOUR_MS)
    await scene.attempt(operation ?? '')
    // Between two reads of the tenants as well.
    sandbox.control.advanceClock(60_000)
    await scene.attempt(operation ?? '')
  }
  const missed = sandbox.clock.nowMs()
  scene.said['probes'] = { kind: 'waiting', reason: 'probes-not-back' }
  await scene.attempt(operation ?? '')
  assert.ok(missed - since() < 1_000, `${missed - since()} ms`)
  delete scene.said['probes']
})
