// `npm test` has ten minutes. What goes through every one of very many cases takes a sample of them there, another one each time, and all of them with
// `npm run test:long` (CAUSEWAY_TEST_LONG=1).
import { randomInt } from 'node:crypto'

export const isLong = process.env['CAUSEWAY_TEST_LONG'] === '1'

/** One number in `every`, from a random one on; all of them in a long run. */
export function sampleOf(count: number, every: number): number[] {
  const step = isLong ? 1 : every
  const from = isLong ? 0 : randomInt(Math.min(every, count))
  const numbers: number[] = []
  for (let number = from; number < count; number += step) numbers.push(number)
  return numbers
}
