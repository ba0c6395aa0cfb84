// Signatures of the project's own that rewriting broke, for the policy `remove-own` (R82). Pure.
import type { HeaderBlock, HeaderField } from '../../rewrite-rules/index.ts'
import { coveredFields, relaxedField } from './header-canon.ts'
import type { JudgedSignature, Verification } from './verification.ts'

export interface StaleRequest {
  readonly received: HeaderBlock
  /** The same, rewritten, with or without our trace fields on top, before we sign. */
  readonly rewritten: HeaderBlock
  readonly verification: Verification | undefined
  /** Of a domain in lower case, A-labels. */
  readonly isProjectDomain: (domain: string) => boolean
  /** Whether an octet of the body was changed. */
  readonly bodyChanged: boolean
  /** SHA-256 of the body as it will be sent, relaxed, in base64. */
  readonly bodyHash: string
}

/**
 * The DKIM-Signature fields of `rewritten` that must go: d= is a domain of the project, they verified on arrival, and no longer do, because
 * what they cover is no longer the same in their own canonical form. Others stay, broken or not: RFC 6376 §4.2 leaves them to the reader.
 */
export function staleSignatures(request: StaleRequest): HeaderField[] {
  const { received, rewritten, verification, isProjectDomain } = request
  const own = (verification?.signatures ?? []).filter(
    ({ result, domain }) => result === 'pass' && domain !== undefined && isProjectDomain(domain),
  )
  if (own.length === 0) return []
  const fieldOf = signatureFields(received, rewritten)
  const stale = new Set<HeaderField>()
  // A signature may cover another: taking that away breaks it.
  for (let before = -1; before !== stale.size;) {
    before = stale.size
    const left: HeaderBlock = { ...rewritten, fields: rewritten.fields.filter((field) => !stale.has(field)) }
    for (const signature of own) {
      const field = fieldOf(signature.index)
      if (field !== undefined && !stale.has(field) && isBroken(signature, left, request)) stale.add(field)
    }
  }
  return rewritten.fields.filter((field) => stale.has(field))
}

function isBroken(
  signature: JudgedSignature,
  rewritten: HeaderBlock,
  { received, bodyChanged, bodyHash }: StaleRequest,
): boolean {
  const { bodyCanonicalization, signedFields } = signature
  if (bodyCanonicalization === 'relaxed' ? signature.bodyHash !== bodyHash : bodyChanged) return true
  const [before, after] = [received, rewritten].map((header) =>
    coveredFields(header, signedFields).map((field) => canonicalField(signature, header, field)),
  )
  return before?.join('\r\n') !== after?.join('\r\n')
}

function canonicalField({ headerCanonicalization }: JudgedSignature, header: HeaderBlock, field: HeaderField): string {
  return headerCanonicalization === 'relaxed' ? relaxedField(header, field) : header.text.slice(field.start, field.end)
}

/** Finds the field of a received signature in the rewritten header: none is ever added below the received ones, and none edited (R30). */
function signatureFields(received: HeaderBlock, rewritten: HeaderBlock): (index: number) => HeaderField | undefined {
  const [before, after] = [received, rewritten].map(({ fields }) =>
    fields.filter(({ name }) => name === 'dkim-signature'),
  )
  return (index) => after?.[after.length - (before?.length ?? 0) + index]
}
