// Whether a read that failed is tried again here, and after how long (microsoft-365.md §3, retry table). What takes long is not waited for: whoever asked
// gets the error with its `waitMs`, and his job is delayed rather than kept. Pure.
import type { MicrosoftError } from './microsoft-error.ts'
import { outageWaitMs } from './retry-after.ts'

export const MAX_ATTEMPTS = 8
const MAX_WAIT_MS = 60_000
/** Of the service's own, in an error that says nothing. */
export const UNTOLD_WAIT_MS = 15_000

/** @param attempt  that failed, from 1 @param jitter  in [0, 1) @returns ms; undefined: not again */
export function waitBeforeRetry(error: MicrosoftError, attempt: number, jitter: number): number | undefined {
  if (attempt >= MAX_ATTEMPTS) return undefined
  const waitMs = waitOf(error, attempt, jitter)
  return waitMs === undefined || waitMs > MAX_WAIT_MS ? undefined : waitMs
}

function waitOf({ code, status, waitMs }: MicrosoftError, attempt: number, jitter: number): number | undefined {
  if (code === 'TRANSIENT') return Math.max(outageWaitMs(attempt, jitter), waitMs ?? 0)
  // Without a status it is the governor's: it had us wait as long as it thought good.
  if (code === 'THROTTLED' && status !== undefined) return waitMs ?? 0
  return undefined
}
