// Which organisations and projects a database holds. The scope has purpose `reconcile`.
import { sql } from 'kysely'
import { rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { OrganisationId, ProjectId } from '../ids.ts'

/** The installation among them. */
export async function listOrganisations(tx: Tx): Promise<OrganisationId[]> {
  const rows = await rowsOf<{ id: OrganisationId }>(
    tx,
    sql`select organisation_id as id from organisation order by organisation_id`,
  )
  return rows.map(({ id }) => id)
}

export function listProjects(tx: Tx): Promise<{ organisation: OrganisationId; project: ProjectId }[]> {
  return rowsOf(
    tx,
    sql`select organisation_id as organisation, id as project from project order by organisation_id, id`,
  )
}
