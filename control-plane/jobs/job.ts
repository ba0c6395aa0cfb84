// What a job is to whoever does it, and its name in the queue. Pure. The queue carries that name and the kind, nothing else: everything about a
// job is read from its row, so there is nothing in the queue to forge, to leak or to lose. (JQ-1, JQ-4, TI-3)
import type { Tx } from '../db/database.ts'
import type { OrganisationId, ProjectId } from '../ids.ts'
import type { JobName } from './job-names.ts'

/** One job at one attempt, as its row says. */
export interface Job {
  readonly id: number
  readonly organisation: OrganisationId
  readonly project: ProjectId | undefined
  readonly kind: JobName
  /** Id of what it is about; '' where there is nothing but the place. */
  readonly object: string
  /** From 1. */
  readonly attempt: number
  /** JQ-2: of this attempt. */
  readonly fence: number
}

/** A job's turn in the queue. */
export interface Turn extends Pick<Job, 'organisation' | 'id'> {
  /** Its fence before the attempt that this turn is for. Each attempt moves it on, so that no two are begun by one turn. */
  readonly turn: number
}

/** What a handler is given. Every change goes through it, so that an attempt which another one has replaced can write nothing more (JQ-2). */
export interface JobContext extends Job {
  /** Ends when the process drains (`Draining`) or the lease is lost (`StaleAttempt`): stop at the next step. */
  readonly signal: AbortSignal
  readonly read: <T>(work: (tx: Tx) => Promise<T>) => Promise<T>
  /** One transaction that sees the organisation. @throws StaleAttempt when another attempt has begun */
  readonly change: <T>(work: (tx: Tx) => Promise<T>) => Promise<T>
  /**
   * `change` that is done once, however often the job is run.
   * @param step  unique in the job
   * @returns false when an earlier attempt has done it
   */
  readonly once: (step: string, work: (tx: Tx) => Promise<void>) => Promise<boolean>
  /**
   * Within a change that no later attempt has to do again: attempts before it that took their process down count no more, so that a job which gets
   * on outlives any number of them.
   */
  readonly advance: (tx: Tx) => Promise<void>
  /** The last change: the job is done in the same transaction. */
  readonly finish: (work: (tx: Tx) => Promise<void>) => Promise<void>
}

export interface JobHandler {
  /**
   * Does it; returning means done. Can be stopped anywhere and is then run again from the start: what it does outside must be found before it
   * is made. A step takes < 30 s of the event loop (JQ-5). Errors: `jobs/retry.ts`.
   */
  run(job: JobContext): Promise<void>
  /** In the transaction that gives it up: whoever waits for it must learn. */
  gaveUp?(tx: Tx, job: Job, reason: string): Promise<void>
}

export type JobHandlers = Readonly<Record<JobName, JobHandler>>

/**
 * Name of a turn in the queue, which holds each name once. With the turn in it the next one never waits for what the queue still thinks of the last:
 * that a dead worker has it, for example. BullMQ takes no `:`.
 */
export const queueId = ({ organisation, id, turn }: Turn): string => `${organisation}.${id}.${turn}`

/** undefined for what no dispatcher of ours has written. */
export function parseQueueId(
  text: string,
): { readonly organisation: string; readonly id: number; readonly turn: number } | undefined {
  const [, organisation, id, turn] = /^([a-z0-9_]{1,64})\.([1-9]\d{0,14})\.(0|[1-9]\d{0,14})$/.exec(text) ?? []
  return organisation === undefined ? undefined : { organisation, id: Number(id), turn: Number(turn) }
}

/** The process stops: give way, the job goes on elsewhere. */
export class Draining extends Error {
  override readonly name = 'Draining'
}

/** Another attempt has begun, since this one was taken for dead; what it would write now is refused. */
export class StaleAttempt extends Error {
  override readonly name = 'StaleAttempt'
}
