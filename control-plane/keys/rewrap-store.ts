// Whose keys have to be replaced, and from which older ones values have yet to be taken (KM-2), in SQL.
import { sql } from 'kysely'
import { rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { OrganisationId, ProjectId } from '../ids.ts'
import type { JobName } from '../jobs/job-names.ts'
import { homeOf, ofInstallation, ofProject, projectOf } from './key-owner.ts'
import type { KeyOwner } from './key-owner.ts'

const JOB: JobName = 'keys.rewrap'

export interface DueTimes {
  /** Current keys made until then are old. */
  readonly madeUntil: Date
  /** Previous keys replaced until then seal nothing any more, wherever somebody still held them. */
  readonly replacedUntil: Date
}

/**
 * Owners with something to do that nobody is at: no job of theirs waits or runs, nor was one given up within a day, which somebody has to look at
 * first. The transaction's purpose must be `reconcile`.
 */
export async function listRewrapsDue(
  tx: Tx,
  { madeUntil, replacedUntil }: DueTimes,
  limit: number,
): Promise<KeyOwner[]> {
  const rows = await rowsOf<{ organisation_id: OrganisationId; project_id: ProjectId | null }>(
    tx,
    sql`
    with due as (
      select organisation_id, project_id from project_key where state = 'current' and created_at <= ${madeUntil}
      union
      select organisation_id, project_id from project_key
       where state = 'previous' and resealed_at is null and replaced_at <= ${replacedUntil}
    )
    select organisation_id, project_id from due d
     where not exists (select from outbox o
                        where o.organisation_id = d.organisation_id and o.kind = ${JOB} and o.project_id = coalesce(d.project_id, ''))
       and not exists (select from job j
                        where j.organisation_id = d.organisation_id and j.kind = ${JOB} and j.project_id = coalesce(d.project_id, '')
                          and (j.state <> 'failed' or j.failed_at > now() - interval '1 day'))
     order by organisation_id, project_id
     limit ${limit}`,
  )
  return rows.map((row) =>
    row.project_id === null ? ofInstallation(row.organisation_id) : ofProject(row.organisation_id, row.project_id),
  )
}

/** Nothing is left that these keys sealed. The transaction must see `homeOf(owner)`. @param replacedUntil  of `DueTimes`, at the start of the pass */
export async function markResealed(tx: Tx, owner: KeyOwner, replacedUntil: Date, at: Date): Promise<void> {
  await sql`update project_key set resealed_at = ${at}
             where organisation_id = ${homeOf(owner)} and project_id is not distinct from ${projectOf(owner)}
               and state = 'previous' and resealed_at is null and replaced_at <= ${replacedUntil}`.execute(tx)
}

/** All there are, the installation's own among them. The transaction's purpose must be `reconcile`. */
export async function listOrganisations(tx: Tx): Promise<OrganisationId[]> {
  const rows = await rowsOf<{ organisation_id: OrganisationId }>(
    tx,
    sql`select organisation_id from organisation order by organisation_id`,
  )
  return rows.map((row) => row.organisation_id)
}

/** Projects whose keys are in use, and the installation. The transaction's purpose must be `reconcile`. */
export async function listKeyOwners(tx: Tx): Promise<KeyOwner[]> {
  const rows = await rowsOf<{ organisation_id: OrganisationId; project_id: ProjectId | null }>(
    tx,
    sql`select organisation_id, project_id from project_key where state = 'current' order by organisation_id, project_id`,
  )
  return rows.map((row) =>
    row.project_id === null ? ofInstallation(row.organisation_id) : ofProject(row.organisation_id, row.project_id),
  )
}
