// Content-Transfer-Encoding of parts that are read whole (RFC 2045 §6, R54): octets out, and splices of the octets back into encoded lines.
import { Buffer } from 'node:buffer'
import { decodeQuotedPrintable } from './quoted-printable.ts'
import { applySplices } from './splice.ts'
import type { DecodedBody } from './splice.ts'

export type TransferEncoding = 'identity' | 'base64' | 'quoted-printable'

const LINE_CHARACTERS = 76 // RFC 2045 §6.8

/** @param name  as `parseTransferEncoding` gives it, '' for none; undefined when it is not one of RFC 2045's */
export function transferEncodingOf(name: string): TransferEncoding | undefined {
  switch (name) {
    case '':
    case '7bit':
    case '8bit':
    case 'binary':
      return 'identity'
    case 'base64':
    case 'quoted-printable':
      return name
    default:
      return undefined
  }
}

/**
 * @param lineBreak  for a body of a single line, whose own can't be seen
 * @param maxOctets  decoding may end once there are more
 * @returns undefined when programs would disagree on what the octets are
 */
export function decodeBody(
  body: Buffer,
  encoding: TransferEncoding,
  lineBreak: string,
  maxOctets = Infinity,
): DecodedBody | undefined {
  if (encoding === 'base64') return decodeBase64(body, lineBreak)
  if (encoding === 'quoted-printable') return decodeQuotedPrintable(body, firstLineBreak(body, lineBreak), maxOctets)
  return { octets: body, isSuspicious: false, encode: (splices) => applySplices(body, splices) }
}

/** `\r\n` or `\n`, as the first line of `text` ends (R48); `otherwise` for a text of one line. */
export function firstLineBreak(text: Buffer, otherwise: string): string {
  const lf = text.indexOf(0x0a)
  if (lf < 0) return otherwise
  return text[lf - 1] === 0x0d ? '\r\n' : '\n'
}

const OTHER = 0
const DIGIT = 1
const WHITE_SPACE = 2
const PADDING = 3
const BASE64_CLASS = new Uint8Array(256)
for (const digit of Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/')) {
  BASE64_CLASS[digit] = DIGIT
}
for (const space of Buffer.from('\t\r\n ')) BASE64_CLASS[space] = WHITE_SPACE
BASE64_CLASS[0x3d] = PADDING

function decodeBase64(body: Buffer, lineBreak: string): DecodedBody | undefined {
  // Buffer's own decoder also takes - and _ for digits, stops at padding, and doesn't tell.
  const digits = Buffer.allocUnsafe(body.length)
  let count = 0
  let padding = 0
  let isSuspicious = false
  for (let at = 0; at < body.length; at++) {
    const byte = body[at] ?? 0
    switch (BASE64_CLASS[byte]) {
      case DIGIT:
        // Some programs stop at padding in the middle, others go on.
        if (padding > 0) return undefined
        digits[count++] = byte
        break
      case PADDING:
        padding++
        break
      case OTHER:
        isSuspicious = true
    }
  }
  if (count % 4 === 1) return undefined
  if (padding !== (4 - (count % 4)) % 4) isSuspicious = true
  const octets = Buffer.from(digits.toString('latin1', 0, count), 'base64')
  return {
    octets,
    isSuspicious,
    encode(splices) {
      const around = surroundingWhiteSpace(body)
      const lines = wrap(applySplices(octets, splices).toString('base64'), firstLineBreak(body, lineBreak))
      return Buffer.concat([body.subarray(0, around.start), Buffer.from(lines, 'latin1'), body.subarray(around.end)])
    },
  }
}

function wrap(base64: string, lineBreak: string): string {
  const lines: string[] = []
  for (let at = 0; at < base64.length; at += LINE_CHARACTERS) lines.push(base64.slice(at, at + LINE_CHARACTERS))
  return lines.join(lineBreak)
}

/** Where the text without the white space at both ends starts and ends. */
function surroundingWhiteSpace(body: Buffer): { start: number; end: number } {
  let start = 0
  let end = body.length
  while (start < end && BASE64_CLASS[body[start] ?? 0] === WHITE_SPACE) start++
  while (end > start && BASE64_CLASS[body[end - 1] ?? 0] === WHITE_SPACE) end--
  return { start, end }
}
