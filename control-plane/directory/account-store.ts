// Accounts in the database, for whoever looks at them. Scope: the organisation.
import { sql } from 'kysely'
import type { RawBuilder } from 'kysely'
import { rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { PageRequest } from '../http/page.ts'
import { cursorNumber } from '../http/page.ts'
import type { AccountId, TenantId } from '../ids.ts'
import type { ProjectPlace } from '../tenants/tenant-store.ts'
import type { AccountKind, AccountSnapshot } from './account.ts'
import { beginsWith } from './account-summary.ts'

export interface Account {
  readonly id: AccountId
  readonly tenant: TenantId
  /** Number of the discovery that made it what it is. */
  readonly validFrom: number
  /** Of the one that ended it; null: in force. */
  readonly validTo: number | null
  readonly snapshot: AccountSnapshot
  /** For lists. */
  readonly sortKey: string
  readonly createdAt: Date
}

const COLUMNS = sql`a.id, a.tenant_id as tenant, a.valid_from as "validFrom", a.valid_to as "validTo", a.snapshot, a.sort_key as "sortKey",
  a.created_at as "createdAt"`
const of = ({ organisation, project }: ProjectPlace) =>
  sql`a.organisation_id = ${organisation} and a.project_id = ${project}`

export interface AccountFilter {
  readonly tenant?: TenantId | undefined
  readonly kind?: AccountKind | undefined
  /** As compared: the beginning of a name or address. */
  readonly search?: string | undefined
  readonly isSynced?: boolean | undefined
  /** Object id of a group of `tenant`, whose members these are. */
  readonly memberOf?: string | undefined
}

/** In force, by display name; one more than the page holds where there are more. */
export function listAccounts(
  tx: Tx,
  place: ProjectPlace,
  filter: AccountFilter,
  { after, limit }: PageRequest,
): Promise<Account[]> {
  const { tenant, kind, search, isSynced, memberOf } = filter
  const [sortKey, id] = after ?? []
  const conditions: RawBuilder<unknown>[] = [
    sql`${of(place)} and a.valid_to is null`,
    ...(tenant === undefined ? [] : [sql`a.tenant_id = ${tenant}`]),
    ...(kind === undefined ? [] : [sql`a.kind = ${kind}`]),
    ...(isSynced === undefined ? [] : [sql`a.is_synced = ${isSynced}`]),
    ...(search === undefined ? [] : [beginsWith(place, search, sql`a.sort_key`, [sql`a.id`])]),
    ...(memberOf === undefined
      ? []
      : [
          sql`a.object_id in (select m.member_object_id from group_member m
               where m.organisation_id = ${place.organisation} and m.project_id = ${place.project} and m.tenant_id = a.tenant_id
                 and m.group_object_id = ${memberOf} and m.valid_to is null)`,
        ]),
    ...(after === undefined ? [] : [sql`(a.sort_key, a.id) > (${String(sortKey)}, ${String(id)})`]),
  ]
  return rowsOf<Account>(
    tx,
    sql`select ${COLUMNS} from account a where ${sql.join(conditions, sql` and `)} order by a.sort_key, a.id limit ${limit + 1}`,
  )
}

/** Its latest version: of one that is gone, the last. */
export function findAccount(tx: Tx, place: ProjectPlace, id: AccountId): Promise<Account | undefined> {
  return rowOf<Account>(
    tx,
    sql`select ${COLUMNS} from account a where ${of(place)} and a.id = ${id} order by a.valid_from desc limit 1`,
  )
}

/** The newest first; one more than the page holds where there are more. */
export function listVersions(
  tx: Tx,
  place: ProjectPlace,
  id: AccountId,
  { after, limit }: PageRequest,
): Promise<Account[]> {
  const before = after === undefined ? sql`true` : sql`a.valid_from < ${cursorNumber(after[0])}`
  return rowsOf<Account>(
    tx,
    sql`select ${COLUMNS} from account a where ${of(place)} and a.id = ${id} and ${before} order by a.valid_from desc limit ${limit + 1}`,
  )
}

/** Groups of its tenant that it is a member of. */
export function groupsOf(
  tx: Tx,
  place: ProjectPlace,
  { tenant, snapshot }: Account,
  limit: number,
): Promise<{ id: AccountId; displayName: string }[]> {
  return rowsOf(
    tx,
    sql`select a.id, a.display_name as "displayName" from group_member m
          join account a on ${of(place)} and a.tenant_id = m.tenant_id and a.object_id = m.group_object_id and a.valid_to is null
         where m.organisation_id = ${place.organisation} and m.project_id = ${place.project} and m.tenant_id = ${tenant}
           and m.member_object_id = ${snapshot.objectId} and m.valid_to is null
         order by a.sort_key, a.id limit ${limit}`,
  )
}

export interface ChangeRow {
  readonly id: AccountId
  readonly change: 'created' | 'changed' | 'removed'
  readonly before: AccountSnapshot | null
  readonly after: AccountSnapshot | null
}

/**
 * What became other in a tenant between two discoveries, by account. What came and went in between is nothing.
 * @param from  number of the earlier one; 0: before the first @param to  of the later one
 */
export function listChanges(
  tx: Tx,
  place: ProjectPlace,
  { tenant, from, to }: { readonly tenant: TenantId; readonly from: number; readonly to: number },
  { after, limit }: PageRequest,
): Promise<ChangeRow[]> {
  const at = (number: number) =>
    sql`select a.id, a.snapshot, a.digest from account a
         where ${of(place)} and a.tenant_id = ${tenant} and a.valid_from <= ${number} and (a.valid_to is null or a.valid_to > ${number})
           and a.id in (select id from touched)`
  return rowsOf<ChangeRow>(
    tx,
    sql`
    with touched as materialized (
      select a.id from account a where ${of(place)} and a.tenant_id = ${tenant} and a.valid_from > ${from} and a.valid_from <= ${to}
      union
      select a.id from account a where ${of(place)} and a.tenant_id = ${tenant} and a.valid_to > ${from} and a.valid_to <= ${to}),
    before as (${at(from)}), later as (${at(to)})
    select coalesce(b.id, l.id) as id,
           case when b.id is null then 'created' when l.id is null then 'removed' else 'changed' end as change,
           b.snapshot as before, l.snapshot as after
      from before b full join later l on l.id = b.id
     where b.digest is distinct from l.digest
       and ${after === undefined ? sql`true` : sql`coalesce(b.id, l.id) > ${String(after[0])}`}
     order by 1 limit ${limit + 1}`,
  )
}
