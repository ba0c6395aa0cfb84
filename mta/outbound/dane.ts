// DANE for SMTP: what a host's TLSA records demand of its certificate. Records count only where the resolver has validated everything that leads
// to them; where they can't be looked up, the host is not used, since whoever can suppress them could also be the one who answers. (RFC 7672, 7671)
import { createHash, createPublicKey, X509Certificate } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import type { Dns } from './dns-client.ts'
import type { DnsData } from './dns-message.ts'
import type { JudgeChain } from './start-tls.ts'
import type { TlsFailure } from './tls-failure.ts'

export type TlsaRecord = DnsData['TLSA']

export type DaneFinding =
  /** No DANE: no records, or none that anybody stands for. */
  | { readonly kind: 'absent' }
  /** `baseName` is what they were found under, and what the host is told in SNI. At least one record. */
  | { readonly kind: 'records'; readonly records: readonly TlsaRecord[]; readonly baseName: string }
  | { readonly kind: 'failed'; readonly text: string }

/** DANE-TA and DANE-EE; PKIX-TA and PKIX-EE can't be used for SMTP (RFC 7672 §3.1.3). */
const TRUST_ANCHOR = 2
const END_ENTITY = 3
const DIGESTS = new Map([
  [1, { name: 'sha256', bytes: 32 }],
  [2, { name: 'sha512', bytes: 64 }],
])

/**
 * @param names  under which records may stand, the preferred one first: the host's name with its aliases resolved, then as the MX has it
 *               (RFC 7672 §2.2.2). All that led to them was validated.
 */
export async function findTlsa(names: readonly string[], port: number, dns: Dns): Promise<DaneFinding> {
  for (const baseName of new Set(names)) {
    const answer = await dns.query(`_${port}._tcp.${baseName}`, 'TLSA')
    if (answer.kind === 'failed')
      return { kind: 'failed', text: `the TLSA records of ${baseName} can't be looked up (${answer.text})` }
    if (answer.kind === 'records' && answer.isSecure) return { kind: 'records', records: answer.records, baseName }
  }
  return { kind: 'absent' }
}

export function isUsable({ usage, selector, matchingType, certificate }: TlsaRecord): boolean {
  if (![TRUST_ANCHOR, END_ENTITY].includes(usage) || ![0, 1].includes(selector)) return false
  return matchingType === 0 ? certificate.length > 0 : DIGESTS.get(matchingType)?.bytes === certificate.length
}

/**
 * @param records  usable ones
 * @param names  that a certificate below a trust anchor may have
 * @param now  ms since the epoch
 */
export function daneJudge(records: readonly TlsaRecord[], names: readonly string[], now: () => number): JudgeChain {
  return (chain) => {
    const [leaf] = chain
    if (leaf === undefined) return 'validation-failure'
    // RFC 7672 §3.1.1: the record binds the key to the host by itself; neither name nor dates matter.
    if (records.some((record) => record.usage === END_ENTITY && matches(record, leaf))) return undefined
    const anchors = records.filter(({ usage }) => usage === TRUST_ANCHOR)
    return anchors.length === 0 ? 'tlsa-invalid' : judgeBelowAnchor(leaf, chain, anchors, names, now())
  }
}

/** From the host's own certificate upwards, among those that it sent, to one that a record names. */
function judgeBelowAnchor(
  leaf: X509Certificate,
  chain: readonly X509Certificate[],
  anchors: readonly TlsaRecord[],
  names: readonly string[],
  now: number,
): TlsFailure | undefined {
  const path = [leaf]
  for (let current = leaf; ;) {
    const issuer = chain.find((each) => !path.includes(each) && each.ca && isIssuedBy(current, each))
    const isAnchored =
      anchors.some((record) => issuer !== undefined && matches(record, issuer)) ||
      anchors.some((record) => isSignedByRecord(record, current))
    if (issuer !== undefined) path.push(issuer)
    if (isAnchored) break
    if (issuer === undefined) return 'tlsa-invalid'
    current = issuer
  }
  if (path.some((each) => Date.parse(each.validFrom) > now || Date.parse(each.validTo) < now))
    return 'certificate-expired'
  const isNamed = names.some(
    (name) => leaf.checkHost(name, { subject: 'never', partialWildcards: false }) !== undefined,
  )
  return isNamed ? undefined : 'certificate-host-mismatch'
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && isSignedWith(certificate, issuer.publicKey)
}

/** A record may hold the whole anchor, which then needn't be sent. */
function isSignedByRecord(
  { selector, matchingType, certificate: data }: TlsaRecord,
  current: X509Certificate,
): boolean {
  if (matchingType !== 0) return false
  try {
    if (selector === 0) return isIssuedBy(current, new X509Certificate(data))
    return isSignedWith(current, createPublicKey({ key: data, format: 'der', type: 'spki' }))
  } catch {
    return false // anybody can publish octets that are neither certificate nor key
  }
}

function isSignedWith(certificate: X509Certificate, key: KeyObject): boolean {
  try {
    return certificate.verify(key)
  } catch {
    return false // a key of another kind than the signature's
  }
}

function matches({ selector, matchingType, certificate: data }: TlsaRecord, certificate: X509Certificate): boolean {
  const selected = selector === 0 ? certificate.raw : certificate.publicKey.export({ type: 'spki', format: 'der' })
  const digest = DIGESTS.get(matchingType)
  return data.equals(digest === undefined ? selected : createHash(digest.name).update(selected).digest())
}
