// What previews ask of the database beside the table.
import { sql } from 'kysely'
import { rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { Place } from './mapping.ts'

/** Domains that the project's relays sign for, in A-labels. */
export async function activeDkimDomains(tx: Tx, { organisation, project }: Place): Promise<ReadonlySet<string>> {
  const rows = await rowsOf<{ domain: string }>(
    tx,
    sql`select distinct domain from dkim_key
         where organisation_id = ${organisation} and project_id = ${project} and state = 'active'`,
  )
  return new Set(rows.map(({ domain }) => domain))
}
