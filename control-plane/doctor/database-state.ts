// The database as api and worker find it: reached, of a version that we know, migrated, and seen through a role that can do no more than it should.
// (OP-5, TI-2, SC-4)
import { sql } from 'kysely'
import { fault, kindOf, ok, warning } from '../../common/doctor/finding.ts'
import type { Finding } from '../../common/doctor/finding.ts'
import { openDatabase, withScope } from '../db/database.ts'
import type { Db } from '../db/database.ts'
import { pendingMigrations, SERVICE_ROLE, unknownMigrations } from '../db/migrate.ts'
import { ofInstallation } from '../keys/key-owner.ts'
import { listProjectKeys } from '../keys/project-key-store.ts'
import type { ProjectKey } from '../keys/project-key-store.ts'
import type { Settings } from '../settings.ts'

const OLDEST_VERSION = 15
const NEWEST_VERSION = 18
/** Sessions, tokens and retention compare times of both. */
const CLOCK_WARNING_MS = 5_000
const CLOCK_FAULT_MS = 30_000
/** What a process takes beside its pool: to be woken by, and for the queue. */
const OTHER_CONNECTIONS = 7

export interface DatabaseFacts {
  /** 180004 */
  readonly versionNumber: number
  readonly pending: readonly string[]
  readonly unknown: readonly string[]
  readonly role: {
    readonly name: string
    readonly isSuperuser: boolean
    readonly bypassesRls: boolean
    readonly makesRoles: boolean
    readonly isOfService: boolean
    readonly owned: number
    readonly canMakeTables: boolean
  }
  /** Tables of tenants on which row-level security is not both enabled and forced. */
  readonly unprotected: readonly string[]
  /** ms; of the database before ours. */
  readonly clockAheadMs: number
  readonly isEncrypted: boolean
  readonly connectionsAllowed: number
}

export interface ExaminedDatabase {
  readonly findings: Finding[]
  /** Keys of the installation; undefined: nobody could ask. */
  readonly keys: readonly ProjectKey[] | undefined
}

export async function examineDatabase(
  { connection, maxConnections }: Settings['database'],
  now: () => number,
): Promise<ExaminedDatabase> {
  const opened = openDatabase({ connection, maxConnections: 2, onIdleError: () => {} })
  try {
    const facts = await observeDatabase(opened.db, now)
    const isLocal = typeof connection !== 'string' || isOnThisMachine(connection)
    return {
      findings: judgeDatabase(facts, { isLocal, maxConnections }),
      keys:
        facts.pending.length > 0
          ? undefined
          : await withScope(opened.db, ofInstallation(), (tx) => listProjectKeys(tx, ofInstallation())),
    }
  } catch (error) {
    const todo = 'is the server up, and are name, way, role and password of DATABASE_URL right?'
    // Its message may quote the URL, which has a password.
    return { findings: [fault('database', `it can't be used (${kindOf(error)})`, todo)], keys: undefined }
  } finally {
    await opened.close()
  }
}

function isOnThisMachine(url: string): boolean {
  const { hostname, searchParams } = new URL(url)
  const host = searchParams.get('host') ?? hostname
  return host === '' || host.startsWith('/') || ['localhost', '[::1]'].includes(host) || host.startsWith('127.')
}

async function observeDatabase(db: Db, now: () => number): Promise<DatabaseFacts> {
  const before = now()
  const { rows: clock } = await sql<{ at: Date }>`select clock_timestamp() as at`.execute(db)
  const ours = (before + now()) / 2
  const { rows } = await sql<{
    version: number
    name: string
    superuser: boolean
    bypass: boolean
    createrole: boolean
    service: boolean
    owned: number
    can_create: boolean
    unprotected: string[]
    encrypted: boolean
    allowed: number
  }>`
    select current_setting('server_version_num')::int as version, r.rolname as name, r.rolsuper as superuser,
           r.rolbypassrls as bypass, r.rolcreaterole as createrole,
           coalesce((select pg_has_role(r.oid, s.oid, 'member') from pg_roles s where s.rolname = ${SERVICE_ROLE}), false) as service,
           (select count(*) from pg_class where relowner = r.oid)::int as owned,
           has_schema_privilege('public', 'create') as can_create,
           coalesce((select array_agg(c.relname::text order by c.relname) from pg_class c
              where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
                and not (c.relrowsecurity and c.relforcerowsecurity)
                and exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'organisation_id' and not a.attisdropped)),
             '{}') as unprotected,
           coalesce((select ssl from pg_stat_ssl where pid = pg_backend_pid()), false) as encrypted,
           current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int as allowed
      from pg_roles r where r.rolname = current_user`.execute(db)
  const [row] = rows
  if (row === undefined) throw new Error('unreachable: everybody is a role')
  const pending = await pendingMigrations(db)
  return {
    versionNumber: row.version,
    pending,
    unknown: await unknownMigrations(db),
    role: {
      name: row.name,
      isSuperuser: row.superuser,
      bypassesRls: row.bypass,
      makesRoles: row.createrole,
      isOfService: row.service,
      owned: row.owned,
      canMakeTables: row.can_create,
    },
    unprotected: row.unprotected,
    clockAheadMs: Math.round((clock[0]?.at.getTime() ?? ours) - ours),
    isEncrypted: row.encrypted,
    connectionsAllowed: row.allowed,
  }
}

export interface DatabaseUse {
  /** What is said to it leaves no machine. */
  readonly isLocal: boolean
  readonly maxConnections: number
}

export function judgeDatabase(facts: DatabaseFacts, { isLocal, maxConnections }: DatabaseUse): Finding[] {
  const { isEncrypted, connectionsAllowed } = facts
  const needed = 2 * (maxConnections + OTHER_CONNECTIONS)
  return [
    judgeVersion(facts),
    judgeSchema(facts),
    judgeRole(facts),
    judgeProtection(facts),
    judgeClock(facts),
    isLocal || isEncrypted
      ? ok('database-link', isEncrypted ? 'TLS' : 'on this machine')
      : warning(
          'database-link',
          'the connection to the database is not encrypted (SC-4)',
          'add `?sslmode=verify-full` to DATABASE_URL, and TLS to the server',
        ),
    needed > connectionsAllowed
      ? warning(
          'connections',
          `one api and one worker take up to ${needed} connections, and the server has ${connectionsAllowed}`,
          'raise max_connections, or lower DATABASE_MAX_CONNECTIONS',
        )
      : ok('connections', `up to ${needed} for one api and one worker, of ${connectionsAllowed}`),
  ]
}

function judgeVersion({ versionNumber }: DatabaseFacts): Finding {
  const major = Math.floor(versionNumber / 10_000)
  const says = `Postgres ${major}.${versionNumber % 10_000}`
  if (major < OLDEST_VERSION) return fault('database', `${says}: too old`, `use Postgres ${OLDEST_VERSION} or later`)
  return major > NEWEST_VERSION
    ? warning('database', `${says}: newer than what is tested`, `use Postgres ${OLDEST_VERSION} to ${NEWEST_VERSION}`)
    : ok('database', says)
}

function judgeSchema({ pending, unknown }: DatabaseFacts): Finding {
  if (pending.length > 0)
    return fault(
      'schema',
      `${pending.length} migrations are missing: ${pending.slice(0, 3).join(', ')}`,
      'run `causeway db migrate` as the owner of the schema',
    )
  return unknown.length > 0
    ? fault(
        'schema',
        `it was brought to a newer version: this one does not know ${unknown.slice(0, 3).join(', ')}`,
        'run the newer version, or restore the backup from before the upgrade',
      )
    : ok('schema', 'is that of this version')
}

function judgeRole({ role, pending }: DatabaseFacts): Finding {
  const too = [
    role.isSuperuser ? 'is a superuser' : undefined,
    role.bypassesRls ? 'passes row-level security' : undefined,
    role.makesRoles ? 'can make roles' : undefined,
    role.owned > 0 ? `owns ${role.owned} tables or indexes` : undefined,
    role.canMakeTables ? 'can make tables' : undefined,
  ].filter((each) => each !== undefined)
  const todo = `let api and worker log in as a role that is a member of ${SERVICE_ROLE} and nothing else (docs/running-the-control-plane.md)`
  if (too.length > 0) return fault('database-role', `${role.name} ${too.join(', ')}`, todo)
  // Before the first migration there is no such role.
  if (!role.isOfService && pending.length === 0)
    return fault('database-role', `${role.name} is not a member of ${SERVICE_ROLE}`, todo)
  return ok('database-role', `${role.name} owns nothing and is under row-level security`)
}

function judgeProtection({ unprotected }: DatabaseFacts): Finding {
  return unprotected.length === 0
    ? ok('row-level-security', 'is enabled and forced on every table of tenants')
    : fault(
        'row-level-security',
        `is not enabled and forced on ${unprotected.slice(0, 5).join(', ')}`,
        'as the owner: `alter table … enable row level security` and `force row level security`; and find out who changed it',
      )
}

function judgeClock({ clockAheadMs }: DatabaseFacts): Finding {
  const off = Math.abs(clockAheadMs)
  const says = `the database's clock is ${(off / 1_000).toFixed(1)} s ${clockAheadMs > 0 ? 'ahead of' : 'behind'} this machine's`
  const todo = 'see that NTP keeps both'
  if (off > CLOCK_FAULT_MS) return fault('database-clock', says, todo)
  return off > CLOCK_WARNING_MS
    ? warning('database-clock', says, todo)
    : ok('database-clock', 'is that of this machine')
}
