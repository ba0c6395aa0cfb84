// One addr-spec: local part and domain, how they are read strictly, compared (R20) and written (R28).
// RFC 5321 §4.1.2, RFC 6531 §3.3 (Unicode), RFC 5322 §3.2.4 (quoting), UTS 46 for domains.
import { Buffer } from 'node:buffer'
import { domainToASCII } from 'node:url'

export interface AddrSpec {
  /** As written, quotes kept. */
  readonly local: string
  /** As written: a domain name in U- or A-labels, or a literal in brackets. */
  readonly domain: string
}

// What we take from a path. RFC 5321 §4.5.3.1.1 asks for at least 64 octets of local part: SRS, VERP and IMCEAEX go beyond it (PH-5).
const MAX_LOCAL_OCTETS = 320
const MAX_DOMAIN_OCTETS = 255

const SPACE = 0x20
const QUOTE = 0x22
const HYPHEN = 0x2d
const DOT = 0x2e
const BACKSLASH = 0x5c
const DELETE = 0x7f

const IS_ATEXT = asciiSet("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-/=?^_`{|}~")
// `_` is no host name character, but names with it are in use, and Exchange delivers to them.
const IS_DOMAIN_CHARACTER = asciiSet('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_')
const IS_DIGIT = asciiSet('0123456789')

function asciiSet(characters: string): Uint8Array {
  const set = new Uint8Array(128)
  for (let i = 0; i < characters.length; i++) set[characters.charCodeAt(i)] = 1
  return set
}

/**
 * The form in which domains are compared (R20): lower case, A-labels, without the one trailing dot that may stand there.
 *
 * @returns undefined for a literal, an address literal in disguise (last label all digits) and whatever UTS 46 does not map
 */
export function normaliseDomain(domain: string): string | undefined {
  const dotted = domain.charCodeAt(domain.length - 1) === DOT
  const name = dotted ? domain.slice(0, -1) : domain
  if (name.length === 0 || name.length > MAX_DOMAIN_OCTETS) return undefined
  let isLower = true
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i)
    if (code >= 0x80) return normaliseUnicodeDomain(name)
    if (code === DOT) {
      if (i === 0 || i === name.length - 1 || name.charCodeAt(i - 1) === DOT) return undefined
    } else if (IS_DOMAIN_CHARACTER[code] === 0) return undefined
    else if (code >= 0x41 && code <= 0x5a) isLower = false
  }
  if (endsInNumber(name)) return undefined
  return isLower ? name : name.toLowerCase()
}

function normaliseUnicodeDomain(name: string): string | undefined {
  // domainToASCII is a URL parser: without this check it would decode %-escapes and stop at a slash or a colon.
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i)
    if (code < 0x80 && code !== DOT && IS_DOMAIN_CHARACTER[code] === 0) return undefined
  }
  const ascii = domainToASCII(name)
  // A full stop of another script, or a character that maps to nothing, may have left an empty label; PARENTHESIZED HANGUL maps to brackets.
  if (ascii === '' || ascii.length > MAX_DOMAIN_OCTETS || ascii.includes('..')) return undefined
  for (let i = 0; i < ascii.length; i++) {
    const code = ascii.charCodeAt(i)
    if (code !== DOT && IS_DOMAIN_CHARACTER[code] !== 1) return undefined
  }
  if (ascii.startsWith('.') || ascii.endsWith('.') || endsInNumber(ascii)) return undefined
  return ascii
}

function endsInNumber(name: string): boolean {
  for (let i = name.length - 1; i >= 0; i--) {
    const code = name.charCodeAt(i)
    if (code === DOT) return true
    if (IS_DIGIT[code] === 0) return false
  }
  return true
}

/**
 * Reads one addr-spec without brackets, comments or route, by the strict grammar: dot-string or quoted-string, then a domain or a
 * literal. Unicode text is allowed in all but literals (RFC 6531 §3.3), but a domain has to map to A-labels (PS-6). Lengths are those
 * of PH-5, in octets of UTF-8.
 */
export function parseAddrSpec(text: string): AddrSpec | undefined {
  // The last @ splits: a quoted local part may hold one, a domain may not (RFC 5321 §4.1.2).
  const at = text.lastIndexOf('@')
  if (at < 0 || text.length > MAX_LOCAL_OCTETS + 1 + MAX_DOMAIN_OCTETS || !text.isWellFormed()) return undefined
  const local = text.slice(0, at)
  const domain = text.slice(at + 1)
  if (!isDotString(local) && !isQuotedString(local)) return undefined
  if (!isLiteral(domain) && (!isDomain(domain) || normaliseDomain(domain) === undefined)) return undefined
  if (Buffer.byteLength(local) > MAX_LOCAL_OCTETS || Buffer.byteLength(domain) > MAX_DOMAIN_OCTETS) return undefined
  return { local, domain }
}

export function formatAddrSpec(local: string, domain: string): string {
  return `${local}@${domain}`
}

function isC1Control(code: number): boolean {
  return code >= 0x80 && code < 0xa0
}

function isDotString(text: string): boolean {
  let afterDot = true
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === DOT) {
      if (afterDot) return false
      afterDot = true
    } else if (code < 0x80 ? IS_ATEXT[code] === 0 : isC1Control(code)) return false
    else afterDot = false
  }
  return !afterDot
}

function isQuotedString(text: string): boolean {
  if (text.length < 2 || text.charCodeAt(0) !== QUOTE || text.charCodeAt(text.length - 1) !== QUOTE) return false
  for (let i = 1; i < text.length - 1; i++) {
    let code = text.charCodeAt(i)
    if (code === QUOTE) return false
    if (code === BACKSLASH) {
      code = text.charCodeAt(++i)
      if (i === text.length - 1 || code >= 0x80) return false
    }
    if (code < SPACE || code === DELETE || isC1Control(code)) return false
  }
  return true
}

function isDomain(text: string): boolean {
  let previous = DOT
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === DOT) {
      if (previous === DOT || previous === HYPHEN) return false
    } else if (code < 0x80 ? IS_DOMAIN_CHARACTER[code] === 0 : isC1Control(code)) return false
    else if (code === HYPHEN && previous === DOT) return false
    previous = code
  }
  return previous !== DOT && previous !== HYPHEN
}

function isLiteral(text: string): boolean {
  if (text.length < 3 || !text.startsWith('[') || !text.endsWith(']')) return false
  for (let i = 1; i < text.length - 1; i++) {
    const code = text.charCodeAt(i)
    if (code <= SPACE || code >= DELETE || (code >= 0x5b && code <= 0x5d)) return false
  }
  return true
}

/** The text a local part stands for: quotes and backslashes of quoted words removed, also of the obsolete `a."b c".d` (RFC 5322 §4.4). */
export function unquoteLocalPart(local: string): string {
  if (!local.includes('"')) return local
  let text = ''
  let start = 0
  let quoted = false
  for (let i = 0; i < local.length; i++) {
    const code = local.charCodeAt(i)
    if (code === QUOTE) {
      text += local.slice(start, i)
      start = i + 1
      quoted = !quoted
    } else if (code === BACKSLASH && quoted && i + 1 < local.length) {
      text += local.slice(start, i)
      start = ++i
    }
  }
  return text + local.slice(start)
}

/** A local part as it is written (R28): the text itself when it is a dot-atom, else a quoted-string. */
export function quoteLocalPartIfNeeded(text: string): string {
  return isDotString(text) ? text : `"${text.replace(/["\\]/g, '\\$&')}"`
}

/** The text in which local parts are compared (R20): unquoted, NFC, ASCII letters in lower case. */
export function normaliseLocalPart(local: string): string {
  return foldLocalText(unquoteLocalPart(local))
}

/** `normaliseLocalPart` of a text that is unquoted already. */
export function foldLocalText(text: string): string {
  if (isAscii(text)) return text.toLowerCase()
  // Only ASCII letters: what case means elsewhere is the mail system's to say. NFC first, because it turns KELVIN SIGN into K.
  return text.normalize('NFC').replace(/[A-Z]+/g, (letters) => letters.toLowerCase())
}

export function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) >= 0x80) return false
  return true
}

/** The mailbox of a path: `@a,@b:user@host` without its source route (R8; RFC 5321 App. C). */
export function stripSourceRoute(path: string): string {
  if (!path.startsWith('@')) return path
  const colon = path.indexOf(':') // no literals in a route, so none of their colons
  return colon < 0 ? path : path.slice(colon + 1)
}
