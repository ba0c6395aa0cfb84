// The last step before the spool (R79): our DKIM signatures, then our ARC set, over a header block that nothing else will change.
import { NO_HEADER_LIMITS, scanHeader } from '../../rewrite-rules/index.ts'
import type { HeaderBlock } from '../../rewrite-rules/index.ts'
import { arcSet } from './arc.ts'
import type { SealPlan } from './arc.ts'
import { dkimSignatures } from './dkim.ts'
import type { SignaturePlan } from './dkim.ts'

export interface SigningRequest {
  /** As it will be sent, trace fields on top, but for what is returned here. */
  readonly header: HeaderBlock
  /** SHA-256 of the body as it will be sent, relaxed, in base64. */
  readonly bodyHash: string
  readonly signatures: Exclude<SignaturePlan, { readonly kind: 'refuse' }>
  readonly seal: SealPlan
  /** Body of our Authentication-Results field. */
  readonly results: string
  /** ms since the epoch */
  readonly at: number
}

/** @returns the fields to put on top of the header, each with CR LF; empty where nothing is signed or sealed */
export async function signMessage(request: SigningRequest): Promise<string> {
  const { header, bodyHash, signatures, seal, results, at } = request
  const signed = signatures.kind === 'sign' ? await dkimSignatures(header, bodyHash, signatures.keys, at) : ''
  if (seal.kind === 'unsealed') return signed
  // RFC 8617 §5.1 step 1: the seal covers our signatures.
  const bytes = Buffer.concat([Buffer.from(signed, 'latin1'), header.bytes])
  return (await arcSet(scanHeader(bytes, NO_HEADER_LIMITS), seal, { results, bodyHash, at })) + signed
}
