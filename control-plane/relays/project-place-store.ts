// What relays have to know of their project's row.
import { sql } from 'kysely'
import { rowOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { ProjectPlace } from './relay-secret-store.ts'

/** undefined: there is none in this scope. */
export async function findProject(
  tx: Tx,
  { organisation, project }: ProjectPlace,
): Promise<{ isDeleting: boolean } | undefined> {
  const row = await rowOf<{ deletion_requested_at: Date | null }>(
    tx,
    sql`select deletion_requested_at from project where organisation_id = ${organisation} and id = ${project}`,
  )
  return row && { isDeleting: row.deletion_requested_at !== null }
}

/** Until the commit no change of the project commits. Blocks while one is under way. */
export async function holdProject(tx: Tx, { organisation, project }: ProjectPlace): Promise<void> {
  await sql`select 1 from project where organisation_id = ${organisation} and id = ${project} for share`.execute(tx)
}

/** Until the commit nobody else changes what the project's relays are told. */
export async function lockProject(tx: Tx, { organisation, project }: ProjectPlace): Promise<void> {
  await sql`select 1 from project where organisation_id = ${organisation} and id = ${project} for no key update`.execute(
    tx,
  )
}
