// The job of an operation: begins the attempt, tells the work when it is cancelled, and writes down its end. (JQ-2, JQ-6)
import { Problem } from '../http/problem.ts'
import { parseId } from '../ids.ts'
import type { OperationId } from '../ids.ts'
import type { Job, JobContext, JobHandler } from '../jobs/job.ts'
import { GiveUp } from '../jobs/retry.ts'
import { endCancelled, endGivenUp, fail, noteProgress, startAttempt, succeed } from './attempt-store.ts'
import type { Attempt } from './attempt-store.ts'
import type { CancelWatch } from './cancel-watch.ts'
import { givenUp, problemOf } from './operation.ts'
import type { Progress } from './operation.ts'

export interface OperationContext extends Omit<JobContext, 'finish'> {
  readonly operation: OperationId
  /** Id of what the operation is about. */
  readonly subject: string
  /** Ends also when the operation is cancelled. */
  readonly signal: AbortSignal
  /** Between two steps: says how far it is (written at most twice a second, unless the step changes) and stops when it has to. */
  readonly progress: (progress: Partial<Progress>) => Promise<void>
  /** @throws OperationCancelled, or why the job has to give way */
  readonly checkCancelled: () => void
}

/**
 * Returns what came of it, with links. A Problem below 500 ends the operation with it; anything else is tried again (jobs/retry.ts). Once it is
 * cancelled it ends as cancelled whatever it throws: it leaves what it can go on from, or takes back what it did.
 */
export type OperationWork = (context: OperationContext) => Promise<Readonly<Record<string, unknown>>>

export class OperationCancelled extends Error {
  override readonly name = 'OperationCancelled'
}

export interface OperationJobDeps {
  readonly watch: CancelWatch
  /** ms, monotonic */
  readonly monotonicMs: () => number
}

const PROGRESS_EVERY_MS = 500

export function operationJob(work: OperationWork, deps: OperationJobDeps): JobHandler {
  return {
    async run(job) {
      const operation = operationOf(job)
      const attempt = await job.change((tx) => startAttempt(tx, job.organisation, operation))
      if (attempt === undefined) return
      if (attempt.isCancelling) return job.finish((tx) => endCancelled(tx, attempt))
      const cancelled = deps.watch.follow(operation)
      try {
        const result = await work(contextOf(job, attempt, cancelled.signal, deps))
        await job.finish((tx) => succeed(tx, attempt, result))
      } catch (error) {
        if (job.signal.aborted) throw error
        if (cancelled.signal.aborted || error instanceof OperationCancelled)
          return await job.finish((tx) => endCancelled(tx, attempt))
        if (!(error instanceof Problem) || error.status >= 500) throw error
        await job.finish((tx) => fail(tx, attempt, problemOf(error)))
      } finally {
        cancelled.stop()
      }
    },
    gaveUp: (tx, job, reason) => endGivenUp(tx, job.organisation, operationOf(job), givenUp(reason)),
  }
}

function contextOf(
  job: JobContext,
  attempt: Attempt,
  cancelled: AbortSignal,
  { monotonicMs }: OperationJobDeps,
): OperationContext {
  let notedAt = -Infinity
  let step: string | undefined
  const checkCancelled = (): void => {
    job.signal.throwIfAborted()
    if (cancelled.aborted) throw new OperationCancelled('cancelled')
  }
  return {
    ...job,
    operation: attempt.operation,
    subject: attempt.object,
    signal: AbortSignal.any([job.signal, cancelled]),
    checkCancelled,
    async progress(progress) {
      checkCancelled()
      const isNewStep = progress.step !== undefined && progress.step !== step
      if (!isNewStep && monotonicMs() - notedAt < PROGRESS_EVERY_MS) return
      notedAt = monotonicMs()
      step = progress.step ?? step
      await job.change((tx) => noteProgress(tx, attempt, progress))
    },
  }
}

function operationOf({ object }: Job): OperationId {
  const id = parseId('operation', object)
  if (id === undefined) throw new GiveUp('no-operation')
  return id
}
