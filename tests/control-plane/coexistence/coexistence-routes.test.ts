// The switches over real HTTP: what may be asked for by whom, what is kept of it, and what is told. (control-plane.md §2, AZ-6, AU-1)
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { sql } from 'kysely'
import { emptyMetrics } from '../../../common/metrics.ts'
import { coexistenceRoutes } from '../../../control-plane/coexistence/coexistence-routes.ts'
import { createDns } from '../../../control-plane/coexistence/published-records.ts'
import { appendIntent, settleChange } from '../../../control-plane/coexistence/tenant-change-store.ts'
import { rowsOf, withScope } from '../../../control-plane/db/database.ts'
import type { Tx } from '../../../control-plane/db/database.ts'
import { discoveryRoutes } from '../../../control-plane/discovery/discovery-routes.ts'
import { newId } from '../../../control-plane/ids.ts'
import type { Sealer } from '../../../control-plane/keys/sealer.ts'
import { mappingRoutesOf } from '../../../control-plane/mapping/all-routes.ts'
import { CompiledTables } from '../../../control-plane/mapping/compiled-tables.ts'
import { createMicrosoft365 } from '../../../control-plane/microsoft/microsoft365.ts'
import { tenantRoutes } from '../../../control-plane/tenants/tenant-routes.ts'
import { seedTenants } from '../../../sandbox/tenants/seed.ts'
import { testApi } from '../../harness/api.ts'
import { connectedProject, sandboxSettings } from '../../harness/connected-project.ts'
import type { Reply, RequestOptions } from '../../harness/api.ts'
import { testSandbox } from '../../harness/sandbox.ts'
import { testSealer } from '../../harness/sealer.ts'
import { findingProject } from '../findings/project.ts'
import type { FindingProject } from '../findings/project.ts'

const ON = { state: 'on', relayHosts: { out: 'Out.Relay.example', in: 'in.relay.example' } }
const OLD_MS = 5 * 60_000 + 1

const { contoso, fabrikam } = seedTenants(1)
const sandbox = await testSandbox({ after }, { tenants: [contoso, fabrikam] })
let sealer: Sealer | undefined
const api = await testApi({ after }, async ({ database, log }) => {
  const { db } = database
  sealer = await testSealer({ after }, database, log)
  const now = () => Date.now()
  const monotonicMs = () => performance.now()
  const microsoft = createMicrosoft365({
    settings: sandboxSettings(sandbox),
    log,
    metrics: emptyMetrics(),
    now,
    monotonicMs,
  })
  const connecting = { db, sealer, sharedApp: sandbox.app, microsoft, now }
  return [
    // Nothing listens there: looking records up fails at once.
    ...coexistenceRoutes({ ...connecting, dns: createDns(['127.0.0.1:1']) }),
    ...tenantRoutes(),
    ...discoveryRoutes(),
    ...mappingRoutesOf({ db, tables: new CompiledTables({ db, log }) }),
  ]
})

const put = (place: FindingProject, body: object, options: RequestOptions = {}, what = 'coexistence'): Promise<Reply> =>
  api.request('PUT', `${place.path}/${what}`, body, {
    ...(options.headers?.['Cookie'] === undefined ? { key: options.key ?? place.key } : {}),
    headers: { 'If-Match': '*', ...options.headers },
  })
const read = async (place: FindingProject, what = 'coexistence') =>
  api.request('GET', `${place.path}/${what}`, undefined, { key: place.key })

const audited = (place: FindingProject) =>
  place.in((tx) =>
    rowsOf<{ action: string; result: string; payload: Record<string, unknown> }>(
      tx,
      sql`select action, result, payload::jsonb as payload from audit_event
           where organisation_id = ${place.organisation} and (action like 'coexistence.%' or action like 'free-busy.%') order by sequence`,
    ),
  )

test('a switch that nobody has set is off, with what it would be set to', async () => {
  const place = await findingProject(api)
  const { status, body, headers } = await read(place)
  assert.equal(status, 200)
  assert.equal(headers.get('etag'), '"0"')
  assert.deepEqual(body, {
    setting: {
      state: 'off',
      scope: 'all-mapped',
      mode: 'member',
      hasPartners: false,
      route: 'owner-tenant',
      enhancedFiltering: 'off',
      turnsTnefOff: false,
      connectorHoldMs: 172_800_000,
      relayHosts: { out: '', in: '' },
    },
    state: 'off',
    problems: [],
    drift: [],
    transitions: [],
  })
  const freeBusy = await read(place, 'free-busy')
  assert.deepEqual(freeBusy.body.setting, { state: 'off', accessLevel: 'AvailabilityOnly' })
})

test('on begins an operation, is told, and leaves one event in the audit trail (AU-1)', async () => {
  const place = await findingProject(api)
  const { status, body, headers } = await put(place, { ...ON, mode: 'all-outbound', arcSealingDomain: 'Seal.example' })
  assert.equal(status, 202, JSON.stringify(body))
  assert.equal(headers.get('location'), `/api/v1/operations/${body.operation}`)
  assert.equal(headers.get('etag'), '"1"')
  assert.equal(body.state, 'turning_on')
  assert.deepEqual(body.setting.relayHosts, { out: 'out.relay.example', in: 'in.relay.example' })
  assert.equal(body.setting.arcSealingDomain, 'seal.example')
  assert.deepEqual(
    body.transitions.map(({ event, from, to }: Record<string, string>) => [event, from, to]),
    [['turn-on', 'off', 'turning_on']],
  )
  assert.deepEqual((await read(place)).body, body)
  const [entry, ...others] = await audited(place)
  assert.deepEqual(others, [])
  assert.equal(entry?.action, 'coexistence.switched-on')
  assert.equal(entry.payload['operation'], body.operation)
  const told = await place.in((tx) =>
    rowsOf<{ type: string }>(tx, sql`select type from event where project_id = ${place.project}`),
  )
  assert.ok(told.some(({ type }) => type === 'coexistence.changed'))
  const asked = await place.in((tx) =>
    rowsOf(tx, sql`select from outbox where project_id = ${place.project} and kind = 'coexistence.reconcile'`),
  )
  assert.equal(asked.length, 1)
})

test('members that are left out stay as they are; null takes a domain out', async () => {
  const place = await findingProject(api)
  await put(place, { ...ON, scope: 'pairs', arcSealingDomain: 'seal.example', connectorHoldMs: 0 })
  const off = await put(place, { state: 'off' })
  assert.equal(off.status, 202)
  const { scope, arcSealingDomain, connectorHoldMs, relayHosts } = off.body.setting
  assert.deepEqual(
    { scope, arcSealingDomain, connectorHoldMs, relayHosts },
    {
      scope: 'pairs',
      arcSealingDomain: 'seal.example',
      connectorHoldMs: 0,
      relayHosts: { out: 'out.relay.example', in: 'in.relay.example' },
    },
  )
  const on = await put(place, { state: 'on', arcSealingDomain: null })
  assert.equal(on.body.setting.arcSealingDomain, undefined)
})

test('what can not be is refused with every fault, and changes nothing', async () => {
  const place = await findingProject(api)
  const cases: readonly (readonly [body: object, pointers: readonly string[]])[] = [
    [{ state: 'on' }, ['/relayHosts/out', '/relayHosts/in']],
    [{ ...ON, relayHosts: { out: 'relay', in: '192.0.2.1' } }, ['/relayHosts/out']],
    [
      { ...ON, relayHosts: { out: 'a b.example', in: 'x.example' }, arcSealingDomain: '@' },
      ['/arcSealingDomain', '/relayHosts/out'],
    ],
    [{ ...ON, connectorHoldMs: -1 }, ['/connectorHoldMs']],
    [{ ...ON, unknown: true }, ['/unknown']],
    [{ scope: 'pairs' }, ['/state']],
  ]
  for (const [body, pointers] of cases) {
    const reply = await put(place, body)
    assert.equal(reply.status, 400, JSON.stringify(body))
    const told = reply.body.faults.map(({ pointer }: { pointer: string }) => pointer)
    for (const pointer of pointers) assert.ok(told.includes(pointer), `${pointer} of ${JSON.stringify(told)}`)
  }
  assert.equal((await read(place)).body.state, 'off')
  assert.deepEqual(await audited(place), [])
})

test('who changes it says which version he has seen', async () => {
  const place = await findingProject(api)
  const none = await api.request('PUT', `${place.path}/coexistence`, ON, { key: place.key })
  assert.equal(none.status, 428)
  const first = await put(place, ON, { headers: { 'If-Match': '"0"' } })
  assert.equal(first.status, 202)
  assert.equal((await put(place, ON, { headers: { 'If-Match': '"0"' } })).status, 412)
  assert.equal((await put(place, { state: 'on' }, { headers: { 'If-Match': '"0"' } }, 'free-busy')).status, 412)
})

test('AZ-6: off needs a fresh sign-in or a key made for such acts; on and the emergency stop do not', async () => {
  const place = await findingProject(api)
  const member = await api.member(place.organisation, 'migration-administrator')
  const session = (ageMs: number) =>
    api.session({ principal: member.principal, authenticatedAt: Date.now() - ageMs }).headers
  const old = session(OLD_MS)
  await place.in((tx) =>
    sql`update api_key set allows_dangerous = false where principal = ${member.principal}`.execute(tx),
  )
  assert.equal((await put(place, { state: 'off' }, { headers: old })).status, 202, 'it is off: nothing is at stake')
  assert.equal((await put(place, ON, { headers: old })).status, 202)
  for (const options of [{ headers: old }, { key: member.key }]) {
    const refused = await put(place, { state: 'off' }, options)
    assert.equal(refused.status, 401)
    assert.equal(refused.body.type, '/problems/sign-in-again')
    assert.notEqual(refused.body.reason, '')
  }
  assert.equal((await read(place)).body.state, 'turning_on', 'nothing has changed')
  const stop = await api.request(
    'POST',
    `${place.path}/coexistence/stop`,
    { reason: 'Mail bounces' },
    { key: member.key },
  )
  assert.equal(stop.status, 202)
  assert.equal(stop.body.state, 'turning_off')
  assert.equal(stop.body.setting.state, 'off')
  assert.equal((await put(place, ON, { headers: old })).status, 202)
  assert.equal((await put(place, { state: 'off' }, { headers: session(0) })).status, 202)
})

test('the stop is for those who run mail too, who can not switch; where it is off it does nothing', async () => {
  const place = await findingProject(api)
  const { key } = await api.member(place.organisation, 'mail-operator')
  const refused = await put(place, ON, { key })
  assert.equal(refused.status, 403)
  assert.equal(refused.body.permission, 'coexistence.switch')
  const stop = () => api.request('POST', `${place.path}/coexistence/stop`, { reason: 'x' }, { key })
  const nothing = await stop()
  assert.equal(nothing.status, 200)
  assert.equal(nothing.headers.get('etag'), '"0"')
  assert.equal(nothing.headers.get('location'), null)
  await put(place, ON)
  assert.equal((await stop()).status, 202)
  assert.deepEqual(
    (await audited(place)).map(({ action, result }) => `${action} ${result}`),
    ['coexistence.stopped done', 'coexistence.switched-on done', 'coexistence.stopped done'],
  )
  const { key: helpDesk } = await api.member(place.organisation, 'help-desk')
  const unread = await api.request('GET', `${place.path}/coexistence`, undefined, { key: helpDesk })
  assert.equal(unread.status, 403)
})

test('free/busy is a switch of its own, with the same ETag', async () => {
  const place = await findingProject(api)
  const on = await put(place, { state: 'on', accessLevel: 'LimitedDetails', accessScope: 'Calendars' }, {}, 'free-busy')
  assert.equal(on.status, 202)
  assert.equal(on.headers.get('etag'), '"1"')
  assert.equal(on.body.state, 'turning_on')
  assert.deepEqual(on.body.setting, { state: 'on', accessLevel: 'LimitedDetails', accessScope: 'Calendars' })
  const mail = await read(place)
  assert.equal(mail.body.state, 'off')
  assert.deepEqual(mail.body.transitions, [])
  const off = await put(place, { state: 'off', accessScope: null }, {}, 'free-busy')
  assert.deepEqual(off.body.setting, { state: 'off', accessLevel: 'LimitedDetails' })
  assert.deepEqual(
    (await audited(place)).map(({ action }) => action),
    ['free-busy.switched-on', 'free-busy.switched-off'],
  )
})

test('the ledger is shown newest first, by tenant, state and operation, in pages, with before-images', async () => {
  const place = await findingProject(api)
  const operations = [newId('operation'), newId('operation')]
  const proof = { proof: 'out' as const, sha256: 'a'.repeat(64) }
  for (let n = 0; n < 5; n++) {
    const tenant = n % 2 === 0 ? place.source : place.target
    const before = {
      tenant,
      noun: 'TransportRule',
      guid: crypto.randomUUID(),
      name: `Rule ${n}`,
      properties: { Comments: null },
    } as const
    const at = new Date()
    await place.in(async (tx) => {
      const sequence = await appendIntent(
        tx,
        place,
        {
          tenant,
          noun: 'TransportRule',
          key: `rule-2${n}`,
          guid: before.guid,
          cmdlet: 'Set-TransportRule',
          parameters: { Identity: before.guid, SetHeaderValue: proof, ExceptIfHeaderContainsWords: ['one', 'two'] },
          ...(n === 0 ? {} : { before: { ...before, isEnabled: true, priority: n } }),
          operation: operations[n < 3 ? 0 : 1] ?? newId('operation'),
          author: 'test',
        },
        at,
      )
      if (n === 3) await settleChange(tx, place, sequence, { state: 'failed', problem: 'CONFLICT' }, at)
      else if (n < 3) await settleChange(tx, place, sequence, { state: 'done', after: before }, at)
    })
  }
  const list = async (query = '') => {
    const { status, body } = await api.request('GET', `${place.path}/coexistence/changes${query}`, undefined, {
      key: place.key,
    })
    assert.equal(status, 200, JSON.stringify(body))
    return body
  }
  const sequences = ({ items }: { items: { sequence: number }[] }) => items.map(({ sequence }) => sequence)
  const all = await list()
  assert.deepEqual(sequences(all), [5, 4, 3, 2, 1])
  const [newest, failed, done] = all.items
  assert.equal(newest.state, 'intent')
  assert.equal(newest.settledAt, undefined)
  assert.deepEqual(newest.parameters.SetHeaderValue, proof)
  assert.equal(newest.before.name, 'Rule 4')
  assert.equal(newest.before.priority, 4)
  assert.equal(failed.problem, 'CONFLICT')
  assert.equal(done.after.name, 'Rule 2')
  assert.equal(all.items[4].before, undefined)
  assert.deepEqual(sequences(await list(`?tenant=${place.target}`)), [4, 2])
  assert.deepEqual(sequences(await list('?state=intent')), [5])
  assert.deepEqual(sequences(await list(`?operation=${operations[0]}`)), [3, 2, 1])
  const page = await list('?limit=2')
  assert.deepEqual(sequences(page), [5, 4])
  const next = await api.request('GET', page.next.slice('/api/v1'.length), undefined, { key: place.key })
  assert.deepEqual(sequences(next.body), [3, 2])
})

const plan = (place: Pick<FindingProject, 'path' | 'key'>, body: object) =>
  api.request('POST', `${place.path}/coexistence/plan`, body, { key: place.key })

test('a plan names what keeps us out of a tenant, and still says what is known', async () => {
  const place = await findingProject(api)
  const unknown = await plan(place, {})
  assert.equal(unknown.status, 200, JSON.stringify(unknown.body))
  assert.deepEqual(
    unknown.body.obstacles.map(({ tenant, code }: Record<string, string>) => [tenant, code]),
    [
      [place.source, 'not-connected'],
      [place.target, 'not-connected'],
    ],
  )
  await place.know({ sourceExchange: { rejectDirectSend: true } })
  const { status, body } = await plan(place, {})
  assert.equal(status, 200, JSON.stringify(body))
  assert.deepEqual(body.steps, [])
  assert.equal(body.setting.state, 'on')
  // Microsoft has no such tenant.
  for (const { code, remedy } of body.obstacles) {
    assert.equal(code, 'AUTH_TOKEN')
    assert.notEqual(remedy, '')
  }
  assert.deepEqual(
    body.missing.map(({ code }: { code: string }) => code),
    ['domains-unknown', 'domains-unknown', 'no-relay-hosts', 'no-relay-certificate', 'no-relay-certificate'],
  )
  const codes = body.findings.map(({ code }: { code: string }) => code)
  for (const code of ['nobody-in-scope', 'relay-host-unnamed', 'relays-none', 'reject-direct-send'])
    assert.ok(codes.includes(code), code)
  const severities = body.findings.map(({ severity }: { severity: string }) => severity)
  assert.deepEqual(
    severities,
    severities.toSorted((a: string, b: string) => RANK.indexOf(a) - RANK.indexOf(b)),
  )
  for (const finding of body.findings) assert.ok(finding.title && finding.explanation && finding.remedy, finding.code)
  assert.equal((await plan(place, { recipientsADay: { nowhere: 5 } })).status, 400)
  assert.deepEqual(await audited(place), [], 'it changes nothing')
  const states = await place.in((tx) =>
    rowsOf<{ state: string }>(tx, sql`select state from consent where project_id = ${place.project}`),
  )
  assert.deepEqual(
    states.map(({ state }) => state),
    ['connected', 'connected'],
    'not even that a tenant is paused',
  )
})

test('a plan is made of both tenants as they are now, and leaves them so', async () => {
  assert.ok(sealer)
  const it = await connectedProject(api, sandbox, { sealer })
  for (const tenant of [it.source, it.target]) await it.discover(tenant)
  const inside = <T>(work: (tx: Tx) => Promise<T>) =>
    withScope(api.database.db, { organisation: it.organisation }, work)
  const addressesIn = async (tenant: string, domain: string) =>
    (
      await inside((tx) =>
        rowsOf<{ mail: string }>(
          tx,
          sql`select mail from account where tenant_id = ${tenant} and kind = 'user' and snapshot ? 'mailbox' and mail like ${`%@${domain}`} order by mail limit 3`,
        ),
      )
    ).map(({ mail }) => mail.toLowerCase())
  const mailboxes = await addressesIn(it.source.id, 'contoso.com')
  const [first = '', second = ''] = await addressesIn(it.target.id, 'fabrikam.com')
  const presented = [first, second, 'nobody.at.all@fabrikam.com']
  for (const [n, mailbox] of mailboxes.entries()) {
    const known = presented[n] ?? ''
    const entry = { known: [mailbox, known], presented: known, mailbox }
    const made = await api.request('POST', `${it.path}/mappings`, entry, { key: it.key })
    assert.equal(made.status, 201, JSON.stringify(made.body))
  }
  for (const [tenant, name] of [
    [it.source.id, 'contoso.com'],
    [it.target.id, 'fabrikam.com'],
  ] as const)
    await inside((tx) =>
      sql`insert into certificate (organisation_id, project_id, id, purpose, tenant_id, names, algorithm, state, public_key, key_sealed, chain,
                                   fingerprint, not_before, expires_at, created_at, created_by)
          values (${it.organisation}, ${it.project}, ${newId('certificate')}, 'tenant', ${tenant}, ${[name]}, 'ec-p256', 'active', 'k', '\\x00', 'c',
                  'f', now(), now() + interval '10 days', now(), 'test')`.execute(tx),
    )
  // Since the discovery.
  const source = sandbox.tenants.get(it.source.entraTenantId)
  source?.putExchangeObject({
    guid: crypto.randomUUID(),
    noun: 'TransportRule',
    properties: {
      Name: 'Takes it away',
      State: 'Enabled',
      Mode: 'Enforce',
      Priority: 5,
      RemoveHeader: 'X-Causeway-Trace',
    },
  })
  const before = JSON.stringify([...sandbox.tenants.values()].map((tenant) => tenant.toData()))

  const { status, body } = await plan(it, { ...ON, recipientsADay: { source: 30_000, target: 100_000 } })
  assert.equal(status, 200, JSON.stringify(body))
  assert.deepEqual([body.obstacles, body.missing, body.problems], [[], [], []])
  assert.equal(body.stepCount, body.steps.length)
  assert.ok(
    body.summary.some(({ tenant, effect }: Record<string, string>) => tenant === it.source.id && effect === 'create'),
  )
  const keys = new Set(body.steps.map(({ key }: { key: string }) => key))
  for (const key of [
    'group-presented',
    'group-elsewhere',
    'in',
    'out',
    'elsewhere',
    'rule-20',
    'rule-21',
    'rule-40',
    'rule-90',
  ])
    assert.ok(keys.has(key), key)
  const members = body.steps.filter(({ effect }: { effect: string }) => effect === 'add-member')
  assert.equal(members.length, 4, 'two people, in a group of each tenant')
  const found = new Map<string, Record<string, unknown>>(
    body.findings.map(({ code, tenant, details }: Record<string, unknown>) => [
      `${String(code)} ${String(tenant)}`,
      details,
    ]),
  )
  assert.deepEqual(found.get(`rules-touch-our-fields ${it.source.id}`), { count: 1, names: ['Takes it away'] })
  assert.equal(found.get(`people-without-presented-object ${it.source.id}`)?.['people'], 1)
  assert.equal(found.get(`external-recipients-over-limit ${it.target.id}`)?.['own'], 100_000)
  assert.deepEqual(found.get(`relay-certificate-ends-soon ${it.source.id}`)?.['names'], ['contoso.com'])
  assert.ok(found.has(`dns-unreachable ${it.target.id}`))
  assert.ok(found.has(`alias-recipients-unseen ${it.source.id}`) && found.has(`bcc-unseen ${it.source.id}`))
  const all = await plan(it, { ...ON, mode: 'all-outbound', turnsTnefOff: true })
  const codes = all.body.findings.map(({ code }: { code: string }) => code)
  for (const code of ['bcc-unseen', 'remote-domain-tnef']) assert.ok(!codes.includes(code), code)
  assert.equal(JSON.stringify([...sandbox.tenants.values()].map((tenant) => tenant.toData())), before)
  const secrets = await inside((tx) => rowsOf(tx, sql`select from coexistence_switch where project_id = ${it.project}`))
  assert.equal(secrets.length, 0)
})

const RANK = ['blocker', 'warning', 'notice']

test('another organisation can not know that there is such a project (AZ-4)', async () => {
  const place = await findingProject(api)
  const { key } = await api.organisation('Other')
  for (const path of ['coexistence', 'coexistence/changes', 'free-busy'])
    assert.equal((await api.request('GET', `${place.path}/${path}`, undefined, { key })).status, 404, path)
  assert.equal((await put(place, ON, { key })).status, 404)
  for (const path of ['plan', 'stop'])
    assert.equal((await api.request('POST', `${place.path}/coexistence/${path}`, { reason: 'x' }, { key })).status, 404)
  assert.equal((await read(place)).body.state, 'off')
})
