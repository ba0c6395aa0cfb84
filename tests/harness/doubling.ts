// The doubling test of reliability-security.md PS-2: twice the input may take 2.5 times as long, whatever it is.
import assert from 'node:assert/strict'

const MAX_RATIO = 2.5
/** An input that outgrows a cache of the processor costs more than twice as much, once; what isn't linear does so at every size. */
const ATTEMPT_SCALES = [1, 1, 0.5, 2, 1, 0.5, 2, 1]
/** Of the first attempt; each further one takes as many more, since a machine that is busy needs more of them for one that is not disturbed. */
const ROUNDS = 4
const MIN_ROUND_MS = 5
// Where a run is little more than a copy of its input, what is measured is the memory allocator.
const NEGLIGIBLE_MS = 1

/** Time of twice the input over that of the input; the best of some rounds each, taken in turns, so that a busy machine hits both. */
function doublingRatio(size: number, rounds: number, prepare: (size: number) => () => void): number {
  const runs = [prepare(size), prepare(2 * size)] as const
  const best: [number, number] = [Infinity, Infinity]
  // The first runs warm up and say how often a short one must be repeated.
  const first = Math.max(timed(runs[0], 1), timed(runs[0], 1))
  const repeats = Math.max(1, Math.min(1000, Math.ceil(MIN_ROUND_MS / first)))
  for (let round = 0; round < rounds; round++) {
    for (const side of [0, 1] as const) best[side] = Math.min(best[side], timed(runs[side], repeats))
  }
  return best[1] < NEGLIGIBLE_MS * repeats ? 1 : best[1] / best[0]
}

function timed(run: () => void, repeats: number): number {
  const start = performance.now()
  for (let i = 0; i < repeats; i++) run()
  return performance.now() - start
}

/**
 * @param size  so large that what isn't linear takes many milliseconds
 * @param prepare  makes the input of a size, and gives the run
 */
export function assertLinear(name: string, size: number, prepare: (size: number) => () => void): void {
  const ratios: number[] = []
  // Noise makes a ratio too large now and then; what isn't linear is too large every time.
  for (const [attempt, scale] of ATTEMPT_SCALES.entries()) {
    const ratio = doublingRatio(Math.round(size * scale), ROUNDS * (attempt + 1), prepare)
    if (ratio <= MAX_RATIO) return
    ratios.push(ratio)
  }
  assert.fail(`${name}: twice the input takes ${ratios.map((ratio) => ratio.toFixed(1)).join(', ')} times as long`)
}
