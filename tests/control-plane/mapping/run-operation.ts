// Runs the job of one operation here and now: claimed, leased and ended by the product's own code, only without a queue in between.
import assert from 'node:assert/strict'
import { sql } from 'kysely'
import { createLog } from '../../../common/log.ts'
import { rowOf, withScope } from '../../../control-plane/db/database.ts'
import type { Db } from '../../../control-plane/db/database.ts'
import type { OrganisationId } from '../../../control-plane/ids.ts'
import { takeOutbox } from '../../../control-plane/jobs/dispatch-store.ts'
import type { JobName } from '../../../control-plane/jobs/job-names.ts'
import { claimJob } from '../../../control-plane/jobs/job-store.ts'
import { openLease } from '../../../control-plane/jobs/lease.ts'
import { applyImport } from '../../../control-plane/mapping/apply-import.ts'
import { CancelWatch } from '../../../control-plane/operations/cancel-watch.ts'
import { operationJob } from '../../../control-plane/operations/operation-job.ts'
import type { OperationWork } from '../../../control-plane/operations/operation-job.ts'

const LEASE_MS = 60_000

/** Rejects with what the runner would judge (jobs/retry.ts). @param work  what is done; by default the import */
export async function runOperation(
  db: Db,
  organisation: OrganisationId,
  operation: string,
  work: OperationWork = (context) => applyImport(context, { db, now: Date.now }),
): Promise<void> {
  const log = createLog({ write: () => {}, level: 'error', now: Date.now })
  const watch = new CancelWatch({ db, wakeUps: { on: () => () => {} }, log, everyMs: 50 })
  await takeOutbox(db)
  const job = await withScope(db, { organisation }, (tx) =>
    rowOf<{ id: number; kind: JobName; turn: number }>(
      tx,
      sql`select id, kind, fence as turn from job where object_id = ${operation}`,
    ),
  )
  assert.ok(job, 'the operation has asked for its job')
  const claim = await claimJob(db, { organisation, ...job }, LEASE_MS)
  assert.equal(claim.kind, 'claimed')
  assert.ok(claim.kind === 'claimed')
  const lease = openLease(claim.job, { db, log, leaseMs: LEASE_MS, monotonicMs: () => performance.now() })
  try {
    await operationJob(work, { watch, monotonicMs: () => performance.now() }).run(lease.context)
  } finally {
    lease.close()
    await watch.close()
  }
}
