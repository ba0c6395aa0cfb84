// How much is sent to one next hop at once, and when nothing is: its state is shared by all messages that wait for it. Time comes in as
// running time in ms (a clock that nobody sets), chance as a number. (DL-1, DL-2)
import type { HostVerdict } from '../outbound/outcome.ts'
import type { RetrySettings } from '../settings.ts'
import { retryDelayMs } from './schedule.ts'

/** So many attempts in a row that the host let go wrong, each over another message: then it is the host. */
const UNWELL_IN_A_ROW = 5
/** Failures remembered; at one an hour and more they last longer than any message. */
const MAX_FAILURES = 1_000

/** The right to one attempt; what became of it counts only while the state it began in holds. */
export interface Turn {
  readonly period: number
}

export class Destination {
  readonly #limit: number
  readonly #retry: RetrySettings
  /** How many attempts at once the host has shown to bear; full until it first fails. */
  #window: number
  #active = 0
  /** Changes when the host is given up for a while: what began earlier says nothing of it afterwards. */
  #period = 0
  #unwell = 0
  #closedUntilMs: number | undefined
  /** The last attempt that said anything of the host ended well; nothing is known against one never tried, and nothing for it. */
  #isWell = false
  /** Times of the failures since the last success. */
  #failures: number[] = []

  /** @param limit  attempts at once while the host is well */
  constructor(limit: number, retry: RetrySettings) {
    this.#limit = limit
    this.#retry = retry
    this.#window = limit
  }

  /** Until when nothing is sent; undefined while the host is believed well. In the past: a probe may go out. */
  get closedUntilMs(): number | undefined {
    return this.#closedUntilMs
  }

  get isWell(): boolean {
    return this.#isWell
  }

  isClosed(nowMs: number): boolean {
    return this.#closedUntilMs !== undefined && nowMs < this.#closedUntilMs
  }

  canBegin(nowMs: number): boolean {
    return !this.isClosed(nowMs) && this.#active < this.#window
  }

  begin(): Turn {
    this.#active++
    return { period: this.#period }
  }

  /**
   * @param verdict  undefined when the attempt never reached the host
   * @param jitter  in [0, 1)
   * @returns true when the host has just been given up for a while
   */
  end(turn: Turn, verdict: HostVerdict | undefined, nowMs: number, jitter: number): boolean {
    const isCurrent = turn.period === this.#period
    if (isCurrent) this.#active--
    if (verdict === 'well') this.#succeed(nowMs)
    if (verdict !== undefined) this.#isWell = verdict === 'well'
    if (verdict === undefined || verdict === 'well' || !isCurrent) return false
    if (verdict === 'unwell') {
      this.#unwell++
      this.#window = Math.max(1, Math.floor(this.#window / 2))
      const isProbe = this.#closedUntilMs !== undefined
      if (this.#unwell < UNWELL_IN_A_ROW && !isProbe) return false
    }
    this.#close(nowMs, jitter)
    return true
  }

  /** Every success lets one more go at once: doubling with each round trip, so that a host that came back isn't run over. */
  #succeed(nowMs: number): void {
    this.#unwell = 0
    // An older attempt that ends well shows that the host is back, but a probe under way is left to find out how well.
    if (this.isClosed(nowMs)) this.#window = 0
    this.#closedUntilMs = undefined
    this.#failures = []
    this.#window = Math.min(this.#limit, this.#window + 1)
  }

  #close(nowMs: number, jitter: number): void {
    if (this.#failures.length >= MAX_FAILURES) this.#failures.shift()
    this.#failures.push(nowMs)
    // The waits of a young message, however long the outage: among those that wait there may be young ones.
    this.#closedUntilMs = nowMs + retryDelayMs(this.#failures.length, 0, jitter, this.#retry)
    this.#period++
    this.#active = 0
    this.#unwell = 0
    this.#window = 1
  }

  /** The operator says: now. */
  reopen(): void {
    this.#closedUntilMs = undefined
  }

  /** Failures after `sinceMs`, and when the first of them was. */
  failuresSince(sinceMs: number): { count: number; firstMs: number | undefined } {
    const later = this.#failures.filter((atMs) => atMs > sinceMs)
    return { count: later.length, firstMs: later[0] }
  }
}
