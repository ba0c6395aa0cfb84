// Support grants in the database. Scope: the organisation.
import { sql } from 'kysely'
import { rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { OrganisationId, SupportGrantId } from '../ids.ts'
import type { SupportGrant } from './support-grant.ts'

type Row = Omit<SupportGrant, 'revokedAt'> & { readonly revokedAt: Date | null }
const toGrant = (row: Row): SupportGrant => ({ ...row, revokedAt: row.revokedAt ?? undefined })

const COLUMNS = sql`id, principal, reason, granted_by as "grantedBy", created_at as "createdAt", expires_at as "expiresAt",
  revoked_at as "revokedAt"`

/** The one that ends last first. @param isActive  only those in force, or only those that are not */
export async function listGrants(
  tx: Tx,
  organisation: OrganisationId,
  isActive: boolean | undefined,
  now: Date,
  after: readonly [expiresAt: Date, id: string] | undefined,
  limit: number,
): Promise<SupportGrant[]> {
  const rows = await rowsOf<Row>(
    tx,
    sql`
    select ${COLUMNS} from support_grant
     where organisation_id = ${organisation}
       and ${isActive === undefined ? sql`true` : sql`(revoked_at is null and expires_at > ${now}) = ${isActive}`}
       and ${after === undefined ? sql`true` : sql`(expires_at, id) < (${after[0]}, ${after[1]})`}
     order by expires_at desc, id desc
     limit ${limit}`,
  )
  return rows.map(toGrant)
}

/** Locks it until the commit. */
export async function findGrant(
  tx: Tx,
  organisation: OrganisationId,
  id: SupportGrantId,
): Promise<SupportGrant | undefined> {
  const row = await rowOf<Row>(
    tx,
    sql`select ${COLUMNS} from support_grant where organisation_id = ${organisation} and id = ${id} for update`,
  )
  return row && toGrant(row)
}

export async function insertGrant(tx: Tx, organisation: OrganisationId, grant: SupportGrant): Promise<void> {
  await sql`
    insert into support_grant (organisation_id, id, principal, reason, granted_by, created_at, expires_at)
    values (${organisation}, ${grant.id}, ${grant.principal}, ${grant.reason}, ${grant.grantedBy}, ${grant.createdAt},
            ${grant.expiresAt})`.execute(tx)
}

export async function revokeGrant(tx: Tx, organisation: OrganisationId, id: SupportGrantId, at: Date): Promise<void> {
  await sql`update support_grant set revoked_at = ${at} where organisation_id = ${organisation} and id = ${id}`.execute(
    tx,
  )
}
