// What an answer's headers say about budgets, and what of them is logged (microsoft-365.md §3). Ids of tenant and application at most; numbers that are
// none are left out. Pure.
import { parseRetryAfter } from './retry-after.ts'
import type { Seen } from './throttle.ts'

const THROTTLED_STATUSES = [429, 503, 509]
const MAX_LOGGED = 200

/** @param isThrottled  by what the body says @param nowMs  since the epoch */
export function readSeen(status: number, headers: Headers, isThrottled: boolean, nowMs: number): Seen {
  const limit = number(headers.get('ratelimit-limit'))
  const remaining = number(headers.get('ratelimit-remaining'))
  const reset = number(headers.get('ratelimit-reset'))
  return {
    ...(isThrottled || THROTTLED_STATUSES.includes(status)
      ? { throttled: { retryAfterMs: parseRetryAfter(headers.get('retry-after'), nowMs) } }
      : {}),
    units: number(headers.get('x-ms-resource-unit')),
    usedShare: number(headers.get('x-ms-throttle-limit-percentage')),
    ...(limit === undefined || remaining === undefined || reset === undefined
      ? {}
      : { rateLimit: { limit, remaining, resetMs: Math.min(reset, 3_600) * 1_000 } }),
  }
}

export interface ThrottleFacts {
  readonly retryAfter: string | undefined
  readonly units: string | undefined
  readonly usedShare: string | undefined
  readonly throttleScope: string | undefined
  readonly throttleReason: string | undefined
  readonly rateLimit: string | undefined
}

/** For the log, as they came but short. */
export function throttleFacts(headers: Headers | undefined): ThrottleFacts {
  const text = (name: string) => headers?.get(name)?.slice(0, MAX_LOGGED)
  const rate = ['ratelimit-limit', 'ratelimit-remaining', 'ratelimit-reset'].map(text)
  return {
    retryAfter: text('retry-after'),
    units: text('x-ms-resource-unit'),
    usedShare: text('x-ms-throttle-limit-percentage'),
    throttleScope: text('x-ms-throttle-scope'),
    throttleReason: text('x-ms-throttle-information'),
    rateLimit: rate.some((each) => each !== undefined) ? rate.join('/') : undefined,
  }
}

function number(text: string | null): number | undefined {
  return text !== null && /^\d{1,9}(?:\.\d{1,9})?$/.test(text.trim()) ? Number(text) : undefined
}
