// What was looked up, for as long as it holds and as far as there is room: the oldest goes first.

interface Entry<T> {
  readonly value: T
  readonly weight: number
  readonly untilMs: number
}

export class BoundedCache<T> {
  readonly #mostWeight: number
  readonly #nowMs: () => number
  /** In the order in which they were put in. */
  readonly #entries = new Map<string, Entry<T>>()
  #weight = 0

  /** @param nowMs  the clock that `untilMs` is of */
  constructor(mostWeight: number, nowMs: () => number) {
    this.#mostWeight = mostWeight
    this.#nowMs = nowMs
  }

  get size(): number {
    return this.#entries.size
  }

  get(key: string): T | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    if (entry.untilMs > this.#nowMs()) return entry.value
    this.delete(key)
    return undefined
  }

  set(key: string, value: T, { weight, untilMs }: { weight: number; untilMs: number }): void {
    this.delete(key)
    if (untilMs <= this.#nowMs() || weight > this.#mostWeight) return
    this.#entries.set(key, { value, weight, untilMs })
    this.#weight += weight
    for (const oldest of this.#entries.keys()) {
      if (this.#weight <= this.#mostWeight) break
      this.delete(oldest)
    }
  }

  delete(key: string): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    this.#entries.delete(key)
    this.#weight -= entry.weight
  }

  *entries(): Generator<[key: string, value: T]> {
    for (const [key, { value }] of this.#entries) yield [key, value]
  }
}
