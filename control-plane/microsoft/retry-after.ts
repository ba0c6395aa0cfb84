// How long to wait, as a service says it, or as we decide when it doesn't (microsoft-365.md §3, retry table). Pure.

const MIN_WAIT_MS = 1_000
/** What stands there may be nonsense: whoever waits a day asks again. */
const MAX_WAIT_MS = 86_400_000
const FIRST_THROTTLED_WAIT_MS = 15_000
const MAX_THROTTLED_WAIT_MS = 300_000
const FIRST_OUTAGE_WAIT_MS = 2_000
const MAX_OUTAGE_WAIT_MS = 60_000
/** IMF-fixdate, the one form that senders may still write (RFC 9110 §5.6.7). */
const HTTP_DATE =
  /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d{2}:\d{2}:\d{2} GMT$/

/**
 * Seconds, whole or in fractions (Microsoft's own sample has 2.128), or an HTTP date.
 * @param nowMs  since the epoch @returns ms, at least a second; undefined when it says nothing that can be understood
 */
export function parseRetryAfter(text: string | null | undefined, nowMs: number): number | undefined {
  const value = text?.trim() ?? ''
  const waitMs = /^\d{1,9}(?:\.\d{1,9})?$/.test(value)
    ? Math.ceil(Number(value) * 1_000)
    : HTTP_DATE.test(value)
      ? Date.parse(value) - nowMs
      : Number.NaN
  return Number.isNaN(waitMs) ? undefined : Math.min(Math.max(waitMs, MIN_WAIT_MS), MAX_WAIT_MS)
}

/** Some services never send Retry-After. @param inARow  answers of this kind, this one included @param jitter  in [0, 1) */
export function throttledWaitMs(inARow: number, jitter: number): number {
  return growing(FIRST_THROTTLED_WAIT_MS, MAX_THROTTLED_WAIT_MS, inARow, jitter)
}

/** @param attempt  that failed, from 1 @param jitter  in [0, 1) */
export function outageWaitMs(attempt: number, jitter: number): number {
  return Math.min(growing(FIRST_OUTAGE_WAIT_MS, MAX_OUTAGE_WAIT_MS, attempt, jitter), MAX_OUTAGE_WAIT_MS)
}

function growing(firstMs: number, capMs: number, step: number, jitter: number): number {
  const base = Math.min(firstMs * 2 ** Math.min(step - 1, 30), capMs)
  return Math.round(base * (0.8 + 0.4 * jitter))
}
