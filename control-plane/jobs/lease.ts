// One attempt at a job, kept by renewing its lease: what its handler is given. (JQ-2, JQ-5)
//
// The lease is six times as long as the time between renewals: a step that holds the event loop for half of it costs nothing. One that lost its
// lease all the same finds out at its next change.
import type { Log } from '../../common/log.ts'
import { withScope } from '../db/database.ts'
import type { Db, Tx } from '../db/database.ts'
import { StaleAttempt } from './job.ts'
import type { Job, JobContext } from './job.ts'
import { beginStep, extendLease, forgiveAttempts, holdAttempt, removeJob, renewLease } from './job-store.ts'

export const LEASE_MS = 60_000
const RENEWALS_PER_LEASE = 6

export interface LeaseDeps {
  readonly db: Db
  readonly log: Log
  readonly leaseMs: number
  /** ms, monotonic */
  readonly monotonicMs: () => number
}

export interface Lease {
  readonly context: JobContext
  /** Whether the handler has finished the job itself. */
  readonly isFinished: boolean
  /** Whether it has got on: this attempt counts as the first then. */
  readonly hasAdvanced: boolean
  /** Ends the handler's signal with this reason. */
  interrupt(reason: Error): void
  /** Renews no more. */
  close(): void
}

export function openLease(job: Job, { db, log, leaseMs, monotonicMs }: LeaseDeps): Lease {
  const interruption = new AbortController()
  let [isFinished, hasAdvanced] = [false, false]
  let extendedMs = monotonicMs()
  const advancing = new WeakSet<Tx>()
  const change = async <T>(work: (tx: Tx) => Promise<T>): Promise<T> => {
    const { result, advances, extended } = await withScope(db, { organisation: job.organisation }, async (tx) => {
      await holdAttempt(tx, job)
      const begun = monotonicMs()
      const done = await work(tx)
      // As long as the row is held nobody can renew its lease, nor take it; from the commit on it must be in date. Changes that follow each other
      // closely count as one: the renewal finds the row held at each of its turns.
      const ended = monotonicMs()
      const isDue = ended - Math.min(begun, extendedMs) > leaseMs / RENEWALS_PER_LEASE
      if (isDue) await extendLease(tx, job, leaseMs)
      return { result: done, advances: advancing.has(tx), extended: isDue ? ended : undefined }
    })
    extendedMs = extended ?? extendedMs
    hasAdvanced ||= advances
    return result
  }
  const timer = setInterval(() => {
    renewLease(db, job, leaseMs).then(
      (isRenewed) => {
        if (!isRenewed && !isFinished)
          interruption.abort(new StaleAttempt(`attempt ${job.fence} of job ${job.id} was replaced`))
      },
      // The next renewal may reach the database, or the lease expires and another worker takes over.
      (error: unknown) => log.warn('job.lease_not_renewed', { job: job.id, kind: job.kind, error }),
    )
  }, leaseMs / RENEWALS_PER_LEASE)
  return {
    context: {
      ...job,
      signal: interruption.signal,
      read: (work) => withScope(db, { organisation: job.organisation }, work),
      change,
      once: (step, work) =>
        change(async (tx) => {
          const isFirst = await beginStep(tx, job, step)
          if (isFirst) await work(tx)
          return isFirst
        }),
      async advance(tx) {
        advancing.add(tx)
        if (!hasAdvanced) await forgiveAttempts(tx, job)
      },
      async finish(work) {
        await change(async (tx) => {
          await work(tx)
          await removeJob(tx, job)
        })
        isFinished = true
      },
    },
    get isFinished() {
      return isFinished
    },
    get hasAdvanced() {
      return hasAdvanced
    },
    interrupt: (reason) => interruption.abort(reason),
    close: () => clearInterval(timer),
  }
}
