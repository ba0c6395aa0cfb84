// Operations in the database, for those who start, read and cancel them. What the work itself writes: attempt-store.ts.
import { sql } from 'kysely'
import type { RawBuilder } from 'kysely'
import { countOf, rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import { fromMicros, microsOf } from '../db/micros.ts'
import { publishEvent, requestJob, wake } from '../db/outbox.ts'
import type { Place } from '../db/outbox.ts'
import { newId } from '../ids.ts'
import type { OperationId, OrganisationId, ProjectId } from '../ids.ts'
import type { Permission } from '../access/permissions.ts'
import { hastenJobs } from '../jobs/job-store.ts'
import type { JobName } from '../jobs/job-names.ts'
import type { Operation, OperationState } from './operation.ts'

export interface NewOperation {
  /** Also the job that does it. */
  readonly kind: JobName
  /** That started it. */
  readonly permission: Permission
  /** Id of what it is about. */
  readonly object?: string
  readonly total?: number
  readonly unit?: string
  readonly isCancellable: boolean
  /** `callerName` */
  readonly startedBy: string
}

/** Begins it, and asks for its job, in the transaction of the request. Answer 202 with `operationUrl`. */
export async function createOperation(tx: Tx, place: Place, operation: NewOperation): Promise<OperationId> {
  const { kind, permission, object = '', total = null, unit = '', isCancellable, startedBy } = operation
  const id = newId('operation')
  await sql`
    insert into operation (organisation_id, id, project_id, kind, permission, object_id, state, total, unit, is_cancellable, started_by)
    values (${place.organisation}, ${id}, ${place.project ?? ''}, ${kind}, ${permission}, ${object}, 'queued', ${total}, ${unit},
            ${isCancellable}, ${startedBy})`.execute(tx)
  await requestJob(tx, place, kind, id)
  await tellChange(tx, place, id, 'queued')
  return id
}

/** Value of the Location header. */
export const operationUrl = (id: OperationId): string => `/api/v1/operations/${id}`

/** News for those who watch: the organisation, the project, the operation itself, and the worker that does it. */
export async function tellChange(tx: Tx, place: Place, id: OperationId, state: OperationState): Promise<void> {
  await publishEvent(tx, place, 'operation.changed', { operation: id, state })
  await wake(tx, 'operation', place)
}

export async function findOperation(
  tx: Tx,
  organisation: OrganisationId,
  id: OperationId,
  options: { readonly isLocked?: boolean } = {},
): Promise<Operation | undefined> {
  const lock = options.isLocked === true ? sql`for no key update` : sql``
  const row = await rowOf<OperationRow>(
    tx,
    sql`select ${COLUMNS} from operation where organisation_id = ${organisation} and id = ${id} ${lock}`,
  )
  return row && toOperation(row)
}

export interface OperationFilter {
  readonly project: ProjectId | undefined
  readonly kind: string | undefined
  readonly states: readonly OperationState[] | undefined
  /** That the reader holds. */
  readonly permissions: ReadonlySet<Permission>
  /** Creation time (µs) and id of the last one on the page before. */
  readonly after: readonly [number, string] | undefined
}

/** The newest first. */
export async function listOperations(
  tx: Tx,
  organisation: OrganisationId,
  { project, kind, states, permissions, after }: OperationFilter,
  limit: number,
): Promise<Operation[]> {
  const conditions: RawBuilder<unknown>[] = [
    sql`organisation_id = ${organisation} and permission = any(${[...permissions]})`,
    ...(project === undefined ? [] : [sql`project_id = ${project}`]),
    ...(kind === undefined ? [] : [sql`kind = ${kind}`]),
    ...(states === undefined ? [] : [sql`state = any(${[...states]})`]),
    ...(after === undefined ? [] : [sql`(created_at, id) < (${fromMicros(after[0])}, ${after[1]})`]),
  ]
  const rows = await rowsOf<OperationRow>(
    tx,
    sql`select ${COLUMNS} from operation where ${sql.join(conditions, sql` and `)}
         order by created_at desc, id desc limit ${limit}`,
  )
  return rows.map(toOperation)
}

/** Asks it to stop: whoever does it is told at once, and stops at its next step (JQ-6). @returns false when it can't be any more */
export async function requestCancel(tx: Tx, { organisation, project, id }: Operation): Promise<boolean> {
  const asked = await countOf(
    tx,
    sql`update operation set state = 'cancelling', updated_at = now(), version = version + 1
         where organisation_id = ${organisation} and id = ${id} and is_cancellable and state in ('queued', 'running')`,
  )
  if (asked === 0) return false
  await tellChange(tx, { organisation, project }, id, 'cancelling')
  await hastenJobs(tx, organisation, id) // one that waits for its next attempt has to end it now
  return true
}

/** Another one takes its place: it stops as if it were cancelled, which nobody could. Nothing where it has ended. */
export async function supersede(tx: Tx, place: Place, id: OperationId): Promise<void> {
  const stopped = await countOf(
    tx,
    sql`update operation set state = 'cancelling', updated_at = now(), version = version + 1
         where organisation_id = ${place.organisation} and id = ${id} and state in ('queued', 'running')`,
  )
  if (stopped === 0) return
  await tellChange(tx, place, id, 'cancelling')
  await hastenJobs(tx, place.organisation, id)
}

const COLUMNS = sql`organisation_id, id, project_id, kind, permission, object_id, state, done, total, unit, step, problem, result,
  started_by, is_cancellable, attempts, version, created_at, updated_at, finished_at, ${microsOf('created_at')} as created_micros`

interface OperationRow {
  organisation_id: OrganisationId
  id: OperationId
  project_id: ProjectId | ''
  kind: string
  permission: Permission
  object_id: string
  state: OperationState
  done: number
  total: number | null
  unit: string
  step: string
  problem: Record<string, unknown> | null
  result: Record<string, unknown> | null
  started_by: string
  is_cancellable: boolean
  attempts: number
  version: number
  created_at: Date
  created_micros: number
  updated_at: Date
  finished_at: Date | null
}

function toOperation(row: OperationRow): Operation {
  return {
    id: row.id,
    organisation: row.organisation_id,
    project: row.project_id === '' ? undefined : row.project_id,
    kind: row.kind,
    permission: row.permission,
    object: row.object_id,
    state: row.state,
    progress: { done: row.done, total: row.total ?? undefined, unit: row.unit, step: row.step },
    problem: row.problem ?? undefined,
    result: row.result ?? undefined,
    startedBy: row.started_by,
    isCancellable: row.is_cancellable,
    attempts: row.attempts,
    version: row.version,
    createdAt: row.created_at,
    createdMicros: row.created_micros,
    updatedAt: row.updated_at,
    finishedAt: row.finished_at ?? undefined,
  }
}
