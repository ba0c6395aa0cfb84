// A number by chance, from the one source of randomness there is (KM-6): for jitter, and nothing that has to be secret.
import { randomInt } from 'node:crypto'

const STEPS = 2 ** 47

/** In [0, 1). */
export const chance = (): number => randomInt(STEPS) / STEPS
