// What the work of an operation writes into it. Each attempt has a fence: one that was replaced writes nothing (JQ-2).
import { sql } from 'kysely'
import { countOf, rowOf, rowsOf, withScope } from '../db/database.ts'
import type { Db, Tx } from '../db/database.ts'
import { wake } from '../db/outbox.ts'
import type { OperationId, OrganisationId, ProjectId } from '../ids.ts'
import { StaleAttempt } from '../jobs/job.ts'
import type { Progress } from './operation.ts'
import { tellChange } from './operation-store.ts'

export interface Attempt {
  readonly organisation: OrganisationId
  readonly project: ProjectId | undefined
  readonly operation: OperationId
  readonly fence: number
  /** Id of what it is about. */
  readonly object: string
}

/** undefined: there is nothing to do, it has ended. One that failed is begun anew: somebody retried its job. */
export async function startAttempt(
  tx: Tx,
  organisation: OrganisationId,
  operation: OperationId,
): Promise<(Attempt & { readonly isCancelling: boolean }) | undefined> {
  const row = await rowOf<{
    project_id: ProjectId | ''
    object_id: string
    fence: number
    state: 'running' | 'cancelling'
  }>(
    tx,
    sql`update operation
           set fence = fence + 1, attempts = attempts + 1, problem = null, finished_at = null,
               state = case state when 'cancelling' then 'cancelling' else 'running' end, updated_at = now(), version = version + 1
         where organisation_id = ${organisation} and id = ${operation} and state in ('queued', 'running', 'cancelling', 'failed')
     returning project_id, object_id, fence, state`,
  )
  if (row === undefined) return undefined
  const project = row.project_id === '' ? undefined : row.project_id
  await tellChange(tx, { organisation, project }, operation, row.state)
  return {
    organisation,
    project,
    operation,
    fence: row.fence,
    object: row.object_id,
    isCancelling: row.state === 'cancelling',
  }
}

/** @throws StaleAttempt */
export async function noteProgress(tx: Tx, attempt: Attempt, progress: Partial<Progress>): Promise<void> {
  const { done = null, total = null, unit = null, step = null } = progress
  const { organisation, project, operation, fence } = attempt
  const noted = await countOf(
    tx,
    sql`update operation
           set done = coalesce(${done}, done), total = coalesce(${total}, total), unit = coalesce(${unit}, unit),
               step = coalesce(${step}, step), updated_at = now(), version = version + 1
         where organisation_id = ${organisation} and id = ${operation} and fence = ${fence} and state in ('running', 'cancelling')`,
  )
  if (noted === 0) throw new StaleAttempt('another attempt has taken the operation')
  await wake(tx, 'operation', { organisation, project })
}

/** @param result  what came of it, with links @throws StaleAttempt */
export const succeed = (tx: Tx, attempt: Attempt, result: Readonly<Record<string, unknown>>): Promise<void> =>
  end(tx, attempt, 'succeeded', { result })

/** @param problem  `problemOf`, `givenUp` @throws StaleAttempt */
export const fail = (tx: Tx, attempt: Attempt, problem: Readonly<Record<string, unknown>>): Promise<void> =>
  end(tx, attempt, 'failed', { problem })

/** @throws StaleAttempt */
export const endCancelled = (tx: Tx, attempt: Attempt): Promise<void> => end(tx, attempt, 'cancelled', {})

async function end(
  tx: Tx,
  { organisation, project, operation, fence }: Attempt,
  state: 'succeeded' | 'failed' | 'cancelled',
  { result, problem }: { readonly result?: object; readonly problem?: object },
): Promise<void> {
  const ended = await countOf(
    tx,
    sql`update operation
           set state = ${state}, result = ${json(result)}::jsonb, problem = ${json(problem)}::jsonb, step = '',
               done = case when ${state} = 'succeeded' then coalesce(total, done) else done end,
               updated_at = now(), finished_at = now(), version = version + 1
         where organisation_id = ${organisation} and id = ${operation} and fence = ${fence} and state in ('running', 'cancelling')`,
  )
  if (ended === 0) throw new StaleAttempt('another attempt has taken the operation')
  await tellChange(tx, { organisation, project }, operation, state)
}

/** Its job was given up: whatever attempt it was. */
export async function endGivenUp(
  tx: Tx,
  organisation: OrganisationId,
  operation: OperationId,
  problem: Readonly<Record<string, unknown>>,
): Promise<void> {
  const row = await rowOf<{ project_id: ProjectId | '' }>(
    tx,
    sql`update operation
           set state = 'failed', problem = ${json(problem)}::jsonb, step = '', updated_at = now(), finished_at = now(), version = version + 1
         where organisation_id = ${organisation} and id = ${operation} and state in ('queued', 'running', 'cancelling')
     returning project_id`,
  )
  const project = row === undefined || row.project_id === '' ? undefined : row.project_id
  if (row !== undefined) await tellChange(tx, { organisation, project }, operation, 'failed')
}

/** Those of these operations that were asked to stop. */
export async function findCancelling(db: Db, operations: readonly OperationId[]): Promise<OperationId[]> {
  const rows = await withScope(db, { purpose: 'reconcile' }, (tx) =>
    rowsOf<{ id: OperationId }>(
      tx,
      sql`select id from operation where id = any(${[...operations]}) and state = 'cancelling'`,
    ),
  )
  return rows.map(({ id }) => id)
}

export interface Abandoned {
  readonly organisation: OrganisationId
  readonly project: ProjectId | ''
  readonly operation: OperationId
  readonly kind: string
}

/** Open operations that no job is about. @param idleMs  since their last change */
export function findAbandoned(db: Db, idleMs: number, limit: number): Promise<Abandoned[]> {
  return withScope(db, { purpose: 'reconcile' }, (tx) =>
    rowsOf<Abandoned>(
      tx,
      sql`
      select organisation_id as organisation, project_id as project, id as operation, kind from operation o
       where state in ('queued', 'running', 'cancelling') and updated_at < now() - ${idleMs} * interval '1 millisecond'
         and not exists (select from outbox b where b.organisation_id = o.organisation_id and b.object_id = o.id)
         and not exists (select from job j where j.organisation_id = o.organisation_id and j.object_id = o.id)
       limit ${limit}`,
    ),
  )
}

const json = (value: object | undefined): string | null => (value === undefined ? null : JSON.stringify(value))
