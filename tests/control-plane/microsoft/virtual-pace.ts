// A clock that stands still until nobody has anything left to do, and then jumps to the next timer: hours pass in milliseconds, in their true order.
import type { Pace } from '../../../control-plane/microsoft/pace.ts'

interface Timer {
  readonly atMs: number
  readonly callback: () => void
}

/** 2026-11-22T10:00:00Z */
export const START_MS = Date.UTC(2026, 10, 22, 10)

export class VirtualPace implements Pace {
  /** What was waited for, in ms, in the order asked. */
  readonly waits: number[] = []
  jitter = 0.5
  /** No timer ends. */
  standsStill = false
  #elapsedMs = 0
  #timers: Timer[] = []
  #isRunning = false

  now(): number {
    return START_MS + this.#elapsedMs
  }

  monotonicMs(): number {
    return this.#elapsedMs
  }

  random(): number {
    return this.jitter
  }

  setTimer(callback: () => void, ms: number): () => void {
    const timer = { atMs: this.#elapsedMs + ms, callback }
    this.waits.push(ms)
    this.#timers.push(timer)
    this.#run()
    return () => {
      this.#timers = this.#timers.filter((each) => each !== timer)
    }
  }

  /** Time in which nobody waits for anything. */
  pass(ms: number): void {
    this.#elapsedMs += ms
  }

  /** Between any two timers everything that can happen at once happens. */
  #run(): void {
    if (this.#isRunning || this.standsStill) return
    this.#isRunning = true
    setImmediate(() => {
      this.#isRunning = false
      const next = this.#timers.toSorted((a, b) => a.atMs - b.atMs)[0]
      if (next === undefined) return
      this.#timers = this.#timers.filter((each) => each !== next)
      this.#elapsedMs = Math.max(this.#elapsedMs, next.atMs)
      next.callback()
      if (this.#timers.length > 0) this.#run()
    })
  }
}
