// DER (X.690), as much as certificates and requests for them need: writing of elements, and a strict reader of what others wrote. Pure.

export interface Element {
  readonly tag: number
  readonly content: Uint8Array
  /** Tag and length included. */
  readonly bytes: Uint8Array
}

export function tagged(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts)
  return Buffer.concat([Buffer.from([tag, ...lengthOctets(content.length)]), content])
}

export const sequence = (...parts: readonly Uint8Array[]): Buffer => tagged(0x30, ...parts)

/** Positive: a leading zero where the first bit is set, no other one. @param bytes  most significant first */
export function integer(bytes: Uint8Array): Buffer {
  const first = bytes.findIndex((octet) => octet !== 0)
  const digits = first < 0 ? Buffer.from([0]) : bytes.subarray(first)
  return tagged(0x02, ...((digits[0] ?? 0) >= 0x80 ? [Buffer.from([0])] : []), digits)
}

/** UTCTime until 2049, GeneralizedTime after it (RFC 5280 §4.1.2.5), to the second. @param at  ms since the epoch, from 1950 to 9999 */
export function time(at: number): Buffer {
  const text = new Date(at).toISOString().replaceAll(/[-:T]|\.\d+/g, '')
  if (!/^\d{14}Z$/.test(text) || text < '1950') throw new RangeError('no certificate holds this date')
  return text < '2050' ? tagged(0x17, Buffer.from(text.slice(2))) : tagged(0x18, Buffer.from(text))
}

export function objectId(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  return tagged(0x06, Buffer.from([first * 40 + second, ...rest.flatMap(base128)]))
}

export function toPem(label: 'CERTIFICATE' | 'CERTIFICATE REQUEST', der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n')
}

/** All elements of a content, to its very end; undefined where they don't add up. */
export function elements(bytes: Uint8Array): Element[] | undefined {
  const found: Element[] = []
  for (let at = 0; at < bytes.length;) {
    const tag = bytes[at] ?? 0
    if ((tag & 0x1f) === 0x1f) return undefined // longer tags: no certificate has one
    const length = readLength(bytes, at + 1)
    if (length === undefined || length.start + length.octets > bytes.length) return undefined
    const end = length.start + length.octets
    found.push({ tag, content: bytes.subarray(length.start, end), bytes: bytes.subarray(at, end) })
    at = end
  }
  return found
}

/** X.690 §10.1: the shortest form only. Nothing here is longer than 16 MiB. */
function readLength(bytes: Uint8Array, at: number): { start: number; octets: number } | undefined {
  const first = bytes[at]
  if (first === undefined) return undefined
  if (first < 0x80) return { start: at + 1, octets: first }
  const count = first & 0x7f
  if (count === 0 || count > 3 || at + count >= bytes.length) return undefined
  const octets = bytes.subarray(at + 1, at + 1 + count).reduce((sum, octet) => sum * 256 + octet, 0)
  return octets < 0x80 || octets < 256 ** (count - 1) ? undefined : { start: at + 1 + count, octets }
}

function lengthOctets(length: number): number[] {
  if (length < 0x80) return [length]
  const octets = []
  for (let rest = length; rest > 0; rest >>= 8) octets.unshift(rest & 0xff)
  return [0x80 | octets.length, ...octets]
}

function base128(arc: number): number[] {
  const octets = [arc & 0x7f]
  for (let rest = Math.floor(arc / 128); rest > 0; rest = Math.floor(rest / 128)) octets.unshift(0x80 | (rest & 0x7f))
  return octets
}
