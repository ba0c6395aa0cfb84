// What becomes of a job whose attempt failed. Pure. (JQ-5)
import { Draining, StaleAttempt } from './job.ts'

export const MAX_ATTEMPTS = 5
const FIRST_WAIT_MS = 5_000
const GROWTH = 5
const MAX_WAIT_MS = 10 * 60_000

/** Not now: the other side said when, or a service is away. Uses up no attempt. */
export class RetryLater extends Error {
  override readonly name = 'RetryLater'
  /** ms */
  readonly waitMs: number

  constructor(waitMs: number, options?: { cause?: unknown }) {
    super('not now', options)
    this.waitMs = waitMs
  }
}

/** Trying again would give the same. */
export class GiveUp extends Error {
  override readonly name = 'GiveUp'
  /** Shown in the list of failed jobs: a code (`too-many-rows`), never data. */
  readonly reason: string

  constructor(reason: string, options?: { cause?: unknown }) {
    super(reason, options)
    this.reason = reason
  }
}

export type Verdict =
  /** Goes on elsewhere, as if this attempt had not been. */
  | { readonly kind: 'release'; readonly waitMs: number }
  | { readonly kind: 'retry'; readonly waitMs: number }
  | { readonly kind: 'give-up'; readonly reason: string }
  /** Not ours any more. */
  | { readonly kind: 'leave' }

/** @param attempt  that failed, from 1 @param jitter  in [0, 1) */
export function judgeFailure(error: unknown, attempt: number, jitter: number): Verdict {
  if (error instanceof StaleAttempt) return { kind: 'leave' }
  if (error instanceof Draining) return { kind: 'release', waitMs: 0 }
  if (error instanceof RetryLater) return { kind: 'release', waitMs: error.waitMs }
  if (error instanceof GiveUp) return { kind: 'give-up', reason: error.reason }
  if (attempt >= MAX_ATTEMPTS) return { kind: 'give-up', reason: reasonOf(error) }
  return { kind: 'retry', waitMs: retryWaitMs(attempt, jitter) }
}

/** Wait after attempt number `attempt`: 5 s, 25 s, 125 s, 10 min; ±20 %. */
export function retryWaitMs(attempt: number, jitter: number): number {
  const base = Math.min(FIRST_WAIT_MS * GROWTH ** (attempt - 1), MAX_WAIT_MS)
  return Math.round(base * (0.8 + 0.4 * jitter))
}

/** Name and code of an error: its message may hold data, and goes to the log only. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown'
  const code = 'code' in error && (typeof error.code === 'string' || typeof error.code === 'number') ? error.code : ''
  return `${error.name} ${code}`
    .trim()
    .replace(/[^\w .-]/g, '')
    .slice(0, 100)
}

/** Each attempt ended with its process: whatever it is, it takes workers down. */
export const PROCESS_ENDED = 'process-ended'
