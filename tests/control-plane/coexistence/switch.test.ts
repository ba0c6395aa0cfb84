// The switch of coexistence, worked by the product's own job in two simulated tenants: on, off with proof, members, drift, gates, stop.
import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import { sql } from 'kysely'
import { listChanges } from '../../../control-plane/coexistence/tenant-change-store.ts'
import { planNow } from '../../../control-plane/coexistence/plan-now.ts'
import { coexistenceReconciler } from '../../../control-plane/coexistence/reconcile-job.ts'
import { emergencyStop, readSwitch, setCoexistence } from '../../../control-plane/coexistence/switch.ts'
import { listTransitions } from '../../../control-plane/coexistence/switch-store.ts'
import { rowOf, rowsOf, withScope } from '../../../control-plane/db/database.ts'
import { readProofTokens, rotateMarker, rotateProofToken } from '../../../control-plane/relays/relay-secret-store.ts'
import { switchScene } from './switch-scene.ts'

const scene = await switchScene()
const { it, place, inside, sandbox } = scene
const SOURCE = it.source.entraTenantId
const TARGET = it.target.entraTenantId
const HOUR_MS = 3_600_000

afterEach(() => {
  for (const gate of Object.keys(scene.said)) delete scene.said[gate as keyof typeof scene.said]
})

/** Most tests begin with whatever the one before left on; these begin with nothing. */
async function off(): Promise<void> {
  if ((await scene.view()).state !== 'off') {
    await scene.set({ state: 'off' }, { confirmsDrift: true })
    await scene.work()
  }
  await scene.isAsBefore()
}

const problemsOf = async () => (await scene.view()).problems.map(({ code }) => code)
const ourRule = async (name: string) => {
  const rule = (await scene.ours()).find((each) => each.name.endsWith(name))
  assert.ok(rule, name)
  return rule
}

test('RC-9: on puts the objects of both roles into the tenants, and off gives both back as they were, with proof', async () => {
  const begun = sandbox.control.writes(SOURCE).length
  await scene.enable({
    hasPartners: true,
    arcSealingDomain: 'relay.example',
    turnsTnefOff: true,
    enhancedFiltering: 'everyone',
  })
  const names = (tenant: string, objects: Awaited<ReturnType<typeof scene.ours>>) =>
    objects
      .filter((each) => each.tenant === tenant)
      .map(({ name }) => name.replace(/^Causeway-[^-]+-/, '').replace(/^RD-.*/, 'RD'))
  const ours = await scene.ours()
  assert.deepEqual(
    [...new Set(names(it.source.id, ours))],
    ['Presented', 'In', 'Out', 'RD', '20-Route-Sender', '21-Route-Mentioned'],
  )
  assert.deepEqual(
    [...new Set(names(it.target.id, ours))],
    ['ElsewhereMailbox', 'In', 'Elsewhere', 'RD', '40-Route-Elsewhere', '90-Clean'],
  )
  assert.ok(ours.filter(({ noun }) => noun === 'TransportRule').every(({ isEnabled }) => isEnabled === true))
  assert.equal(ours.find(({ name }) => name.endsWith('Presented'))?.members?.length, 2)

  const { proof, operation, step, waitingFor } = await scene.disable()
  assert.deepEqual([proof?.isEqual, proof?.isRestored, step, waitingFor], [true, true, undefined, undefined])
  await scene.isAsBefore()
  const ended = await inside((tx) =>
    rowOf<{ state: string }>(tx, sql`select state from operation where id = ${operation}`),
  )
  assert.equal(ended?.state, 'succeeded')

  // EC-5: every write of the simulated Exchange is in the ledger, in this order.
  const changes = await inside((tx) => listChanges(tx, place, { after: undefined, limit: 1_000 }))
  const ledger = changes
    .filter(({ tenant, cmdlet }) => tenant === it.source.id && !cmdlet.startsWith('Validate'))
    .map(({ cmdlet, state }) => `${cmdlet} ${state}`)
    .toReversed()
  const writes = sandbox.control.writes(SOURCE).slice(begun)
  assert.deepEqual(
    ledger,
    writes.map(({ cmdlet }) => `${cmdlet} done`),
  )

  // KM-5: tokens go to the tenants as they are, and everywhere else as their digests.
  const tokens = (await inside((tx) => readProofTokens(tx, it.deps.sealer, place))).map(({ token }) => token)
  assert.equal(tokens.length, 4)
  assert.ok(writes.some(({ parameters }) => tokens.some((token) => token === parameters['SetHeaderValue'])))
  const kept = await inside((tx) =>
    rowsOf<{ text: string }>(
      tx,
      sql`select to_jsonb(c)::text as text from tenant_change c union all select to_jsonb(s)::text from tenant_state s
          union all select to_jsonb(w)::text from coexistence_switch w union all select to_jsonb(e)::text from event e`,
    ),
  )
  for (const token of tokens) assert.ok(!kept.some(({ text }) => text.includes(token)))

  // Every transition is kept with who and why, and no row of them can be changed.
  assert.deepEqual(
    (await inside((tx) => listTransitions(tx, place, 10)))
      .toReversed()
      .map(({ from, to, actor }) => `${from} → ${to} ${actor}`),
    [
      'off → turning_on person:test',
      'turning_on → on system:coexistence',
      'on → turning_off person:test',
      'turning_off → off system:coexistence',
    ],
  )
  await assert.rejects(
    inside((tx) => sql`update coexistence_event set actor = 'x'`.execute(tx)),
    /permission denied/,
  )
})

test('asked for again, it does nothing more; the version that was read has to be the newest', async () => {
  await scene.enable()
  const made = scene.calls.length
  await scene.enable()
  assert.equal(scene.calls.length, made)
  const { version } = await scene.view()
  const change = { author: 'person:other', at: new Date(), ifVersion: version - 1 }
  const stale = inside((tx) => setCoexistence(tx, place, scene.ON, change))
  await assert.rejects(stale, { type: 'stale-etag' })
})

test('a change of what is asked for changes the objects that differ, and keeps rules on', async () => {
  await scene.enable()
  await scene.enable({ mode: 'all-outbound' })
  assert.equal((await ourRule('30-Route-All')).isEnabled, true)
  assert.equal(
    (await scene.ours()).some(({ name }) => name.endsWith('20-Route-Sender')),
    false,
  )
})

test('the dry run says what would be done, and does nothing', async () => {
  await off()
  const made = scene.calls.length
  const { steps, problems, missing } = await planNow(scene.deps, place, { ...scene.ON, state: 'on' })
  assert.deepEqual([problems, missing, scene.calls.length], [[], [], made])
  const cmdlets = steps.flatMap((step) => (step.kind === 'call' ? [step.cmdlet] : []))
  for (const cmdlet of [
    'New-DistributionGroup',
    'New-InboundConnector',
    'Validate-OutboundConnector',
    'Enable-TransportRule',
  ])
    assert.ok(cmdlets.includes(cmdlet), cmdlet)
  const nobody = await planNow(scene.deps, place, { ...scene.ON, state: 'on', relayHosts: { out: '', in: '' } })
  assert.deepEqual(nobody.missing, [{ code: 'no-relay-hosts' }])
})

test('neither tenant nor project goes while it is on, unless that is asked for in so many words', async () => {
  await scene.enable()
  const { key } = it
  for (const path of [it.path, `${it.path}/tenants/${it.source.id}`]) {
    const { status, body } = await scene.api.request('DELETE', path, undefined, { key })
    assert.deepEqual([status, body.type, body.state], [409, '/problems/coexistence-on', 'on'], path)
  }
  const asked = await scene.api.request('DELETE', `${it.path}?despiteCoexistence=true`, undefined, { key })
  assert.equal(asked.status, 202)
  await assert.rejects(scene.set({ mode: 'all-outbound' }), { type: 'deletion-pending' })
  assert.equal((await scene.api.request('DELETE', `${it.path}/deletion`, undefined, { key })).status, 200)
})

// ── Members ──

test('members follow the mapping table, and nothing else is touched', async () => {
  await scene.enable()
  const made = scene.calls.length
  const id = await scene.map(2)
  await scene.lookAfter()
  assert.deepEqual(
    scene.calls.slice(made).map((call) => call.split(' ')[0]),
    ['Add-DistributionGroupMember', 'Add-DistributionGroupMember'],
  )
  const headers = { 'if-match': '*' }
  const gone = await scene.api.request('DELETE', `${it.path}/mappings/${id}`, undefined, { ...it, headers })
  assert.equal(gone.status, 200)
  await scene.lookAfter()
  assert.deepEqual(
    scene.calls.slice(made + 2).map((call) => call.split(' ')[0]),
    ['Remove-DistributionGroupMember', 'Remove-DistributionGroupMember'],
  )
})

test('what is on is looked at when its table has changed, and by the clock', async () => {
  await scene.enable()
  const due = async () => {
    await coexistenceReconciler(HOUR_MS).reconcile(scene.deps.db)
    const asked = await inside((tx) =>
      rowsOf(
        tx,
        sql`delete from outbox where kind = 'coexistence.reconcile' and object_id = ${place.project} returning 1`,
      ),
    )
    return asked.length
  }
  await inside((tx) => sql`update coexistence_switch set observed_at = now()`.execute(tx))
  assert.equal(await due(), 0)
  await inside((tx) =>
    sql`update project set mapping_revision = mapping_revision + 1 where id = ${place.project}`.execute(tx),
  )
  assert.equal(await due(), 1)
  await scene.lookAfter()
  await inside((tx) => sql`update coexistence_switch set observed_at = now() - interval '2 hours'`.execute(tx))
  assert.equal(await due(), 1)
})

test('one who is in the directory no more keeps nobody else out', async () => {
  await off()
  const rename = (from: string, to: string) =>
    inside((tx) =>
      sql`update account set object_id = ${to} where tenant_id = ${it.source.id} and object_id = ${from}`.execute(tx),
    )
  const [row] = await inside((tx) =>
    rowsOf<{ id: string }>(
      tx,
      sql`select object_id as id from account where tenant_id = ${it.source.id} and primary_key = ${scene.mailboxes[0]}`,
    ),
  )
  const gone = '00000000-0000-4000-8000-000000000001'
  await rename(row?.id ?? '', gone)
  await scene.enable()
  assert.deepEqual(await problemsOf(), ['member-not-found'])
  assert.equal((await scene.ours()).find(({ name }) => name.endsWith('Presented'))?.members?.length, 1)
  await rename(gone, row?.id ?? '')
  await scene.lookAfter()
  assert.deepEqual(await problemsOf(), [])
  assert.equal((await scene.ours()).find(({ name }) => name.endsWith('Presented'))?.members?.length, 2)
})

test('a proof token that was rotated goes into the rules by the next look, and is no drift', async () => {
  await scene.enable()
  const before = (await ourRule('20-Route-Sender')).properties['SetHeaderValue']
  await inside((tx) => rotateProofToken(tx, it.deps.sealer, place, it.source.id, 'out', new Date()))
  await scene.lookAfter()
  assert.deepEqual([(await scene.view()).state, await problemsOf()], ['on', []])
  assert.notDeepEqual((await ourRule('20-Route-Sender')).properties['SetHeaderValue'], before)
})

test('while the marker is rotated the rules name both words and stay on, and that is no drift', async () => {
  await scene.enable()
  const wordsOf = async () => (await ourRule('20-Route-Sender')).properties['ExceptIfHeaderContainsWords'] as string[]
  const [before = ''] = await wordsOf()
  await inside((tx) => rotateMarker(tx, it.deps.sealer, place, 'token', new Date()))
  await scene.lookAfter()
  const both = await wordsOf()
  assert.deepEqual([both.length, both.includes(before)], [2, true])
  assert.deepEqual([(await scene.view()).state, await problemsOf()], ['on', []])
  assert.equal((await ourRule('20-Route-Sender')).isEnabled, true)
})

test('a certificate of another name that takes the place of the first is named by the connector from the next look on', async () => {
  await scene.enable()
  const connectorName = async () =>
    (await scene.ours()).find(({ name, noun }) => noun === 'InboundConnector' && name.endsWith('-In'))?.properties[
      'TlsSenderCertificateName'
    ]
  const before = await connectorName()
  const activate = (name: unknown) =>
    inside((tx) => sql`update certificate set names = ${[name]} where tenant_id = ${it.source.id}`.execute(tx))
  const tenant = await inside((tx) =>
    rowOf<{ domains: readonly string[] }>(
      tx,
      sql`select accepted_domains as domains from tenant_connection where id = ${it.source.id}`,
    ),
  )
  const other = tenant?.domains.find((domain) => domain !== before)
  assert.ok(other !== undefined)
  try {
    await activate(other)
    await scene.lookAfter()
    assert.deepEqual([(await scene.view()).state, await problemsOf(), await connectorName()], ['on', [], other])
  } finally {
    await activate(before)
    await scene.lookAfter()
  }
  assert.equal(await connectorName(), before)
})

// ── Drift ──

test("an administrator's edit of ours is drift: it is told, stays until it is confirmed, and is then put right", async () => {
  await scene.enable()
  sandbox.control.advanceClock(HOUR_MS)
  const rule = await ourRule('20-Route-Sender')
  await scene.writer(SOURCE)('Set-TransportRule', { Identity: rule.guid, SentToScope: 'InOrganization' })
  await scene.lookAfter()
  const { state, drift } = await scene.view()
  assert.equal(state, 'drift')
  assert.deepEqual(
    drift.map(({ key, properties }) => [key, properties]),
    [['rule-20', ['SentToScope']]],
  )
  const made = scene.calls.length
  await scene.lookAfter()
  assert.equal(scene.calls.length, made, 'nothing is overwritten')
  await scene.set({}, { confirmsDrift: true })
  await scene.work()
  assert.equal((await scene.view()).state, 'on')
  assert.equal((await ourRule('20-Route-Sender')).properties['SentToScope'], 'NotInOrganization')
})

test('an object of ours that somebody removed or switched off is drift, and what he puts back himself is repaired', async () => {
  await scene.enable()
  sandbox.control.advanceClock(HOUR_MS)
  const rule = await ourRule('40-Route-Elsewhere')
  await scene.writer(TARGET)('Disable-TransportRule', { Identity: rule.guid, Confirm: false })
  await scene.lookAfter()
  assert.equal((await scene.view()).state, 'drift')
  await scene.writer(TARGET)('Enable-TransportRule', { Identity: rule.guid })
  await scene.lookAfter()
  assert.equal((await scene.view()).state, 'on')
  await scene.writer(TARGET)('Remove-TransportRule', { Identity: rule.guid, Confirm: false })
  await scene.lookAfter()
  assert.deepEqual(
    (await scene.view()).drift.map(({ key }) => key),
    ['rule-40'],
  )
})

test('off does not take away what somebody edited until that is confirmed, and the rules are off all the same', async () => {
  await off()
  await scene.enable()
  sandbox.control.advanceClock(HOUR_MS)
  const connector = (await scene.ours()).find(({ name, noun }) => noun === 'OutboundConnector' && name.endsWith('-Out'))
  await scene.writer(SOURCE)('Set-OutboundConnector', { Identity: connector?.guid, SmartHosts: ['elsewhere.example'] })
  await scene.set({ state: 'off' })
  await scene.work(({ problems }) => problems.length > 0)
  assert.deepEqual(
    (await scene.view()).problems.map(({ code, key }) => [code, key]),
    [['drift', 'out']],
  )
  assert.ok((await scene.ours()).every(({ isEnabled }) => isEnabled !== true))
  await off()
})

test('what others changed meanwhile is told apart in the proof, and stays', async () => {
  await scene.enable({ turnsTnefOff: true })
  await scene.writer(SOURCE)('New-TransportRule', {
    Name: 'Later rule',
    SubjectContainsWords: ['x'],
    PrependSubject: 'y',
  })
  const { proof, problems } = await scene.disable()
  assert.deepEqual([proof?.isRestored, proof?.isEqual, problems], [true, false, []])
  assert.deepEqual(
    proof?.byOthers.map(({ kind, name }) => [kind, name]),
    [['added', 'Later rule']],
  )
  await scene.writer(SOURCE)('Remove-TransportRule', { Identity: 'Later rule', Confirm: false })
})

// ── Gates ──

test('a gate is waited for, and looked at without reading the tenants again', async () => {
  await off()
  scene.said['probes'] = { kind: 'waiting', reason: 'probes-not-back' }
  await scene.set({})
  await scene.work(({ waitingFor }) => waitingFor === 'probes-not-back')
  assert.ok(
    (await scene.ours()).every(
      ({ noun, isEnabled, name }) => noun !== 'TransportRule' || isEnabled === name.includes('-10-Probe'),
    ),
  )
  const { operation } = await scene.view()
  const used = sandbox.record.report()
  for (let nth = 0; nth < 3; nth++) assert.ok(((await scene.attempt(operation ?? '')) ?? 0) > 0)
  assert.deepEqual(sandbox.record.report(), used)
  scene.said['probes'] = { kind: 'open' }
  await scene.work()
  assert.equal((await scene.view()).state, 'on')
  assert.equal(
    (await scene.ours()).some(({ name }) => name.includes('-10-Probe')),
    false,
    'probes are gone',
  )
})

test('rules that were enabled are awaited before it says on; the wait is for the routes that there are', async () => {
  await off()
  scene.said['propagated'] = { kind: 'waiting', reason: 'rules-propagate' }
  await scene.set({})
  await scene.work(({ waitingFor }) => waitingFor === 'rules-propagate')
  assert.equal((await scene.view()).state, 'turning_on')
  assert.deepEqual(scene.looks.at(-1)?.about.routes, [
    { tenant: it.source.id, direction: 'out' },
    { tenant: it.target.id, direction: 'in' },
  ])
  delete scene.said['propagated']
  await scene.work()
  assert.equal((await scene.view()).state, 'on')
})

test('a gate that stays shut undoes the enable', async () => {
  await off()
  scene.said['validated'] = { kind: 'closed', problem: 'validation-not-seen' }
  await scene.set({})
  await scene.work()
  assert.deepEqual([(await scene.view()).state, await problemsOf()], ['off', ['validation-not-seen']])
})

test('connectors stay until the hold is over, rules do not; turned on again meanwhile only rules change', async () => {
  await scene.enable()
  scene.said['hold'] = { kind: 'waiting', reason: 'mail-may-still-come' }
  await scene.set({ state: 'off', connectorHoldMs: 48 * HOUR_MS })
  await scene.work(({ waitingFor }) => waitingFor === 'mail-may-still-come')
  const { about } = scene.looks.at(-1) ?? {}
  assert.equal(about?.connectorHoldMs, 48 * HOUR_MS)
  const held = await scene.ours()
  assert.ok(held.some(({ noun }) => noun === 'OutboundConnector'))
  assert.ok(held.every(({ isEnabled, name }) => isEnabled !== true || name.endsWith('90-Clean')))
  const made = scene.calls.length
  await scene.enable()
  const since = new Set(scene.calls.slice(made).map((call) => call.split(' ')[0]))
  assert.deepEqual(
    since,
    new Set(['New-TransportRule', 'Enable-TransportRule', 'Remove-TransportRule']),
    'probes, and the rules on',
  )
})

// ── Stop ──

test('the emergency stop ends an enable, and switches rules off in one tenant while the other does not answer', async () => {
  await off()
  scene.said['propagated'] = { kind: 'waiting', reason: 'rules-propagate' }
  await scene.set({})
  await scene.work(({ waitingFor }) => waitingFor === 'rules-propagate')
  await inside((tx) => sql`update consent set state = 'paused' where tenant_id = ${it.source.id}`.execute(tx))
  const stopped = await scene.stop()
  assert.deepEqual([stopped.state, stopped.setting.state], ['turning_off', 'off'])
  await scene.attempt(stopped.operation ?? '')
  const rules = (await scene.ours()).filter(({ noun }) => noun === 'TransportRule')
  const isOn = (tenant: string) =>
    rules.some((rule) => rule.tenant === tenant && rule.isEnabled === true && !rule.name.endsWith('90-Clean'))
  assert.deepEqual([isOn(it.source.id), isOn(it.target.id)], [true, false])
  await inside((tx) => sql`update consent set state = 'connected' where tenant_id = ${it.source.id}`.execute(tx))
  await scene.work()
  assert.equal((await scene.view()).state, 'off')
})

test('what is off is off: neither asking again nor a stop does anything', async () => {
  await off()
  const calls = scene.calls.length
  await scene.disable()
  assert.equal(scene.calls.length, calls)
  const before = await scene.view()
  const at = new Date()
  const after = await inside((tx) => emergencyStop(tx, place, { author: 'a', at, reason: '' }))
  assert.deepEqual([after.state, after.operation], ['off', before.operation])
})

// ── Free/busy ──

test('free/busy is a switch of its own, kept while coexistence goes off', async () => {
  await off()
  await scene.setBusy({})
  await scene.work()
  assert.deepEqual([(await scene.view()).state, (await scene.view()).freeBusyState], ['off', 'on'])
  await scene.enable()
  const { proof } = await scene.disable()
  assert.equal(proof?.isRestored, true)
  assert.deepEqual([...new Set((await scene.ours()).map(({ noun }) => noun))], ['OrganizationRelationship'])
  await scene.setBusy({ state: 'off' })
  await scene.work()
  await scene.isAsBefore()
})

test('TI-2: another organisation sees no switch of this one', async () => {
  await scene.enable()
  const { id: organisation } = await scene.api.organisation()
  const seen = await withScope(scene.deps.db, { organisation }, (tx) => readSwitch(tx, place))
  assert.deepEqual([seen.version, seen.state], [0, 'off'])
  await off()
})
