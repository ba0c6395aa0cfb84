// The job of the reconciler. One that an administrator began is an operation, which ends when the switch has settled; one by the clock looks at what is on:
// whether it is still as we left it, and whether people came or went. (coexistence.md §1.1, JQ-1)
import { withScope } from '../db/database.ts'
import type { Db } from '../db/database.ts'
import { requestJob } from '../db/outbox.ts'
import { Problem } from '../http/problem.ts'
import { parseId } from '../ids.ts'
import type { JobContext, JobHandler } from '../jobs/job.ts'
import type { Reconciler } from '../jobs/reconcile-all.ts'
import { OperationCancelled, operationJob } from '../operations/operation-job.ts'
import type { OperationContext, OperationJobDeps } from '../operations/operation-job.ts'
import { withRefusals } from './finish-pass.ts'
import { LOOK_EVERY_MS, reconcile } from './reconcile.ts'
import type { ReconcileDeps } from './run.ts'
import { findDueLooks, loadSwitch } from './switch-store.ts'
import { switchOf, takeTurn } from './turns.ts'

const LOOKS_A_PASS = 100
/** As the ledger names what nobody asked for. */
const AUTHOR = 'system:coexistence'

export function reconcileCoexistenceJob(deps: ReconcileDeps, operations: OperationJobDeps): JobHandler {
  const asked = operationJob((context) => carryOut(context, deps), operations)
  return {
    run: (job) => (parseId('operation', job.object) === undefined ? lookAfter(job, deps) : asked.run(job)),
    async gaveUp(tx, job, reason) {
      if (parseId('operation', job.object) !== undefined) await asked.gaveUp?.(tx, job, reason)
    },
  }
}

/** Asks for looks at what is on or on its way. */
export function coexistenceReconciler(everyMs = LOOK_EVERY_MS): Reconciler {
  return {
    name: 'coexistence',
    async reconcile(db: Db) {
      const due = await withScope(db, { purpose: 'reconcile' }, (tx) => findDueLooks(tx, everyMs, LOOKS_A_PASS))
      for (const place of due)
        await withScope(db, { organisation: place.organisation }, (tx) =>
          requestJob(tx, place, 'coexistence.reconcile', place.project),
        )
    },
  }
}

async function carryOut(context: OperationContext, deps: ReconcileDeps): Promise<Readonly<Record<string, unknown>>> {
  const { organisation, project, operation } = context
  if (project === undefined) return {}
  const place = { organisation, project }
  const settled = await context.change((tx) => takeTurn(tx, place, operation, new Date(deps.now())))
  const { author } = await context.read((tx) => loadSwitch(tx, place))
  const row = settled ?? (await reconcile({ place, job: context.id, operation, author, context }, deps))
  const { state, freeBusyState, marks } = row
  const of = switchOf(row, operation)
  const refusal = of && marks.refusals?.[of]
  const problems = withRefusals(row.problems, refusal === undefined ? [] : [refusal])
  // Its switch was refused: it is off, and its rest with it.
  if (refusal !== undefined) throw new Problem('coexistence-refused', { problems })
  return { state, freeBusyState, problems: problems.map(({ code }) => code) }
}

async function lookAfter(job: JobContext, deps: ReconcileDeps): Promise<void> {
  const { organisation, project } = job
  if (project === undefined) return
  const place = { organisation, project }
  const { operation, state, freeBusyState } = await job.read((tx) => loadSwitch(tx, place))
  if (operation === undefined || (state === 'off' && freeBusyState === 'off')) return
  try {
    const context = { ...job, progress: () => Promise.resolve() }
    await reconcile({ place, job: job.id, operation, author: AUTHOR, context }, deps)
  } catch (error) {
    // What was asked for meanwhile has a job of its own.
    if (!(error instanceof OperationCancelled)) throw error
  }
}
