// The switch of coexistence, worked by the product's own job in two simulated tenants: on, off with proof, members, drift, gates, stop.
import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import { sql } from 'kysely'
import { judgeValidation } from '../../../control-plane/coexistence/gates.ts'
import { listChanges } from '../../../control-plane/coexistence/tenant-change-store.ts'
import { planNow } from '../../../control-plane/coexistence/plan-now.ts'
import { coexistenceReconciler } from '../../../control-plane/coexistence/reconcile-job.ts'
import { stampIfNamed } from '../../../control-plane/coexistence/stamp-token.ts'
import { emergencyStop, readSwitch, setCoexistence } from '../../../control-plane/coexistence/switch.ts'
import { listTransitions, lockSwitch } from '../../../control-plane/coexistence/switch-store.ts'
import { rowOf, rowsOf, withScope } from '../../../control-plane/db/database.ts'
import { loadProjectVersions } from '../../../control-plane/relays/applied-store.ts'
import { rotateMarker } from '../../../control-plane/relays/marker-rotation-store.ts'
import { findMarker, readProofTokens, rotateProofToken } from '../../../control-plane/relays/relay-secret-store.ts'
import { switchScene } from './switch-scene.ts'

const scene = await switchScene()
const { it, place, inside, sandbox } = scene
const SOURCE = it.source.entraTenantId
const TARGET = it.target.entraTenantId
const HOUR_MS = 3_600_000
const MINUTE_MS = 60_000

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
/** Of what relays are told. */
const settingsVersion = async () =>
  (await inside((tx) => loadProjectVersions(tx, place.organisation, place.project)))?.settingsVersion ?? 0
const marker = () => inside((tx) => findMarker(tx, it.deps.sealer, place))
/** As the route does it. */
const rotate = () =>
  inside(async (tx) => {
    const row = await lockSwitch(tx, place)
    const at = new Date(scene.deps.now())
    await rotateMarker(tx, it.deps.sealer, place, 'token', at)
    await stampIfNamed(tx, it.deps.sealer, place, row, at)
  })
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
    ['Presented', 'In', 'Out', 'RD', '20-Route-Sender', '21-Route-Mentioned', '90-Clean'],
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

test('a pilot of enhanced filtering is the people in scope: nobody whose presented address no object has (row 4b)', async () => {
  await off()
  const known = [scene.mailboxes[2], `nobody@${scene.presented[0]?.split('@')[1]}`]
  const body = { known, mailbox: known[0], presented: known[1] }
  const made = await scene.api.request('POST', `${it.path}/mappings`, body, it)
  assert.equal(made.status, 201, JSON.stringify(made.body))
  await scene.enable({ enhancedFiltering: 'pilot' })
  const filtered = async () => {
    const ours = await scene.ours()
    const connector = ours.find(({ noun, tenant }) => noun === 'InboundConnector' && tenant === it.source.id)
    return [connector?.properties['EFSkipLastIP'], connector?.properties['EFUsers']]
  }
  assert.deepEqual(await filtered(), [true, scene.mailboxes.slice(0, 2)])
  await scene.enable({ enhancedFiltering: 'off' })
  assert.deepEqual(await filtered(), [false, null], 'and off again while it is on')
  const headers = { 'if-match': '*' }
  const gone = await scene.api.request('DELETE', `${it.path}/mappings/${made.body.id}?confirm=1`, undefined, {
    ...it,
    headers,
  })
  assert.equal(gone.status, 200, JSON.stringify(gone.body))
})

test('those who are in the directory no more keep nobody else out, and are told once', async () => {
  await off()
  const rename = (from: string, to: string) =>
    inside((tx) =>
      sql`update account set object_id = ${to} where tenant_id = ${it.source.id} and object_id = ${from}`.execute(tx),
    )
  const [first, second] = await inside((tx) =>
    rowsOf<{ id: string }>(
      tx,
      sql`select object_id as id from account where tenant_id = ${it.source.id} and primary_key = any(${scene.mailboxes}) order by primary_key`,
    ),
  )
  assert.ok(first && second)
  const [gone, goneLater] = ['00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000002']
  await rename(first.id, gone)
  await scene.enable()
  assert.deepEqual(await problemsOf(), ['member-not-found'])
  assert.equal((await scene.ours()).find(({ name }) => name.endsWith('Presented'))?.members?.length, 1)
  const adds = () => scene.calls.filter((call) => call.startsWith('Add-DistributionGroupMember')).length
  const before = adds()
  await scene.lookAfter()
  assert.deepEqual([await problemsOf(), adds()], [['member-not-found'], before], 'not asked for at every look')
  sandbox.control.advanceClock(HOUR_MS / 6)
  await scene.lookAfter()
  assert.deepEqual([await problemsOf(), adds()], [['member-not-found'], before + 1])
  await rename(second.id, goneLater)
  await scene.lookAfter()
  assert.deepEqual(await problemsOf(), ['member-not-found'])
  await rename(gone, first.id)
  await rename(goneLater, second.id)
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

test('DL-10: relays stamp a new word only when both tenants have named it for an hour, and that changes no rule', async () => {
  await scene.enable()
  const namingRules = async () => {
    const rules = (await scene.ours()).filter(({ noun }) => noun === 'TransportRule')
    return rules.map(
      ({ properties }) =>
        (properties['ExceptIfHeaderContainsWords'] ?? properties['HeaderContainsWords']) as readonly string[],
    )
  }
  const before = await marker()
  assert.ok(before)
  await rotate()
  const pending = await marker()
  assert.ok(pending)
  assert.equal(pending.token, before.token, 'no rule names the new one yet')
  await assert.rejects(rotate(), { type: 'marker-token-pending' })

  await scene.lookAfter()
  const words = [pending.token, pending.previousToken ?? ''].toSorted()
  const named = await namingRules()
  assert.ok(named.length >= 5, 'those that route and those that clean, in both tenants')
  for (const each of named) assert.deepEqual(each.toSorted(), words)
  assert.deepEqual([(await scene.view()).state, await problemsOf()], ['on', []])
  assert.equal((await ourRule('20-Route-Sender')).isEnabled, true)
  assert.deepEqual(await marker(), pending, 'rules may act an hour later')

  sandbox.control.advanceClock(HOUR_MS - MINUTE_MS)
  await scene.lookAfter()
  assert.deepEqual(await marker(), pending)
  const [made, told] = [scene.calls.length, await settingsVersion()]
  sandbox.control.advanceClock(MINUTE_MS)
  await scene.lookAfter()
  const after = await marker()
  assert.deepEqual([after?.token, after?.previousToken], [pending.previousToken, pending.token])
  assert.deepEqual([scene.calls.length - made, (await settingsVersion()) - told], [0, 1])
  const [audited] = await inside((tx) =>
    rowsOf<{ actor: string }>(tx, sql`select actor from audit_event where action = 'relay-marker.token-in-use'`),
  )
  assert.equal(audited?.actor, 'system:coexistence')

  await scene.lookAfter()
  assert.deepEqual([await marker(), scene.calls.length - made, (await settingsVersion()) - told], [after, 0, 1])
})

test('DL-10: what stands against it in a tenant holds a new word back, however long it takes', async () => {
  await scene.enable()
  sandbox.control.advanceClock(HOUR_MS)
  const rule = await ourRule('40-Route-Elsewhere')
  await scene.writer(TARGET)('Set-TransportRule', { Identity: rule.guid, ExceptIfHeaderContainsWords: ['other'] })
  await rotate()
  const pending = await marker()
  await scene.lookAfter()
  sandbox.control.advanceClock(2 * HOUR_MS)
  await scene.lookAfter()
  assert.deepEqual([(await scene.view()).state, await marker()], ['drift', pending])
  await scene.set({}, { confirmsDrift: true })
  await scene.work()
  assert.deepEqual([(await scene.view()).state, await marker()], ['on', pending], 'it has just been written')
  sandbox.control.advanceClock(HOUR_MS)
  await scene.lookAfter()
  assert.equal((await marker())?.token, pending?.previousToken)
})

test('DL-10: a new word that waits is in use once coexistence is off, and one made then at once', async () => {
  await scene.enable()
  await rotate()
  const pending = await marker()
  await scene.disable()
  const after = await marker()
  assert.deepEqual([after?.token, after?.previousToken], [pending?.previousToken, pending?.token])
  await rotate()
  assert.deepEqual([(await marker())?.token === after?.token, (await marker())?.previousToken], [false, after?.token])
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
  await scene.enable({ turnsTnefOff: true, arcSealingDomain: 'relay.example' })
  const trust = (domains: readonly string[]) =>
    scene.writer(SOURCE)('Set-ArcConfig', { Identity: 'Default', ArcTrustedSealers: domains })
  await trust(['relay.example', 'house.example'])
  await scene.writer(SOURCE)('New-TransportRule', {
    Name: 'Later rule',
    SubjectContainsWords: ['x'],
    PrependSubject: 'y',
  })
  const { proof, problems } = await scene.disable()
  assert.deepEqual([proof?.isRestored, proof?.isEqual, problems], [true, false, []])
  assert.deepEqual(
    proof?.byOthers.map(({ kind, name }) => [kind, name]),
    [
      ['added', 'Later rule'],
      ['changed', 'Default'],
    ],
  )
  await scene.writer(SOURCE)('Remove-TransportRule', { Identity: 'Later rule', Confirm: false })
  await trust([])
  await scene.isAsBefore()
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
  // Something else is asked for meanwhile: relays hear of it as well, and of nothing where it is the same.
  const told = await settingsVersion()
  await scene.set({ route: 'return' })
  assert.equal(await settingsVersion(), told + 1)
  await scene.set({ route: 'return' })
  assert.equal(await settingsVersion(), told + 1)
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

test('validation mail that nobody saw is sent again each minute, as the same, until the gate gives it up (row 5b)', async () => {
  await off()
  scene.said['validated'] = { kind: 'waiting', reason: 'validation-not-seen' }
  await scene.set({})
  await scene.work(({ waitingFor }) => waitingFor === 'validation-not-seen')
  const asked = scene.looks.at(-1)?.about
  const validations = async () =>
    (await inside((tx) => listChanges(tx, place, { after: undefined, limit: 1_000 }))).filter(({ cmdlet }) =>
      cmdlet.startsWith('Validate'),
    ).length
  const before = await validations()
  await scene.attempt((await scene.view()).operation ?? '')
  assert.equal(await validations(), before, 'not at every look')
  sandbox.control.advanceClock(61_000)
  await scene.attempt((await scene.view()).operation ?? '')
  assert.equal(await validations(), before + 1)
  sandbox.control.advanceClock(HOUR_MS / 2)
  await scene.attempt((await scene.view()).operation ?? '')
  const about = scene.looks.at(-1)?.about
  assert.deepEqual([about?.validationNonce, about?.since], [asked?.validationNonce, asked?.since])
  assert.ok(asked)
  assert.equal(judgeValidation([], asked.validationNonce, asked.since, sandbox.clock.nowMs()).kind, 'closed')
  delete scene.said['validated']
  await scene.work()
  assert.equal((await scene.view()).state, 'on')
})

test('a stop looks for rules whose enabling nobody has answered yet, while the other tenant does not answer', async () => {
  await off()
  scene.said['probes'] = { kind: 'waiting', reason: 'probes-not-back' }
  await scene.set({})
  await scene.work(({ waitingFor }) => waitingFor === 'probes-not-back')
  const { guid } = await ourRule('40-Route-Elsewhere')
  await scene.writer(TARGET)('Enable-TransportRule', { Identity: guid })
  await inside((tx) =>
    sql`update coexistence_object set intended = '{"State": "Enabled"}' where project_id = ${place.project} and object_key = 'rule-40'`.execute(
      tx,
    ),
  )
  const connect = (state: string) =>
    inside((tx) => sql`update consent set state = ${state} where tenant_id = ${it.source.id}`.execute(tx))
  await connect('paused')
  try {
    await scene.stop()
    await scene.attempt((await scene.view()).operation ?? '')
    assert.equal((await ourRule('40-Route-Elsewhere')).isEnabled, false)
  } finally {
    await connect('connected')
  }
  await scene.work()
  await scene.isAsBefore()
})

test('rules stop while another run still has hold of the tenants', async () => {
  await off()
  await scene.enable()
  const runner = 1_000_000
  await inside(async (tx) => {
    await sql`insert into job (organisation_id, id, project_id, kind, object_id, state, lease_until)
              values (${place.organisation}, ${runner}, ${place.project}, 'coexistence.reconcile', 'another', 'running', now() + interval '1 hour')`.execute(
      tx,
    )
    await sql`update coexistence_switch set runner = ${runner} where project_id = ${place.project}`.execute(tx)
  })
  const { operation } = await scene.stop()
  assert.equal(await scene.attempt(operation ?? ''), 1_000)
  for (const name of ['20-Route-Sender', '21-Route-Mentioned', '40-Route-Elsewhere'])
    assert.equal((await ourRule(name)).isEnabled, false, name)
  await inside((tx) => sql`delete from job where id = ${runner}`.execute(tx))
  await scene.work()
  await scene.isAsBefore()
})

test('probes to a name of the relay that was wrong are not waited for once another is set (row 12)', async () => {
  await off()
  scene.said['probes'] = { kind: 'waiting', reason: 'probes-not-back' }
  await scene.set({ relayHosts: { out: 'wrong.relay.example', in: 'in.relay.example' } })
  await scene.work(({ waitingFor }) => waitingFor === 'probes-not-back')
  const before = scene.looks.at(-1)?.about.probeNonces ?? []
  await scene.set({})
  await scene.work(({ waitingFor }) => waitingFor === 'probes-not-back')
  const now = scene.looks.at(-1)?.about.probeNonces ?? []
  assert.deepEqual([before.length, now.length, now.filter((nonce) => before.includes(nonce)).length], [2, 2, 1])
  delete scene.said['probes']
  await scene.work()
  assert.equal((await scene.view()).state, 'on')
})

test('rules that others take the place of stay on until those act, which no message shows: it takes the hour', async () => {
  await off()
  await scene.enable()
  scene.said['propagated'] = { kind: 'waiting', reason: 'rules-propagate' }
  await scene.set({ mode: 'all-outbound' })
  await scene.work(({ waitingFor }) => waitingFor === 'rules-propagate')
  const { operation } = await scene.view()
  const acting = async () =>
    (await scene.ours()).flatMap(({ name, isEnabled }) => (isEnabled === true ? [name.slice(18)] : [])).toSorted()
  const all = ['20-Route-Sender', '21-Route-Mentioned', '30-Route-All', '40-Route-Elsewhere', '90-Clean', '90-Clean']
  for (const laterMs of [0, HOUR_MS / 4]) {
    sandbox.control.advanceClock(laterMs)
    await scene.attempt(operation ?? '')
    assert.deepEqual(
      (await acting()).filter((name) => !name.startsWith('10-')),
      all,
    )
    assert.equal(scene.looks.at(-1)?.about.routes, undefined)
  }
  delete scene.said['propagated']
  await scene.work()
  assert.deepEqual(await acting(), all.slice(2))
})

test('a hold begins when rules stopped last, not at the off before they were turned on again', async () => {
  await off()
  await scene.enable()
  scene.said['hold'] = { kind: 'waiting', reason: 'mail-may-still-come' }
  await scene.set({ state: 'off' })
  await scene.work(({ waitingFor }) => waitingFor === 'mail-may-still-come')
  await scene.enable()
  sandbox.control.advanceClock(HOUR_MS)
  const stoppedAt = sandbox.clock.nowMs()
  for (const [tenant, name] of [
    [SOURCE, '20-Route-Sender'],
    [SOURCE, '21-Route-Mentioned'],
    [TARGET, '40-Route-Elsewhere'],
  ] as const)
    await scene.writer(tenant)('Disable-TransportRule', { Identity: (await ourRule(name)).guid, Confirm: false })
  await scene.set({ state: 'off' })
  await scene.work(({ waitingFor }) => waitingFor === 'mail-may-still-come')
  assert.ok(Number(scene.looks.at(-1)?.about.since) >= stoppedAt)
  delete scene.said['hold']
  await scene.work()
  await scene.isAsBefore()
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

test('while free/busy stays on, what will not pass undoes a second enable too, as no rule acts any more (§1.1)', async () => {
  await off()
  await scene.setBusy({})
  await scene.work()
  await scene.enable()
  await scene.disable()
  scene.refuse((_tenant, cmdlet) => cmdlet === 'New-OutboundConnector')
  try {
    await scene.set({})
    await scene.work(({ problems, state }) => problems.length > 0 && state === 'turning_on')
    const { state, setting, freeBusyState } = await scene.view()
    assert.deepEqual([state, setting.state, freeBusyState], ['off', 'off', 'on'])
  } finally {
    scene.refuse(undefined)
    await scene.setBusy({ state: 'off' })
    await scene.work()
  }
  await scene.isAsBefore()
})

test('a relationship of ours that somebody removed is forgotten once free/busy is off: the next proof compares all the same', async () => {
  await off()
  await scene.setBusy({})
  await scene.work()
  sandbox.control.advanceClock(HOUR_MS)
  const relationship = (await scene.ours()).find(({ tenant }) => tenant === it.source.id)
  assert.ok(relationship)
  await scene.writer(SOURCE)('Remove-OrganizationRelationship', { Identity: relationship.guid, Confirm: false })
  await scene.setBusy({ state: 'off' })
  await scene.work()
  await scene.enable()
  await scene.writer(SOURCE)('New-TransportRule', {
    Name: 'Meanwhile',
    SubjectContainsWords: ['x'],
    PrependSubject: 'y',
  })
  const { proof } = await scene.disable()
  await scene.writer(SOURCE)('Remove-TransportRule', { Identity: 'Meanwhile', Confirm: false })
  assert.deepEqual(
    proof?.byOthers.map(({ kind, name }) => [kind, name]),
    [['added', 'Meanwhile']],
  )
})

test('TI-2: another organisation sees no switch of this one', async () => {
  await scene.enable()
  const { id: organisation } = await scene.api.organisation()
  const seen = await withScope(scene.deps.db, { organisation }, (tx) => readSwitch(tx, place))
  assert.deepEqual([seen.version, seen.state], [0, 'off'])
  await off()
})
