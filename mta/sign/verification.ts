// What the signatures of a received message are worth, as a value, and what may be concluded from it: proof of the tenant (SP-4 (b)), the
// fields that `keep-dkim` leaves alone (R35). Pure.
import type { HeaderBlock } from '../../rewrite-rules/index.ts'
import { isArcField } from './arc-sets.ts'
import type { DkimAlgorithm } from './dkim-keys.ts'
import type { Canonicalization } from './body-hash.ts'

/** RFC 8601 §2.7.1, but for `none`. */
export type SignatureResult = 'pass' | 'fail' | 'policy' | 'neutral' | 'temperror' | 'permerror'

export interface JudgedSignature {
  /** Which DKIM-Signature field of the message, from the top, from 0. */
  readonly index: number
  readonly result: SignatureResult
  /** For the log: why it is no pass. No text of the message. */
  readonly reason: string | undefined
  /** d=, lower case, A-labels; undefined where it can't be read. */
  readonly domain: string | undefined
  /** s=, lower case; undefined where it is no DNS name. */
  readonly selector: string | undefined
  /** undefined: another than those we sign with. */
  readonly algorithm: DkimAlgorithm | undefined
  /**
   * With the domains of From: `exact`, the same; `relaxed`, the same organizational domain, as DMARC has it by default; `none` also for
   * several From fields, where readers may see another than the signed one.
   */
  readonly alignment: 'exact' | 'relaxed' | 'none'
  /** h=, in lower case. */
  readonly signedFields: readonly string[]
  readonly headerCanonicalization: Canonicalization
  readonly bodyCanonicalization: Canonicalization
  /** bh=, without white space. */
  readonly bodyHash: string
  /** The first eight characters of b=: they tell signatures of one domain apart (RFC 6008); empty where it is no base64. */
  readonly signatureStart: string
}

export interface ArcChain {
  /** `unknown`: the DNS failed us. */
  readonly status: 'none' | 'pass' | 'fail' | 'unknown'
  /** For the log, of a `fail`; no text of the message. */
  readonly reason: string | undefined
}

export interface Verification {
  /** At most `MAX_SIGNATURES`, from the top. */
  readonly signatures: readonly JudgedSignature[]
  readonly arc: ArcChain
  /** What mailauth threw at us, for the log. All results are temporary errors then. */
  readonly fault: unknown
}

/** Whether there is anything to judge: without, a message costs nothing, and mailauth needn't even be loaded. */
export function hasSignatures(received: HeaderBlock): boolean {
  return received.fields.some(({ name }) => name === 'dkim-signature' || isArcField(name))
}

/** Whether a signature of exactly this domain verified. */
export function verifiedFor(verification: Verification | undefined, domain: string): boolean {
  return (
    verification?.signatures.some((signature) => signature.result === 'pass' && signature.domain === domain) ?? false
  )
}

export type DkimProof =
  | { readonly kind: 'proven'; readonly domain: string }
  /** A key that might prove it could not be asked for: 451. */
  | { readonly kind: 'unknown' }
  | { readonly kind: 'unproven' }

/**
 * DKIM as proof of the tenant (SP-4 (b)): a signature that verified and whose d= is a verified domain of the project, by exact match.
 * @param isVerifiedDomain  of a domain in lower case, A-labels
 */
export function findDkimProof(
  verification: Verification | undefined,
  isVerifiedDomain: (domain: string) => boolean,
): DkimProof {
  let isUnknown = false
  for (const { result, domain } of verification?.signatures ?? []) {
    if (domain === undefined || !isVerifiedDomain(domain)) continue
    if (result === 'pass') return { kind: 'proven', domain }
    // The DNS of somebody else's domain decides nothing here.
    isUnknown ||= result === 'temperror'
  }
  return { kind: isUnknown ? 'unknown' : 'unproven' }
}

/** The h= lists that `keep-dkim` respects: of signatures that verified and are aligned with From (R35). */
export function keptFieldLists(verification: Verification | undefined): (readonly string[])[] {
  return (verification?.signatures ?? [])
    .filter(({ result, alignment }) => result === 'pass' && alignment !== 'none')
    .map(({ signedFields }) => signedFields)
}
