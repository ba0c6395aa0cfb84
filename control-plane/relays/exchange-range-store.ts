// Ranges of Exchange Online in Postgres: of the installation, for all its projects. (SP-3)
import { sql } from 'kysely'
import { countOf, rowOf, rowsOf, setScope } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { OrganisationId, ProjectId } from '../ids.ts'
import type { Cloud } from '../microsoft/clouds.ts'
import { KEEP_RANGE_MS } from './exchange-ranges.ts'
import type { ProjectPlace } from './relay-secret-store.ts'

/** Those of the clouds that a project's tenants are in. */
export async function listExchangeRanges(tx: Tx, clouds: readonly string[]): Promise<string[]> {
  const rows = await rowsOf<{ range: string }>(
    tx,
    sql`select distinct range from exchange_range where cloud = any(${[...new Set(clouds)]}::text[]) order by range`,
  )
  return rows.map(({ range }) => range)
}

/** When the cloud's list was last read; undefined: never. */
export async function lastRefresh(tx: Tx, cloud: Cloud): Promise<Date | undefined> {
  const row = await rowOf<{ at: Date | null }>(
    tx,
    sql`select max(last_seen_at) as at from exchange_range where cloud = ${cloud}`,
  )
  return row?.at ?? undefined
}

/** The scope has purpose `reconcile`. @returns how many came, and how many went after their 30 days */
export async function storeExchangeRanges(
  tx: Tx,
  cloud: Cloud,
  ranges: readonly string[],
  at: Date,
): Promise<{ added: number; removed: number }> {
  const seen = await rowsOf<{ is_new: boolean }>(
    tx,
    sql`insert into exchange_range (cloud, range, first_seen_at, last_seen_at)
        select ${cloud}, r, ${at}, ${at} from unnest(${[...ranges]}::text[]) as r
        on conflict (cloud, range) do update set last_seen_at = excluded.last_seen_at
        returning first_seen_at = last_seen_at as is_new`,
  )
  const removed = await countOf(
    tx,
    sql`delete from exchange_range where cloud = ${cloud} and last_seen_at < ${new Date(at.getTime() - KEEP_RANGE_MS)}`,
  )
  return { added: seen.filter(({ is_new }) => is_new).length, removed }
}

/** All projects with a tenant in one of the clouds. Changes the transaction's scope: to that of the last project. */
export async function projectsInCloud(tx: Tx, cloud: Cloud): Promise<ProjectPlace[]> {
  await setScope(tx, { purpose: 'reconcile' })
  const projects = await rowsOf<{ organisation_id: OrganisationId; id: ProjectId }>(
    tx,
    sql`select organisation_id, id from project order by organisation_id, id`,
  )
  const found: ProjectPlace[] = []
  for (const { organisation_id: organisation, id: project } of projects) {
    await setScope(tx, { organisation })
    const tenant = await rowOf(
      tx,
      sql`select 1 from tenant_connection
           where organisation_id = ${organisation} and project_id = ${project} and cloud = ${cloud} limit 1`,
    )
    if (tenant !== undefined) found.push({ organisation, project })
  }
  return found
}
