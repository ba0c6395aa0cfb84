// Time and chance for everything that waits on Microsoft: passed in as one thing, so that a test owns the clock, the timers and the jitter together.

import { chance } from '../../common/chance.ts'

export interface Pace {
  /** ms since the epoch */
  now(): number
  /** ms, monotonic */
  monotonicMs(): number
  /** In [0, 1). */
  random(): number
  /** Runs `callback` once after `ms`. @returns how to call it off */
  setTimer(callback: () => void, ms: number): () => void
}

export function processPace(clock: Pick<Pace, 'now' | 'monotonicMs'>): Pace {
  return {
    now: clock.now,
    monotonicMs: clock.monotonicMs,
    random: chance,
    setTimer: (callback, ms) => {
      const timer = setTimeout(callback, ms)
      return () => clearTimeout(timer)
    },
  }
}

/** @throws the signal's reason */
export function pause(pace: Pace, ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(signal.reason as Error)
      return
    }
    const stop = () => {
      callOff()
      reject(signal?.reason as Error)
    }
    const callOff = pace.setTimer(() => {
      signal?.removeEventListener('abort', stop)
      resolve()
    }, ms)
    signal?.addEventListener('abort', stop, { once: true })
  })
}
