// When a message is tried again, and when no more. (DL-1, DU-9, RFC 5321 §4.5.4.1)
import type { RetrySettings } from '../settings.ts'

const HOUR_MS = 3_600_000
/** ±10 % */
const JITTER = 0.1
/** DU-9: nothing is given up before so many attempts, over so much running time. */
const MIN_ATTEMPTS = 3
const MIN_TRYING_MS = HOUR_MS

/** Wait before retry number `retry` (1 = the first) of what is `ageMs` old, in ms; `jitter` is in [0, 1). */
export function retryDelayMs(retry: number, ageMs: number, jitter: number, settings: RetrySettings): number {
  const later = ageMs < settings.thenUntilAge ? settings.thenWait : settings.lastWait
  const base = settings.firstWaits[retry - 1] ?? later
  return Math.round(base * (1 - JITTER + 2 * JITTER * jitter))
}

/** More than any wait can be: a stored time further ahead than this comes from a clock that was wrong. */
export function longestWaitMs({ firstWaits, thenWait, lastWait }: RetrySettings): number {
  return Math.ceil(Math.max(...firstWaits, thenWait, lastWait) * (1 + JITTER))
}

/**
 * How old a message is: by the clock on the wall, but at least as long as this process has known it, so that a clock set back doesn't keep it
 * for ever.
 */
export function messageAgeMs(times: { nowMs: number; receivedAt: number; runningMs: number; seenMs: number }): number {
  return Math.max(times.nowMs - times.receivedAt, times.runningMs - times.seenMs)
}

/**
 * What stands in for attempts in the judgement whether a message has had its chance.
 *
 * `attempts` counts those of its next hop that failed before any message was named, as well: they were made for all that waited.
 */
export interface Tries {
  readonly attempts: number
  /** Running time since the first of them in this process; undefined when there was none. */
  readonly tryingMs: number | undefined
}

/** DL-1 */
export function giveUpAfterMs({ isNullSender }: { isNullSender: boolean }, settings: RetrySettings): number {
  return isNullSender ? settings.giveUpNullSenderAfter : settings.giveUpAfter
}

/** DL-4: as sure of its age as for giving up, so that a clock that jumps ahead makes nobody worry (DU-9). */
export function isLate(ageMs: number, { attempts, tryingMs }: Tries, { warnAfter }: RetrySettings): boolean {
  return (
    ageMs >= warnAfter &&
    attempts >= MIN_ATTEMPTS &&
    tryingMs !== undefined &&
    tryingMs >= Math.min(MIN_TRYING_MS, warnAfter)
  )
}

/** Age alone never ends a message: a clock that jumps ahead makes everything old at once (DU-9). */
export function isGivenUp(
  message: { ageMs: number; isNullSender: boolean },
  tries: Tries,
  settings: RetrySettings,
): boolean {
  return (
    message.ageMs >= giveUpAfterMs(message, settings) &&
    tries.attempts >= MIN_ATTEMPTS &&
    tries.tryingMs !== undefined &&
    tries.tryingMs >= MIN_TRYING_MS
  )
}
