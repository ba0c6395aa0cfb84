// A person as an object of the tenants: by which accounts he is known, and by which addresses they are. (PR-6, migration-semantics.md §1)
import { sql } from 'kysely'
import { rowsOf } from '../db/database.ts'
import { matchKey } from '../directory/account.ts'
import { keyOf } from '../mapping/mapping-store.ts'
import type { MoreOfPerson, Person } from './person.ts'
import type { At } from './person-source.ts'

/**
 * Accounts that are there now, with their addresses. Addresses pass from one person to the next: of those who have left the ids are taken, and only
 * where nobody has the address now.
 */
export async function recogniseAccounts(at: At, person: Person): Promise<MoreOfPerson> {
  const { addresses, keys, accounts, objectIds } = person
  const {
    tx,
    place: { organisation, project },
  } = at
  const matched = [...new Set([...addresses, ...keys].map(matchKey))]
  const rows = await rowsOf<{ id: string; object_id: string; upn: string | null; addresses: string[]; tenant: string }>(
    tx,
    sql`select a.id, a.object_id, a.user_principal_name as upn, a.snapshot -> 'addresses' as addresses, t.entra_tenant_id as tenant
          from account a
          join tenant_connection t on t.organisation_id = a.organisation_id and t.project_id = a.project_id and t.id = a.tenant_id
         where a.organisation_id = ${organisation} and a.project_id = ${project} and a.valid_to is null
           and (a.id = any(${[...accounts]}::text[]) or a.object_id = any(${[...objectIds]}::text[])
             or a.id in (select b.account_id from account_address b
                          where b.organisation_id = ${organisation} and b.project_id = ${project} and b.key = any(${matched}::text[])))`,
  )
  const left = await rowsOf<{ id: string; object_id: string }>(
    tx,
    sql`select distinct a.id, a.object_id from account a
         where a.organisation_id = ${organisation} and a.project_id = ${project} and a.valid_to is not null
           and (a.object_id = any(${[...objectIds]}::text[])
             or a.primary_key = any(${matched}::text[])
                and not exists (select from account_address b
                                 where b.organisation_id = ${organisation} and b.project_id = ${project} and b.key = a.primary_key))`,
  )
  const written = rows.flatMap((row) => [...row.addresses, ...(row.upn === null ? [] : [row.upn])])
  return {
    accounts: [...rows, ...left].map(({ id }) => id),
    objectIds: [...rows, ...left].map((row) => row.object_id),
    principals: rows.map((row) => `${row.tenant}/${row.object_id}`),
    addresses: written,
    keys: written.flatMap((address) => [matchKey(address), keyOf(address) ?? []].flat()),
  }
}

/** The other account of a pair that somebody confirmed. */
export async function recognisePairs(
  { tx, place: { organisation, project } }: At,
  { accounts }: Person,
): Promise<MoreOfPerson> {
  const rows = await rowsOf<{ source: string; target: string }>(
    tx,
    sql`select source_account_id as source, target_account_id as target from pair
         where organisation_id = ${organisation} and project_id = ${project} and state = 'confirmed'
           and (source_account_id = any(${[...accounts]}::text[]) or target_account_id = any(${[...accounts]}::text[]))`,
  )
  return { accounts: rows.flatMap(({ source, target }) => [source, target]) }
}
