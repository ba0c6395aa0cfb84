// How soon the control plane is asked again: 1 s, doubling to 30 s, half of it by chance, so that a thousand relays don't come at once. Pure.

const FIRST_MS = 1_000
const LONGEST_MS = 30_000

/** @param failures  in a row, this one included. @param jitter  in [0, 1) */
export function retryDelayMs(failures: number, jitter: number): number {
  const most = Math.min(LONGEST_MS, FIRST_MS * 2 ** (Math.min(failures, 10) - 1))
  return Math.round(most * (0.5 + 0.5 * jitter))
}
