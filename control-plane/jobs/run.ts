// Runs jobs that the queue hands over: claims the row, runs its handler under a lease, and writes down what became of it. Nothing that the queue
// says is believed but by the row (TI-3). (JQ-2, JQ-5, JQ-6)
import type { Log } from '../../common/log.ts'
import { Counter, Histogram } from '../../common/metrics.ts'
import type { Metrics } from '../../common/metrics.ts'
import { withScope } from '../db/database.ts'
import type { Db } from '../db/database.ts'
import { returnTurns } from './dispatch-store.ts'
import { Draining, parseQueueId } from './job.ts'
import type { Job, JobHandlers } from './job.ts'
import { claimJob, holdAttempt, putOff, setFailed } from './job-store.ts'
import { openLease } from './lease.ts'
import type { Lease } from './lease.ts'
import { judgeFailure, MAX_ATTEMPTS, PROCESS_ENDED } from './retry.ts'
import type { Verdict } from './retry.ts'

export interface RunDeps {
  readonly db: Db
  readonly log: Log
  readonly metrics: Metrics
  readonly handlers: JobHandlers
  readonly leaseMs: number
  /** In [0, 1). */
  readonly random: () => number
  /** ms, monotonic */
  readonly monotonicMs: () => number
}

/** A kind that a newer version has asked for: it waits for a worker that knows it. */
const UNKNOWN_KIND_WAIT_MS = 60_000

export class JobRunner {
  readonly #deps: RunDeps
  readonly #running = new Set<Lease>()
  readonly #outcomes: Counter<'kind' | 'outcome'>
  readonly #seconds: Histogram<'kind'>
  #isDraining = false

  constructor(deps: RunDeps) {
    this.#deps = deps
    this.#outcomes = new Counter({
      name: 'causeway_jobs_total',
      help: 'Attempts at jobs, by what became of them.',
      labelNames: ['kind', 'outcome'],
      registers: [deps.metrics],
    })
    this.#seconds = new Histogram({
      name: 'causeway_job_seconds',
      help: 'Time of one attempt at a job.',
      labelNames: ['kind'],
      buckets: [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300],
      registers: [deps.metrics],
    })
  }

  /**
   * One job of the queue. Resolves when nothing more is to be done about this message: the row says the rest.
   * @throws when the database is away: the row is still as it was, and the reconciler gives it another turn
   */
  async run(queueId: string, kind: string): Promise<void> {
    const { db, log, leaseMs } = this.#deps
    const said = parseQueueId(queueId)
    if (said === undefined) {
      log.error('job.refused', { reason: 'not a name of a job' })
      return
    }
    if (this.#isDraining) return returnTurns(db, [said]) // for another worker
    const claim = await claimJob(db, { ...said, kind }, leaseMs)
    switch (claim.kind) {
      case 'claimed':
        return this.#attempt(claim.job)
      case 'forged':
        log.error('job.refused', { job: said.id, reason: 'the queue says another organisation or kind than the row' })
        return
      case 'gone':
      case 'busy':
        log.debug('job.passed_over', { job: said.id, kind, why: claim.kind })
        return
      default:
        return claim satisfies never
    }
  }

  /** Tells every handler to give way: it stops at its next step, and the job goes on elsewhere (JQ-6). */
  drain(): void {
    this.#isDraining = true
    for (const lease of this.#running) lease.interrupt(new Draining('the process stops'))
  }

  async #attempt(job: Job): Promise<void> {
    const { db, log, handlers, leaseMs, random, monotonicMs } = this.#deps
    const handler = Object.hasOwn(handlers, job.kind) ? handlers[job.kind] : undefined
    if (handler === undefined) return this.#settle(job, { kind: 'release', waitMs: UNKNOWN_KIND_WAIT_MS })
    if (job.attempt > MAX_ATTEMPTS) return this.#settle(job, { kind: 'give-up', reason: PROCESS_ENDED })
    const lease = openLease(job, { db, log, leaseMs, monotonicMs })
    this.#running.add(lease)
    const started = monotonicMs()
    try {
      await handler.run(lease.context)
      if (!lease.isFinished) await lease.context.finish(() => Promise.resolve())
      this.#outcomes.inc({ kind: job.kind, outcome: 'done' })
      log.info('job.done', { ...about(job), ms: Math.round(monotonicMs() - started) })
    } catch (error) {
      if (lease.isFinished) {
        log.error('job.failed_after_its_end', { ...about(job), error })
        return
      }
      const verdict = judgeFailure(reasonOfEnd(error, lease), lease.hasAdvanced ? 1 : job.attempt, random())
      const rank = verdict.kind === 'give-up' ? 'error' : verdict.kind === 'retry' ? 'warn' : 'info'
      const { kind: outcome, ...told } = verdict
      log[rank]('job.not_done', { ...about(job), outcome, ...told, error })
      await this.#settle(job, verdict)
    } finally {
      this.#running.delete(lease)
      lease.close()
      this.#seconds.observe({ kind: job.kind }, (monotonicMs() - started) / 1000)
    }
  }

  async #settle(job: Job, verdict: Verdict): Promise<void> {
    this.#outcomes.inc({ kind: job.kind, outcome: verdict.kind })
    if (verdict.kind === 'leave') return
    await withScope(this.#deps.db, { organisation: job.organisation }, async (tx) => {
      await holdAttempt(tx, job)
      if (verdict.kind === 'give-up') {
        await setFailed(tx, job, verdict.reason)
        await this.#deps.handlers[job.kind]?.gaveUp?.(tx, job, verdict.reason)
      } else await putOff(tx, job, verdict.waitMs, verdict.kind === 'retry')
    })
  }
}

/** A handler that stops because it was told to may say so with any error, such as an AbortError of what it called. */
function reasonOfEnd(error: unknown, { context: { signal } }: Lease): unknown {
  return signal.aborted ? signal.reason : error
}

const about = ({ id, organisation, kind, attempt }: Job) => ({ job: id, organization: organisation, kind, attempt })
