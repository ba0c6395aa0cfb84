// Route × role × organisation, made from the table of routes: each answers each caller exactly as access/permissions.ts says, and whatever changes
// something leaves exactly one event in the audit trail. (AZ-4, AZ-5, AZ-7, AU-1)
import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { after, test } from 'node:test'
import { sql } from 'kysely'
import { emptyMetrics } from '../../../common/metrics.ts'
import { credentialHash } from '../../../control-plane/access/api-key.ts'
import { sessionCookie } from '../../../control-plane/access/authenticate.ts'
import { BUILT_IN_ROLES, permissionsAt } from '../../../control-plane/access/permissions.ts'
import type { Permission, Standing } from '../../../control-plane/access/permissions.ts'
import { Sessions } from '../../../control-plane/access/session-lookup.ts'
import { rowsOf, withScope } from '../../../control-plane/db/database.ts'
import type { Tx } from '../../../control-plane/db/database.ts'
import { WakeUps } from '../../../control-plane/db/wake-ups.ts'
import { pathOf } from '../../../control-plane/http/openapi.ts'
import { isChanging } from '../../../control-plane/http/route.ts'
import type { AnyRoute } from '../../../control-plane/http/route.ts'
import { openKeyDirectory } from '../../../control-plane/keys/file-provider.ts'
import { KeyCache } from '../../../control-plane/keys/key-cache.ts'
import { KeyUses } from '../../../control-plane/keys/key-uses.ts'
import { createSealer } from '../../../control-plane/keys/sealer.ts'
import { CompiledTables } from '../../../control-plane/mapping/compiled-tables.ts'
import { HealthCheck } from '../../../control-plane/monitoring/health.ts'
import { allRoutes } from '../../../control-plane/routes.ts'
import { loadSettings } from '../../../control-plane/settings.ts'
import { openConnect } from '../../../control-plane/tenants/connect.ts'
import { testApi } from '../../harness/api.ts'
import { isLong } from '../../harness/thorough.ts'
import { AUDIT_EXAMPLES } from './examples/audit-examples.ts'
import { COEXISTENCE_EXAMPLES } from './examples/coexistence-examples.ts'
import { FINDING_EXAMPLES } from './examples/finding-examples.ts'
import { KEY_EXAMPLES } from './examples/key-examples.ts'
import { MAPPING_EXAMPLES } from './examples/mapping-examples.ts'
import { MATCHING_EXAMPLES } from './examples/matching-examples.ts'
import { OPERATION_EXAMPLES } from './examples/operation-examples.ts'
import { ACCESS_EXAMPLES, ORGANISATION_EXAMPLES } from './examples/organisation-examples.ts'
import { CONSENT_EXAMPLES } from './examples/consent-examples.ts'
import { DIRECTORY_EXAMPLES } from './examples/directory-examples.ts'
import { PROJECT_EXAMPLES } from './examples/project-examples.ts'
import { RELAY_EXAMPLES } from './examples/relay-examples.ts'
import { MONITORING_EXAMPLES, SIGN_IN_EXAMPLES } from './examples/sign-in-examples.ts'
import { WEBHOOK_EXAMPLES } from './examples/webhook-examples.ts'
import type { Column, Example, Examples, Verdict, World } from './examples/world.ts'

const EXAMPLES: Examples = {
  ...MONITORING_EXAMPLES,
  ...SIGN_IN_EXAMPLES,
  ...AUDIT_EXAMPLES,
  ...ORGANISATION_EXAMPLES,
  ...ACCESS_EXAMPLES,
  ...PROJECT_EXAMPLES,
  ...CONSENT_EXAMPLES,
  ...DIRECTORY_EXAMPLES,
  ...FINDING_EXAMPLES,
  ...COEXISTENCE_EXAMPLES,
  ...MAPPING_EXAMPLES,
  ...MATCHING_EXAMPLES,
  ...KEY_EXAMPLES,
  ...RELAY_EXAMPLES,
  ...OPERATION_EXAMPLES,
  ...WEBHOOK_EXAMPLES,
}

const keyFolder = mkdtempSync(join(tmpdir(), 'causeway-matrix-'))
const settings = loadSettings({
  CAUSEWAY_MODE: 'evaluation',
  PUBLIC_URL: 'http://127.0.0.1',
  DATABASE_URL: 'postgres://unused',
  KEY_FILE: join(keyFolder, 'keys'),
  // Nothing listens there: looking DNS records up fails at once.
  DNS_SERVERS: '127.0.0.1',
  // Nor there: nobody reaches Microsoft from a test.
  ENTRA_TENANT_ID: crypto.randomUUID(),
  ENTRA_CLIENT_ID: crypto.randomUUID(),
  ENTRA_CERTIFICATE_FILE: '/none',
  ENTRA_KEY_FILE: '/none',
  ENTRA_SANDBOX_URL: 'http://127.0.0.1:1',
  SANDBOX_GRAPH_URL: 'http://127.0.0.1:1',
  SANDBOX_EXCHANGE_URL: 'http://127.0.0.1:1',
})
let routes: readonly AnyRoute[] = []

const api = await testApi({ after }, async ({ database, log }) => {
  const now = () => Date.now()
  const { db } = database
  const wakeUps = new WakeUps(database.connection, log)
  await wakeUps.start()
  const cache = new KeyCache(now)
  const uses = new KeyUses({ db, log, now: () => new Date() })
  after(async () => {
    await uses.settle()
    await wakeUps.close()
    cache.close()
    rmSync(keyFolder, { recursive: true, force: true })
  })
  const provider = await openKeyDirectory(join(keyFolder, 'keys'), now)
  const keys = { db, provider, cache, uses, now: () => new Date() }
  const monotonicMs = () => performance.now()
  const pingQueue = () => Promise.resolve()
  routes = allRoutes({
    settings,
    database,
    sealer: createSealer(keys),
    wakeUps,
    log,
    metrics: emptyMetrics(),
    now,
    monotonicMs,
    connect: await openConnect(settings, { log, metrics: emptyMetrics(), now, monotonicMs }),
    tables: new CompiledTables({ db, log }),
    health: new HealthCheck({ database, pingQueue, keyService: provider, isStopping: () => false, monotonicMs }),
    sessions: new Sessions({ db, signIn: undefined, log }),
    signIn: undefined,
  })
  return routes
})
const { id: organisation, key } = await api.organisation()
const world: World = { api, organisation, key, project: await api.project(organisation) }

/** Of callers who have to be answered alike by one route, in a run that is not long. */
const ENOUGH = 2
const NOBODY: Standing = { isMember: false, assignments: [], customRoles: new Map(), hasSupportGrant: false }
const bearer = (text: string) => ({ Authorization: `Bearer ${text}` })
const columns = await makeColumns()

async function makeColumns(): Promise<Column[]> {
  const nobody = { name: 'nobody', headers: {}, standing: undefined }
  const made: Column[] = [{ ...nobody, isInstallationAdministrator: false, isSession: false }]
  const add = (
    name: string,
    headers: Column['headers'],
    standing: Partial<Standing>,
    isInstallationAdministrator = false,
  ) => {
    const isSession = 'Cookie' in headers
    made.push({ name, headers, standing: { ...NOBODY, ...standing }, isInstallationAdministrator, isSession })
  }
  for (const role of Object.keys(BUILT_IN_ROLES)) {
    const member = await api.member(organisation, role)
    add(role, bearer(member.key), { isMember: true, assignments: [{ role, project: '' }] })
    const scoped = await api.member(organisation, role, world.project)
    add(`${role} of one project`, bearer(scoped.key), {
      isMember: true,
      assignments: [{ role, project: world.project }],
    })
  }
  const without = await api.member(organisation, 'help-desk')
  await api.request(
    'PUT',
    `/organizations/${organisation}/members/${without.member}/assignments`,
    { assignments: [] },
    {
      key,
      headers: { 'If-Match': '*' },
    },
  )
  add('a member without role', bearer(without.key), { isMember: true })
  const support = api.session()
  const [tenantId, objectId] = support.principal.split('/')
  await api.request(
    'POST',
    `/organizations/${organisation}/support-grants`,
    { tenantId, objectId, reason: 'x', hours: 1 },
    { key },
  )
  add('support', support.headers, { hasSupportGrant: true })
  add('the administrator of another organisation', bearer((await api.organisation('Fabrikam')).key), {})
  add('an installation administrator', (await api.installationAdministrator()).headers, {}, true)
  add('the break-glass account', api.session({ isBreakGlass: true }).headers, {}, true)
  for (const { headers, isSession } of made) if (isSession) await storeSession(headers)
  return made
}

/** Sessions of the harness are in memory: what reads or ends one's own finds it in the database. */
async function storeSession(headers: Column['headers']): Promise<void> {
  const hash = credentialHash(sessionCookie(headers['Cookie']) ?? '')
  await withScope(api.database.db, { credential: hash }, (tx) =>
    sql`insert into session (id_hash, principal, display_name, csrf_hash, authenticated_at, checked_at, last_used_at, expires_at)
        values (${hash}, 'x/x', 'Somebody', 'x', now(), now(), now(), now() + interval '1 hour')`.execute(tx),
  )
}

/** What permissions.ts says, and the example's handler for those whom that lets through. @param project  of the path */
function verdictOf(spec: AnyRoute, column: Column, project: string | undefined, example: Example): Verdict {
  if (spec.access === 'public') return 'allowed'
  if (column.standing === undefined) return 401
  const isAtPlace = /\{(organization|project|operation)\}/.test(spec.path)
  const held =
    spec.access === 'installation.manage'
      ? new Set<Permission>(column.isInstallationAdministrator ? ['installation.manage'] : [])
      : permissionsAt(column.standing, project)
  if (spec.access === 'installation.manage' && held.size === 0) return 403
  // A role in one project lets its holder ask the organisation for what is his there, and for nothing else.
  const isInProject = spec.access === 'signed-in' && project === undefined && column.standing.assignments.length > 0
  if (isAtPlace && held.size === 0 && !isInProject) return 404
  if (isAtPlace && spec.access !== 'signed-in' && !held.has(spec.access)) return 403
  return example.verdict?.(column, held) ?? 'allowed'
}

const owner = api.database.owner.db as unknown as Tx

/** Sizes of all audit chains. */
async function chainSizes(): Promise<Record<string, number>> {
  const rows = await rowsOf<{ id: string; size: number }>(
    owner,
    sql`select organisation_id as id, size from audit_chain`,
  )
  return Object.fromEntries(rows.map(({ id, size }) => [id, size]))
}

/** Audit events since then, of all chains. */
const eventsSince = (sizes: Record<string, number>) =>
  rowsOf<{ action: string; result: string }>(
    owner,
    sql`select e.action, e.result from audit_chain c
          join audit_event e on e.organisation_id = c.organisation_id
           and e.sequence > coalesce((${JSON.stringify(sizes)}::jsonb ->> c.organisation_id)::bigint, 0)`,
  )

async function send(spec: AnyRoute, column: Column, example: Example): Promise<{ status: number; text: string }> {
  const params: Readonly<Record<string, string>> = {
    organization: organisation,
    project: world.project,
    ...example.params,
  }
  const path = pathOf(spec).replaceAll(/\{(\w+)\}/g, (_, name: string) => {
    const value = params[name]
    assert.ok(value !== undefined, `the example of ${spec.id} has no {${name}}`)
    return encodeURIComponent(value)
  })
  const { body, query, headers } = example
  const isRaw = typeof body === 'string' || body instanceof Uint8Array
  const gone = new AbortController()
  const response = await fetch(`${api.url}${path}${query === undefined ? '' : `?${query}`}`, {
    method: spec.method.toUpperCase(),
    redirect: 'manual',
    signal: gone.signal,
    headers: {
      ...(body === undefined || isRaw ? {} : { 'Content-Type': 'application/json' }),
      ...column.headers,
      ...headers,
    },
    ...(body === undefined ? {} : { body: isRaw ? body : JSON.stringify(body) }),
  })
  if (spec.isLongLived !== true || !response.ok) return { status: response.status, text: await response.text() }
  gone.abort() // a stream: that it began is enough
  return { status: response.status, text: '' }
}

/** What is for anybody asks for no credential: two are as good as all. Else all, from another one on each time. */
function columnsFor(spec: AnyRoute): readonly Column[] {
  if (spec.access === 'public') return columns.slice(0, 2)
  const from = isLong ? 0 : randomInt(columns.length)
  return [...columns.slice(from), ...columns.slice(0, from)]
}

test('every route has an example, and every example a route', () => {
  assert.deepEqual(Object.keys(EXAMPLES).toSorted(), routes.map(({ id }) => id).toSorted())
})

for (const spec of routes) {
  test(`AZ-4, AU-1: ${spec.method.toUpperCase()} ${spec.path} (${spec.access}) answers each role as it may, and leaves its trace once`, async () => {
    const makeExample = EXAMPLES[spec.id]
    assert.ok(makeExample !== undefined, `${spec.id} has no example: add one beside examples/world.ts`)
    let allowed = 0
    // Whatever is refused changes nothing: one example is good until somebody was let through with it.
    let fresh: Example | undefined
    const answered = new Map<Verdict, number>()
    for (const column of columnsFor(spec)) {
      const example: Example = fresh ?? (await makeExample(world))
      // Operations of examples are of the world's project.
      const isAtProject = /\{(project|operation)\}/.test(spec.path)
      const project = isAtProject ? (example.params?.['project'] ?? world.project) : undefined
      const verdict = verdictOf(spec, column, project, example)
      const before = answered.get(verdict) ?? 0
      if (!isLong && before === ENOUGH) {
        fresh = example
        continue
      }
      answered.set(verdict, before + 1)
      fresh = verdict === 'allowed' && isChanging(spec) ? undefined : example
      const sizes = await chainSizes()
      const { status, text } = await send(spec, column, example)
      const where = `${column.name}: ${status} ${text.slice(0, 300)}`
      const left = await eventsSince(sizes)
      if (verdict === 'allowed') {
        allowed++
        if (example.expects === undefined) assert.ok(status >= 200 && status < 300, where)
        else assert.equal(status, example.expects, where)
        const told = left.map(({ result }) => result)
        const expected: readonly string[] = example.audits ?? (isChanging(spec) ? ['done'] : [])
        assert.deepEqual(told, expected, `${where}: ${JSON.stringify(left)}`)
      } else {
        assert.equal(status, verdict, where)
        assert.deepEqual(left, verdict === 403 ? [{ action: 'access.denied', result: 'denied' }] : [], where)
        if (verdict === 403 && spec.access !== 'signed-in')
          assert.equal(JSON.parse(text).permission, spec.access, where)
        // AZ-4: what is hidden looks as if it weren't there at all.
        if (verdict === 404)
          assert.deepEqual(Object.keys(JSON.parse(text)).toSorted(), ['requestId', 'status', 'title', 'type'], where)
      }
    }
    assert.ok(allowed > 0, 'somebody can do it')
  })
}

test('AZ-7: through a support grant nothing is changed anywhere', () => {
  const support = columns.find(({ name }) => name === 'support')
  assert.ok(support !== undefined)
  for (const spec of routes.filter((one) => isChanging(one) && one.access !== 'signed-in' && one.access !== 'public'))
    for (const project of [undefined, world.project])
      assert.notEqual(verdictOf(spec, support, project, {}), 'allowed', spec.id)
})
