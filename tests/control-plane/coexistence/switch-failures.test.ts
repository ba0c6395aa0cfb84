// The switch when things go wrong: every call fails once, in each way that a call can; what is refused for good; tenants that hold similar objects, are full,
// answer late, or are as new. Whatever it is, the next run finishes or undoes. (coexistence.md §1.1, RC-9)
import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import { sql } from 'kysely'
import { listChanges, openIntents } from '../../../control-plane/coexistence/tenant-change-store.ts'
import { rowOf } from '../../../control-plane/db/database.ts'
import { sampleOf } from '../../harness/thorough.ts'
import { switchScene } from './switch-scene.ts'
import type { Mishap } from './switch-scene.ts'

const scene = await switchScene()
const { it, place, inside, sandbox } = scene
const SOURCE = it.source.entraTenantId
const TARGET = it.target.entraTenantId

afterEach(() => {
  scene.suffer(undefined)
  scene.refuse(undefined)
  sandbox.control.setExchangeBehaviour({})
})

const problems = async () => (await scene.view()).problems.map(({ code }) => code)

const MISHAPS: readonly Mishap[] = ['unsent', 'unanswered']
for (const index of sampleOf(MISHAPS.length, 2)) {
  const mishap = MISHAPS[index] ?? 'unsent'
  test(`RC-9, EC-5: when every call of an enable and of a disable is ${mishap} once, the next run goes on, off leaves nothing, and the ledger is true`, async () => {
    const setting = { arcSealingDomain: 'relay.example', enhancedFiltering: 'everyone', turnsTnefOff: true } as const
    const begun = sandbox.control.writes(TARGET).length
    const [last] = await inside((tx) => listChanges(tx, place, { after: undefined, limit: 1 }))
    scene.suffer(mishap)
    await scene.enable(setting)
    assert.deepEqual(await problems(), [])
    scene.suffer(mishap)
    const { proof } = await scene.disable()
    assert.equal(proof?.isEqual, true)
    await scene.isAsBefore()
    assert.deepEqual(await inside((tx) => openIntents(tx, place)), [])
    const done = (await inside((tx) => listChanges(tx, place, { after: undefined, limit: 1_000 }))).filter(
      ({ sequence, tenant, cmdlet, state }) =>
        sequence > (last?.sequence ?? 0) &&
        tenant === it.target.id &&
        state === 'done' &&
        !cmdlet.startsWith('Validate'),
    )
    assert.deepEqual(
      done.map(({ cmdlet }) => cmdlet).toReversed(),
      sandbox.control
        .writes(TARGET)
        .slice(begun)
        .map(({ cmdlet }) => cmdlet),
    )
  })
}

// ── For good ──

const STEPS = [
  'New-DistributionGroup',
  'Set-DistributionGroup',
  'Add-DistributionGroupMember',
  'New-InboundConnector',
  'New-OutboundConnector',
  'Set-OutboundConnector',
  'New-RemoteDomain',
  'New-TransportRule',
  'Enable-TransportRule',
] as const
for (const index of sampleOf(STEPS.length, STEPS.length)) {
  const cmdlet = STEPS[index] ?? 'New-DistributionGroup'
  test(`what is not allowed for good before the first rule acts undoes the enable: ${cmdlet} in the target`, async () => {
    // Probes are enabled in both tenants before; the first routing rule is the target's.
    scene.refuse(
      (tenant, called, { Identity: identity = '' }: { Identity?: string }) =>
        called === cmdlet && tenant === it.target.id && !identity.includes('10-Probe'),
    )
    await scene.set({})
    await scene.work()
    const { state, setting, proof, operation } = await scene.view()
    assert.deepEqual([state, setting.state, await problems(), proof?.isEqual], ['off', 'off', ['RBAC_MISSING'], true])
    await scene.isAsBefore()
    const ended = await inside((tx) =>
      rowOf<{ state: string; type: string }>(
        tx,
        sql`select state, problem->>'type' as type from operation where id = ${operation}`,
      ),
    )
    assert.deepEqual(ended, { state: 'failed', type: '/problems/coexistence-refused' })
  })
}

test('once a routing rule acts nothing is undone by itself: it says what stands in the way, and goes on when that is gone', async () => {
  scene.refuse(
    (tenant, called, parameters) =>
      called === 'Enable-TransportRule' &&
      tenant === it.source.id &&
      scene.looks.some(({ gate }) => gate === 'probes') &&
      !String((parameters as Readonly<Record<string, unknown>>)['Identity']).endsWith('90-Clean'),
  )
  scene.looks.length = 0
  await scene.set({})
  await scene.work(({ problems: all }) => all.length > 0)
  assert.deepEqual([(await scene.view()).state, await problems()], ['turning_on', ['RBAC_MISSING']])
  const acting = (await scene.ours())
    .filter(({ isEnabled, name }) => isEnabled === true && !name.includes('-10-'))
    .map(({ name }) => name.slice(18))
  assert.deepEqual(acting, ['90-Clean', '40-Route-Elsewhere', '90-Clean'])
  scene.refuse(undefined)
  await scene.work()
  assert.equal((await scene.view()).state, 'on')
  await scene.disable()
  await scene.isAsBefore()
})

test("somebody else's object of our name is a conflict, and stays as it is", async () => {
  const Name = `Causeway-${place.project.slice(4, 12)}-Out`
  await scene.writer(SOURCE)('New-OutboundConnector', {
    Name,
    ConnectorType: 'Partner',
    UseMXRecord: true,
    RecipientDomains: ['x.example'],
    Comment: 'mine',
  })
  const calls = scene.calls.length
  await scene.set({})
  await scene.work()
  assert.deepEqual([(await scene.view()).state, await problems(), scene.calls.length], ['off', ['conflict'], calls])
  const [theirs, ...others] = await scene.ours()
  assert.deepEqual([theirs?.properties['Comment'], others], ['mine', []])
  await scene.writer(SOURCE)('Remove-OutboundConnector', { Identity: Name, Confirm: false })
})

test('a tenant that takes no more rules is a limit before anything is made', async () => {
  const rules = Array.from({ length: 299 }, (_, nth) => `Full ${nth}`)
  const [template] = sandbox.control.state(SOURCE).exchangeObjects?.filter(({ noun }) => noun === 'TransportRule') ?? []
  assert.ok(template)
  const guids = rules.map((Name, nth) => {
    const guid = crypto.randomUUID()
    const properties = { ...template.properties, Name, Priority: nth + 1, Guid: guid, Identity: Name }
    sandbox.control.putExchangeObject(SOURCE, { ...template, guid, properties })
    return guid
  })
  await scene.set({})
  await scene.work()
  assert.deepEqual([(await scene.view()).state, await problems()], ['off', ['limit']])
  for (const guid of guids) sandbox.control.removeObject(SOURCE, guid)
  await scene.isAsBefore()
})

test('without a certificate, or names of the relay, or with one that has expired, nothing is begun', async () => {
  await scene.set({ relayHosts: { out: '', in: '' } })
  await scene.work()
  assert.deepEqual([(await scene.view()).state, await problems()], ['off', ['no-relay-hosts']])
  await inside((tx) =>
    sql`update certificate set expires_at = now() - interval '1 day' where tenant_id = ${it.target.id}`.execute(tx),
  )
  const calls = scene.calls.length
  await scene.set({})
  await scene.work()
  assert.deepEqual(
    [(await scene.view()).problems, scene.calls.length],
    [[{ code: 'certificate-expired', tenant: it.target.id }], calls],
  )
  await inside((tx) =>
    sql`update certificate set expires_at = now() + interval '1 year' where tenant_id = ${it.target.id}`.execute(tx),
  )
})

// ── Late, or otherwise ──

test('rules that tell groups by their addresses are as they were given', async () => {
  sandbox.control.setExchangeBehaviour({ ruleGroups: 'addresses' })
  await scene.enable()
  await scene.lookAfter()
  assert.deepEqual([(await scene.view()).state, await problems()], ['on', []])
  await scene.disable()
  await scene.isAsBefore()
})

const LATE = [undefined, 'unanswered'] as const
for (const index of sampleOf(LATE.length, 2)) {
  const mishap = LATE[index]
  test(`what was made is awaited until it is to be seen, and made once (${mishap ?? 'every call well'})`, async () => {
    sandbox.control.setExchangeBehaviour({ visibleAfterMs: 2_500 })
    scene.suffer(mishap)
    const calls = scene.calls.length
    await scene.enable()
    const made = scene.calls.slice(calls).filter((call) => call.startsWith('New-'))
    if (mishap === undefined) assert.equal(new Set(made).size, made.length)
    sandbox.control.setExchangeBehaviour({})
    scene.suffer(undefined)
    await scene.disable()
    await scene.isAsBefore()
  })
}

test('off waits for what may have been made and is not to be seen yet, and takes it away', async () => {
  sandbox.control.setExchangeBehaviour({ visibleAfterMs: 60_000 })
  scene.suffer('unanswered')
  const { operation } = await scene.set({})
  await scene.attempt(operation ?? '')
  assert.equal((await scene.ours()).length, 0, 'nothing is to be seen')
  await scene.disable()
  await scene.isAsBefore()
})

test('an organisation that is as new is made its own first', async () => {
  const config = sandbox.control.state(TARGET).exchangeObjects?.find(({ noun }) => noun === 'OrganizationConfig')
  assert.ok(config)
  sandbox.control.changeObject(TARGET, config.guid, { IsDehydrated: true })
  await scene.enable()
  const changes = await inside((tx) => listChanges(tx, place, { after: undefined, limit: 1_000 }))
  assert.ok(
    changes.some(
      ({ cmdlet, state, tenant }) =>
        cmdlet === 'Enable-OrganizationCustomization' && state === 'done' && tenant === it.target.id,
    ),
  )
  await scene.disable()
  await scene.isAsBefore()
})

test('a tenant whose consent is lost is waited for', async () => {
  await inside((tx) => sql`update consent set state = 'paused' where tenant_id = ${it.target.id}`.execute(tx))
  const { operation } = await scene.set({})
  assert.ok(((await scene.attempt(operation ?? '')) ?? 0) > 0)
  assert.deepEqual([(await scene.view()).state, (await scene.view()).waitingFor], ['turning_on', 'paused'])
  await inside((tx) => sql`update consent set state = 'connected' where tenant_id = ${it.target.id}`.execute(tx))
  await scene.work()
  assert.equal((await scene.view()).state, 'on')
  await scene.disable()
})

/** While the target is not connected at all. */
async function withoutConsent(work: () => Promise<void>): Promise<void> {
  const gone = await inside((tx) =>
    rowOf<{ row: object }>(
      tx,
      sql`delete from consent c where tenant_id = ${it.target.id} returning to_jsonb(c) as row`,
    ),
  )
  try {
    await work()
  } finally {
    await inside((tx) =>
      sql`insert into consent select (jsonb_populate_record(null::consent, ${JSON.stringify(gone?.row)}::jsonb)).*`.execute(
        tx,
      ),
    )
  }
}

test('one that is not connected at all refuses the enable, of free/busy as well', async () => {
  await withoutConsent(async () => {
    await scene.set({})
    await scene.work()
    assert.deepEqual([(await scene.view()).state, await problems()], ['off', ['tenant-not-connected']])
    await scene.setBusy({})
    await scene.work()
    const { freeBusyState, freeBusy } = await scene.view()
    assert.deepEqual([freeBusyState, freeBusy.state, await problems()], ['off', 'off', ['tenant-not-connected']])
  })
  assert.deepEqual(await scene.ours(), [])
})

test('what names something that the tenant does not have is refused, and not asked for without end', async () => {
  await scene.setBusy({ accessScope: 'Nobody has this group' })
  const attempts = await scene.work()
  const { freeBusyState, freeBusy } = await scene.view()
  assert.deepEqual([freeBusyState, freeBusy.state, await problems()], ['off', 'off', ['NOT_FOUND']])
  assert.ok(attempts < 5, String(attempts))
  await scene.setBusy({ accessScope: undefined })
  await scene.work()
  assert.equal((await scene.view()).freeBusyState, 'on')
  await scene.setBusy({ state: 'off' })
  await scene.work()
  await scene.isAsBefore()
})

test('free/busy is not off while a tenant that has it can not be looked at', async () => {
  await scene.setBusy({})
  await scene.work()
  await withoutConsent(async () => {
    await scene.setBusy({ state: 'off' })
    await scene.work(({ problems: all }) => all.length > 0)
    assert.deepEqual([(await scene.view()).freeBusyState, await problems()], ['turning_off', ['tenant-not-connected']])
  })
  await scene.work()
  assert.equal((await scene.view()).freeBusyState, 'off')
  await scene.isAsBefore()
})
