// What an authoritative server says to one packet (RFC 1035 §4, 2308, 6891). Whoever sent it may be anybody: what is no plain question is answered
// with an error, or, where an answer could start a quarrel between servers, not at all. Pure.
import { AUTHORITATIVE_ANSWER, decode, encode, RECURSION_AVAILABLE, RECURSION_DESIRED } from 'dns-packet'
import { TRUNCATED_RESPONSE } from 'dns-packet'
import type { Answer, DecodedPacket, Packet } from 'dns-packet'
import type { ZoneRecord, Zones } from './zones.ts'

export const MAX_QUERY_BYTES = 4_096
const HEADER_BYTES = 12
const PLAIN_UDP_BYTES = 512
/** RFC 9715: what fits into a packet on any path. */
const MAX_UDP_BYTES = 1_232
const MAX_CNAMES = 8
const TXT_STRING_BYTES = 255
const RESPONSE = 0x8000
const OPCODE = 0x7800
const RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5, BADVERS: 16 } as const

/** @param ttlS  of what is there and of what isn't @returns undefined: no answer */
export function dnsAnswer(
  zones: Pick<Zones, 'find'>,
  bytes: Buffer,
  { transport, ttlS }: { readonly transport: 'udp' | 'tcp'; readonly ttlS: number },
): Buffer | undefined {
  if (bytes.length < HEADER_BYTES) return undefined
  const flags = bytes.readUInt16BE(2)
  if ((flags & RESPONSE) !== 0) return undefined
  if ((flags & OPCODE) !== 0) return bareError(bytes, RCODE.NOTIMP)
  const query = readQuery(bytes)
  const [question] = query?.questions ?? []
  if (query === undefined || question === undefined) return bareError(bytes, RCODE.FORMERR)

  const opt = query.additionals?.find((record) => record.type === 'OPT')
  const respond = (rcode: number, more: Partial<Packet>): Buffer => {
    const answered = encode({
      ...more,
      type: 'response',
      id: query.id ?? 0,
      flags:
        AUTHORITATIVE_ANSWER | RECURSION_AVAILABLE | (flags & RECURSION_DESIRED) | (more.flags ?? 0) | (rcode & 15),
      questions: [question],
      additionals: opt === undefined ? [] : [optRecord(rcode >> 4)],
    })
    return answered
  }
  if (opt !== undefined && opt.ednsVersion !== 0) return respond(RCODE.BADVERS, {})
  // Zone transfers are none of its business, nor are other classes. The type says ANY for all.
  if (question.class !== 'IN' || ['AXFR', 'IXFR'].includes(question.type)) return respond(RCODE.REFUSED, {})

  const { answers, rcode } = lookUp(zones, question.name, question.type, ttlS)
  const authorities =
    rcode === RCODE.NXDOMAIN || !answers.some(({ type }) => type !== 'CNAME') ? [startOfAuthority(ttlS)] : []
  const whole = respond(rcode, { answers, authorities })
  const room = Math.min(Math.max(opt?.udpPayloadSize ?? 0, PLAIN_UDP_BYTES), MAX_UDP_BYTES)
  if (transport === 'tcp' || whole.length <= room) return whole
  return respond(rcode, { flags: TRUNCATED_RESPONSE })
}

/** One question, no records but EDNS's, and a question that reads back as it came: a name in other clothes gets no answer. */
function readQuery(bytes: Buffer): DecodedPacket | undefined {
  const [questions, answers, authorities, additionals] = [4, 6, 8, 10].map((at) => bytes.readUInt16BE(at))
  if (questions !== 1 || answers !== 0 || authorities !== 0 || (additionals ?? 0) > 1) return undefined
  if (bytes.length > MAX_QUERY_BYTES) return undefined
  try {
    const query = decode(bytes)
    const again = encode({ type: 'query', questions: query.questions ?? [] }).subarray(HEADER_BYTES)
    return again.equals(bytes.subarray(HEADER_BYTES, HEADER_BYTES + again.length)) ? query : undefined
  } catch {
    // Whatever it was, it could not be read: the sender is told so.
    return undefined
  }
}

/** Nothing but the header: of the rest nobody knows what it is. */
function bareError(bytes: Buffer, rcode: number): Buffer {
  const header = Buffer.alloc(HEADER_BYTES)
  bytes.copy(header, 0, 0, 2)
  header.writeUInt16BE(RESPONSE | (bytes.readUInt16BE(2) & (OPCODE | RECURSION_DESIRED)) | rcode, 2)
  return header
}

/** Follows CNAMEs, since the whole tree is here; where they run in a circle or out of it, no more than that is said. */
function lookUp(
  zones: Pick<Zones, 'find'>,
  name: string,
  type: string,
  ttlS: number,
): { answers: Answer[]; rcode: number } {
  const answers: Answer[] = []
  let at = name
  for (let hops = 0; hops <= MAX_CNAMES; hops++) {
    const held = zones.find(at)
    if (held === undefined) return { answers, rcode: RCODE.NXDOMAIN }
    const alias = type === 'CNAME' || type === 'ANY' ? undefined : held.find((record) => record.type === 'CNAME')
    if (alias === undefined) {
      const wanted = held.filter((record) => type === 'ANY' || record.type === type)
      return { answers: [...answers, ...wanted.map((record) => answerOf(at, record, ttlS))], rcode: RCODE.NOERROR }
    }
    answers.push(answerOf(at, alias, ttlS))
    at = alias.value as string
  }
  return { answers: [], rcode: RCODE.SERVFAIL }
}

function answerOf(name: string, { type, value }: ZoneRecord, ttl: number): Answer {
  if (typeof value !== 'string') return { type: 'MX', name, ttl, data: value }
  if (type === 'TXT') return { type, name, ttl, data: stringsOf(value) }
  return { type: type as 'A' | 'AAAA' | 'CNAME', name, ttl, data: value }
}

function stringsOf(text: string): Buffer[] {
  const octets = Buffer.from(text)
  const strings = [octets.subarray(0, TXT_STRING_BYTES)]
  for (let at = TXT_STRING_BYTES; at < octets.length; at += TXT_STRING_BYTES) {
    strings.push(octets.subarray(at, at + TXT_STRING_BYTES))
  }
  return strings
}

/** Of the root, which is the one zone there is: with it a negative answer may be kept (RFC 2308 §5). */
function startOfAuthority(ttl: number): Answer {
  const data = { mname: 'ns.sandbox.test', rname: 'hostmaster.sandbox.test', serial: 1, refresh: 3600, retry: 600 }
  return { type: 'SOA', name: '.', ttl, data: { ...data, expire: 86_400, minimum: ttl } }
}

function optRecord(extendedRcode: number): Answer {
  return {
    type: 'OPT',
    name: '.',
    udpPayloadSize: MAX_UDP_BYTES,
    extendedRcode,
    ednsVersion: 0,
    flags: 0,
    flag_do: false,
    options: [],
  }
}
