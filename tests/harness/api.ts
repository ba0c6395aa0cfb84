// The API over real HTTP on a real database: routes under test, an organisation, and callers with API keys of any role.
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { sql } from 'kysely'
import { createLog } from '../../common/log.ts'
import { emptyMetrics } from '../../common/metrics.ts'
import { credentialHash, newApiKey } from '../../control-plane/access/api-key.ts'
import { createAuthenticate, SESSION_COOKIE } from '../../control-plane/access/authenticate.ts'
import type { AuthenticateDeps } from '../../control-plane/access/authenticate.ts'
import type { SessionCaller } from '../../control-plane/access/caller.ts'
import type { FailureLimit } from '../../control-plane/access/failure-limit.ts'
import { ORGANISATION_PERMISSIONS } from '../../control-plane/access/permissions.ts'
import { withScope } from '../../control-plane/db/database.ts'
import { createApp, hardenServer } from '../../control-plane/http/app.ts'
import type { AppDeps } from '../../control-plane/http/app.ts'
import { retrySecretOf } from '../../control-plane/http/idempotency.ts'
import type { AnyRoute } from '../../control-plane/http/route.ts'
import { newId } from '../../control-plane/ids.ts'
import type { OrganisationId, ProjectId } from '../../control-plane/ids.ts'
import { testDatabase } from './postgres.ts'
import type { Ending, TestDatabase } from './postgres.ts'

export interface Reply {
  readonly status: number
  readonly headers: Headers
  /** Parsed when it is JSON. */
  readonly body: any // oxlint-disable-line typescript/no-explicit-any -- tests look into it
}

export interface RequestOptions {
  readonly key?: string
  readonly headers?: Readonly<Record<string, string>>
}

export interface TestApi {
  readonly url: string
  readonly database: TestDatabase
  /** Lines of the log. */
  readonly lines: string[]
  /** An organisation with the key of an organization administrator. */
  organisation(name?: string): Promise<{ id: OrganisationId; key: string }>
  /** A member with this role, and his personal key. */
  member(
    organisation: OrganisationId,
    role: string,
    project?: string,
  ): Promise<{ key: string; principal: string; member: string }>
  project(organisation: OrganisationId, name?: string): Promise<ProjectId>
  /** A browser's session: give `headers` with each request. @param principal  default: somebody new */
  session(caller?: Partial<SessionCaller>): { headers: Record<string, string>; principal: string }
  /** A session of an installation administrator. */
  installationAdministrator(): Promise<{ headers: Record<string, string>; principal: string }>
  /** `path` below /api/v1, or the root with `//`. A body that is no string or Buffer goes as JSON. */
  request(method: string, path: string, body?: unknown, options?: RequestOptions): Promise<Reply>
}

export interface TestApiOptions {
  readonly now?: () => number
  readonly findSession?: AuthenticateDeps['findSession']
  readonly failures?: FailureLimit
  readonly app?: Partial<AppDeps>
}

/** @param routesOf  given the database and log, the routes to serve */
export async function testApi(
  t: Ending,
  routesOf: (deps: {
    database: TestDatabase
    log: ReturnType<typeof createLog>
  }) => readonly AnyRoute[] | Promise<readonly AnyRoute[]>,
  options: TestApiOptions = {},
): Promise<TestApi> {
  const database = await testDatabase(t)
  const sessions = new Map<string, SessionCaller>()
  const { now = () => Date.now(), findSession = (id: string) => Promise.resolve(sessions.get(id)) } = options
  const lines: string[] = []
  const log = createLog({ write: (line) => void lines.push(line), level: 'debug', now })
  const stopping = new AbortController()
  const generous = { perSecond: 1e6, burst: 1e6 }
  const app = createApp({
    routes: await routesOf({ database, log }),
    database,
    authenticate: createAuthenticate({
      db: database.db,
      findSession,
      ...(options.failures === undefined ? {} : { failures: options.failures }),
    }),
    log,
    metrics: emptyMetrics(),
    version: '0.0.0',
    trustedProxies: [],
    publicUrl: new URL('http://causeway.test'), // the port is not known yet: pages are ours by Host
    isPlain: true,
    now,
    monotonicMs: () => performance.now(),
    rates: { caller: generous, address: generous },
    stopping: stopping.signal,
    ...options.app,
  })
  const server = createServer(app)
  hardenServer(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(async () => {
    stopping.abort()
    server.close()
    server.closeAllConnections()
    await once(server, 'close')
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

  const addMember = async (organisation: OrganisationId, role: string, project = '') => {
    const principal = `11111111-1111-1111-1111-111111111111/${crypto.randomUUID()}`
    const member = newId('member')
    const key = newApiKey()
    const at = now()
    await withScope(database.db, { organisation }, async (tx) => {
      await sql`insert into member (organisation_id, id, principal, invited_by) values (${organisation}, ${member}, ${principal}, 'test')`.execute(
        tx,
      )
      await sql`insert into role_assignment (organisation_id, member_id, role_id, project_id, assigned_by)
                values (${organisation}, ${member}, ${role}, ${project}, 'test')`.execute(tx)
      await sql`insert into api_key (organisation_id, id, name, prefix, key_hash, principal, member_id, permissions, created_at, expires_at, allows_dangerous)
                values (${organisation}, ${newId('api-key')}, 'test', ${key.prefix}, ${key.hash}, ${principal}, ${member},
                        ${[...ORGANISATION_PERMISSIONS]}, ${new Date(at)}, ${new Date(at + 86_400_000)}, true)`.execute(
        tx,
      )
    })
    return { key: key.text, principal, member }
  }

  const addSession = (caller: Partial<SessionCaller> = {}) => {
    const id = crypto.randomUUID()
    const csrf = crypto.randomUUID()
    const principal = caller.principal ?? `11111111-1111-1111-1111-111111111111/${crypto.randomUUID()}`
    sessions.set(id, {
      kind: 'session',
      retrySecret: retrySecretOf(id),
      principal,
      displayName: 'Somebody',
      sessionHash: credentialHash(id),
      csrfHash: credentialHash(csrf),
      authenticatedAt: now(),
      isBreakGlass: false,
      ...caller,
    })
    return { headers: { Cookie: `${SESSION_COOKIE}=${id}`, Origin: url, 'X-CSRF-Token': csrf }, principal }
  }

  return {
    url,
    database,
    lines,
    session: addSession,
    async installationAdministrator() {
      const session = addSession()
      await withScope(database.db, { purpose: 'administration' }, (tx) =>
        sql`insert into installation_administrator (principal, added_by) values (${session.principal}, 'test')`.execute(
          tx,
        ),
      )
      return session
    },
    async organisation(name = 'Contoso') {
      const id = newId('organisation')
      await withScope(database.db, { organisation: id }, async (tx) => {
        await sql`insert into organisation (organisation_id, name) values (${id}, ${name})`.execute(tx)
        await sql`insert into audit_chain (organisation_id) values (${id})`.execute(tx)
      })
      return { id, key: (await addMember(id, 'organization-administrator')).key }
    },
    member: addMember,
    async project(organisation, name = 'Merger') {
      const id = newId('project')
      await withScope(database.db, { organisation }, (tx) =>
        sql`insert into project (organisation_id, id, name, created_by) values (${organisation}, ${id}, ${name}, 'test')`.execute(
          tx,
        ),
      )
      return id
    },
    async request(method, path, body, { key, headers = {} } = {}) {
      const isRaw = typeof body === 'string' || body instanceof Uint8Array
      const response = await fetch(url + (path.startsWith('//') ? path.slice(1) : `/api/v1${path}`), {
        method,
        headers: {
          ...(key === undefined ? {} : { Authorization: `Bearer ${key}` }),
          ...(body === undefined || isRaw ? {} : { 'Content-Type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: isRaw ? body : JSON.stringify(body) }),
      })
      const text = await response.text()
      const isJson = /\bjson\b/.test(response.headers.get('content-type') ?? '')
      return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text }
    },
  }
}
