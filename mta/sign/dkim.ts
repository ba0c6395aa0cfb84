// DKIM-Signature fields for what we send on (R80, R81, DL-9; RFC 6376, RFC 8301, RFC 8463): who signs is decided apart from the signing.
import { fromMailboxes, normaliseDomain } from '../../rewrite-rules/index.ts'
import type { Direction, HeaderBlock } from '../../rewrite-rules/index.ts'
import type { DkimKey, DkimKeys } from './dkim-keys.ts'
import { coveredFields, relaxedField } from './header-canon.ts'
import { signedField } from './signature-field.ts'
import { signedFieldNames } from './signed-fields.ts'
import { verifiedFor } from './verification.ts'
import type { Verification } from './verification.ts'

/** Where a message goes, as far as signatures care (rewriting.md §13); `mailbox`: mail `in`, to the tenant that holds the mailbox. */
export type SignedRoute = 'owner-tenant' | 'mailbox' | 'return' | 'mx'

export interface SignatureRequest {
  /** The header block as it will be sent. */
  readonly header: HeaderBlock
  readonly direction: Direction
  readonly route: SignedRoute
  readonly keys: Pick<DkimKeys, 'find'>
  /** @param domain  lower case, A-labels */
  readonly isProjectDomain: (domain: string) => boolean
  /** Whether the tenant that delivers accepts mail for the domain, and signs for it as for all its mail. @param domain  lower case, A-labels */
  readonly isOfDeliverer: (domain: string) => boolean
  /** Of the message as received; undefined: nothing was verified. */
  readonly verification: Verification | undefined
}

export type SignaturePlan =
  | { readonly kind: 'sign'; readonly domain: string; readonly keys: readonly DkimKey[] }
  | {
      readonly kind: 'unsigned'
      /** `tenant-signs`: a domain of ours without a key, on a route where its tenant signs. */
      readonly why: 'no-author' | 'foreign-author' | 'unproven-author' | 'tenant-signs'
    }
  /** 451 4.7.5, for an operator to see: a domain of ours has no key, and nobody after us could sign. */
  | { readonly kind: 'refuse'; readonly domain: string }

/**
 * Who signs (R81): the first mailbox of From whose domain has a key. Of two From fields the last one counts, as it does for verifiers that
 * take instances from the bottom up; h= covers both.
 */
export function planSignatures(request: SignatureRequest): SignaturePlan {
  const { header, direction, route, keys, isProjectDomain, isOfDeliverer, verification } = request
  const lastFrom = header.fields.findLast(({ name }) => name === 'from')
  const domains = (lastFrom === undefined ? [] : fromMailboxes({ ...header, fields: [lastFrom] }))
    .map(({ domain }) => normaliseDomain(domain))
    .filter((domain) => domain !== undefined)
  if (domains.length === 0) return { kind: 'unsigned', why: 'no-author' }
  for (const domain of domains) {
    const found = keys.find(domain)
    if (found === undefined) continue
    // Anybody outside may write an address of ours into From. Mail `in` is not ours, and our signature would make it so: it takes the place of
    // one that verified on arrival and that rewriting broke, never of none.
    if (direction === 'in' && !verifiedFor(verification, domain)) return { kind: 'unsigned', why: 'unproven-author' }
    return { kind: 'sign', domain, keys: found }
  }
  const ours = domains.find((domain) => isProjectDomain(domain))
  if (ours === undefined) return { kind: 'unsigned', why: 'foreign-author' }
  // Somebody without an entry whose mail was brought here returns to his own tenant (coexistence.md §1.9).
  const isSignedLater = route === 'owner-tenant' || route === 'mailbox' || (route === 'return' && isOfDeliverer(ours))
  return isSignedLater ? { kind: 'unsigned', why: 'tenant-signs' } : { kind: 'refuse', domain: ours }
}

/**
 * Signs with every key: `a=rsa-sha256`, and with an Ed25519 key a second time.
 * @param header  as it will be sent, but for the fields returned here
 * @param bodyHash  SHA-256 of the body as it will be sent, relaxed, in base64
 * @param at  ms since the epoch
 * @returns the fields to put on top, each with CR LF
 */
export async function dkimSignatures(
  header: HeaderBlock,
  bodyHash: string,
  keys: readonly DkimKey[],
  at: number,
): Promise<string> {
  const names = signedFieldNames(header)
  const signed = canonicalFields(header, names)
  const fields = keys.map((key) =>
    signedField(
      'DKIM-Signature',
      [
        ['v', '1'],
        ['a', key.algorithm],
        ['c', 'relaxed/relaxed'],
        ['d', key.domain],
        ['s', key.selector],
        ['t', String(Math.floor(at / 1000))],
        ['h', names],
        ['bh', bodyHash],
      ],
      signed,
      key,
    ),
  )
  return (await Promise.all(fields)).join('')
}

/** What an h= list covers, in relaxed form, each field with CR LF. */
export function canonicalFields(header: HeaderBlock, names: readonly string[]): string {
  const fields = coveredFields(
    header,
    names.map((name) => name.toLowerCase()),
  )
  let text = ''
  for (const field of fields) text += `${relaxedField(header, field)}\r\n`
  return text
}
