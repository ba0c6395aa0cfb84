// Runs one job here and now: claimed, leased and ended by the product's own code, only without a queue in between.
import assert from 'node:assert/strict'
import { sql } from 'kysely'
import { createLog } from '../../common/log.ts'
import { rowOf, withScope } from '../../control-plane/db/database.ts'
import type { Db } from '../../control-plane/db/database.ts'
import type { OrganisationId } from '../../control-plane/ids.ts'
import { takeOutbox } from '../../control-plane/jobs/dispatch-store.ts'
import { claimJob, holdAttempt, putOff } from '../../control-plane/jobs/job-store.ts'
import type { JobHandler } from '../../control-plane/jobs/job.ts'
import type { JobName } from '../../control-plane/jobs/job-names.ts'
import { openLease } from '../../control-plane/jobs/lease.ts'
import { RetryLater } from '../../control-plane/jobs/retry.ts'
import { CancelWatch } from '../../control-plane/operations/cancel-watch.ts'
import { operationJob } from '../../control-plane/operations/operation-job.ts'
import type { OperationWork } from '../../control-plane/operations/operation-job.ts'

const LEASE_MS = 60_000
const log = createLog({ write: () => {}, level: 'error', now: Date.now })

export interface AskedJob {
  readonly organisation: OrganisationId
  readonly kind: JobName
  /** Id of what it is about. */
  readonly object: string
}

/**
 * Rejects with what the runner would judge (jobs/retry.ts); after a RetryLater the job can be run again at once.
 * @param signal  ends the attempt, as the process would
 */
export async function runJob(db: Db, asked: AskedJob, handler: JobHandler, signal?: AbortSignal): Promise<void> {
  const { organisation, kind, object } = asked
  await takeOutbox(db)
  const job = await withScope(db, { organisation }, (tx) =>
    rowOf<{ id: number; turn: number }>(
      tx,
      sql`select id, fence as turn from job where kind = ${kind} and object_id = ${object} order by id limit 1`,
    ),
  )
  assert.ok(job, `a job of kind ${kind} was asked for`)
  const claim = await claimJob(db, { organisation, ...job, kind }, LEASE_MS)
  assert.ok(claim.kind === 'claimed', claim.kind)
  const lease = openLease(claim.job, { db, log, leaseMs: LEASE_MS, monotonicMs: () => performance.now() })
  const interrupt = (): void => lease.interrupt(signal?.reason as Error)
  signal?.addEventListener('abort', interrupt)
  try {
    await handler.run(lease.context)
    if (!lease.isFinished) await lease.context.finish(() => Promise.resolve())
  } catch (error) {
    if (!lease.isFinished)
      await withScope(db, { organisation }, async (tx) => {
        await holdAttempt(tx, claim.job)
        await putOff(tx, claim.job, 0, !(error instanceof RetryLater))
      })
    throw error
  } finally {
    signal?.removeEventListener('abort', interrupt)
    lease.close()
  }
}

/** The job of an operation. @param operation  its id */
export async function runOperationJob(
  db: Db,
  asked: AskedJob,
  work: OperationWork,
  signal?: AbortSignal,
): Promise<void> {
  const watch = new CancelWatch({ db, wakeUps: { on: () => () => {} }, log, everyMs: 50 })
  try {
    await runJob(db, asked, operationJob(work, { watch, monotonicMs: () => performance.now() }), signal)
  } finally {
    await watch.close()
  }
}
