// Entries of a table file as nearly all of them are written — pure ASCII, no escapes, no quoted local parts — read straight from the
// bytes into the store. Whatever is not exactly so, faulty or merely unusual, is left to JSON.parse and `parseEntry`, which tell why.
import { Buffer } from 'node:buffer'
import { NO_ROW } from './address-index.ts'
import { normaliseDomain, parseAddrSpec } from './addr-spec.ts'
import { ROUTES } from './table-entry.ts'
import type { Route } from './table-entry.ts'
import { HASH_START, X500_DOMAIN, addFoldedToHash, addToHash, finishHash } from './key-store.ts'
import type { TableStore } from './table-store.ts'

// What any server takes (R3): no address beyond it is plain, whether it is P, M or not.
const MAX_LOCAL = 64
const MAX_DOMAIN = 254 - 1 - MAX_LOCAL
const MAX_X500 = 1024
const MAX_KEYS = 64

const QUOTE = 0x22
const COMMA = 0x2c
const SLASH = 0x2f
const COLON = 0x3a
const AT = 0x40
const OPEN_BRACKET = 0x5b
const DOT = 0x2e
const BACKSLASH = 0x5c
const CLOSE_BRACKET = 0x5d
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d

/** Octets of a dot-atom, ASCII letters in lower case; 0 for all others. */
const ATOM = characterTable("abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-/=?^_`{|}~.")
/** Octets of a domain in its normal form; 0 for all others. */
const NORMAL_DOMAIN = characterTable('abcdefghijklmnopqrstuvwxyz0123456789-_.')
for (let letter = 0x61; letter <= 0x7a; letter++) ATOM[letter - 0x20] = letter

function characterTable(characters: string): Uint8Array {
  const table = new Uint8Array(256)
  for (let i = 0; i < characters.length; i++) table[characters.charCodeAt(i)] = characters.charCodeAt(i)
  return table
}

/** The members of an entry, by their first letters. */
const MEMBERS = ['"known"', '"presented"', '"mailbox"', '"x500"', '"route"', '"eai"'] as const
const MEMBER_BY_LETTER = new Int8Array(256).fill(-1)
for (const [i, key] of MEMBERS.entries()) MEMBER_BY_LETTER[key.charCodeAt(1)] = i
/** The bits of the first three. */
const NEEDED = 0b111

const DOMAIN_SLOTS = 1024

/** Not plain. */
const NO = -1
const NO_TEXT = Buffer.alloc(0)

export class PlainEntries {
  readonly #store: TableStore
  /** Domains seen, by hash: number in the store, and text with the quote behind it. The two used last are tried first. */
  readonly #slotNumbers = new Uint32Array(DOMAIN_SLOTS)
  readonly #slotTexts: Buffer[] = []
  #lastSlot = 0
  #previousSlot = 0
  /** The entry at hand: spans of its keys' texts, their domains and hashes. */
  readonly #starts = new Uint32Array(MAX_KEYS)
  readonly #ends = new Uint32Array(MAX_KEYS)
  readonly #domains = new Uint32Array(MAX_KEYS)
  readonly #hashes = new Uint32Array(MAX_KEYS)
  #keys = 0
  #presented = NO
  #mailbox = NO
  #route: Route | undefined

  constructor(store: TableStore) {
    this.#store = store
  }

  /**
   * Reads the entry that begins at `start`, after white space at most, and adds it to the store.
   *
   * @returns where it ends; negative when it is not plain or not whole: then nothing was added
   */
  read(bytes: Uint8Array, start: number, end: number): number {
    this.#keys = 0
    this.#presented = NO
    this.#mailbox = NO
    this.#route = undefined
    const after = this.#readObject(bytes, start, end)
    return after < 0 || !this.#add(bytes) ? NO : after
  }

  // Old bytes behind `end` may be looked at, and even be taken for something. But places only ever grow on the way to the brace that
  // ends the entry, and that one has to lie before `end`.
  #readObject(bytes: Uint8Array, start: number, end: number): number {
    let at = skipSpace(bytes, start, end)
    if (bytes[at] !== OPEN_BRACE) return NO
    let seen = 0
    for (let next = COMMA; next === COMMA;) {
      at = skipSpace(bytes, at + 1, end)
      const member = MEMBER_BY_LETTER[bytes[at + 1] ?? 0] ?? NO
      const key = MEMBERS[member]
      // Of two members of a name JSON takes the last; we leave that to it.
      if (key === undefined || !isText(bytes, at, key) || (seen & (1 << member)) !== 0) return NO
      seen |= 1 << member
      at = skipSpace(bytes, at + key.length, end)
      if (bytes[at] !== COLON) return NO
      at = this.#readMember(key, bytes, skipSpace(bytes, at + 1, end), end)
      if (at < 0) return NO
      at = skipSpace(bytes, at, end)
      next = at < end ? (bytes[at] ?? 0) : 0
      if (next !== COMMA && next !== CLOSE_BRACE) return NO
    }
    return (seen & NEEDED) === NEEDED ? at + 1 : NO
  }

  /** @returns where the value ends */
  #readMember(key: string, bytes: Uint8Array, at: number, end: number): number {
    switch (key) {
      case '"known"':
        return this.#readList(bytes, at, end, false)
      case '"x500"':
        return this.#readList(bytes, at, end, true)
      case '"presented"':
        this.#presented = at + 1
        return skipString(bytes, at, end)
      case '"mailbox"':
        this.#mailbox = at + 1
        return skipString(bytes, at, end)
      case '"eai"':
        return isText(bytes, at, 'false') ? at + 5 : NO
      default:
        return this.#readRoute(bytes, at, end)
    }
  }

  #readRoute(bytes: Uint8Array, at: number, end: number): number {
    this.#route = ROUTES.find((route) => at + 2 + route.length < end && isText(bytes, at, `"${route}"`))
    return this.#route === undefined ? NO : at + 2 + this.#route.length
  }

  #readList(bytes: Uint8Array, start: number, end: number, isX500: boolean): number {
    if (bytes[start] !== OPEN_BRACKET) return NO
    let at = skipSpace(bytes, start + 1, end)
    if (bytes[at] === CLOSE_BRACKET && isX500) return at + 1
    for (;;) {
      if (bytes[at] !== QUOTE || this.#keys === MAX_KEYS) return NO
      at = isX500 ? this.#readX500(bytes, at + 1, end) : this.#readAddress(bytes, at + 1, end)
      if (at < 0) return NO
      at = skipSpace(bytes, at, end)
      const next = at < end ? bytes[at] : 0
      if (next === CLOSE_BRACKET) return at + 1
      if (next !== COMMA) return NO
      at = skipSpace(bytes, at + 1, end)
    }
  }

  /** @param start  behind the quote. @returns where the string ends */
  #readAddress(bytes: Uint8Array, start: number, end: number): number {
    let hash = HASH_START
    let before = DOT
    let at = start
    for (; at < end; at++) {
      const folded = ATOM[bytes[at] ?? 0] ?? 0
      if (folded === 0 || (folded === DOT && before === DOT)) break
      hash = addFoldedToHash(hash, folded)
      before = folded
    }
    const domainStart = at + 1
    if (bytes[at] !== AT || before === DOT || at - start > MAX_LOCAL) return NO
    const slot = this.#findSlot(bytes, domainStart, end)
    if (slot < 0) return NO
    this.#file(start, at, this.#slotNumbers[slot] ?? 0, hash)
    return domainStart + (this.#slotTexts[slot]?.length ?? 0)
  }

  #readX500(bytes: Uint8Array, start: number, end: number): number {
    if (bytes[start] !== SLASH) return NO
    let hash = HASH_START
    for (let at = start; at < end; at++) {
      const byte = bytes[at] ?? 0
      if (byte === QUOTE) {
        if (at - start > MAX_X500) return NO
        this.#file(start, at, X500_DOMAIN, hash)
        return at + 1
      }
      if (byte < 0x20 || byte >= 0x7f || byte === BACKSLASH) return NO
      hash = addToHash(hash, byte)
    }
    return NO
  }

  #file(start: number, end: number, domain: number, hash: number): void {
    const key = this.#keys++
    this.#starts[key] = start
    this.#ends[key] = end
    this.#domains[key] = domain
    this.#hashes[key] = finishHash(hash, this.#store.keys.domainHash(domain))
  }

  /** The slot of the domain in its normal form that begins at `start`; negative for anything else. */
  #findSlot(bytes: Uint8Array, start: number, end: number): number {
    const last = this.#lastSlot
    if (this.#isInSlot(last, bytes, start)) return last
    const previous = this.#previousSlot
    if (this.#isInSlot(previous, bytes, start)) {
      this.#previousSlot = last
      this.#lastSlot = previous
      return previous
    }
    let hash = HASH_START
    let at = start
    for (; at < end; at++) {
      const byte = bytes[at] ?? 0
      if (NORMAL_DOMAIN[byte] === 0) break
      hash = addFoldedToHash(hash, byte)
    }
    if (at >= end || bytes[at] !== QUOTE || at - start > MAX_DOMAIN) return NO
    const slot = finishHash(hash, 0) % DOMAIN_SLOTS
    if (!this.#isInSlot(slot, bytes, start)) {
      const domain = Buffer.from(bytes.subarray(start, at)).toString('latin1')
      if (parseAddrSpec(`x@${domain}`) === undefined || normaliseDomain(domain) !== domain) return NO
      this.#slotNumbers[slot] = this.#store.keys.domainNumber(domain, domain)
      this.#slotTexts[slot] = Buffer.from(`${domain}"`)
    }
    this.#previousSlot = last
    this.#lastSlot = slot
    return slot
  }

  #isInSlot(slot: number, bytes: Uint8Array, start: number): boolean {
    const text = this.#slotTexts[slot] ?? NO_TEXT
    for (let i = 0; i < text.length; i++) if (bytes[start + i] !== text[i]) return false
    return text.length > 0
  }

  #add(bytes: Uint8Array): boolean {
    const presented = this.#findAddress(bytes, this.#presented)
    const mailbox = this.#findAddress(bytes, this.#mailbox)
    if (presented < 0 || mailbox < 0 || this.#hasTwins()) return false
    const entry = this.#store.beginEntry(false, this.#route)
    let presentedKey = NO_ROW
    let mailboxKey = NO_ROW
    for (let i = 0; i < this.#keys; i++) {
      const start = this.#starts[i] ?? 0
      const end = this.#ends[i] ?? 0
      const key = this.#store.keys.addBytes(entry, bytes, start, end, this.#domains[i] ?? 0, this.#hashes[i] ?? 0)
      if (i === presented) presentedKey = key
      if (i === mailbox) mailboxKey = key
    }
    this.#store.endEntry(entry, presentedKey, mailboxKey)
    return true
  }

  /** Which key is spelled like the string that begins at `at`. */
  #findAddress(bytes: Uint8Array, at: number): number {
    for (let i = 0; i < this.#keys; i++) {
      const start = this.#starts[i] ?? 0
      if (this.#domains[i] === X500_DOMAIN) continue
      for (let j = 0; bytes[start + j] === bytes[at + j]; j++) if (bytes[at + j] === QUOTE) return i
    }
    return NO
  }

  /** Whether two keys may be the same; JSON.parse and `parseEntry` know how that is meant. */
  #hasTwins(): boolean {
    for (let i = 0; i < this.#keys; i++) {
      for (let j = 0; j < i; j++) if (this.#hashes[j] === this.#hashes[i]) return true
    }
    return false
  }
}

function skipSpace(bytes: Uint8Array, start: number, end: number): number {
  let at = start
  while (at < end) {
    const byte = bytes[at] ?? 0
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) break
    at++
  }
  return at
}

/** @returns where the string ends that begins at `start`, if it is a plain one: whether it is shows when a plain key is found to equal it */
function skipString(bytes: Uint8Array, start: number, end: number): number {
  if (bytes[start] !== QUOTE) return NO
  for (let at = start + 1; at < end; at++) if (bytes[at] === QUOTE) return at + 1
  return NO
}

function isText(bytes: Uint8Array, start: number, text: string): boolean {
  for (let i = 0; i < text.length; i++) if (bytes[start + i] !== text.charCodeAt(i)) return false
  return true
}
