// Is this client who the configuration lets in? (SP-2 factor 2, SP-3) Judged here, and not by Node's `authorized`: public authorities issue
// certificates for servers only, which Node refuses as clients with a reason that hides every other one. Pure: the clock comes in.
import type { KeyObject, X509Certificate } from 'node:crypto'
import { readCertificate } from './certificate-der.ts'
import type { CertificateFacts } from './certificate-der.ts'

export const CERTIFICATE_REFUSALS = [
  /** None was shown. */
  'missing',
  /** Not understood in all that matters, or with a name in odd encoding. */
  'unreadable',
  'wrong-name',
  /** For neither clients nor servers. */
  'wrong-usage',
  /** It, or one above it. */
  'not-in-date',
  /** No way to an authority of the trust store. */
  'untrusted',
  /** An algorithm or key that is not good enough any more (KM-6). */
  'weak',
  'too-many',
] as const
export type CertificateRefusal = (typeof CERTIFICATE_REFUSALS)[number]

export type CertificateVerdict =
  | { readonly kind: 'admitted'; readonly name: string }
  | { readonly kind: 'refused'; readonly reason: CertificateRefusal }

export interface CertificateRules {
  readonly trust: readonly X509Certificate[]
  /** Lower case, in A-labels. */
  readonly names: readonly string[]
  /** ms since the epoch */
  readonly now: number
}

/** Certificates above the client's, the trusted one included. */
const MAX_DEPTH = 8
/** Certificates a client may send. */
export const MAX_SENT = 16
/** Cross-signed authorities can be a maze: that many signatures are looked at. */
const MAX_SIGNATURES = 32

const USAGES = new Set(['2b06010505070301', '2b06010505070302', '551d2500']) // serverAuth, clientAuth, any
/** SHA-256, -384, -512 with RSA; the same with ECDSA; Ed25519. */
const SIGNATURES = new Set([
  ...['0b', '0c', '0d'].map((end) => `2a864886f70d0101${end}`),
  ...['02', '03', '04'].map((end) => `2a8648ce3d0403${end}`),
  '2b6570',
])
const CURVES = new Set(['prime256v1', 'secp384r1', 'secp521r1'])
const MIN_RSA_BITS = 2048

/** @param shown  what the client sent: its own certificate, then others in any order */
export function judgeClientCertificate(
  shown: readonly X509Certificate[],
  { trust, names, now }: CertificateRules,
): CertificateVerdict {
  const [leaf, ...sent] = shown
  if (leaf === undefined) return refused('missing')
  if (shown.length > MAX_SENT) return refused('too-many')
  const facts = readCertificate(leaf.raw)
  if (facts === undefined) return refused('unreadable')
  const name = allowedName(facts, names)
  if (name === undefined) return refused('wrong-name')
  if (!allowsUsage(facts)) return refused('wrong-usage')
  if (!isInDate(leaf, now)) return refused('not-in-date')
  if (!hasStrongKey(leaf)) return refused('weak')
  const fault = new ChainSearch(sent, trust, name, now).faultOf(leaf, facts)
  return fault === undefined ? { kind: 'admitted', name } : refused(fault)
}

/** The name that lets it in. Exactly: no wildcards, no other kinds of names, and the common name only where there is no alternative at all. */
export function allowedName(
  { dnsNames, commonNames }: Pick<CertificateFacts, 'dnsNames' | 'commonNames'>,
  names: readonly string[],
): string | undefined {
  // Of several common names nobody knows which is meant.
  const offered = dnsNames ?? (commonNames.length === 1 ? commonNames : [])
  return names.find((name) => offered.includes(name))
}

function allowsUsage({ extendedUsages }: CertificateFacts): boolean {
  return extendedUsages === undefined || extendedUsages.some((usage) => USAGES.has(usage))
}

function isInDate({ validFromDate, validToDate }: X509Certificate, now: number): boolean {
  return validFromDate.getTime() <= now && now <= validToDate.getTime()
}

/** From one certificate to the next above it, to one of the trust store; every way is tried, within bounds. */
class ChainSearch {
  readonly #sent: readonly X509Certificate[]
  readonly #trust: readonly X509Certificate[]
  readonly #name: string
  readonly #now: number
  #signatures = 0
  /** The most telling of what stood in the way. */
  #fault: CertificateRefusal = 'untrusted'

  constructor(sent: readonly X509Certificate[], trust: readonly X509Certificate[], name: string, now: number) {
    this.#sent = sent
    this.#trust = trust
    this.#name = name
    this.#now = now
  }

  /** @returns undefined where a trusted authority was reached */
  faultOf(leaf: X509Certificate, facts: CertificateFacts): CertificateRefusal | undefined {
    return this.#climbs(leaf, facts, [], 0) ? undefined : this.#fault
  }

  /** @param below  certificates between `current` and the client's that count for path lengths, `current` included */
  #climbs(current: X509Certificate, facts: CertificateFacts, way: readonly X509Certificate[], below: number): boolean {
    if (!SIGNATURES.has(facts.signatureAlgorithm)) {
      this.#fault = 'weak'
      return false
    }
    if (this.#trust.some((anchor) => this.#issued(anchor, current, below, true) !== undefined)) return true
    if (way.length + 1 >= MAX_DEPTH) return false
    return this.#sent.some((issuer) => {
      if (issuer === current || way.includes(issuer)) return false
      const issuerFacts = this.#issued(issuer, current, below, false)
      if (issuerFacts === undefined) return false
      // RFC 5280 §4.2.1.9: self-issued ones don't count.
      const isSelfIssued = issuer.subject === issuer.issuer
      return this.#climbs(issuer, issuerFacts, [...way, issuer], isSelfIssued ? below : below + 1)
    })
  }

  /** What `issuer` says of itself, where it has issued `current` and was allowed to. */
  #issued(
    issuer: X509Certificate,
    current: X509Certificate,
    below: number,
    isAnchor: boolean,
  ): CertificateFacts | undefined {
    if (!issuer.ca || !current.checkIssued(issuer)) return undefined
    const facts = readCertificate(issuer.raw)
    if (facts === undefined || !permits(facts, this.#name)) return undefined
    if (facts.pathLength !== undefined && below > facts.pathLength) return undefined
    if (!isAnchor && !allowsUsage(facts)) return undefined
    if (!isInDate(issuer, this.#now)) {
      this.#fault = 'not-in-date'
      return undefined
    }
    if (!hasStrongKey(issuer)) {
      this.#fault = 'weak'
      return undefined
    }
    return ++this.#signatures <= MAX_SIGNATURES && current.verify(issuer.publicKey) ? facts : undefined
  }
}

/** RFC 5280 §4.2.1.10, for the one name that counts. */
function permits({ permittedNames, excludedNames }: CertificateFacts, name: string): boolean {
  const isUnder = (subtree: string): boolean =>
    subtree === '' || name === subtree || name.endsWith(subtree.startsWith('.') ? subtree : `.${subtree}`)
  return !excludedNames.some(isUnder) && (permittedNames === undefined || permittedNames.some(isUnder))
}

function hasStrongKey(certificate: X509Certificate): boolean {
  const key = publicKeyOf(certificate)
  switch (key?.asymmetricKeyType) {
    case 'rsa':
      return (key.asymmetricKeyDetails?.modulusLength ?? 0) >= MIN_RSA_BITS
    case 'ec':
      return CURVES.has(key.asymmetricKeyDetails?.namedCurve ?? '')
    default:
      return key?.asymmetricKeyType === 'ed25519'
  }
}

function publicKeyOf(certificate: X509Certificate): KeyObject | undefined {
  try {
    return certificate.publicKey
  } catch {
    return undefined // a key of a kind that OpenSSL doesn't know
  }
}

function refused(reason: CertificateRefusal): CertificateVerdict {
  return { kind: 'refused', reason }
}
