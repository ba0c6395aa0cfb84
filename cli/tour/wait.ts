// Waiting with an end for what shows in an answer.
import { setTimeout as sleep } from 'node:timers/promises'
import { StepFailed } from './step.ts'

export interface WaitOptions {
  readonly withinMs: number
  readonly everyMs?: number
  /** Tells what is waited for, for the error. */
  readonly found?: () => string
}

/** @param look  undefined: not yet. @throws StepFailed when it took too long */
export async function until<T>(
  what: string,
  look: () => Promise<T | undefined> | T | undefined,
  { withinMs, everyMs = 250, found }: WaitOptions,
): Promise<T> {
  for (const end = Date.now() + withinMs; ;) {
    const result = await look()
    if (result !== undefined) return result
    if (Date.now() >= end) {
      const last = found?.() ?? ''
      throw new StepFailed(
        `waited ${Math.round(withinMs / 1000)} s in vain for ${what}${last === '' ? '' : `: ${last}`}`,
      )
    }
    await sleep(Math.min(everyMs, Math.max(1, end - Date.now())))
  }
}
