// Discoveries and their checkpoints in the database. Scope: the organisation.
import { sql } from 'kysely'
import { countOf, rowOf, rowsOf, withScope } from '../db/database.ts'
import type { Db, Tx } from '../db/database.ts'
import { cursorTime } from '../http/page.ts'
import type { PageRequest } from '../http/page.ts'
import type { AccountId, DiscoveryId, OperationId, OrganisationId, TenantId } from '../ids.ts'
import type { TenantFacts } from '../directory/tenant-facts.ts'
import type { ProjectPlace } from '../tenants/tenant-store.ts'
import type { Discovery, DiscoveryCounts, GapCode } from './discovery.ts'

interface Row extends Omit<Discovery, 'finishedAt'> {
  readonly finishedAt: Date | null
}

const COLUMNS = sql`id, tenant_id as tenant, number, mode, state, operation_id as operation, statistics_for as "statisticsFor", counts, gaps, started_at as "startedAt",
  finished_at as "finishedAt"`
const of = ({ organisation, project }: ProjectPlace) =>
  sql`organisation_id = ${organisation} and project_id = ${project}`
const toDiscovery = (row: Row): Discovery => ({ ...row, finishedAt: row.finishedAt ?? undefined })

export interface NewDiscovery {
  readonly id: DiscoveryId
  readonly tenant: TenantId
  readonly mode: 'full' | 'delta'
  readonly operation: OperationId
  readonly statisticsFor: readonly AccountId[]
  readonly author: string
  readonly startedAt: Date
}

/** @throws unique_violation when one is running in the tenant */
export async function insertDiscovery(tx: Tx, place: ProjectPlace, made: NewDiscovery): Promise<void> {
  const { id, tenant, mode, operation, statisticsFor, author, startedAt } = made
  await sql`
    insert into discovery (organisation_id, project_id, id, tenant_id, number, mode, state, operation_id, statistics_for, author, started_at)
    select ${place.organisation}, ${place.project}, ${id}, ${tenant},
           1 + coalesce(max(number), 0), ${mode}, 'running', ${operation}, ${[...statisticsFor]}::text[], ${author}, ${startedAt}
      from discovery where ${of(place)} and tenant_id = ${tenant}`.execute(tx)
}

export async function findDiscovery(tx: Tx, place: ProjectPlace, id: DiscoveryId): Promise<Discovery | undefined> {
  const row = await rowOf<Row>(tx, sql`select ${COLUMNS} from discovery where ${of(place)} and id = ${id}`)
  return row && toDiscovery(row)
}

export async function findByOperation(
  tx: Tx,
  place: ProjectPlace,
  operation: OperationId,
): Promise<Discovery | undefined> {
  const row = await rowOf<Row>(
    tx,
    sql`select ${COLUMNS} from discovery where ${of(place)} and operation_id = ${operation}`,
  )
  return row && toDiscovery(row)
}

/** The newest first; one more than the page holds where there are more. */
export async function listDiscoveries(
  tx: Tx,
  place: ProjectPlace,
  tenant: TenantId | undefined,
  { after, limit }: PageRequest,
): Promise<Discovery[]> {
  const [startedAt, id] = after ?? []
  const rows = await rowsOf<Row>(
    tx,
    sql`select ${COLUMNS} from discovery
         where ${of(place)}
           and ${tenant === undefined ? sql`true` : sql`tenant_id = ${tenant}`}
           and ${after === undefined ? sql`true` : sql`(started_at, id) < (${cursorTime(startedAt)}, ${id})`}
         order by started_at desc, id desc limit ${limit + 1}`,
  )
  return rows.map(toDiscovery)
}

/** Number of the tenant's latest discovery that went to its end; 0: none did. */
export async function lastCompleted(tx: Tx, place: ProjectPlace, tenant: TenantId): Promise<number> {
  const row = await rowOf<{ number: number }>(
    tx,
    sql`select coalesce(max(number), 0) as number from discovery where ${of(place)} and tenant_id = ${tenant} and state = 'completed'`,
  )
  return row?.number ?? 0
}

export async function noteGap(tx: Tx, place: ProjectPlace, id: DiscoveryId, gap: GapCode): Promise<void> {
  await sql`update discovery set gaps = gaps || ${JSON.stringify([gap])}::jsonb
             where ${of(place)} and id = ${id} and not gaps ? ${gap}`.execute(tx)
}

export async function endDiscovery(
  tx: Tx,
  place: ProjectPlace,
  id: DiscoveryId,
  state: 'completed' | 'failed' | 'cancelled',
  at: Date,
  counts?: DiscoveryCounts,
): Promise<void> {
  await sql`update discovery set state = ${state}, finished_at = ${at},
                   counts = coalesce(${counts === undefined ? null : JSON.stringify(counts)}::jsonb, counts)
             where ${of(place)} and id = ${id} and state = 'running'`.execute(tx)
}

/** Those that their operation left behind, in whatever way it ended. */
export async function endOrphans(db: Db): Promise<number> {
  const rows = await withScope(db, { purpose: 'reconcile' }, (tx) =>
    rowsOf<{ organisation: OrganisationId; id: string; state: string }>(
      tx,
      sql`select d.organisation_id as organisation, d.id, o.state from discovery d
            join operation o on o.organisation_id = d.organisation_id and o.id = d.operation_id
           where d.state = 'running' and o.state in ('failed', 'cancelled') limit 100`,
    ),
  )
  for (const { organisation, id, state } of rows)
    await withScope(db, { organisation }, (tx) =>
      countOf(
        tx,
        sql`update discovery set state = ${state}, finished_at = now() where id = ${id} and state = 'running'`,
      ),
    )
  return rows.length
}

// ── Checkpoints ────────────────────────────────────────────────────────────────────────────────────────────────────

export interface Checkpoint {
  /** That wrote it. */
  readonly discovery: DiscoveryId
  readonly state: 'pages' | 'done'
  readonly isFull: boolean
  /** undefined: its beginning. */
  readonly link: string | undefined
}

export async function findCheckpoint(
  tx: Tx,
  place: ProjectPlace,
  tenant: TenantId,
  collection: string,
): Promise<Checkpoint | undefined> {
  const row = await rowOf<Omit<Checkpoint, 'link'> & { link: string | null }>(
    tx,
    sql`select discovery_id as discovery, state, is_full as "isFull", link from discovery_checkpoint
         where ${of(place)} and tenant_id = ${tenant} and collection = ${collection}`,
  )
  return row && { ...row, link: row.link ?? undefined }
}

/** In the transaction of what was read up to here. */
export async function putCheckpoint(
  tx: Tx,
  place: ProjectPlace,
  tenant: TenantId,
  collection: string,
  { discovery, state, isFull, link }: Checkpoint,
): Promise<void> {
  await sql`
    insert into discovery_checkpoint (organisation_id, project_id, tenant_id, collection, discovery_id, state, is_full, link, updated_at)
    values (${place.organisation}, ${place.project}, ${tenant}, ${collection}, ${discovery}, ${state}, ${isFull}, ${link ?? null}, now())
    on conflict (organisation_id, project_id, tenant_id, collection) do update
       set discovery_id = excluded.discovery_id, state = excluded.state, is_full = excluded.is_full, link = excluded.link,
           updated_at = excluded.updated_at`.execute(tx)
}

// ── Facts of the tenant ────────────────────────────────────────────────────────────────────────────────────────────

export async function putFacts(
  tx: Tx,
  place: ProjectPlace,
  { tenant, number }: Pick<Discovery, 'tenant' | 'number'>,
  facts: TenantFacts,
  at: Date,
): Promise<void> {
  await sql`
    insert into tenant_facts (organisation_id, project_id, tenant_id, discovery_number, facts, created_at)
    values (${place.organisation}, ${place.project}, ${tenant}, ${number}, ${JSON.stringify(facts)}::jsonb, ${at})
    on conflict (organisation_id, project_id, tenant_id, discovery_number) do update set facts = excluded.facts, created_at = excluded.created_at`.execute(
    tx,
  )
}

/** As last read; undefined: never. */
export async function latestFacts(tx: Tx, place: ProjectPlace, tenant: TenantId): Promise<TenantFacts | undefined> {
  const row = await rowOf<{ facts: TenantFacts }>(
    tx,
    sql`select facts from tenant_facts where ${of(place)} and tenant_id = ${tenant} order by discovery_number desc limit 1`,
  )
  return row?.facts
}
