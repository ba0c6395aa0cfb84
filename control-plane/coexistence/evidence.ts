// What relays tell of probes and of validation mail, read from their events. Hostile input: a relay may be stolen. Pure. (coexistence.md §2.1, SP-11)

import { PROBES_IN_A_RUN } from '../../common/relay-contract.ts'

/**
 * - `expected`: the tenant's proof for the direction, and every octet as expected
 * - `no-proof`: it came without the token: the rule does not act yet, and the mail went its usual way
 * - `other-tenant`: a valid token of another tenant or direction
 * - `altered`: something on the way changed it
 * - `seen`: validation mail, of which nothing more is asked
 */
export const VERDICTS = ['expected', 'no-proof', 'other-tenant', 'altered', 'seen'] as const
export type Verdict = (typeof VERDICTS)[number]

export interface Evidence {
  readonly nonce: string
  /** Id of the relay that handed it to the tenant; empty: the tenant wrote it itself. */
  readonly maker: string
  readonly index: number
  readonly verdict: Verdict
}

const NONCE = /^[a-z0-9]{16,64}$/
const MAKER = /^rly_[A-Za-z0-9]{1,60}$/
const isVerdict = (value: unknown): value is Verdict => VERDICTS.some((verdict) => verdict === value)

/** @returns undefined for what is no evidence */
export function readEvidence(event: string, fields: Readonly<Record<string, unknown>>): Evidence | undefined {
  const { nonce, maker, index, verdict } = fields
  if (typeof nonce !== 'string' || !NONCE.test(nonce)) return undefined
  if (event === 'validation') return { nonce, maker: '', index: 0, verdict: 'seen' }
  if (event !== 'probe' || !isVerdict(verdict) || verdict === 'seen') return undefined
  if (typeof maker !== 'string' || !MAKER.test(maker)) return undefined
  if (typeof index !== 'number' || !Number.isInteger(index) || index < 0 || index >= PROBES_IN_A_RUN) return undefined
  return { nonce, maker, index, verdict }
}
