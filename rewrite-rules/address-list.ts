// Finds the addr-specs of an address list and where each stands: RFC 5322 §3.4 and §4.4, RFC 6854, RFC 6532, and the broken forms of
// rewriting.md §6. Works on latin1 text (one character a byte), in one pass, without recursion, in time linear in the text.
import { Buffer, isUtf8 } from 'node:buffer'
import { quoteLocalPartIfNeeded, unquoteLocalPart } from './addr-spec.ts'
import type { AddrSpec } from './addr-spec.ts'
import { Refusal } from './refusal.ts'

/** One address in a list; all offsets are into the scanned text. */
export interface FoundAddress {
  /**
   * Before `start` where it could also begin: words with no dot between them before the @, as in `<Alice Smith@x>` or `"Alice"Smith@x`, are
   * one local part to some readers, and a name beside the address to others.
   */
  readonly wideStart: number
  /** R41: from the first byte of the local part to the last byte of the domain; a trailing dot belongs to it (E19). */
  readonly start: number
  readonly localEnd: number
  readonly domainStart: number
  readonly end: number
  /** Comments, white space or folds inside the span, which are not part of the address (RFC 5322 §4.4). */
  readonly hasCfws: boolean
  /** In the local part. */
  readonly hasQuotes: boolean
  readonly isAscii: boolean
  /** `[192.0.2.1]` in place of a domain (R24). */
  readonly isLiteral: boolean
  /** The phrase before it, from its first to its last word; both 0 where there is none. */
  readonly phraseStart: number
  readonly phraseEnd: number
}

export interface Span {
  readonly start: number
  readonly end: number
}

export interface AddressList {
  readonly addresses: readonly FoundAddress[]
  /** Offsets of the first and the last comma or semicolon after each address, before the next. */
  readonly separators: readonly number[]
  /** Members, or parts of them, that no rule of §6 takes for an address, a group name or nothing. */
  readonly unparsed: readonly Span[]
}

/** rewriting.md §12: a field with more is refused with 552 5.3.4. */
export const MAX_ADDRESSES = 10_000

const ATEXT = 1
const DOT = 2
const WHITE_SPACE = 3
const AT = 4
const QUOTE = 5
const OPEN_PAREN = 6
const BACKSLASH = 7
const COMMA = 8
const SEMICOLON = 9
const COLON = 10
const OPEN_ANGLE = 11
const CLOSE_ANGLE = 12
const CARRIAGE_RETURN = 13
/** Brackets, controls and the like: between words, but never part of one. */
const OTHER = 14
const EIGHT_BIT = 15

const KIND = kinds()

function kinds(): Uint8Array {
  const kind = new Uint8Array(256).fill(OTHER, 0, 0x80).fill(EIGHT_BIT, 0x80)
  const set = (characters: string, value: number) => {
    for (let i = 0; i < characters.length; i++) kind[characters.charCodeAt(i)] = value
  }
  set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-/=?^_`{|}~", ATEXT)
  set(' \t\n', WHITE_SPACE)
  const single: [string, number][] = [
    ['.', DOT],
    ['@', AT],
    ['"', QUOTE],
    ['(', OPEN_PAREN],
    ['\\', BACKSLASH],
    [',', COMMA],
    [';', SEMICOLON],
    [':', COLON],
    ['<', OPEN_ANGLE],
    ['>', CLOSE_ANGLE],
    ['\r', CARRIAGE_RETURN],
  ]
  for (const [character, value] of single) set(character, value)
  return kind
}

/** Whether the byte at an offset can be part of a word outside quotes. */
export function isWordByte(text: string, at: number): boolean {
  const kind = KIND[text.charCodeAt(at)]
  return kind === ATEXT || kind === EIGHT_BIT
}

const LF_CODE = 0x0a
const CR_CODE = 0x0d
const QUOTE_CODE = 0x22
const OPEN_PAREN_CODE = 0x28
const CLOSE_PAREN_CODE = 0x29
const OPEN_BRACKET_CODE = 0x5b
const BACKSLASH_CODE = 0x5c
const CLOSE_BRACKET_CODE = 0x5d

/**
 * Reads text[start, end) as an address list.
 * @throws Refusal 552 5.3.4 for more than `MAX_ADDRESSES` addresses
 */
export function scanAddressList(text: string, start: number, end: number): AddressList {
  return new ListScanner(text, start, end).scan()
}

/** The one address that `text` consists of, with nothing around it but white space; undefined where it is anything else. */
export function scanAddrSpec(text: string): FoundAddress | undefined {
  const { addresses, unparsed } = scanAddressList(text, 0, text.length)
  const found = addresses[0]
  if (found === undefined || addresses.length > 1 || unparsed.length > 0) return undefined
  return text.slice(0, found.start).trim() === '' && text.slice(found.end).trim() === '' ? found : undefined
}

/** Where an address may have characters outside ASCII: raw UTF-8 in an SMTPUTF8 message; an encoded form carries no such local part (R27). */
export type UnicodeParts = 'none' | 'domain' | 'both'

/**
 * The address as text: quotes kept, obsolete CFWS and folds removed, UTF-8 decoded.
 * @returns undefined where it has 8-bit bytes that are not UTF-8 or stand where `unicode` allows none (§6)
 */
export function readAddress(text: string, found: FoundAddress, unicode: UnicodeParts): AddrSpec | undefined {
  const local = partText(text, found, found.start, found.localEnd)
  const domain = partText(text, found, found.domainStart, found.end)
  if (found.isAscii) return { local, domain }
  if (unicode === 'none') return undefined
  const unicodeLocal = decodeUtf8(local)
  const unicodeDomain = decodeUtf8(domain)
  if (unicodeLocal === undefined || unicodeDomain === undefined) return undefined
  // Decoding shortens all but ASCII.
  if (unicode === 'domain' && unicodeLocal.length !== local.length) return undefined
  return { local: unicodeLocal, domain: unicodeDomain }
}

/**
 * The other reading of an address whose `wideStart` is before its `start`: all words before the @ as one local part.
 * @returns undefined where there is none, or as `readAddress`
 */
export function readWideAddress(text: string, found: FoundAddress, unicode: UnicodeParts): AddrSpec | undefined {
  if (found.wideStart === found.start) return undefined
  const words = text.slice(found.wideStart, found.localEnd)
  if (words.includes('(') || words.includes('\\')) return undefined
  const spaced = words.split(/[ \t\r\n]+/).join(' ')
  const local = unicode === 'both' ? decodeUtf8(spaced) : isAsciiBetween(spaced, 0, spaced.length) ? spaced : undefined
  const narrow = readAddress(text, found, unicode)
  if (local === undefined || narrow === undefined) return undefined
  return { local: quoteLocalPartIfNeeded(unquoteLocalPart(local)), domain: narrow.domain }
}

function partText(text: string, found: FoundAddress, start: number, end: number): string {
  const part = text.slice(start, end)
  if (found.hasCfws) return withoutCfws(part)
  return found.hasQuotes && part.includes('\n') ? withoutCfws(part) : part
}

/** Removes comments and white space outside quotes, and line breaks within. */
function withoutCfws(part: string): string {
  let kept = ''
  let depth = 0
  let isQuoted = false
  for (let at = 0; at < part.length; at++) {
    const code = part.charCodeAt(at)
    if (code === CR_CODE || code === LF_CODE) continue
    if (code === BACKSLASH_CODE) {
      if (depth === 0) kept += part.slice(at, at + 2)
      at++
    } else if (depth > 0) {
      if (code === OPEN_PAREN_CODE) depth++
      else if (code === CLOSE_PAREN_CODE) depth--
    } else if (code === QUOTE_CODE) {
      isQuoted = !isQuoted
      kept += '"'
    } else if (isQuoted) kept += part[at]
    else if (code === OPEN_PAREN_CODE) depth++
    else if (KIND[code] !== WHITE_SPACE) kept += part[at]
  }
  return kept
}

function decodeUtf8(latin1: string): string | undefined {
  const bytes = Buffer.from(latin1, 'latin1')
  return isUtf8(bytes) ? bytes.toString('utf8') : undefined
}

// No-break space, zero-width and direction marks, ideographic space, BOM: pasted beside an address, and never part of one.
const INVISIBLE = ['a0', '200b', '200c', '200d', '200e', '200f', '202a', '202b', '202c', '202d', '202e', '2060']
  .concat(['2066', '2067', '2068', '2069', '3000', 'feff'])
  .map((hex) => Buffer.from(String.fromCodePoint(Number.parseInt(hex, 16))).toString('latin1'))

function withoutInvisible(text: string, found: FoundAddress): FoundAddress {
  let { start, end } = found
  for (;;) {
    const from = start
    const first = INVISIBLE.find((bytes) => text.startsWith(bytes, from) && from + bytes.length < found.localEnd)
    if (first === undefined) break
    start += first.length
  }
  for (;;) {
    const to = end
    const last = INVISIBLE.find((bytes) => text.endsWith(bytes, to) && to - bytes.length > found.domainStart)
    if (last === undefined) break
    end -= last.length
  }
  if (start === found.start && end === found.end) return found
  const wideStart = found.wideStart === found.start ? start : found.wideStart
  return { ...found, wideStart, start, end, isAscii: isAsciiBetween(text, start, end) }
}

function isAsciiBetween(text: string, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if (text.charCodeAt(at) >= 0x80) return false
  return true
}

/** Backslash and the byte after it are one everywhere in a list, so that where one ends never depends on where the reading began. */
class ListScanner {
  readonly #text: string
  readonly #end: number
  readonly #addresses: FoundAddress[] = []
  readonly #separators: number[] = []
  /** Since the last address: whether one is in the list, and the last that isn't. */
  #hasSeparator = true
  #lastSeparator = -1
  readonly #unparsed: Span[] = []
  #at: number
  /** Where the comment at an offset ends; made when the first unclosed `(` is met, so that no part is searched twice. */
  #commentEnds: Map<number, number> | undefined

  #memberStart: number
  /** Words were seen in the member, but neither an address nor what is reported already. */
  #hasOnlyWords = false
  #isMemberSettled = false
  /** The words that may name the next address. */
  #phraseStart = 0
  #phraseEnd = 0
  #isInBrackets = false
  /** The first word after the last `<` that is not part of an address; -1 where there is none. */
  #bracketWords = -1

  // What was met since the current run of words began.
  #hasCfws = false
  #hasQuotes = false
  #isAscii = true
  #isValid = true
  /** Where the words that nothing connects to those before them began. */
  #lastWord = 0

  constructor(text: string, start: number, end: number) {
    this.#text = text
    this.#at = start
    this.#memberStart = start
    this.#end = end
  }

  scan(): AddressList {
    while (this.#at < this.#end) {
      switch (this.#kind(this.#at)) {
        case ATEXT:
        case EIGHT_BIT:
        case DOT:
        case BACKSLASH:
        case QUOTE:
        case AT:
          this.#readWords()
          break
        case COMMA:
        case SEMICOLON:
          this.#addSeparator()
          this.#endMember()
          break
        case COLON:
          // What stood before it names a group, or is a prefix such as `mailto:`.
          this.#hasOnlyWords = false
          this.#endMember()
          break
        case OPEN_ANGLE:
          this.#at = this.#skipRoute(this.#at + 1)
          this.#isInBrackets = true
          this.#bracketWords = -1
          break
        case CLOSE_ANGLE:
          this.#at++
          this.#forgetPhrase()
          break
        default: {
          const next = this.#skipCfws(this.#at)
          this.#at = next > this.#at ? next : this.#at + 1
        }
      }
    }
    this.#endMember()
    return { addresses: this.#addresses, separators: this.#separators, unparsed: this.#unparsed }
  }

  #kind(at: number): number {
    // Past the end is OTHER, which ends everything.
    return at < this.#end ? (KIND[this.#text.charCodeAt(at)] ?? OTHER) : OTHER
  }

  #addSeparator(): void {
    if (this.#hasSeparator) this.#lastSeparator = this.#at
    else {
      this.#separators.push(this.#at)
      this.#hasSeparator = true
    }
  }

  #endMember(): void {
    if (this.#hasOnlyWords) this.#unparsed.push({ start: this.#memberStart, end: Math.min(this.#at, this.#end) })
    this.#at++
    this.#memberStart = this.#at
    this.#hasOnlyWords = false
    this.#isMemberSettled = false
    this.#forgetPhrase()
  }

  #forgetPhrase(): void {
    this.#phraseStart = this.#phraseEnd = 0
    this.#isInBrackets = false
    this.#bracketWords = -1
  }

  /** At a word, a dot or an @: an address, or words of a phrase. */
  #readWords(): void {
    const start = this.#at
    this.#hasCfws = this.#hasQuotes = false
    this.#isAscii = this.#isValid = true
    const localEnd = this.#readLocalPart(start)
    if (localEnd === start && this.#kind(start) !== AT) {
      // A quote that is never closed.
      this.#at++
      return
    }
    const at = this.#skipCfws(localEnd)
    if (this.#kind(at) !== AT) {
      this.#addWords(start, localEnd)
      this.#at = at
      return
    }
    const domainStart = this.#skipCfws(at + 1)
    if (at !== localEnd || domainStart !== at + 1) this.#hasCfws = true
    const lastWord = this.#lastWord
    const isLiteral = this.#text.charCodeAt(domainStart) === OPEN_BRACKET_CODE
    let end = isLiteral ? this.#readLiteral(domainStart) : this.#readDomain(domainStart)
    if (localEnd === start || end === domainStart || this.#isWordStart(end)) {
      this.#isValid = false
      end = this.#readLocalPart(end)
    }
    let next = this.#skipCfws(end)
    // More than one @ with nothing between them that separates is no address (E44).
    while (this.#kind(next) === AT) {
      this.#isValid = false
      end = this.#readLocalPart(this.#readLiteral(this.#skipCfws(next + 1)))
      next = this.#skipCfws(end)
    }
    this.#at = next
    if (this.#hasCfws && this.#kind(next) === OPEN_ANGLE) {
      // `Sales @ Contoso <a@x>`: with white space around its @ this is a phrase, not a second address (E46).
      this.#addWords(start, end)
    } else if (this.#isValid) this.#addAddress(start, lastWord, localEnd, domainStart, end, isLiteral)
    else this.#addUnparsed(start, end)
  }

  #addWords(start: number, end: number): void {
    if (this.#isInBrackets) {
      if (this.#bracketWords < 0) this.#bracketWords = start
    } else {
      if (this.#phraseEnd === 0) this.#phraseStart = start
      this.#phraseEnd = end
    }
    this.#hasOnlyWords = !this.#isMemberSettled
  }

  #addAddress(
    wordsStart: number,
    start: number,
    localEnd: number,
    domainStart: number,
    end: number,
    isLiteral: boolean,
  ): void {
    if (this.#addresses.length === MAX_ADDRESSES)
      throw new Refusal(552, '5.3.4', 'Too many addresses in a header field')
    const found: FoundAddress = {
      wideStart: this.#bracketWords < 0 ? wordsStart : this.#bracketWords,
      start,
      localEnd,
      domainStart,
      end,
      hasCfws: this.#hasCfws,
      hasQuotes: this.#hasQuotes,
      isAscii: this.#isAscii,
      isLiteral,
      phraseStart: this.#phraseStart,
      phraseEnd: this.#phraseEnd,
    }
    if (this.#lastSeparator >= 0 && this.#addresses.length > 0) this.#separators.push(this.#lastSeparator)
    this.#hasSeparator = false
    this.#lastSeparator = -1
    this.#addresses.push(this.#isAscii ? found : withoutInvisible(this.#text, found))
    this.#hasOnlyWords = false
    this.#isMemberSettled = true
    this.#forgetPhrase()
    // `a@x <b@x>`: the one before the bracket is an address, and the other's display name.
    if (this.#kind(this.#at) === OPEN_ANGLE) {
      this.#phraseStart = start
      this.#phraseEnd = end
    }
  }

  #addUnparsed(start: number, end: number): void {
    this.#unparsed.push({ start, end })
    this.#hasOnlyWords = false
    this.#isMemberSettled = true
    this.#forgetPhrase()
  }

  /** *(word / ".") with CFWS beside dots only (RFC 5322 §4.4); also with dots doubled, leading and trailing. Returns its end. */
  #readLocalPart(start: number): number {
    let at = start
    this.#lastWord = start
    let isAfterWord = false
    for (;;) {
      switch (this.#kind(at)) {
        case ATEXT:
        case EIGHT_BIT:
          if (isAfterWord) this.#lastWord = at
          at = this.#readAtom(at)
          isAfterWord = true
          continue
        case DOT:
          at++
          isAfterWord = false
          continue
        case QUOTE: {
          const end = this.#quotedStringEnd(at)
          if (end === at) return at
          if (isAfterWord) this.#lastWord = at
          this.#hasQuotes = true
          if (!isAsciiBetween(this.#text, at, end)) this.#isAscii = false
          at = end
          isAfterWord = true
          continue
        }
        case BACKSLASH:
          // A quoted-pair outside quotes was never in the grammar.
          this.#isValid = false
          at = Math.min(at + 2, this.#end)
          isAfterWord = true
          continue
        default: {
          const next = this.#skipCfws(at)
          if (next === at || at === start) return at
          const isBesideDot = this.#kind(next) === DOT || (!isAfterWord && this.#isWordStart(next))
          if (!isBesideDot) return at
          this.#hasCfws = true
          at = next
        }
      }
    }
  }

  /** atom *([CFWS] "." [CFWS] atom), also with dots doubled, leading and trailing, but not with white space before a trailing one. */
  #readDomain(start: number): number {
    let at = start
    for (;;) {
      const kind = this.#kind(at)
      if (kind === ATEXT || kind === EIGHT_BIT) at = this.#readAtom(at)
      else if (kind === DOT) at++
      else {
        const next = this.#skipCfws(at)
        if (next === at || at === start) return at
        const isAfterDot = this.#kind(at - 1) === DOT
        const atom = this.#kind(next) === DOT && !isAfterDot ? this.#skipCfws(next + 1) : isAfterDot ? next : this.#end
        if (this.#kind(atom) !== ATEXT && this.#kind(atom) !== EIGHT_BIT) return at
        this.#hasCfws = true
        at = atom
      }
    }
  }

  #readAtom(start: number): number {
    let at = start
    for (;;) {
      const kind = this.#kind(at)
      if (kind === EIGHT_BIT) this.#isAscii = false
      else if (kind !== ATEXT) return at
      at++
    }
  }

  /** End of the domain literal at `start`, or `start` where there is none or it isn't closed (RFC 5322 §3.4.1). */
  #readLiteral(start: number): number {
    if (this.#text.charCodeAt(start) !== OPEN_BRACKET_CODE) return start
    for (let at = start + 1; at < this.#end; at++) {
      const code = this.#text.charCodeAt(at)
      if (code === CLOSE_BRACKET_CODE) return at + 1
      if (code === OPEN_BRACKET_CODE) return start
      if (code === BACKSLASH_CODE) at++
    }
    return start
  }

  #isWordStart(at: number): boolean {
    const kind = this.#kind(at)
    if (kind === QUOTE) return this.#quotedStringEnd(at) > at
    return kind === ATEXT || kind === EIGHT_BIT || kind === BACKSLASH
  }

  /**
   * End of the quoted-string at `start`; `start` itself where the quote is never closed and so is ordinary text. There is one such quote
   * at most: all after it are behind a backslash.
   */
  #quotedStringEnd(start: number): number {
    for (let at = start + 1; at < this.#end; at++) {
      const code = this.#text.charCodeAt(at)
      if (code === QUOTE_CODE) return at + 1
      if (code === BACKSLASH_CODE) at++
    }
    return start
  }

  #skipCfws(start: number): number {
    let at = start
    for (;;) {
      const kind = this.#kind(at)
      if (kind === WHITE_SPACE) at++
      else if (kind === CARRIAGE_RETURN && this.#text.charCodeAt(at + 1) === LF_CODE) at += 2
      else if (kind === OPEN_PAREN) {
        const end = this.#commentEnd(at)
        if (end === at) return at
        at = end
      } else return at
    }
  }

  /** End of the comment at `start`, comments within it included; `start` itself where the parenthesis is never closed. */
  #commentEnd(start: number): number {
    if (this.#commentEnds !== undefined) return this.#commentEnds.get(start) ?? start
    let depth = 0
    for (let at = start; at < this.#end; at++) {
      const code = this.#text.charCodeAt(at)
      if (code === OPEN_PAREN_CODE) depth++
      else if (code === CLOSE_PAREN_CODE) {
        if (--depth === 0) return at + 1
      } else if (code === BACKSLASH_CODE) at++
    }
    this.#commentEnds = this.#closedComments(start)
    return start
  }

  #closedComments(start: number): Map<number, number> {
    const ends = new Map<number, number>()
    const open: number[] = []
    for (let at = start; at < this.#end; at++) {
      const code = this.#text.charCodeAt(at)
      if (code === OPEN_PAREN_CODE) open.push(at)
      else if (code === CLOSE_PAREN_CODE) {
        const opened = open.pop()
        if (opened !== undefined) ends.set(opened, at + 1)
      } else if (code === BACKSLASH_CODE) at++
    }
    return ends
  }

  /** After a `<`: behind the route there (RFC 5322 §4.4 obs-route), or where it was when there is none. */
  #skipRoute(start: number): number {
    let at = this.#skipCommas(start)
    while (this.#kind(at) === AT) {
      const domainStart = this.#skipCfws(at + 1)
      const end = Math.max(this.#readDomain(domainStart), this.#readLiteral(domainStart))
      if (end === domainStart) return start
      at = this.#skipCfws(end)
      if (this.#kind(at) === COLON) return at + 1
      if (this.#kind(at) !== COMMA) return start
      at = this.#skipCommas(at)
    }
    return start
  }

  #skipCommas(start: number): number {
    let at = this.#skipCfws(start)
    while (this.#kind(at) === COMMA) at = this.#skipCfws(at + 1)
    return at
  }
}
