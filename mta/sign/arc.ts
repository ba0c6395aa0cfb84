// The ARC set we add (R83; RFC 8617): whether, which instance, what it says of the chain before it; then its three fields.
import type { Direction, HeaderBlock, Policy } from '../../rewrite-rules/index.ts'
import { relaxedField, relaxedText } from './header-canon.ts'
import { readArcSets } from './arc-sets.ts'
import { canonicalFields } from './dkim.ts'
import type { SignedRoute } from './dkim.ts'
import type { DkimKey } from './dkim-keys.ts'
import { signedField } from './signature-field.ts'
import { signedFieldNames } from './signed-fields.ts'
import type { Verification } from './verification.ts'

/** RFC 8617 §4.2.1 */
const MAX_INSTANCE = 50

export interface SealRequest {
  readonly policy: Policy['arc']
  readonly direction: Direction
  readonly route: SignedRoute
  /** Whether an octet of the body or of a field that came with the message was changed. */
  readonly contentChanged: boolean
  /** The header block as it will be sent, or as it came: ARC fields are the same. */
  readonly header: HeaderBlock
  /** Of the message as received; undefined: nothing was verified. */
  readonly verification: Verification | undefined
  /** RSA key of the domain that seals; undefined: none is configured. */
  readonly key: DkimKey | undefined
}

export type SealPlan =
  | {
      readonly kind: 'seal'
      readonly instance: number
      readonly cv: 'none' | 'pass' | 'fail'
      readonly key: DkimKey
    }
  | {
      readonly kind: 'unsealed'
      /** `chain-failed`: the newest set says so already; `chain-unknown`: it was not or could not be verified. */
      readonly why: 'policy' | 'no-key' | 'chain-failed' | 'chain-unknown' | 'chain-full'
    }

export function planSeal(request: SealRequest): SealPlan {
  const { header, verification, key } = request
  if (!isWanted(request)) return { kind: 'unsealed', why: 'policy' }
  // RFC 8617 §4.1.3 leaves other algorithms to the future: receivers know rsa-sha256.
  if (key?.algorithm !== 'rsa-sha256') return { kind: 'unsealed', why: 'no-key' }
  const { highest, newestFailed, chain } = readArcSets(header)
  const status = verification?.arc.status ?? (header.fields.some(isArc) ? 'unknown' : 'none')
  if (newestFailed) return { kind: 'unsealed', why: 'chain-failed' }
  if (status === 'unknown') return { kind: 'unsealed', why: 'chain-unknown' }
  if (highest >= MAX_INSTANCE) return { kind: 'unsealed', why: 'chain-full' }
  // What verified has all its fields; where our reading differs from the verifier's, nothing is better than a wrong seal.
  if (status === 'pass' && chain === undefined) return { kind: 'unsealed', why: 'chain-unknown' }
  return { kind: 'seal', instance: highest + 1, cv: status, key }
}

const isArc = ({ name }: { readonly name: string }): boolean => name.startsWith('arc-')

function isWanted({ policy, direction, route, contentChanged }: SealRequest): boolean {
  switch (policy) {
    case 'on':
      return true
    case 'off':
      return false
    case 'auto':
      return direction === 'in' ? contentChanged : route === 'return'
    default:
      return policy satisfies never
  }
}

export interface SealOptions {
  /** Body of our Authentication-Results field, without a line break at its end. */
  readonly results: string
  /** SHA-256 of the body as it will be sent, relaxed, in base64. */
  readonly bodyHash: string
  /** ms since the epoch */
  readonly at: number
}

/**
 * Makes the three fields. Afterwards nothing of the message may change.
 * @param header  as it will be sent, our DKIM-Signature included, but for the fields returned here
 * @returns the fields to put on top, each with CR LF
 */
export async function arcSet(
  header: HeaderBlock,
  { instance, cv, key }: SealPlan & { readonly kind: 'seal' },
  { results, bodyHash, at }: SealOptions,
): Promise<string> {
  const seconds = String(Math.floor(at / 1000))
  const aar = `i=${instance}; ${results}`
  const names = [...signedFieldNames(header), ...dkimSignatureNames(header)]
  const ams = await signedField(
    'ARC-Message-Signature',
    [
      ['i', String(instance)],
      ['a', key.algorithm],
      ['c', 'relaxed/relaxed'],
      ['d', key.domain],
      ['s', key.selector],
      ['t', seconds],
      ['h', names],
      ['bh', bodyHash],
    ],
    canonicalFields(header, names),
    key,
  )
  // RFC 8617 §5.1.1: all sets, in order; of a chain that failed, nothing but this one (§5.1.2).
  const sealed = [
    ...(cv === 'pass' ? (readArcSets(header).chain ?? []).map((field) => relaxedField(header, field)) : []),
    relaxedText('ARC-Authentication-Results', aar),
    relaxedText('ARC-Message-Signature', ams.slice(ams.indexOf(':') + 1)),
  ]
  const seal = await signedField(
    'ARC-Seal',
    [
      ['i', String(instance)],
      ['a', key.algorithm],
      ['t', seconds],
      ['cv', cv],
      ['d', key.domain],
      ['s', key.selector],
    ],
    sealed.map((field) => `${field}\r\n`).join(''),
    key,
  )
  return `${seal}${ams}ARC-Authentication-Results: ${aar}\r\n`
}

function dkimSignatureNames({ fields }: HeaderBlock): string[] {
  return fields.filter(({ name }) => name === 'dkim-signature').map(() => 'DKIM-Signature')
}
