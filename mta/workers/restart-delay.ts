// How soon a worker that died is started again. Pure.

const FIRST_MS = 100
const LONGEST_MS = 30_000
/** A process that lived so long has nothing to do with the deaths before it. */
export const HEALTHY_AFTER_MS = 60_000

/** @param deaths  in a row, this one included: 1 = the first */
export function restartDelayMs(deaths: number): number {
  return Math.min(LONGEST_MS, FIRST_MS * 2 ** (Math.min(deaths, 20) - 1))
}
