// A display name that is nothing but an address (R43): mail clients put the address there when they know no name, so it would show the
// one that rewriting hides.
import { Buffer } from 'node:buffer'
import { scanAddressList } from './address-list.ts'
import type { FoundAddress, UnicodeParts } from './address-list.ts'
import { decodeEncodedWords } from './encoded-word.ts'
import { isWhiteSpace } from './header-block.ts'

/** The address that a display name is, and what must be written in its place. */
export interface AddressAsName {
  /** The latin1 text that `found` is of: the scanned one, or what the name decodes to. */
  readonly text: string
  readonly found: FoundAddress
  readonly unicode: UnicodeParts
  /** What a new address replaces in the scanned text, between `before` and `after`. */
  readonly start: number
  readonly end: number
  readonly before: string
  readonly after: string
  /** The new address stands between quotes, which make its own need a backslash (RFC 5322 §3.2.4). */
  readonly isQuoted: boolean
}

// An address of 254 octets in base64, with room for the frames of its encoded-words.
const MAX_NAME = 2000

/** Reads the phrase text[start, end). Without quotes, white space around and one pair of `'` or `<>` it must be one address. */
export function findAddressAsName(
  text: string,
  start: number,
  end: number,
  unicode: UnicodeParts,
): AddressAsName | undefined {
  if (end - start > MAX_NAME) return undefined
  const isQuoted = text[start] === '"'
  if (isQuoted && text[end - 1] !== '"') return undefined
  const nameStart = isQuoted ? start + 1 : start
  const nameEnd = isQuoted ? end - 1 : end
  const name = text.slice(nameStart, nameEnd)
  if (name.startsWith('=?')) {
    const decoded = decodeEncodedWords(name)
    if (decoded === undefined) return undefined
    // R27: an encoded-word is no way to carry a local part outside ASCII.
    return inNewQuotes(Buffer.from(decoded).toString('latin1'), start, end, 'domain')
  }
  if (!name.includes('@')) return undefined
  if (isQuoted && (name.includes('\\') || name.includes('"'))) {
    const content = unquote(name)
    return content === undefined ? undefined : inNewQuotes(content, start, end, unicode)
  }
  const found = findDressed(text, nameStart, nameEnd)
  return found && { text, found, unicode, start: found.start, end: found.end, before: '', after: '', isQuoted }
}

function inNewQuotes(content: string, start: number, end: number, unicode: UnicodeParts): AddressAsName | undefined {
  const found = findDressed(content, 0, content.length)
  if (found === undefined) return undefined
  // Of what surrounds the address only the pair it wears is kept: decoded line breaks must not get into a header (PS-5).
  const before = `"${escapeQuoted(content.slice(0, found.start).trim())}`
  const after = `${escapeQuoted(content.slice(found.end).trim())}"`
  return { text: content, found, unicode, start, end, before, after, isQuoted: true }
}

/** The address that text[start, end) is, without white space around it and one pair of `'` or `<>`. */
function findDressed(text: string, start: number, end: number): FoundAddress | undefined {
  let from = start
  let to = end
  while (from < to && isWhiteSpace(text.charCodeAt(from))) from++
  while (to > from && isWhiteSpace(text.charCodeAt(to - 1))) to--
  const pair = text.charAt(from) + text.charAt(to - 1)
  if (to - from > 1 && (pair === "''" || pair === '<>')) {
    from++
    to--
  }
  const { addresses, unparsed } = scanAddressList(text, from, to)
  const found = addresses[0]
  if (found === undefined || addresses.length > 1 || unparsed.length > 0 || found.hasCfws) return undefined
  return found.start === from && found.end === to ? found : undefined
}

/** Quoted-pairs resolved; undefined where an unescaped quote shows that it was more than one quoted-string. */
function unquote(content: string): string | undefined {
  let text = ''
  for (let at = 0; at < content.length; at++) {
    if (content[at] === '"') return undefined
    if (content[at] === '\\') at++
    text += content.charAt(at)
  }
  return text
}

/** Text as it may stand between the quotes of a quoted-string. */
export function escapeQuoted(text: string): string {
  if (!text.includes('"') && !text.includes('\\')) return text
  let escaped = ''
  for (const character of text) escaped += character === '"' || character === '\\' ? `\\${character}` : character
  return escaped
}
