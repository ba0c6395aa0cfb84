// Operations that are open and that no job is about: their job is asked for again. Can only come of a restored database or a mistake; an
// operation that stays "running" for ever is worse than one that is done late. (JQ-1)
import { withScope } from '../db/database.ts'
import { requestJob } from '../db/outbox.ts'
import type { ProjectId } from '../ids.ts'
import type { JobName } from '../jobs/job-names.ts'
import { JOB_NAMES } from '../jobs/job-names.ts'
import type { Reconciler } from '../jobs/reconcile-all.ts'
import { endGivenUp, findAbandoned } from './attempt-store.ts'
import { givenUp } from './operation.ts'

const IDLE_MS = 60_000
const BATCH = 100

/** @param jobOf  the job of kinds that are not named like theirs */
export function operationReconciler(jobOf: Readonly<Record<string, JobName>>, idleMs = IDLE_MS): Reconciler {
  return {
    name: 'operations',
    async reconcile(db) {
      for (const { organisation, project, operation, kind } of await findAbandoned(db, idleMs, BATCH)) {
        const job = jobOf[kind] ?? JOB_NAMES.find((name) => name === kind)
        await withScope(db, { organisation }, (tx) =>
          job === undefined
            ? endGivenUp(tx, organisation, operation, givenUp('no-job'))
            : requestJob(
                tx,
                { organisation, project: project === '' ? undefined : (project satisfies ProjectId) },
                job,
                operation,
              ),
        )
      }
    },
  }
}
