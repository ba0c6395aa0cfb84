// Everything of a worker process that has to do with jobs, started together and stopped in order: no more turns are given out, handlers give way,
// and what they had goes on elsewhere. (JQ-6)
import type { Log } from '../../common/log.ts'
import type { Metrics } from '../../common/metrics.ts'
import type { Db } from '../db/database.ts'
import type { WakeUps } from '../db/wake-ups.ts'
import { Dispatcher, SHARE } from './dispatch.ts'
import { watchJobs } from './job-figures.ts'
import type { JobHandlers } from './job.ts'
import { LEASE_MS } from './lease.ts'
import type { QueueBackend } from './queue-backend.ts'
import { ReconcileAll } from './reconcile-all.ts'
import type { Reconciler } from './reconcile-all.ts'
import { JobRunner } from './run.ts'
import type { PeriodicJob } from './schedule-store.ts'

export interface JobsDeps {
  readonly db: Db
  readonly queue: QueueBackend
  readonly wakeUps: Pick<WakeUps, 'on'>
  readonly log: Log
  readonly metrics: Metrics
  readonly handlers: JobHandlers
  readonly periodic: readonly PeriodicJob[]
  readonly reconcilers: readonly Reconciler[]
  /** In [0, 1). */
  readonly random: () => number
  /** ms, monotonic */
  readonly monotonicMs: () => number
  /** Other figures than the product's: for tests. */
  readonly timing?: {
    readonly leaseMs?: number
    readonly dispatchMs?: number
    readonly reconcileMs?: number
    readonly silentMs?: number
    readonly lockMs?: number
  }
  readonly concurrency?: number
  readonly share?: number
}

export interface RunningJobs {
  /** Resolves when nothing runs any more here, at most so long after. */
  stop(timeoutMs?: number): Promise<void>
}

/** Jobs at once in one process: they wait for others most of the time. */
const CONCURRENCY = 16
/**
 * The queue's own patience with a worker, in which it takes its name back: three of these at most. It matters for a worker that dies before it has
 * begun what it was handed; from then on the lease counts, so a name that is handed out twice is harmless.
 */
const LOCKS_PER_LEASE = 4
const STOP_MS = 30_000

export function startJobs(deps: JobsDeps): RunningJobs {
  const { queue, timing = {}, concurrency = CONCURRENCY, share = SHARE } = deps
  const { leaseMs = LEASE_MS, dispatchMs, reconcileMs, silentMs, lockMs = leaseMs / LOCKS_PER_LEASE } = timing
  const runner = new JobRunner({ ...deps, leaseMs })
  const worker = queue.work((id, kind) => runner.run(id, kind), { concurrency, lockMs })
  const dispatcher = new Dispatcher({ ...deps, share, ...(dispatchMs === undefined ? {} : { everyMs: dispatchMs }) })
  const reconciling = new ReconcileAll({
    ...deps,
    ...(reconcileMs === undefined ? {} : { everyMs: reconcileMs }),
    ...(silentMs === undefined ? {} : { silentMs }),
  })
  watchJobs(deps)
  return {
    async stop(timeoutMs = STOP_MS) {
      await Promise.all([dispatcher.close(), reconciling.close()])
      runner.drain()
      await worker.close(timeoutMs)
    },
  }
}
