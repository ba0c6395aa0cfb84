// What the job of a large import, or of restoring a revision far away, does: applies what was staged, in one transaction. Can be stopped anywhere and
// run again; an attempt that another one has replaced ends without a trace. (control-plane.md §3.5, JQ-2, JQ-5, JQ-6)
import { appendAudit } from '../audit/audit-store.ts'
import { withScope } from '../db/database.ts'
import type { Db, Tx } from '../db/database.ts'
import { Problem } from '../http/problem.ts'
import { parseId } from '../ids.ts'
import type { MappingImportId } from '../ids.ts'
import { holdAttempt } from '../jobs/job-store.ts'
import { OperationCancelled } from '../operations/operation-job.ts'
import type { OperationContext } from '../operations/operation-job.ts'
import { refreshStatistics } from './change-store.ts'
import { tableChangeBody } from './import-result.ts'
import type { TableChangeBody } from './import-result.ts'
import { acceptedDomains } from './mapping-store.ts'
import type { Place } from './mapping.ts'
import { restoreTable } from './restore-table.ts'
import { deleteStaged, findStaged, setStagedResult } from './staging-store.ts'
import type { Staged } from './staging-store.ts'
import { changeTable } from './table-change.ts'

export interface ApplyImportDeps {
  readonly db: Db
  /** ms since the epoch */
  readonly now: () => number
}

/**
 * The work of an operation whose subject is a staged import (operations/operation-job.ts).
 *
 * @returns what changed, or in a dry run would change
 * @throws Problem when something stands against it, OperationCancelled, StaleAttempt; nothing has changed then
 */
export async function applyImport(
  context: OperationContext,
  { db, now }: ApplyImportDeps,
): Promise<Readonly<Record<string, unknown>>> {
  const { organisation, project, subject } = context
  const id = parseId('mapping-import', subject)
  if (project === undefined || id === undefined) throw new Error('unreachable: the operation is about no import')
  const place = { organisation, project }
  await context.progress({ step: 'checking' })
  await context.read((tx) => refreshStatistics(tx, Infinity))
  try {
    // Not `context.change`, which would hold the job's row all the while, and so its lease from being renewed: the attempt is held at the end.
    const result = await withScope(db, { organisation }, async (tx) => {
      const applied = await apply(tx, place, id, context, now())
      await holdAttempt(tx, context)
      return applied
    })
    await context.read((tx) => refreshStatistics(tx, Infinity))
    return { ...result }
  } catch (error) {
    if (endsTheOperation(error)) await context.change((tx) => deleteStaged(tx, place, id))
    throw error
  }
}

/** Then nobody will want the rows again. */
const endsTheOperation = (error: unknown): boolean =>
  error instanceof OperationCancelled || (error instanceof Problem && error.status < 500)

async function apply(
  tx: Tx,
  place: Place,
  id: MappingImportId,
  context: OperationContext,
  now: number,
): Promise<TableChangeBody> {
  const staged = await findStaged(tx, place, id)
  if (staged === undefined) throw new Problem('not-found', { detail: 'What was uploaded is not kept any more.' })
  // An earlier attempt has done it, and was ended before it could say so.
  if (staged.result !== undefined) return staged.result
  const result = await change(tx, place, staged, context, now)
  context.checkCancelled()
  await setStagedResult(tx, place, id, result)
  if (staged.validatesOnly) return result
  await appendAudit(
    tx,
    place.organisation,
    {
      action: staged.mode === 'restore' ? 'mapping.restored' : 'mapping.imported',
      actor: staged.author,
      project: place.project,
      object: context.operation,
      result: 'done',
      payload: { ...result, mode: staged.mode },
    },
    now,
  )
  return result
}

async function change(
  tx: Tx,
  place: Place,
  staged: Staged,
  context: OperationContext,
  now: number,
): Promise<TableChangeBody> {
  const { mode, confirm, author, expectedRevision, restoredRevision } = staged
  const checkRevision = (revision: number): void => {
    if (expectedRevision !== undefined && revision !== expectedRevision)
      throw new Problem('stale-etag', { current: `"${revision}"` })
  }
  const onProgress = (done: number): Promise<void> => context.progress({ step: 'writing', done })
  const options = { now, rows: Infinity, checkRevision, onProgress }
  const result =
    mode === 'restore'
      ? await restoreTable(tx, place, { revision: restoredRevision ?? 0, confirm, author }, options)
      : await changeTable(tx, place, staged, { ...options, cause: 'import', source: 'import' })
  return tableChangeBody(result, await acceptedDomains(tx, place))
}
