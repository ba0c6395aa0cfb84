// Starts the whole product as processes: copies of the API and a worker on a database of their own, and one project in it that is made through REST, as
// an administrator does it. What end-to-end tests of the control plane begin with.
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { migrateQueue } from '../../control-plane/jobs/queue-backend.ts'
import { CONTOSO, ControlPlane, FABRIKAM } from './control-plane.ts'
import { NextHop } from './next-hop.ts'
import { freePorts } from './ports.ts'
import { testDatabase } from './postgres.ts'
import type { Ending, TestDatabase } from './postgres.ts'
import { ServerProcess } from './server-process.ts'
import { eventually } from './wait.ts'

export interface ControlPlaneOptions {
  /** Copies of the API. */
  readonly apis?: number
  /** Where jobs wait; default: in Postgres. */
  readonly redisUrl?: string
  /** A migrated one that the test has made itself; default: one from the template. */
  readonly databaseUrl?: string
  /** More of the environment of all processes. */
  readonly env?: Readonly<Record<string, string>>
}

/** A test, or whatever else has an end and somewhere to say what went wrong. */
export type Surroundings = Ending & Pick<TestContext, 'diagnostic'>

const SHOWN = 6_000

/** A control plane for the time of `work`. When that fails, the last words of every process go into the test's report. */
export async function withControlPlane(
  t: Surroundings,
  options: ControlPlaneOptions,
  work: (plane: ControlPlane) => Promise<void>,
): Promise<void> {
  const plane = await prepare(t, options)
  try {
    await plane.apis[0]?.start()
    await Promise.all([setUp(plane), ...[...plane.apis.slice(1), plane.worker].map((each) => each.start())])
    await work(plane)
  } catch (error) {
    for (const each of plane.processes) t.diagnostic(`${each.command} said last:\n${each.output().slice(-SHOWN)}`)
    for (const relay of plane.relays) t.diagnostic(`a relay said last:\n${relay.output().slice(-SHOWN)}`)
    throw error
  } finally {
    await plane.end()
  }
}

async function prepare(t: Surroundings, options: ControlPlaneOptions): Promise<ControlPlane> {
  const { apis = 1, redisUrl, env } = options
  const database = options.databaseUrl === undefined ? await testDatabase(t, { maxConnections: 2 }) : undefined
  if (database !== undefined && redisUrl === undefined) await migrateQueue(database.ownerConnection)
  const keyDirectory = await mkdtemp(join(tmpdir(), 'causeway-keys-'))
  const ports = await freePorts(apis)
  const urls = ports.map((port) => `http://127.0.0.1:${port}`)
  const common = {
    CAUSEWAY_MODE: 'evaluation',
    PUBLIC_URL: urls[0] ?? '',
    METRICS_PORT: '0',
    DATABASE_URL: options.databaseUrl ?? socketUrl(database?.connection),
    DATABASE_MAX_CONNECTIONS: '10',
    KEY_DIRECTORY: join(keyDirectory, 'keys'),
    ...(redisUrl === undefined ? {} : { REDIS_URL: redisUrl }),
    ...env,
  }
  return new ControlPlane({
    apis: ports.map((port) => new ServerProcess('api', { ...common, PORT: String(port) })),
    worker: new ServerProcess('worker', common),
    urls,
    database,
    keyDirectory,
    hop: await NextHop.start(),
  })
}

export function socketUrl(connection: TestDatabase['connection'] | undefined): string {
  if (connection === undefined) throw new Error('unreachable: there is a database')
  return `socket:${connection.host}?user=${connection.user}&database=${connection.database}`
}

/** Organisation, project, two tenants behind the next hop: as an administrator does it with the one-time code. */
async function setUp(plane: ControlPlane): Promise<void> {
  const [api] = plane.apis
  const code = await eventually('the one-time code', () => / {4}([\w-]{10,})\n/.exec(api?.output() ?? '')?.[1])
  const first = await plane.done('POST', '/session/break-glass', { code })
  const cookie = (first.headers.get('set-cookie') ?? '').split(';', 1)[0] ?? ''
  const headers = { Cookie: cookie, Origin: plane.urls[0] ?? '', 'X-CSRF-Token': String(first.body.csrfToken) }
  const administrator = { tenantId: crypto.randomUUID(), objectId: crypto.randomUUID(), displayName: 'Adele' }
  const { id } = (await plane.done('POST', '/organizations', { name: 'Merger', administrator }, { headers })).body
  plane.organisation = String(id)
  const key = await plane.done('POST', `/organizations/${plane.organisation}/evaluation-key`, undefined, { headers })
  plane.secrets = {
    ...plane.secrets,
    firstRunCode: code,
    sessionId: cookie.split('=', 2)[1] ?? '',
    csrfToken: headers['X-CSRF-Token'],
    apiKey: String(key.body.secret),
  }
  plane.project = String(
    (await plane.done('POST', `/organizations/${plane.organisation}/projects`, { name: 'Merger' })).body.id,
  )
  for (const [side, domain] of [
    ['source', CONTOSO],
    ['target', FABRIKAM],
  ] as const) {
    const tenant = { side, label: side, tenantId: crypto.randomUUID(), acceptedDomains: [domain] }
    await plane.done('POST', `${plane.path}/tenants`, { cloud: 'global', appModel: 'multi-tenant', ...tenant })
  }
  await plane.settle({})
}
