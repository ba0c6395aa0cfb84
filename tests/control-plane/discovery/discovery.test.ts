// Discoveries of simulated tenants over the network, into a real database: what is there is found, what changed is found by delta, what was ended goes
// on, and what can't be seen is said. (microsoft-365.md §3, §4; EC-4)
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { accountRoutes } from '../../../control-plane/directory/account-routes.ts'
import { discoveryRoutes } from '../../../control-plane/discovery/discovery-routes.ts'
import type { Sealer } from '../../../control-plane/keys/sealer.ts'
import { RetryLater } from '../../../control-plane/jobs/retry.ts'
import { consentRoutes } from '../../../control-plane/tenants/consent-routes.ts'
import { healthRoutes } from '../../../control-plane/tenants/health-routes.ts'
import { tenantRoutes } from '../../../control-plane/tenants/tenant-routes.ts'
import type { SimulatedTenant } from '../../../sandbox/tenants/tenant.ts'
import { generateTenant } from '../../../sandbox/tenants/generate.ts'
import { seedTenants } from '../../../sandbox/tenants/seed.ts'
import { testApi } from '../../harness/api.ts'
import { connectedProject, countIn } from '../../harness/connected-project.ts'
import type { ConnectedProject, ConnectedTenant } from '../../harness/connected-project.ts'
import { testSandbox } from '../../harness/sandbox.ts'
import { testSealer } from '../../harness/sealer.ts'

let sealer: Sealer | undefined
const api = await testApi({ after }, async ({ database, log }) => {
  sealer = await testSealer({ after }, database, log)
  const deps = {
    db: database.db,
    sealer,
    sharedApp: undefined,
    publicUrl: new URL('http://127.0.0.1'),
    random: () => Buffer.alloc(32),
  }
  return [...tenantRoutes(), ...consentRoutes(deps), ...healthRoutes(deps), ...discoveryRoutes(), ...accountRoutes()]
})
const { contoso, fabrikam } = seedTenants(1)

async function scene(t: { after(end: () => unknown): void }, options: Parameters<typeof testSandbox>[1] = {}) {
  const sandbox = await testSandbox(t, { tenants: [contoso, fabrikam], ...options })
  assert.ok(sealer)
  return { sandbox, sealer }
}

async function connected(t: { after(end: () => unknown): void }, options: Parameters<typeof testSandbox>[1] = {}) {
  const { sandbox, sealer: own } = await scene(t, options)
  return { sandbox, it: await connectedProject(api, sandbox, { sealer: own }) }
}

type Row = Record<string, any> // oxlint-disable-line typescript/no-explicit-any -- tests look into it

async function accountsOf({ path, key }: ConnectedProject, tenant: ConnectedTenant): Promise<Map<string, Row>> {
  const found = new Map<string, Row>()
  for (let next: string | undefined = `${path}/accounts?tenant=${tenant.id}&limit=50`; next !== undefined;) {
    const { status, body } = await api.request('GET', next.replace('/api/v1', ''), undefined, { key })
    assert.equal(status, 200, JSON.stringify(body))
    for (const account of body.items as Row[]) {
      assert.ok(!found.has(account['objectId'] as string), 'no account on two pages')
      found.set(account['objectId'] as string, account)
    }
    next = body.next as string | undefined
  }
  return found
}

/** Object ids that a discovery should find. */
function idsIn(tenant: SimulatedTenant): Set<string> {
  const ids = new Set<string>()
  for (const kind of ['user', 'group', 'orgContact'] as const)
    for (const { id } of tenant.objects(kind)) ids.add(id.toLowerCase())
  for (const { guid, recipientTypeDetails } of tenant.recipients())
    if (recipientTypeDetails === 'DynamicDistributionGroup') ids.add(guid.toLowerCase())
  return ids
}

test('a first discovery finds every object of a tenant, with what Exchange and the reports know of it', async (t) => {
  const { sandbox, it } = await connected(t)
  const done = await it.discover(it.source)
  assert.equal(done['state'], 'completed', JSON.stringify(done))
  assert.equal(done['mode'], 'full', 'the first one is, whatever was asked for')
  assert.deepEqual(done['gaps'], [])
  const tenant = sandbox.tenants.get(it.source.entraTenantId)
  assert.ok(tenant)
  const accounts = await accountsOf(it, it.source)
  assert.deepEqual(new Set(accounts.keys()), idsIn(tenant))
  assert.equal(done['counts'].created, accounts.size)
  for (const object of tenant.objects('user')) {
    const account = accounts.get(object.id.toLowerCase())
    const recipient = tenant.recipientOf(object.id)
    assert.ok(account)
    assert.equal(account['userPrincipalName'], object.properties['userPrincipalName'])
    if (recipient?.statistics !== undefined) {
      assert.equal(account['mailbox']?.usedBytes, recipient.statistics.bytes, 'from the usage report')
      assert.equal(account['mailbox']?.exchangeGuid, String(recipient.properties['ExchangeGuid']).toLowerCase())
      assert.ok((account['x500'] as string[]).includes(String(recipient.properties['LegacyExchangeDN'])))
    }
  }
  const kinds = new Set([...accounts.values()].map(({ kind }) => kind as string))
  for (const kind of [
    'user',
    'guest',
    'shared-mailbox',
    'room',
    'equipment',
    'microsoft-365-group',
    'security-group',
    'mail-enabled-security-group',
    'distribution-list',
    'dynamic-distribution-list',
    'contact',
  ])
    assert.ok(kinds.has(kind), `a tenant of every kind: ${kind}`)
  const group = [...tenant.objects('group')].find(({ members }) => members.length > 3)
  const shown = accounts.get(group?.id.toLowerCase() ?? '')
  const known = group?.members.filter((id) => tenant.object(id) !== undefined).length
  assert.equal(shown?.['group']?.members, known)
  const members = await api.request('GET', `${it.path}/accounts/${shown?.['id']}/members?limit=1000`, undefined, it)
  assert.equal(members.body.items.length, known)
})

test('a second one by delta touches only what changed, and says what', async (t) => {
  const { sandbox, it } = await connected(t)
  const first = await it.discover(it.source)
  const before = await countIn(api, it.organisation, 'account')
  const idle = await it.discover(it.source)
  assert.equal(idle['mode'], 'delta')
  assert.deepEqual({ ...idle['counts'], kinds: 0 }, { kinds: 0, created: 0, changed: 0, removed: 0 })
  assert.equal(await countIn(api, it.organisation, 'account'), before, 'nothing was written')
  assert.deepEqual(idle['counts'].kinds, first['counts'].kinds)

  const tenant = sandbox.tenants.get(it.source.entraTenantId)
  assert.ok(tenant)
  const [renamed, removed] = [...tenant.objects('user')].filter(({ id }) => !tenant.data.administrators.includes(id))
  const group = [...tenant.objects('group')].find(
    ({ members }) => members.length > 3 && !members.includes(removed?.id ?? ''),
  )
  assert.ok(renamed && removed && group)
  tenant.putObject({ ...renamed, properties: { ...renamed.properties, displayName: 'Somebody Else' } })
  tenant.removeObject(removed.id)
  const leaver = group.members.at(-1)
  tenant.putObject({ ...(tenant.object(group.id) ?? group), members: group.members.slice(0, -1) })
  const changed = await it.discover(it.source)
  const { body } = await api.request('GET', `${it.path}/discoveries/${changed['id']}/changes`, undefined, it)
  const changes = new Map(
    (body.items as Row[]).map((change) => [(change['after'] ?? change['before']).objectId as string, change]),
  )
  assert.equal(changes.get(renamed.id)?.['change'], 'changed')
  assert.deepEqual(changes.get(renamed.id)?.['members'], ['displayName'])
  assert.equal(changes.get(removed.id)?.['change'], 'removed')
  assert.deepEqual(changes.get(group.id)?.['members'], ['group'])
  for (const [id, change] of changes)
    if (![renamed.id, removed.id].includes(id))
      assert.deepEqual(change['members'], ['group'], 'else only groups that lost a member')
  const versions = await api.request(
    'GET',
    `${it.path}/accounts/${changes.get(renamed.id)?.['account']}/versions`,
    undefined,
    it,
  )
  assert.deepEqual(
    versions.body.items.map(({ discovery, until }: Row) => [discovery, until]),
    [
      [3, undefined],
      [1, 3],
    ],
  )
  const gone = await api.request('GET', `${it.path}/accounts/${changes.get(removed.id)?.['account']}`, undefined, it)
  assert.equal(gone.body.isGone, true)
  const { body: group2 } = await api.request(
    'GET',
    `${it.path}/accounts/${changes.get(group.id)?.['account']}/members?limit=1000`,
    undefined,
    it,
  )
  assert.ok(!group2.items.some(({ objectId }: Row) => objectId === leaver))
})

test('a delta that Microsoft does not know any more is read anew, and finds what went meanwhile', async (t) => {
  const { sandbox, it } = await connected(t)
  await it.discover(it.source)
  const tenant = sandbox.tenants.get(it.source.entraTenantId)
  const [victim] = [...(tenant?.objects('user') ?? [])].filter(
    ({ id }) => tenant?.data.administrators.includes(id) === false,
  )
  assert.ok(tenant && victim)
  tenant.removeObject(victim.id)
  tenant.resetDeltas()
  const done = await it.discover(it.source)
  assert.equal(done['counts'].removed, 1)
  assert.deepEqual(new Set((await accountsOf(it, it.source)).keys()), idsIn(tenant))
})

const faults = [
  { why: 'a lost answer', fault: { operation: 'GET /users/delta()', when: 'after', effect: { kind: 'reset' } } },
  { why: 'an answer cut in half', fault: { operation: 'GET /groups/delta()', when: 'after', effect: { kind: 'cut' } } },
  {
    why: 'an error of the service',
    fault: { operation: 'GET /contacts/delta()', when: 'before', effect: { kind: 'status', status: 502 } },
  },
  { why: 'the same rows twice', fault: { operation: 'GET /users/delta()', when: 'after', effect: { kind: 'twice' } } },
  {
    why: 'too many requests',
    fault: { operation: 'GET /domains', when: 'before', effect: { kind: 'status', status: 429, retryAfter: '0.2' } },
  },
  {
    why: 'a cmdlet that fails',
    fault: { operation: 'Get-Mailbox', when: 'before', effect: { kind: 'status', status: 503, retryAfter: '1' } },
  },
] as const
test('what goes wrong on the way is got over: lost, cut, doubled and refused answers change nothing of what is found', async (t) => {
  const { sandbox, it } = await connected(t)
  for (const { fault } of faults) sandbox.faults.add(fault)
  const done = await it.discover(it.source)
  const tenant = sandbox.tenants.get(it.source.entraTenantId)
  assert.ok(tenant)
  assert.equal(done['state'], 'completed')
  assert.deepEqual(new Set((await accountsOf(it, it.source)).keys()), idsIn(tenant))
  const addresses = await countIn(api, it.organisation, 'account_address')
  await it.discover(it.source, 'full')
  assert.equal(await countIn(api, it.organisation, 'account_address'), addresses, 'nothing was doubled')
})

test('one that is ended anywhere goes on where it was', async (t) => {
  const tenants = [generateTenant({ seed: 3, people: 250 }), fabrikam]
  const { sandbox, it } = await connected(t, { tenants })
  const started = await api.request('POST', `${it.path}/discoveries`, { tenant: it.source.id }, it)
  const operation = started.body.operation as string
  let attempts = 0
  for (let isDone = false; !isDone; attempts++) {
    assert.ok(attempts < 40, 'each attempt goes further')
    const ending = new AbortController()
    // From the second attempt on a little later each time, so that every step is ended once.
    const timer = setTimeout(() => ending.abort(new Error('the process ends')), 60 + attempts * 40)
    isDone = await it.goOn(operation, ending.signal).then(
      () => true,
      () => false,
    )
    clearTimeout(timer)
  }
  const tenant = sandbox.tenants.get(it.source.entraTenantId)
  assert.ok(tenant)
  assert.deepEqual(new Set((await accountsOf(it, it.source)).keys()), idsIn(tenant))
  const again = await it.discover(it.source, 'full')
  assert.deepEqual(
    { ...again['counts'], kinds: 0 },
    { kinds: 0, created: 0, changed: 0, removed: 0 },
    `after ${attempts} attempts`,
  )
})

test('EC-4: a consent that is withdrawn stops the work and says why; given again, it goes on', async (t) => {
  const { sandbox, it } = await connected(t)
  await it.discover(it.source)
  sandbox.control.withdrawConsent(it.source.entraTenantId, sandbox.app.clientId)
  it.deps.microsoft.forget({ ...it, tenant: it.source.id })
  const started = await api.request('POST', `${it.path}/discoveries`, { tenant: it.source.id }, it)
  await assert.rejects(it.goOn(started.body.operation as string), RetryLater)
  const { body: health } = await api.request('GET', `${it.path}/tenants/${it.source.id}/health`, undefined, it)
  assert.equal(health.status, 'stopped')
  assert.equal(health.trouble.code, 'CONSENT_MISSING')
  assert.match(health.trouble.remedy as string, /consent/)
  const refused = await api.request('POST', `${it.path}/discoveries`, { tenant: it.source.id }, it)
  assert.equal(refused.body.type, '/problems/tenant-not-connected')
  sandbox.control.grantConsent(it.source.entraTenantId, sandbox.app.clientId)
  await it.check(it.source)
  assert.equal((await api.request('GET', `${it.path}/tenants/${it.source.id}/health`, undefined, it)).body.status, 'ok')
  await it.goOn(started.body.operation as string)
})

test('EC-4: a certificate that has expired stops the work and says what to do', async (t) => {
  const { sandbox, it } = await connected(t)
  await it.discover(it.source)
  sandbox.clock.advance(31 * 86_400_000) // it is good for thirty days
  it.deps.microsoft.forget({ ...it, tenant: it.source.id })
  const started = await api.request('POST', `${it.path}/discoveries`, { tenant: it.source.id }, it)
  await assert.rejects(it.goOn(started.body.operation as string), RetryLater)
  const { body: health } = await api.request('GET', `${it.path}/tenants/${it.source.id}/health`, undefined, it)
  assert.deepEqual([health.status, health.trouble.code], ['stopped', 'CREDENTIAL_EXPIRED'])
  assert.match(health.trouble.remedy as string, /new certificate/)
})

test('without the roles of Exchange a discovery finds the rest, and says what it could not see', async (t) => {
  const { sandbox, sealer: own } = await scene(t)
  const it = await connectedProject(api, sandbox, { sealer: own, hasExchangeRole: false })
  const done = await it.discover(it.source)
  assert.equal(done['state'], 'completed')
  assert.deepEqual(
    (done['gaps'] as Row[]).map(({ code }) => code as string),
    ['exchange-role-missing'],
  )
  const { body: health } = await api.request('GET', `${it.path}/tenants/${it.source.id}/health`, undefined, it)
  assert.equal(health.status, 'attention')
  assert.deepEqual(health.notes, ['exchange-role-missing'])
})

test('a tenant names its own domains once it is connected', async (t) => {
  const { sandbox, it } = await connected(t)
  const { body } = await api.request('GET', `${it.path}/tenants/${it.source.id}`, undefined, it)
  const own = sandbox.tenants.get(it.source.entraTenantId)?.data.domains ?? []
  const accepted = own.filter(({ isVerified, supportedServices }) => isVerified && supportedServices.includes('Email'))
  assert.deepEqual(body.acceptedDomains, accepted.map(({ id }) => id.toLowerCase()).toSorted())
  const refused = await api.request('PATCH', `${it.path}/tenants/${it.source.id}`, { acceptedDomains: [] }, it)
  assert.equal(refused.status, 409)
})

test('chosen mailboxes are asked for their exact sizes, and only they', async (t) => {
  const { sandbox, it } = await connected(t)
  await it.discover(it.source)
  const tenant = sandbox.tenants.get(it.source.entraTenantId)
  const chosen = [...(tenant?.recipients() ?? [])].find(({ statistics }) => statistics?.archiveBytes !== undefined)
  assert.ok(tenant && chosen?.statistics)
  const before = (await accountsOf(it, it.source)).get(String(chosen.externalDirectoryObjectId))
  assert.equal(before?.['mailbox'].archiveBytes, undefined, 'no report tells it')
  const body = { tenant: it.source.id, statisticsFor: [before?.['id']] }
  const started = await api.request('POST', `${it.path}/discoveries`, body, it)
  assert.equal(started.status, 202, JSON.stringify(started.body))
  await it.goOn(started.body.operation as string)
  const now = (await accountsOf(it, it.source)).get(String(chosen.externalDirectoryObjectId))
  assert.equal(now?.['mailbox'].archiveBytes, chosen.statistics.archiveBytes)
  assert.equal(now?.['mailbox'].usedBytes, chosen.statistics.bytes)
})

test('one at a time in a tenant', async (t) => {
  const { it } = await connected(t)
  assert.equal((await api.request('POST', `${it.path}/discoveries`, { tenant: it.source.id }, it)).status, 202)
  const second = await api.request('POST', `${it.path}/discoveries`, { tenant: it.source.id }, it)
  assert.equal(second.status, 409)
  assert.equal((await api.request('POST', `${it.path}/discoveries`, { tenant: it.target.id }, it)).status, 202)
})
