// Reads encoded-words (RFC 2047), for display names that turn out to be an address (R43); everywhere else they are opaque (R44).
import { Buffer } from 'node:buffer'

/** RFC 2047 §2 allows 75; what is longer than an address could be is not decoded. */
const MAX_TEXT = 4096

/**
 * The text of one or more encoded-words with only white space, which doesn't count, between them (RFC 2047 §6.2).
 * @param text  latin1
 * @returns undefined where there is anything else, or what can't be decoded
 */
export function decodeEncodedWords(text: string): string | undefined {
  if (text.length > MAX_TEXT) return undefined
  let decoded = ''
  let at = 0
  while (at < text.length) {
    const word = readEncodedWord(text, at)
    if (word === undefined) return undefined
    decoded += word.text
    at = skipWhiteSpace(text, word.end)
    if (at === word.end && at < text.length) return undefined
  }
  return decoded
}

function readEncodedWord(text: string, start: number): { text: string; end: number } | undefined {
  if (!text.startsWith('=?', start)) return undefined
  const charsetEnd = text.indexOf('?', start + 2)
  if (charsetEnd < 0 || text[charsetEnd + 2] !== '?') return undefined
  const textStart = charsetEnd + 3
  const end = text.indexOf('?=', textStart)
  if (end < 0) return undefined
  const encoding = text.charAt(charsetEnd + 1).toLowerCase()
  const encoded = text.slice(textStart, end)
  const bytes = encoding === 'b' ? decodeBase64(encoded) : encoding === 'q' ? decodeQ(encoded) : undefined
  // RFC 2231 §5: a language may follow the charset.
  const charset = text.slice(start + 2, charsetEnd).split('*', 1)[0] ?? ''
  const decoded = bytes && decodeCharset(bytes, charset)
  return decoded === undefined ? undefined : { text: decoded, end: end + 2 }
}

function decodeCharset(bytes: Buffer, charset: string): string | undefined {
  try {
    return new TextDecoder(charset, { fatal: true }).decode(bytes)
  } catch {
    // An unknown label, or bytes that are not of this charset: no address to be had.
    return undefined
  }
}

function decodeBase64(encoded: string): Buffer | undefined {
  for (let at = 0; at < encoded.length; at++) if (!isBase64(encoded.charCodeAt(at))) return undefined
  return Buffer.from(encoded, 'base64')
}

function isBase64(code: number): boolean {
  const isLetter = (code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a)
  return isLetter || (code >= 0x30 && code <= 0x39) || code === 0x2b || code === 0x2f || code === 0x3d
}

function decodeQ(encoded: string): Buffer | undefined {
  const bytes = Buffer.alloc(encoded.length)
  let length = 0
  for (let at = 0; at < encoded.length; at++) {
    let byte = encoded.charCodeAt(at)
    if (byte <= 0x20 || byte >= 0x7f) return undefined
    if (byte === 0x5f) byte = 0x20
    else if (byte === 0x3d) {
      byte = parseHexByte(encoded, at + 1)
      if (byte < 0) return undefined
      at += 2
    }
    bytes[length++] = byte
  }
  return bytes.subarray(0, length)
}

/** Two hex digits of either case at `at`; -1 where there are none. */
function parseHexByte(text: string, at: number): number {
  const high = hexDigit(text.charCodeAt(at))
  const low = hexDigit(text.charCodeAt(at + 1))
  return high < 0 || low < 0 ? -1 : high * 16 + low
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  const letter = code | 0x20
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1
}

function skipWhiteSpace(text: string, start: number): number {
  let at = start
  while (at < text.length && ' \t\r\n'.includes(text.charAt(at))) at++
  return at
}
