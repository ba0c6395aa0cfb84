// Which domains a project's mapping makes addresses of. Scope: the organisation.
import { sql } from 'kysely'
import { rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { ProjectPlace } from './tenant-store.ts'

/** Domains in A-labels of presented addresses and mailboxes in force, with how many addresses are in each. */
export async function mappedDomains(tx: Tx, { organisation, project }: ProjectPlace): Promise<Map<string, number>> {
  const rows = await rowsOf<{ domain: string; addresses: number }>(
    tx,
    sql`
    select domain, sum(addresses)::bigint as addresses
      from (select mailbox_domain as domain, count(*) as addresses from mapping_entry
             where organisation_id = ${organisation} and project_id = ${project} and valid_to is null
             group by 1
            union all
            -- Keys are local@domain, and no domain has an @.
            select substring(presented_key from '[^@]*$'), count(*) from mapping_entry
             where organisation_id = ${organisation} and project_id = ${project} and valid_to is null
             group by 1) used
     group by domain`,
  )
  return new Map(rows.map(({ domain, addresses }) => [domain, addresses]))
}
