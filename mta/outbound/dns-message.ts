// One question to a resolver and what its answer means. Whoever sent the answer may not be the resolver: what doesn't fit the question is none,
// and only an answer that says so plainly says that there is nothing. Pure. (RFC 1035, 2308, 5452, 6840)
import { isIPv4, isIPv6 } from 'node:net'
import { AUTHENTIC_DATA, decode, DNSSEC_OK, encode, RECURSION_DESIRED } from 'dns-packet'
import type { Answer, DecodedPacket, TlsaData } from 'dns-packet'

export interface DnsData {
  readonly A: string
  readonly AAAA: string
  readonly MX: { readonly preference: number; readonly exchange: string }
  /** The strings of one record put together. */
  readonly TXT: string
  readonly TLSA: TlsaData
}
export type DnsType = keyof DnsData

export interface Question<T extends DnsType = DnsType> {
  /** Lower case, A-labels, without the final dot. */
  readonly name: string
  readonly type: T
}

/**
 * - `isSecure`: the resolver says that it has validated all of it (AD)
 * - `ttlMs`: how long the answer holds, by its records
 */
export type DnsAnswer<T extends DnsType = DnsType> =
  | {
      readonly kind: 'records'
      readonly records: readonly DnsData[T][]
      /** Name that holds the records: another than asked for behind a CNAME. */
      readonly canonicalName: string
      readonly isSecure: boolean
      readonly ttlMs: number
    }
  /** Nothing of this type; of no type at all unless `nameExists`. */
  | { readonly kind: 'none'; readonly nameExists: boolean; readonly isSecure: boolean; readonly ttlMs: number }
  /** Nobody knows. */
  | { readonly kind: 'failed'; readonly text: string }

/** `foreign`: no answer to this question; whatever is awaited may still come. */
export type ReadAnswer<T extends DnsType> = DnsAnswer<T> | { readonly kind: 'foreign' } | { readonly kind: 'truncated' }

/** RFC 9715: what fits into a packet on any path. */
const UDP_PAYLOAD_BYTES = 1_232
const MAX_CNAMES = 8
/** More records of one name are worth nothing to anybody. */
const MAX_RECORDS = 64

/** @param wantsDnssec  asks for validation data (DO), which some resolvers need to set AD */
export function dnsQuestion({ name, type }: Question, id: number, wantsDnssec: boolean): Buffer {
  return encode({
    type: 'query',
    id,
    // RFC 6840 §5.7: AD in a question asks for it in the answer.
    flags: RECURSION_DESIRED | AUTHENTIC_DATA,
    questions: [{ name, type }],
    additionals: [
      {
        type: 'OPT',
        name: '.',
        udpPayloadSize: UDP_PAYLOAD_BYTES,
        extendedRcode: 0,
        ednsVersion: 0,
        flags: wantsDnssec ? DNSSEC_OK : 0,
        flag_do: wantsDnssec,
        options: [],
      },
    ],
  })
}

/** Never throws. */
export function readDnsAnswer<T extends DnsType>(bytes: Buffer, question: Question<T>, id: number): ReadAnswer<T> {
  let packet: DecodedPacket
  try {
    packet = decode(bytes)
    // It reads beyond the end without a word.
    if (decode.bytes > bytes.length) return isCutOff(bytes, id) ? { kind: 'truncated' } : { kind: 'foreign' }
  } catch {
    // Garbage, or an answer cut off in the middle: the header tells the second.
    return isCutOff(bytes, id) ? { kind: 'truncated' } : { kind: 'foreign' }
  }
  if (packet.type !== 'response' || packet.id !== id || !isAsked(packet, question)) return { kind: 'foreign' }
  if (packet.flag_tc) return { kind: 'truncated' }
  const rcode = rcodeOf(packet)
  if (rcode !== 'NOERROR' && rcode !== 'NXDOMAIN') return { kind: 'failed', text: rcode }
  return meaningOf(packet, question, rcode === 'NOERROR')
}

/** QR and TC, RFC 1035 §4.1.1. */
function isCutOff(bytes: Buffer, id: number): boolean {
  return bytes.length >= 12 && bytes.readUInt16BE(0) === id && (bytes.readUInt16BE(2) & 0x8200) === 0x8200
}

function isAsked({ questions = [] }: DecodedPacket, { name, type }: Question): boolean {
  const [asked] = questions
  return (
    questions.length === 1 &&
    asked !== undefined &&
    asked.type === type &&
    asked.class === 'IN' &&
    same(asked.name, name)
  )
}

/** With the upper bits, which stand in OPT (RFC 6891 §6.1.3): BADVERS looks like NOERROR without them. */
function rcodeOf({ additionals = [], ...packet }: DecodedPacket): string {
  const extended = additionals.find((record) => record.type === 'OPT')?.extendedRcode ?? 0
  // Its types leave the name of the code out.
  const { rcode } = packet as typeof packet & { readonly rcode: string }
  return extended === 0 ? rcode : `extended ${rcode}`
}

function meaningOf<T extends DnsType>(
  { answers = [], authorities = [], flag_ad: isSecure }: DecodedPacket,
  { name, type }: Question<T>,
  isNoError: boolean,
): DnsAnswer<T> {
  const { canonicalName, ttls } = followAliases(answers, name)
  if (canonicalName === undefined) return { kind: 'failed', text: 'too many aliases, or aliases in a circle' }
  const found = answers
    .filter((record) => record.type === type && same(record.name, canonicalName))
    .slice(0, MAX_RECORDS)
  if (isNoError && found.length > 0) {
    const records = found.map((record) => dataOf(record, type)).filter((each) => each !== undefined)
    const ttlMs = 1000 * Math.min(...ttls, ...found.map(ttlOf))
    if (records.length === 0) return { kind: 'failed', text: 'records that can not be read' }
    return { kind: 'records', records, canonicalName, isSecure, ttlMs }
  }
  const soa = authorities.find((record) => record.type === 'SOA')
  // A name is gone for good only where its zone says so: a resolver in trouble may answer NXDOMAIN without anybody's authority (RFC 2308 §2.1).
  if (!isNoError && soa === undefined) return { kind: 'failed', text: 'NXDOMAIN that no authority stands for' }
  const negativeTtl = soa?.type === 'SOA' ? Math.min(soa.ttl ?? 0, soa.data.minimum ?? 0) : 0
  return { kind: 'none', nameExists: isNoError, isSecure, ttlMs: 1000 * Math.min(...ttls, negativeTtl) }
}

/** A resolver gives the whole chain. */
function followAliases(
  answers: readonly Answer[],
  name: string,
): { canonicalName: string | undefined; ttls: number[] } {
  const ttls: number[] = []
  let canonicalName = name
  for (let step = 0; step <= MAX_CNAMES; step++) {
    const alias = answers.find((record) => record.type === 'CNAME' && same(record.name, canonicalName))
    if (alias?.type !== 'CNAME') return { canonicalName, ttls }
    ttls.push(ttlOf(alias))
    canonicalName = alias.data.toLowerCase()
  }
  return { canonicalName: undefined, ttls }
}

function dataOf<T extends DnsType>(record: Answer, type: T): DnsData[T] | undefined {
  const read: { [K in DnsType]: () => DnsData[K] | undefined } = {
    A: () => (record.type === 'A' && isIPv4(record.data) ? record.data : undefined),
    AAAA: () => (record.type === 'AAAA' && isIPv6(record.data) ? record.data : undefined),
    MX: () =>
      record.type === 'MX'
        ? { preference: record.data.preference ?? 0, exchange: record.data.exchange.toLowerCase() }
        : undefined,
    TXT: () => (record.type === 'TXT' ? textOf(record.data) : undefined),
    TLSA: () =>
      record.type === 'TLSA' ? { ...record.data, certificate: Buffer.from(record.data.certificate) } : undefined,
  }
  return read[type]()
}

function textOf(strings: string | Buffer | readonly (string | Buffer)[]): string {
  const parts = typeof strings === 'string' || Buffer.isBuffer(strings) ? [strings] : strings
  return parts.map((part) => (typeof part === 'string' ? part : part.toString('latin1'))).join('')
}

function ttlOf(record: Answer): number {
  const ttl = 'ttl' in record ? (record.ttl ?? 0) : 0
  return ttl > 0x7fff_ffff ? 0 : ttl // RFC 2181 §8
}

function same(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase()
}
