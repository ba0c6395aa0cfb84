// What Exchange does one way today and another tomorrow, or nobody has published: each is a switch, so that the product is tried with both.
import type { SizeCulture } from './sizes.ts'

/** Changed in place, while it runs. */
export interface ExchangeBehaviour {
  /** Language of sizes: `1.5 GB (1,610,612,736 bytes)`. */
  sizes: SizeCulture
  /** Absent objects were answered 500 in older samples. */
  absentStatus: 404 | 500
  /** How a missing role is told: in words, by a body of NUL bytes (seen in 2026), or with the 401 of 2021. */
  refusals: 'described' | 'nul-bytes' | 'unauthorized'
  /** Calls of one tenant at a time; more are answered 429 without Retry-After. undefined: any number. */
  concurrency: number | undefined
  /** Every call takes this long. ms */
  delayMs: number
  /** Told with every answer, in `@adminapi.warnings`. */
  warnings: readonly string[]
  /** Failed members of a batch lose their id. */
  batchErrorsWithoutId: boolean
  /** Answers are compressed for who accepts it. */
  gzip: boolean
  /** What a cmdlet made is seen after this long; its name is taken at once. ms of the sandbox's clock */
  visibleAfterMs: number
  /** A change of a mail flow rule acts after this long; cmdlets tell it at once. ms of the sandbox's clock */
  rulePropagationMs: number
  /** How a rule tells the groups that it names: as it was given them, or by their addresses. */
  ruleGroups: 'as-given' | 'addresses'
}

export function defaultBehaviour(): ExchangeBehaviour {
  return {
    sizes: 'en-US',
    absentStatus: 404,
    refusals: 'described',
    concurrency: undefined,
    delayMs: 0,
    warnings: [],
    batchErrorsWithoutId: false,
    gzip: true,
    visibleAfterMs: 0,
    rulePropagationMs: 0,
    ruleGroups: 'as-given',
  }
}
