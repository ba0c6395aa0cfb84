// A project with a source and a target tenant, accounts that a discovery has left there, and the routes of matching and mapping.
import assert from 'node:assert/strict'
import { sql } from 'kysely'
import { rowsOf, withScope } from '../../../control-plane/db/database.ts'
import type { Db, Tx } from '../../../control-plane/db/database.ts'
import { matchKey } from '../../../control-plane/directory/account.ts'
import type { AccountSnapshot } from '../../../control-plane/directory/account.ts'
import { newId } from '../../../control-plane/ids.ts'
import type { AccountId, OrganisationId, ProjectId, TenantId } from '../../../control-plane/ids.ts'
import { mappingRoutesOf } from '../../../control-plane/mapping/all-routes.ts'
import { CompiledTables } from '../../../control-plane/mapping/compiled-tables.ts'
import type { Place } from '../../../control-plane/mapping/mapping.ts'
import { matchingRoutesOf } from '../../../control-plane/matching/all-routes.ts'
import { applyPairs } from '../../../control-plane/matching/apply-pairs.ts'
import { runMatching } from '../../../control-plane/matching/run-matching.ts'
import type { OperationWork } from '../../../control-plane/operations/operation-job.ts'
import { testApi } from '../../harness/api.ts'
import type { Reply, TestApi } from '../../harness/api.ts'
import type { Ending } from '../../harness/postgres.ts'
import { runOperation } from '../mapping/run-operation.ts'

export type Told = Partial<AccountSnapshot> & { readonly objectId: string }

export interface MatchingScene {
  readonly it: TestApi
  readonly place: Place
  readonly key: string
  readonly source: TenantId
  readonly target: TenantId
  /** `path` below the project. If-Match is `*` unless given. */
  readonly call: (method: string, path: string, body?: unknown, headers?: Record<string, string>) => Promise<Reply>
  readonly read: <T>(work: (tx: Tx) => Promise<T>) => Promise<T>
  /** What a discovery of the tenant, the next one, says is there now. @returns ids by object id */
  readonly discover: (tenant: TenantId, accounts: readonly Told[]) => Promise<Record<string, AccountId>>
  /** Runs the operation that an answer names, and gives its row. */
  readonly run: (reply: Reply, work?: OperationWork) => Promise<Record<string, any>> // oxlint-disable-line typescript/no-explicit-any -- tests look into it
  /** Starts a matching and runs it. @returns the matching as the API shows it */
  readonly match: (body?: unknown) => Promise<Reply['body']>
  /** Outcomes by object id: `paired t1 address`. */
  readonly outcomes: (matching: string) => Promise<Record<string, string>>
  /** Entries of the mapping table by presented address. */
  readonly entries: () => Promise<
    Record<string, { known: string[]; mailbox: string; x500?: string[]; source: string; sourceRef?: string }>
  >
  readonly importPairs: (csv: string, query?: string) => Promise<Reply>
  /** Another organisation, with the same of everything. */
  readonly another: () => Promise<MatchingScene>
}

const ROUTES = (db: Db, tables: CompiledTables) => [...matchingRoutesOf({ db }), ...mappingRoutesOf({ db, tables })]

export async function matchingScene(t: Ending): Promise<MatchingScene> {
  const it = await testApi(t, ({ database: { db }, log }) => ROUTES(db, new CompiledTables({ db, log })))
  return sceneOf(it)
}

async function sceneOf(it: TestApi): Promise<MatchingScene> {
  const { id: organisation, key } = await it.organisation()
  const project = await it.project(organisation)
  const { db } = it.database
  const place = { organisation, project }
  const source = await addTenant(db, place, 'source')
  const target = await addTenant(db, place, 'target')
  const call: MatchingScene['call'] = (method, path, body, headers = {}) =>
    it.request(method, `/projects/${project}${path}`, body, { key, headers: { 'If-Match': '*', ...headers } })
  const read: MatchingScene['read'] = (work) => withScope(db, { organisation }, work)
  const run: MatchingScene['run'] = async (reply, work) => {
    assert.equal(reply.status, 202, JSON.stringify(reply.body))
    const operation = String(reply.body.operation)
    const kind = (await rowsOfOperation(db, organisation, operation)).at(0)?.['kind']
    const deps = { db, now: Date.now }
    const does: OperationWork =
      kind === 'matching.run' ? (context) => runMatching(context, deps) : (context) => applyPairs(context, deps)
    await runOperation(db, organisation, operation, work ?? does)
    const [row] = await rowsOfOperation(db, organisation, operation)
    assert.ok(row)
    return row
  }
  return {
    it,
    place,
    key,
    source,
    target,
    call,
    read,
    run,
    discover: (tenant, accounts) => read((tx) => discover(tx, place, tenant, accounts)),
    async match(body = {}) {
      const started = await call('POST', '/matchings', body)
      const row = await run(started)
      assert.equal(row['state'], 'succeeded', JSON.stringify(row))
      return (await call('GET', `/matchings/${started.body.matching}`)).body
    },
    async outcomes(matching) {
      const { status, body } = await call('GET', `/matchings/${matching}/results?limit=1000`)
      assert.equal(status, 200, JSON.stringify(body))
      return Object.fromEntries(
        body.items.map((item: Reply['body']) => [
          item.source.objectId,
          [item.outcome, item.target?.objectId, item.rule, item.reason].filter((part) => part !== undefined).join(' '),
        ]),
      )
    },
    async entries() {
      const { body } = await call('GET', '/mappings?limit=1000')
      return Object.fromEntries(body.items.map((entry: Reply['body']) => [entry.presented, entry]))
    },
    importPairs: (csv, query = '') => call('POST', `/pairs/import${query}`, csv, { 'Content-Type': 'text/csv' }),
    another: () => sceneOf(it),
  }
}

const rowsOfOperation = (db: Db, organisation: OrganisationId, id: string): Promise<Record<string, unknown>[]> =>
  withScope(db, { organisation }, (tx) =>
    rowsOf<Record<string, unknown>>(tx, sql`select * from operation where id = ${id}`),
  )

export async function addTenant(
  db: Db,
  { organisation, project }: Place,
  side: 'source' | 'target',
  label: string = side,
): Promise<TenantId> {
  const id = newId('tenant')
  const entra = crypto.randomUUID()
  await withScope(db, { organisation }, async (tx) => {
    await sql`insert into tenant_claim (entra_tenant_id, organisation_id) values (${entra}, ${organisation})`.execute(
      tx,
    )
    await sql`insert into tenant_connection (organisation_id, project_id, id, side, label, cloud, entra_tenant_id, app_model,
                                             accepted_domains, created_by)
              values (${organisation}, ${project}, ${id}, ${side}, ${label}, 'global', ${entra}, 'multi-tenant', '{}', 'test')`.execute(
      tx,
    )
  })
  return id
}

/** As a full discovery leaves it: what is not told is gone, what has changed has a new version. */
export async function discover(
  tx: Tx,
  { organisation, project }: { organisation: OrganisationId; project: ProjectId },
  tenant: TenantId,
  told: readonly Told[],
): Promise<Record<string, AccountId>> {
  const [last] = await rowsOf<{ number: number | null }>(
    tx,
    sql`select max(number) as number from discovery where project_id = ${project} and tenant_id = ${tenant}`,
  )
  const number = (last?.number ?? 0) + 1
  await sql`insert into discovery (organisation_id, project_id, id, tenant_id, number, mode, state, operation_id, author, started_at, finished_at)
            values (${organisation}, ${project}, ${newId('discovery')}, ${tenant}, ${number}, 'full', 'completed', 'opr_test', 'test', now(), now())`.execute(
    tx,
  )
  const rows = told.map((one) => {
    const snapshot: AccountSnapshot = {
      kind: 'user',
      displayName: one.objectId,
      addresses: [],
      x500: [],
      otherAddresses: [],
      isSynced: false,
      attributes: {},
      licences: [],
      ...one,
    }
    return {
      id: newId('account'),
      snapshot,
      sortKey: matchKey(snapshot.displayName).slice(0, 200),
      addresses: keysOf(snapshot),
    }
  })
  await sql`
    create temporary table if not exists told (id text, snapshot jsonb, sort_key text, addresses jsonb) on commit drop`.execute(
    tx,
  )
  await sql`truncate told`.execute(tx)
  for (let at = 0; at < rows.length; at += 2_000)
    await sql`
      insert into told select id, snapshot, "sortKey", addresses
        from jsonb_to_recordset(${JSON.stringify(rows.slice(at, at + 2_000))}::jsonb) as r(id text, snapshot jsonb, "sortKey" text, addresses jsonb)`.execute(
      tx,
    )
  await sql`update told set id = a.id from account a
             where a.project_id = ${project} and a.tenant_id = ${tenant} and a.object_id = told.snapshot ->> 'objectId'`.execute(
    tx,
  )
  await sql`update account a set valid_to = ${number}
             where a.project_id = ${project} and a.tenant_id = ${tenant} and a.valid_to is null
               and not exists (select from told where told.id = a.id and told.snapshot = a.snapshot)`.execute(tx)
  await sql`
    insert into account (organisation_id, project_id, tenant_id, id, object_id, valid_from, kind, display_name, user_principal_name,
                         mail, primary_key, sort_key, is_synced, snapshot, digest, created_at)
    select ${organisation}, ${project}, ${tenant}, id, snapshot ->> 'objectId', ${number}::bigint, snapshot ->> 'kind',
           snapshot ->> 'displayName', snapshot ->> 'userPrincipalName', snapshot ->> 'mail', lower(snapshot -> 'addresses' ->> 0), sort_key,
           false, snapshot, ''::bytea, now()
      from told
     where not exists (select from account a where a.project_id = ${project} and a.id = told.id and a.valid_to is null)`.execute(
    tx,
  )
  await sql`delete from account_address where project_id = ${project} and tenant_id = ${tenant}`.execute(tx)
  await sql`
    insert into account_address (organisation_id, project_id, tenant_id, key, kind, account_id)
    select ${organisation}, ${project}, ${tenant}, k.value ->> 0, k.value ->> 1, told.id
      from told cross join jsonb_array_elements(told.addresses) as k(value)`.execute(tx)
  const ids = await rowsOf<{ id: AccountId; object_id: string }>(
    tx,
    sql`select id, snapshot ->> 'objectId' as object_id from told`,
  )
  return Object.fromEntries(ids.map((row) => [row.object_id, row.id]))
}

function keysOf({ addresses, userPrincipalName }: AccountSnapshot): [string, string][] {
  const smtp = [...new Set(addresses.map(matchKey))].map((key): [string, string] => [key, 'smtp'])
  return userPrincipalName === undefined ? smtp : [...smtp, [matchKey(userPrincipalName), 'upn']]
}

/** A person with an address and an employee number. */
export const person = (name: string, domain: string, more: Partial<AccountSnapshot> = {}): Told => ({
  objectId: `${name}-${domain.slice(0, 1)}`,
  displayName: name,
  userPrincipalName: `${name}@${domain}`,
  mail: `${name}@${domain}`,
  addresses: [`${name}@${domain}`],
  attributes: { employeeId: name },
  ...more,
})
export const inSource = (name: string, more: Partial<AccountSnapshot> = {}): Told => person(name, 'src.example', more)
export const inTarget = (name: string, more: Partial<AccountSnapshot> = {}): Told => person(name, 'tgt.example', more)
