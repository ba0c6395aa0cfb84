// How long a client may take: idle, a TLS handshake, one block of DATA, all of DATA, its rate, the session, and how long we may take ourselves.
// (reliability-security.md §4) Pure: whoever asks says what time it is. All times in ms of a clock that never goes back.
import type { Limits } from '../limits.ts'

/** `processing` is ours: the client waits for us. */
export type Overdue = 'idle' | 'handshake' | 'data-block' | 'data' | 'data-rate' | 'session' | 'processing'

type Phase =
  | { readonly kind: 'commands' }
  | { readonly kind: 'handshake' }
  | { readonly kind: 'data'; readonly startedAt: number; windowStart: number; windowBytes: number }
  | { readonly kind: 'processing'; readonly startedAt: number }

export class SessionClock {
  readonly #limits: Limits
  readonly #startedAt: number
  /** Since when the client owes us something. */
  #waitingSince: number
  #heldSince: number | undefined
  #phase: Phase = { kind: 'commands' }

  constructor(limits: Limits, now: number) {
    this.#limits = limits
    this.#startedAt = now
    this.#waitingSince = now
  }

  /** A command was answered. */
  answered(now: number): void {
    this.#phase = { kind: 'commands' }
    this.#waitingSince = now
  }

  /** STARTTLS was answered; octets alone buy no time until `answered`. */
  handshakeBegins(now: number): void {
    this.#phase = { kind: 'handshake' }
    this.#waitingSince = now
  }

  dataBegins(now: number): void {
    this.#phase = { kind: 'data', startedAt: now, windowStart: now, windowBytes: 0 }
    this.#waitingSince = now
  }

  /** Octets came. Between commands they change nothing: a command sent octet by octet takes no longer than another. */
  dataArrived(now: number, bytes: number): void {
    if (this.#phase.kind !== 'data') return
    this.#waitingSince = now
    this.#phase.windowBytes += bytes
    // Fast enough for this window: the next one begins now.
    if (now - this.#phase.windowStart >= this.#limits.dataRateWindowMs && !this.#isTooSlow(this.#phase, now)) {
      this.#phase.windowStart = now
      this.#phase.windowBytes = 0
    }
  }

  /** The final dot came: from now on the client waits for us. */
  dataEnds(now: number): void {
    this.#phase = { kind: 'processing', startedAt: now }
  }

  /** We take nothing for the moment (the spool is behind): that isn't the client's slowness. */
  hold(now: number): void {
    this.#heldSince ??= now
  }

  release(now: number): void {
    if (this.#heldSince === undefined) return
    const heldMs = now - this.#heldSince
    this.#heldSince = undefined
    this.#waitingSince = now
    if (this.#phase.kind === 'data') this.#phase.windowStart += heldMs
  }

  /**
   * The first limit that is passed, if any. A limit itself is still within it.
   * @param isStressed  most connections are in use: nobody may dawdle
   */
  overdue(now: number, isStressed: boolean): Overdue | undefined {
    const {
      idleMs,
      tlsHandshakeMs,
      dataBlockMs,
      dataMs,
      sessionMs,
      stressTimeoutMs,
      dataProcessingMs,
      dataRateWindowMs,
    } = this.#limits
    const phase = this.#phase
    if (phase.kind === 'processing') return now - phase.startedAt > dataProcessingMs ? 'processing' : undefined
    if (now - this.#startedAt > sessionMs) return 'session'
    const waitedMs = this.#heldSince === undefined ? now - this.#waitingSince : 0
    const within = (limitMs: number) => waitedMs <= (isStressed ? Math.min(limitMs, stressTimeoutMs) : limitMs)
    if (phase.kind === 'commands') return within(idleMs) ? undefined : 'idle'
    if (phase.kind === 'handshake') return within(tlsHandshakeMs) ? undefined : 'handshake'
    if (!within(dataBlockMs)) return 'data-block'
    if (now - phase.startedAt > dataMs) return 'data'
    const isWindowOver = this.#heldSince === undefined && now - phase.windowStart > dataRateWindowMs
    return isWindowOver && this.#isTooSlow(phase, now) ? 'data-rate' : undefined
  }

  /** Over the time since the window began, which is longer than the window when nobody asked in between. */
  #isTooSlow(phase: { readonly windowStart: number; readonly windowBytes: number }, now: number): boolean {
    return phase.windowBytes * 1000 < this.#limits.minDataBytesPerSecond * (now - phase.windowStart)
  }
}
