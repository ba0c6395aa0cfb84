// Installation administrators in the database. Scope: the purpose `administration`.
import { sql } from 'kysely'
import { countOf, rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { InstallationAdministrator } from './installation-administrator.ts'

const COLUMNS = sql`principal, display_name as "displayName", added_by as "addedBy", added_at as "addedAt"`

/** By tenant and object id. */
export async function listAdministrators(
  tx: Tx,
  after: string | undefined,
  limit: number,
): Promise<InstallationAdministrator[]> {
  return rowsOf(
    tx,
    sql`select ${COLUMNS} from installation_administrator where principal > ${after ?? ''} order by principal limit ${limit}`,
  )
}

export async function findAdministrator(tx: Tx, principal: string): Promise<InstallationAdministrator | undefined> {
  return rowOf(tx, sql`select ${COLUMNS} from installation_administrator where principal = ${principal}`)
}

/** @returns false when the person was one already */
export async function addAdministrator(tx: Tx, administrator: InstallationAdministrator): Promise<boolean> {
  const { principal, displayName, addedBy, addedAt } = administrator
  const added = await countOf(
    tx,
    sql`insert into installation_administrator (principal, display_name, added_by, added_at)
        values (${principal}, ${displayName}, ${addedBy}, ${addedAt}) on conflict do nothing`,
  )
  return added === 1
}

export async function removeAdministrator(tx: Tx, principal: string): Promise<void> {
  await sql`delete from installation_administrator where principal = ${principal}`.execute(tx)
}

export async function countInstallationAdministrators(tx: Tx): Promise<number> {
  const row = await rowOf<{ count: number }>(tx, sql`select count(*) as count from installation_administrator`)
  return row?.count ?? 0
}
