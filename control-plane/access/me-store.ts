// What of an organisation its own people may know by name. Scope: the organisation.
import { sql } from 'kysely'
import { rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { OrganisationId, ProjectId } from '../ids.ts'

/** Those that are there, by name. */
export async function nameProjects(
  tx: Tx,
  organisation: OrganisationId,
  ids: readonly string[],
): Promise<{ id: ProjectId; name: string }[]> {
  return rowsOf(
    tx,
    sql`select id, name from project
         where organisation_id = ${organisation} and id = any(${[...ids]}) and deletion_started_at is null
         order by lower(name) collate "C", id`,
  )
}

/** When support that was granted to this person ends; undefined when there is none. */
export async function findSupportEnd(
  tx: Tx,
  organisation: OrganisationId,
  principal: string,
  now: Date,
): Promise<Date | undefined> {
  const row = await rowOf<{ ends_at: Date | null }>(
    tx,
    sql`select max(expires_at) as ends_at from support_grant
         where organisation_id = ${organisation} and principal = ${principal} and revoked_at is null and expires_at > ${now}`,
  )
  return row?.ends_at ?? undefined
}
