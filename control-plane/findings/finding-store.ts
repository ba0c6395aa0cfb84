// Findings in the database, for whoever reads and acknowledges them. What a run writes: write-store.ts. Scope: the organisation.
import { sql } from 'kysely'
import type { RawBuilder } from 'kysely'
import { rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import { summaryOf } from '../directory/account-summary.ts'
import type { AccountSummary } from '../directory/account-summary.ts'
import type { PageRequest } from '../http/page.ts'
import type { AccountId, FindingId, TenantId } from '../ids.ts'
import type { ProjectPlace } from '../tenants/tenant-store.ts'
import type { Details, Finding, FindingState } from './finding.ts'
import type { Severity } from './finding-kind.ts'
import { kindOf } from './finding-kinds.ts'
import type { FindingCode } from './finding-kinds.ts'

const of = ({ organisation, project }: ProjectPlace) =>
  sql`f.organisation_id = ${organisation} and f.project_id = ${project}`

/** The latest run that went to its end has seen what is there. */
export const lastSeen = sql`greatest(f.last_seen_at, (select r.finished_at from finding_run r
  where r.organisation_id = f.organisation_id and r.project_id = f.project_id))`

export interface FindingFilter {
  readonly severity?: Severity | undefined
  readonly code?: FindingCode | undefined
  readonly tenant?: TenantId | undefined
  /** One of a pair too. */
  readonly account?: AccountId | undefined
  /** undefined: those that are there, acknowledged or not. */
  readonly state?: FindingState | undefined
}

interface Row {
  readonly id: FindingId
  readonly code: FindingCode
  readonly severity: Severity
  readonly about: Finding['about']
  readonly tenant: TenantId
  readonly rank: number
  readonly account_id: AccountId | null
  readonly other_account_id: AccountId | null
  readonly account: AccountSummary | null
  readonly other: AccountSummary | null
  readonly domain: string | null
  readonly details: Details
  readonly sort_key: string
  readonly first_seen_at: Date
  readonly last_seen_at: Date
  readonly resolved_at: Date | null
  readonly acknowledged_at: Date | null
  readonly acknowledged_by: string | null
  readonly note: string
  readonly version: number
}

const columns = (place: ProjectPlace) => sql`
  f.id, f.code, f.severity, f.rank, f.about, f.tenant_id as tenant, f.account_id, f.other_account_id, f.domain, f.details, f.sort_key,
  f.first_seen_at, f.resolved_at, f.acknowledged_at, f.acknowledged_by, f.note, f.version,
  case when f.resolved_at is null then ${lastSeen} else f.last_seen_at end as last_seen_at,
  ${summaryOf(place, sql`f.account_id`)} as account, ${summaryOf(place, sql`f.other_account_id`)} as other`

const toFinding = (row: Row): Finding => ({
  id: row.id,
  code: row.code,
  severity: row.severity,
  about: row.about,
  tenant: row.tenant,
  accountId: row.account_id ?? undefined,
  otherId: row.other_account_id ?? undefined,
  domain: row.domain ?? undefined,
  account: row.account ?? undefined,
  other: row.other ?? undefined,
  details: row.details,
  sortKey: row.sort_key,
  firstSeenAt: row.first_seen_at,
  lastSeenAt: row.last_seen_at,
  resolvedAt: row.resolved_at ?? undefined,
  acknowledged:
    row.acknowledged_at === null || row.acknowledged_by === null
      ? undefined
      : { at: row.acknowledged_at, by: row.acknowledged_by },
  note: row.note,
  version: row.version,
})

const RANKS: Readonly<Record<Severity, number>> = { blocker: 0, warning: 1, notice: 2 }

/** What a list is ordered by. */
export const keyOf = ({ severity, code, sortKey, id }: Finding): (string | number)[] => [
  RANKS[severity],
  code,
  sortKey,
  id,
]

/** The worst first, then by kind and name; one more than the page holds where there are more. */
export async function listFindings(
  tx: Tx,
  place: ProjectPlace,
  { severity, code, tenant, account, state }: FindingFilter,
  { after, limit }: PageRequest,
): Promise<Finding[]> {
  const [rank, afterCode, sortKey, id] = after ?? []
  const conditions: RawBuilder<unknown>[] = [
    of(place),
    state === 'resolved' ? sql`f.resolved_at is not null` : sql`f.resolved_at is null`,
    ...(state === 'open' ? [sql`f.acknowledged_at is null`] : []),
    ...(state === 'acknowledged' ? [sql`f.acknowledged_at is not null`] : []),
    ...(severity === undefined ? [] : [sql`f.rank = ${RANKS[severity]}`]),
    // The rank is said too: the order of the list is that of an index then.
    ...(code === undefined ? [] : [sql`f.code = ${code} and f.rank = ${RANKS[kindOf(code).severity]}`]),
    ...(tenant === undefined ? [] : [sql`f.tenant_id = ${tenant}`]),
    ...(account === undefined ? [] : [sql`(f.account_id = ${account} or f.other_account_id = ${account})`]),
    ...(after === undefined
      ? []
      : [
          sql`(f.rank, f.code, f.sort_key, f.id) > (${Number(rank)}, ${String(afterCode)}, ${String(sortKey)}, ${String(id)})`,
        ]),
  ]
  const rows = await rowsOf<Row>(
    tx,
    sql`select ${columns(place)} from finding f where ${sql.join(conditions, sql` and `)}
         order by f.rank, f.code, f.sort_key, f.id limit ${limit + 1}`,
  )
  return rows.map(toFinding)
}

export async function findFinding(
  tx: Tx,
  place: ProjectPlace,
  id: FindingId,
  lock: 'lock' | 'read' = 'read',
): Promise<Finding | undefined> {
  const row = await rowOf<Row>(
    tx,
    sql`select ${columns(place)} from finding f where ${of(place)} and f.id = ${id} ${lock === 'lock' ? sql`for no key update of f` : sql``}`,
  )
  return row && toFinding(row)
}

/** @param by  undefined: takes it back */
export async function setAcknowledged(
  tx: Tx,
  place: ProjectPlace,
  id: FindingId,
  { by, note, at }: { readonly by: string | undefined; readonly note: string; readonly at: Date },
): Promise<void> {
  await sql`update finding f set acknowledged_at = ${by === undefined ? null : at}, acknowledged_by = ${by ?? null}, note = ${note}, version = version + 1
             where ${of(place)} and f.id = ${id}`.execute(tx)
}

export interface CodeCount {
  readonly code: FindingCode
  readonly severity: Severity
  readonly open: number
  readonly acknowledged: number
}

/** Of what is there, the worst first. */
export function countFindings(tx: Tx, place: ProjectPlace, tenant?: TenantId): Promise<CodeCount[]> {
  return rowsOf<CodeCount>(
    tx,
    sql`select f.code, f.severity, count(*) filter (where f.acknowledged_at is null) as open, count(f.acknowledged_at) as acknowledged
          from finding f
         where ${of(place)} and f.resolved_at is null and ${tenant === undefined ? sql`true` : sql`f.tenant_id = ${tenant}`}
         group by f.rank, f.code, f.severity order by f.rank, f.code`,
  )
}
