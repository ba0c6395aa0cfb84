// A budget that refills as time goes on: what throttling is made of. Calls are charged even when they are refused, as Graph does it.

/** A caller that goes on is charged down to here, in capacities below empty (Graph reports at most 1.8 of the limit). */
const DEEPEST_DEBT = 0.8

export interface Charge {
  readonly isRefused: boolean
  /** ms until a call of the same cost may pass; 0 when this one did. */
  readonly waitMs: number
  /** Of the limit, after this call: 0 to 1.8. */
  readonly usedShare: number
  readonly remaining: number
  /** ms until it is full again. */
  readonly resetMs: number
}

export class TokenBucket {
  readonly capacity: number
  readonly #perMs: number
  #level: number
  #atMs: number

  /** @param capacity  refilled once a window */
  constructor(capacity: number, windowMs: number, nowMs: number) {
    this.capacity = capacity
    this.#perMs = capacity / windowMs
    this.#level = capacity
    this.#atMs = nowMs
  }

  /** @param nowMs  never before that of the last call */
  charge(amount: number, nowMs: number): Charge {
    this.#level = Math.min(this.capacity, this.#level + (nowMs - this.#atMs) * this.#perMs)
    this.#atMs = nowMs
    // A hair of tolerance: the time asked for is rounded to whole units, the sum of refills is not.
    const isRefused = this.#level + 1e-9 < amount
    this.#level = Math.max(this.#level - amount, -DEEPEST_DEBT * this.capacity)
    return {
      isRefused,
      waitMs: isRefused ? (amount - this.#level) / this.#perMs : 0,
      usedShare: 1 - this.#level / this.capacity,
      remaining: Math.max(0, this.#level),
      resetMs: (this.capacity - this.#level) / this.#perMs,
    }
  }
}
