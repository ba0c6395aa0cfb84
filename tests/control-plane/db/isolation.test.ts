// One organisation's rows are out of another's reach because the database says so: read from the catalogue, so that a table that comes later can't be
// forgotten. (TI-1, TI-2)
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { sql } from 'kysely'
import type { RawBuilder } from 'kysely'
import { openDatabase, rowsOf, setScope, sqlState, withScope } from '../../../control-plane/db/database.ts'
import type { Scope, Tx } from '../../../control-plane/db/database.ts'
import { SERVICE_ROLE } from '../../../control-plane/db/migrate.ts'
import { newId } from '../../../control-plane/ids.ts'
import type { OrganisationId, ProjectId } from '../../../control-plane/ids.ts'
import { testDatabase } from '../../harness/postgres.ts'

// All that is waited for at the top comes before the first test: once those that are known are over, the runner calls `after`.
const database = await testDatabase({ after })
const { db } = database
const asOwner = <Row>(statement: RawBuilder<unknown>) => rowsOf<Row>(database.owner.db as unknown as Tx, statement)

interface Table {
  readonly name: string
  readonly isTenants: boolean
  readonly isProtected: boolean
  readonly isForced: boolean
  readonly owner: string
}

const tables = await asOwner<Table>(sql`
  select c.relname as name, c.relrowsecurity as "isProtected", c.relforcerowsecurity as "isForced", c.relowner::regrole::text as owner,
         exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'organisation_id' and not a.attisdropped) as "isTenants"
    from pg_class c
   where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and c.relname not like 'kysely\\_%'
   order by c.relname`)
const tenantTables = tables.filter(({ isTenants }) => isTenants)

/** Tables without organisation_id, each with the reason. */
const OF_NO_ORGANISATION: Record<string, string> = {
  break_glass: 'the installation’s one account before any administrator; purpose `administration` only',
  exchange_range: 'address ranges that Microsoft publishes',
  installation: 'the installation’s own name, which every relay is told',
  installation_administrator: 'people of the installation; each sees himself',
  job_schedule: 'when work that comes by the clock was asked for last',
  session: 'of a person, who may be in several organisations; opened by its hash or its person only',
  consent_flow: 'a visit of an administrator of a tenant, who may be nobody here; opened by its hash only',
  sign_in_flow: 'a sign-in under way: of nobody yet; opened by its hash only',
}

/** Unique keys without organisation_id, each with the reason. What they keep apart is random or the installation's, so a clash tells nothing. */
const KEYS_ACROSS_ORGANISATIONS: Record<string, string> = {
  job_id: 'one of a sequence of the whole database: the queue names jobs by it',
  operation_id: 'random: found by its id alone, before it is known whose it is',
  project_id: 'random: found by its id alone, before it is known whose it is',
  relay_id: 'random: found by its id alone, before it is known whose it is',
  tenant_claim_pkey:
    'EC-3: a tenant belongs to one organisation of the installation; says that it is taken, to nobody by whom',
}

/** Foreign keys between tenant tables without organisation_id, each with the reason. */
const REFERENCES_ACROSS_ORGANISATIONS: Record<string, string> = {}

const [ours, theirs] = [newId('organisation'), newId('organisation')]

const columns = await asOwner<{ table: string; name: string; type: string }>(sql`
  select c.relname as "table", a.attname as name, format_type(a.atttypid, null) as type
    from pg_attribute a join pg_class c on c.oid = a.attrelid
   where c.relname = any(${tenantTables.map(({ name }) => name)}) and c.relnamespace = 'public'::regnamespace
     and a.attnum > 0 and not a.attisdropped and a.attidentity = '' and a.attgenerated = '' and a.attnotnull
   order by a.attnum`)

/**
 * A row of any tenant table, values by type. A text is its column's name and `mark`: so `principal-<organisation>` is that one's principal, where the
 * mark is the organisation.
 */
function insertRow(table: string, organisation: OrganisationId, mark: string, number: number): RawBuilder<unknown> {
  const values: Record<string, (column: string) => unknown> = {
    text: (column) => (column === 'organisation_id' ? organisation : `${column}-${mark}`),
    'text[]': () => '{}',
    integer: () => number,
    bigint: () => number,
    boolean: () => false,
    bytea: () => '\\x00',
    jsonb: () => '{}',
    'timestamp with time zone': () => new Date(),
  }
  const own = columns.filter((column) => column.table === table)
  const row = own.map(({ name, type }) => {
    const value = values[type]
    assert.ok(value !== undefined, `${table}.${name}: say here what a ${type} is filled with`)
    return sql`${value(name)}`
  })
  return sql`insert into ${sql.id(table)} (${sql.join(own.map(({ name }) => sql.id(name)))}) values (${sql.join(row)})`
}

// One row of each of two organisations in every tenant table, past foreign keys and check constraints: these say nothing of whose a row is.
await asOwner(sql`select make_message_partition((now() at time zone 'UTC')::date)`)
await database.owner.db.transaction().execute(async (tx) => {
  await sql`set local session_replication_role = replica`.execute(tx)
  const checks = await rowsOf<{ table: string; name: string }>(
    tx,
    sql`select conrelid::regclass::text as "table", conname as name from pg_constraint
         where contype = 'c' and coninhcount = 0 and conrelid <> 0 and connamespace = 'public'::regnamespace`,
  )
  for (const { table, name } of checks)
    await sql`alter table ${sql.id(table)} drop constraint ${sql.id(name)}`.execute(tx)
  for (const { name } of tenantTables) {
    await insertRow(name, ours, ours, 1_000_001).execute(tx)
    await insertRow(name, theirs, theirs, 1_000_002).execute(tx)
  }
})

/** Statements that the service may not run at all are as good as those that touch nothing. */
async function touched(scope: Scope | undefined, statement: RawBuilder<unknown>): Promise<number> {
  return db
    .transaction()
    .execute(async (tx) => {
      if (scope !== undefined) await setScope(tx, scope)
      const { rows, numAffectedRows } = await statement.execute(tx)
      return Math.max(rows.length, Number(numAffectedRows ?? 0n))
    })
    .catch((error: unknown) => {
      if (sqlState(error) === '42501') return 0
      throw error
    })
}

test('TI-1: every table is of organisations, or stands in the list of those that are not, with a reason', () => {
  assert.ok(tenantTables.length > 20, 'the catalogue was read')
  const others = tables.filter(({ isTenants }) => !isTenants).map(({ name }) => name)
  assert.deepEqual(others, Object.keys(OF_NO_ORGANISATION).toSorted())
})

test('TI-2: row-level security is enabled and forced on every table, those of no organisation too', () => {
  assert.deepEqual(
    tables.filter(({ isProtected, isForced }) => !isProtected || !isForced).map(({ name }) => name),
    [],
  )
})

test('TI-2: every tenant table has a policy that holds rows to the organisation in force, read and written', async () => {
  const policies = await asOwner<{
    table: string
    name: string
    command: string
    using: string | null
    check: string | null
  }>(sql`
    select tablename as "table", policyname as name, cmd as command, qual as using, with_check as check
      from pg_policies where schemaname = 'public'`)
  const own = '(organisation_id = current_organisation())'
  for (const { name } of tenantTables) {
    const whole = policies.filter(
      (policy) => policy.table === name && policy.command === 'ALL' && policy.using === own && policy.check === own,
    )
    assert.equal(whole.length, 1, `${name} has its organisation policy`)
  }
  // Further policies add to it. Each says for what, none lets write what its own condition doesn't name.
  for (const { table, name, command, using, check } of policies) {
    const where = `policy ${name} on ${table}`
    if (command !== 'INSERT') assert.ok(using !== null, `${where} has USING`)
    if (command === 'ALL' || command === 'INSERT' || command === 'UPDATE')
      assert.ok(check !== null, `${where} has WITH CHECK`)
    const isUnconditional = [using, check].some((expression) => expression === 'true')
    if (isUnconditional)
      assert.deepEqual([command, Object.hasOwn(OF_NO_ORGANISATION, table)], ['SELECT', true], `${where} is for all`)
    else
      assert.match(
        `${using ?? ''} ${check ?? ''}`,
        /current_organisation\(\)|current_scope\('(principal|credential|relay|project|operation|purpose)'::text\)/,
        `${where} depends on the scope`,
      )
  }
})

test('TI-1: organisation_id is NOT NULL, and in every primary key, unique key and unique index of a tenant table', async () => {
  const nullable = await asOwner(sql`
    select c.relname from pg_attribute a join pg_class c on c.oid = a.attrelid
     where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and a.attname = 'organisation_id' and not a.attnotnull`)
  assert.deepEqual(nullable, [])
  const keys = await asOwner<{ name: string; columns: string[] }>(sql`
    select i.indexrelid::regclass::text as name,
           array(select a.attname::text from unnest(i.indkey::smallint[]) k join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k) as columns
      from pg_index i join pg_class c on c.oid = i.indrelid
     where c.relnamespace = 'public'::regnamespace and i.indisunique and c.relname = any(${tenantTables.map(({ name }) => name)})`)
  assert.ok(keys.length >= tenantTables.length)
  const across = keys.filter((key) => !key.columns.includes('organisation_id')).map(({ name }) => name)
  assert.deepEqual(across.toSorted(), Object.keys(KEYS_ACROSS_ORGANISATIONS).toSorted())
})

test('TI-1: every foreign key between tenant tables carries organisation_id to organisation_id', async () => {
  const references = await asOwner<{ name: string; pairs: [string, string][] }>(sql`
    select f.conname as name,
           (select json_agg(json_build_array(a.attname, b.attname))
              from unnest(f.conkey, f.confkey) as k(mine, theirs)
              join pg_attribute a on a.attrelid = f.conrelid and a.attnum = k.mine
              join pg_attribute b on b.attrelid = f.confrelid and b.attnum = k.theirs) as pairs
      from pg_constraint f
     where f.contype = 'f' and f.conrelid::regclass::text = any(${tenantTables.map(({ name }) => name)})`)
  assert.ok(references.length > 20, 'the catalogue was read')
  const across = references
    .filter(({ pairs }) => !pairs.some((pair) => pair.every((column) => column === 'organisation_id')))
    .map(({ name }) => name)
  assert.deepEqual(across, Object.keys(REFERENCES_ACROSS_ORGANISATIONS))
})

test('TI-2: the service role owns nothing, is nobody’s heir, and has no power over schema or policies', async () => {
  const [role] = await asOwner(sql`
    select rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication from pg_roles where rolname = ${SERVICE_ROLE}`)
  assert.deepEqual(role, {
    rolsuper: false,
    rolbypassrls: false,
    rolcreaterole: false,
    rolcreatedb: false,
    rolreplication: false,
  })
  const owned = await asOwner(sql`
    select relname from pg_class where relowner = ${SERVICE_ROLE}::regrole
    union all select proname from pg_proc where proowner = ${SERVICE_ROLE}::regrole
    union all select nspname from pg_namespace where nspowner = ${SERVICE_ROLE}::regrole
    union all select datname from pg_database where datdba = ${SERVICE_ROLE}::regrole`)
  assert.deepEqual(owned, [])
  const memberships = await asOwner(sql`
    select r.rolname from pg_auth_members m join pg_roles r on r.oid = m.roleid where m.member = ${SERVICE_ROLE}::regrole`)
  assert.deepEqual(memberships, [])
  const powers = await asOwner(sql`
    select table_name, privilege_type from information_schema.role_table_grants
     where grantee in (${SERVICE_ROLE}, 'PUBLIC') and table_schema = 'public' and privilege_type in ('TRUNCATE', 'TRIGGER', 'REFERENCES')`)
  assert.deepEqual(powers, [])
})

const forbidden: [statement: string, why: string][] = [
  ['create table public.mine (a int)', 'makes a table'],
  ['create temporary view v as select * from project; create schema s', 'makes a schema'],
  ['create function public.f() returns int language sql as $$ select 1 $$', 'makes a function'],
  ['alter table project disable row level security', 'switches the policies off'],
  ['alter table project no force row level security', 'exempts the owner'],
  ['drop policy organisation on project', 'drops a policy'],
  ['create policy all_of_it on project using (true)', 'adds a policy'],
  ['truncate project', 'empties a table past its policies'],
  ['alter table project add column x int', 'adds a column'],
  ['create index on project (name)', 'makes an index'],
  ["select protect('project')", 'calls what migrations call'],
  ['set role causeway_retention', 'becomes another role'],
  ['set session authorization causeway', 'becomes the owner'],
  ['set row_security = off; select * from project', 'asks for no policies'],
  ['alter role causeway_service bypassrls', 'gives itself more'],
  ['update audit_event set payload = null', 'AU-4: clears payloads past the function'],
  ['delete from audit_event', 'AU-2: takes events away'],
]
for (const [statement, why] of forbidden) {
  test(`TI-2: the service role is refused when it ${why}`, async () => {
    await assert.rejects(sql.raw(statement).execute(db), (error: unknown) => sqlState(error) === '42501')
  })
}

for (const { name } of tables.filter(({ name: table }) => !['installation', 'exchange_range'].includes(table))) {
  test(`TI-2: without a scope ${name} shows and changes nothing`, async () => {
    const table = sql.id(name)
    const [column] = await asOwner<{ name: string }>(
      sql`select attname as name from pg_attribute where attrelid = ${name}::regclass and attnum > 0 and attidentity = '' and not attisdropped order by attnum limit 1`,
    )
    const first = sql.id(column?.name ?? '')
    for (const scope of [undefined, {}]) {
      assert.equal(await touched(scope, sql`select * from ${table}`), 0, 'select')
      assert.equal(await touched(scope, sql`update ${table} set ${first} = ${first}`), 0, 'update')
      assert.equal(await touched(scope, sql`delete from ${table}`), 0, 'delete')
    }
  })
}

for (const { name } of tenantTables) {
  test(`TI-2: no row of another organisation is seen in ${name}, changed, deleted, put there, or given away`, async () => {
    const table = sql.id(name)
    const scope = { organisation: ours }
    assert.equal(await touched(scope, sql`select * from ${table}`), 1, 'only its own is seen')
    assert.equal(await touched(scope, sql`select * from ${table} where organisation_id = ${theirs}`), 0)
    for (const statement of [
      sql`update ${table} set organisation_id = organisation_id where organisation_id = ${theirs}`,
      sql`delete from ${table} where organisation_id = ${theirs}`,
    ])
      assert.equal(await touched(scope, statement), 0)
    await assert.rejects(
      withScope(db, scope, (tx) => insertRow(name, theirs, 'new', 1_000_003).execute(tx)),
      (error: unknown) => sqlState(error) === '42501',
      'a whole row for them',
    )
    await assert.rejects(
      withScope(db, scope, (tx) => sql`update ${table} set organisation_id = ${theirs}`.execute(tx)),
      (error: unknown) => sqlState(error) === '42501',
    )
  })
}

test('TI-1: a row that would point at another organisation’s is refused by its foreign key', async () => {
  await assert.rejects(
    withScope(db, { organisation: ours }, (tx) =>
      sql`insert into mapping_horizon (organisation_id, project_id, revision) values (${ours}, ${`id-${theirs}`}, 1)`.execute(
        tx,
      ),
    ),
    /foreign key/,
  )
})

test('TI-2: a scope ends with its transaction, committed or not: what comes next on the connection sees nothing', async () => {
  const one = openDatabase({ connection: database.connection, maxConnections: 1, onIdleError: () => {} })
  try {
    const visible = () =>
      rowsOf<{ id: string }>(one.db as unknown as Tx, sql`select organisation_id as id from organisation`)
    await withScope(one.db, { organisation: ours, purpose: 'reconcile' }, () => Promise.resolve())
    assert.deepEqual(await visible(), [])
    await assert.rejects(
      withScope(one.db, { organisation: ours }, async (tx) => {
        await sql`select 1 / 0`.execute(tx)
      }),
    )
    assert.deepEqual(await visible(), [])
    const [setting] = await rowsOf<{ value: string | null }>(
      one.db as unknown as Tx,
      sql`select nullif(current_setting('app.organisation', true), '') as value`,
    )
    assert.equal(setting?.value, null)
  } finally {
    await one.close()
  }
})

test('TI-2: interleaved requests of two organisations on a pool of one connection never see each other', async () => {
  const one = openDatabase({ connection: database.connection, maxConnections: 1, onIdleError: () => {} })
  try {
    const ask = async (organisation: OrganisationId, n: number) => {
      const seen = await withScope(one.db, { organisation }, async (tx) => {
        const before = await rowsOf<{ id: string }>(tx, sql`select organisation_id as id from project`)
        if (n % 3 === 0)
          await sql`insert into event (organisation_id, type, body) values (${organisation}, 'tick', '{}')`.execute(tx)
        const events = await rowsOf<{ id: string }>(tx, sql`select distinct organisation_id as id from event`)
        return new Set([...before, ...events].map(({ id }) => id))
      })
      assert.deepEqual([...seen], [organisation])
    }
    await Promise.all(Array.from({ length: 60 }, (_, n) => ask(n % 2 === 0 ? ours : theirs, n)))
  } finally {
    await one.close()
  }
})

test('every other scope shows what it is for, and changes nothing of organisations', async () => {
  const scopes: [scope: Scope, sees: readonly string[]][] = [
    [{ principal: `principal-${theirs}` }, ['member', 'organisation', 'support_grant']],
    [{ project: `id-${theirs}` as ProjectId }, ['project']],
    [{ credential: `key_hash-${theirs}` }, ['api_key']],
    [{ credential: `code_hash-${theirs}` }, ['relay_enrolment']],
    [{ relay: `id-${theirs}` }, ['relay']],
    [{ principal: 'x', project: 'x' as ProjectId, credential: 'x', relay: 'x' }, []],
  ]
  for (const [scope, sees] of scopes) {
    for (const { name } of tenantTables) {
      const rows = await touched(scope, sql`select * from ${sql.id(name)}`)
      assert.equal(rows, sees.includes(name) ? 1 : 0, `${JSON.stringify(scope)} sees ${name}`)
      for (const statement of [
        sql`update ${sql.id(name)} set organisation_id = organisation_id`,
        sql`delete from ${sql.id(name)}`,
      ])
        assert.equal(await touched(scope, statement), 0, `${JSON.stringify(scope)} changes ${name}`)
    }
  }
})
