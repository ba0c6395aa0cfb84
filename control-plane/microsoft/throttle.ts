// One budget of one tenant: how much may be sent now, and when the next may. Tokens come back one window after they were taken, so that no window of
// any beginning holds more than our share of the budget, while a burst may use all of it. Pure: whoever asks says what time it is.
import type { Limit } from './budgets.ts'
import { throttledWaitMs } from './retry-after.ts'

/** Of what is published; the rest is for what we count wrongly and for others. (microsoft-365.md §3) */
export const SHARE = 0.9
/** A bucket remembers what was taken in so many parts of its window. */
const PARTS = 32
const LOWERED_BY = 0.7
const LOWEST = 0.1
/** Regained each window (at least ten seconds) in which nothing was throttled. */
const REGAINED = 0.05
const REGAIN_MS = 10_000
/** Below so much of the service's own count we wait until it begins anew. */
const SCARCE = 0.1

/** What an answer said about the budget. */
export interface Seen {
  /** Status 429, 503 or 509; `retryAfterMs` undefined: it didn't say how long. */
  readonly throttled?: { readonly retryAfterMs: number | undefined }
  /** Resource units that it cost. */
  readonly units?: number | undefined
  /** Part of the limit that is used, 0.8 and above. */
  readonly usedShare?: number | undefined
  readonly rateLimit?: { readonly limit: number; readonly remaining: number; readonly resetMs: number } | undefined
}

export class Bucket {
  #limit: Limit
  /** What was taken, oldest first. */
  #taken: { units: number; sinceMs: number; backAtMs: number }[] = []
  #used = 0
  #running = 0
  #pausedUntilMs = 0
  #factor = 1
  #loweredAtMs = 0
  #throttledInARow = 0

  constructor(limit: Limit) {
    this.#limit = limit
  }

  /** The tenant was counted anew. */
  set limit(limit: Limit) {
    this.#limit = limit
  }

  get pausedUntilMs(): number {
    return this.#pausedUntilMs
  }

  /** @returns `nowMs`: at once; later; Infinity: once something that runs has ended */
  earliestMs(cost: number, nowMs: number): number {
    const { concurrent } = this.#limit
    if (this.#pausedUntilMs > nowMs) return Math.max(this.#pausedUntilMs, this.#unitsBackMs(cost, this.#pausedUntilMs))
    if (concurrent !== undefined && this.#running >= concurrent) return Infinity
    return this.#unitsBackMs(cost, nowMs)
  }

  /** Only when `earliestMs` says that it may be. */
  take(cost: number, nowMs: number): void {
    this.#running++
    this.#charge(cost, nowMs)
  }

  /** @param cost  as taken @param jitter  in [0, 1) */
  done(cost: number, seen: Seen, jitter: number, nowMs: number): void {
    this.#running--
    if (seen.units !== undefined && seen.units > cost) this.#charge(seen.units - cost, nowMs)
    // What was under way before the pause says nothing new.
    const isNews = this.#pausedUntilMs <= nowMs
    if (seen.throttled !== undefined) {
      if (isNews) this.#throttledInARow++
      this.#pauseUntil(nowMs + (seen.throttled.retryAfterMs ?? throttledWaitMs(this.#throttledInARow, jitter)))
      this.#lower(LOWERED_BY, nowMs)
    } else if (isNews) this.#throttledInARow = 0
    if (seen.usedShare !== undefined && seen.usedShare > SHARE) this.#lower(SHARE / seen.usedShare, nowMs)
    const { rateLimit } = seen
    if (rateLimit !== undefined && rateLimit.remaining < rateLimit.limit * SCARCE)
      this.#pauseUntil(nowMs + rateLimit.resetMs)
  }

  /** Whether forgetting it changes nothing. */
  isFresh(nowMs: number): boolean {
    this.#expire(nowMs)
    const isIdle = this.#running === 0 && this.#used === 0 && this.#pausedUntilMs <= nowMs
    return isIdle && this.#throttledInARow === 0 && this.#factorAt(nowMs) === 1
  }

  #unitsBackMs(cost: number, nowMs: number): number {
    const { units } = this.#limit
    this.#expire(nowMs)
    if (units === undefined || this.#taken.length === 0) return nowMs
    // With nothing taken anything may go, or a call that costs more than all would never.
    const capacity = units.amount * SHARE * this.#factorAt(nowMs)
    let used = this.#used
    if (used + cost <= capacity) return nowMs
    for (const each of this.#taken) {
      used -= each.units
      if (used + cost <= capacity) return each.backAtMs
    }
    return this.#taken.at(-1)?.backAtMs ?? nowMs
  }

  #charge(cost: number, nowMs: number): void {
    const { units } = this.#limit
    if (units === undefined || cost <= 0) return
    const last = this.#taken.at(-1)
    this.#used += cost
    if (last === undefined || nowMs - last.sinceMs >= units.windowMs / PARTS) {
      this.#taken.push({ units: cost, sinceMs: nowMs, backAtMs: nowMs + units.windowMs })
      return
    }
    // What went before it comes back a little later than it could.
    last.units += cost
    last.backAtMs = nowMs + units.windowMs
  }

  #expire(nowMs: number): void {
    let gone = 0
    for (const each of this.#taken) {
      if (each.backAtMs > nowMs) break
      gone++
    }
    if (gone === 0) return
    this.#taken.splice(0, gone)
    this.#used = this.#taken.reduce((sum, each) => sum + each.units, 0)
  }

  #pauseUntil(ms: number): void {
    this.#pausedUntilMs = Math.max(this.#pausedUntilMs, ms)
  }

  /** Once a window: what was under way together is told together. */
  #lower(by: number, nowMs: number): void {
    const factor = this.#factorAt(nowMs)
    if (this.#factor < 1 && nowMs - this.#loweredAtMs < this.#regainMs()) return
    this.#factor = Math.max(factor * by, LOWEST)
    this.#loweredAtMs = nowMs
  }

  #factorAt(nowMs: number): number {
    const windows = Math.floor((nowMs - this.#loweredAtMs) / this.#regainMs())
    return Math.min(1, this.#factor + REGAINED * Math.max(windows, 0))
  }

  #regainMs(): number {
    return Math.max(this.#limit.units?.windowMs ?? 0, REGAIN_MS)
  }
}
