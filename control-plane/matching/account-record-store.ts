// Accounts as matching and pairs look at them: a tenant's whole at one discovery, streamed; single ones as they are now. (migration-semantics.md §3.1)
import { sql } from 'kysely'
import { rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { AccountKind } from '../directory/account.ts'
import type { AccountId, TenantId } from '../ids.ts'
import type { Place } from '../mapping/mapping.ts'
import type { MatchAccount } from './match-record.ts'

const ROWS_PER_FETCH = 2_000
/** More of a name is of no use to matching, and hostile ones are 64 KiB. */
const MAX_NAME_CHARACTERS = 2_000

/** The latest that was completed, by tenant. */
export async function latestDiscoveries(tx: Tx, { organisation, project }: Place): Promise<Map<TenantId, number>> {
  const rows = await rowsOf<{ tenant_id: TenantId; number: number }>(
    tx,
    sql`select tenant_id, max(number) as number from discovery
         where organisation_id = ${organisation} and project_id = ${project} and state = 'completed' group by tenant_id`,
  )
  return new Map(rows.map((row) => [row.tenant_id, row.number]))
}

export type SortedAccount = MatchAccount & { readonly sortKey: string }

interface AccountRow {
  id: AccountId
  object_id: string
  kind: AccountKind
  display_name: string
  user_principal_name: string | null
  mail: string | null
  mail_nickname: string | null
  addresses: string[] | null
  attributes: Record<string, string> | null
  sort_key: string
}

/**
 * A tenant's accounts as a discovery left them, in batches and in no order. One at a time in a transaction.
 * @param attributes  names of those that are wanted: there are many, and rules look at few
 */
export async function* readAccounts(
  tx: Tx,
  { organisation, project }: Place,
  { tenant, discovery }: { readonly tenant: TenantId; readonly discovery: number },
  attributes: readonly string[],
): AsyncGenerator<readonly SortedAccount[]> {
  await sql`
    declare accounts no scroll cursor for
    select id, object_id, kind, left(display_name, ${MAX_NAME_CHARACTERS}::integer) as display_name, user_principal_name, mail,
           snapshot ->> 'mailNickname' as mail_nickname, snapshot -> 'addresses' as addresses,
           (select jsonb_object_agg(wanted.name, snapshot -> 'attributes' -> wanted.name)
              from unnest(${[...attributes]}::text[]) as wanted(name)
             where snapshot -> 'attributes' ? wanted.name) as attributes,
           sort_key
      from account
     where organisation_id = ${organisation} and project_id = ${project} and tenant_id = ${tenant}
       and valid_from <= ${discovery} and (valid_to is null or valid_to > ${discovery})`.execute(tx)
  for (;;) {
    const rows = await rowsOf<AccountRow>(tx, sql`fetch ${sql.lit(ROWS_PER_FETCH)} from accounts`)
    if (rows.length > 0) yield rows.map(toAccount)
    if (rows.length < ROWS_PER_FETCH) break
  }
  await sql`close accounts`.execute(tx)
}

function toAccount(row: AccountRow): SortedAccount {
  return {
    id: row.id,
    objectId: row.object_id,
    kind: row.kind,
    displayName: row.display_name,
    ...(row.user_principal_name === null ? {} : { userPrincipalName: row.user_principal_name }),
    ...(row.mail === null ? {} : { mail: row.mail }),
    ...(row.mail_nickname === null ? {} : { mailNickname: row.mail_nickname }),
    addresses: row.addresses ?? [],
    attributes: row.attributes ?? {},
    sortKey: row.sort_key,
  }
}

export interface LiveAccount {
  readonly id: AccountId
  readonly tenant: TenantId
  readonly side: 'source' | 'target'
  readonly kind: AccountKind
  readonly sortKey: string
}

/** undefined: there is none such, or it is gone from its tenant. */
export function findLiveAccount(
  tx: Tx,
  { organisation, project }: Place,
  id: AccountId,
): Promise<LiveAccount | undefined> {
  return rowOf<LiveAccount>(
    tx,
    sql`select a.id, a.tenant_id as tenant, t.side, a.kind, a.sort_key as "sortKey"
          from account a
          join tenant_connection t on t.organisation_id = a.organisation_id and t.project_id = a.project_id and t.id = a.tenant_id
         where a.organisation_id = ${organisation} and a.project_id = ${project} and a.id = ${id} and a.valid_to is null`,
  )
}
