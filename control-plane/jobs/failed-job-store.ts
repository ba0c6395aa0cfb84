// The list of failed jobs: what was given up, why, and another try.
import { sql } from 'kysely'
import { countOf, rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import { wake } from '../db/outbox.ts'
import type { OrganisationId, ProjectId } from '../ids.ts'

export interface FailedJob {
  readonly id: number
  readonly kind: string
  readonly project: ProjectId | ''
  readonly object: string
  readonly attempts: number
  readonly reason: string
  readonly createdAt: Date
  readonly failedAt: Date
}

const COLUMNS = sql`id, kind, project_id as project, object_id as object, attempts, failed_reason as reason,
  created_at as "createdAt", failed_at as "failedAt"`

/** The oldest first. */
export function listFailedJobs(
  tx: Tx,
  organisation: OrganisationId,
  kind: string | undefined,
  after: number,
  limit: number,
): Promise<FailedJob[]> {
  return rowsOf(
    tx,
    sql`select ${COLUMNS} from job
         where organisation_id = ${organisation} and state = 'failed' and id > ${after}
           and ${kind === undefined ? sql`true` : sql`kind = ${kind}`}
         order by id limit ${limit}`,
  )
}

export function findFailedJob(tx: Tx, organisation: OrganisationId, id: number): Promise<FailedJob | undefined> {
  return rowOf(
    tx,
    sql`select ${COLUMNS} from job where organisation_id = ${organisation} and id = ${id} and state = 'failed' for no key update`,
  )
}

/** Another five attempts. */
export async function retryFailedJob(tx: Tx, organisation: OrganisationId, id: number): Promise<void> {
  await countOf(
    tx,
    sql`update job
           set state = 'queued', attempts = 0, run_after = now(), published_at = null, failed_reason = null, failed_at = null
         where organisation_id = ${organisation} and id = ${id} and state = 'failed'`,
  )
  await wake(tx, 'outbox', { organisation })
}

export async function discardFailedJob(tx: Tx, organisation: OrganisationId, id: number): Promise<void> {
  await sql`delete from job where organisation_id = ${organisation} and id = ${id} and state = 'failed'`.execute(tx)
}
