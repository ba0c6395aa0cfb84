// The members of all K sets (R2) as rows of typed arrays, and how they are found: addresses and X.500 names by their folded form (R20).
import { Buffer } from 'node:buffer'
import { foldLocalText, quoteLocalPartIfNeeded } from './addr-spec.ts'
import { AddressIndex, NO_ROW } from './address-index.ts'
import { NOT_ASCII, RowStore, TextArena } from './row-store.ts'

/** Words of a key row. */
const KEY = { text: 0, domain: 1, entry: 2, hash: 3, next: 4 } as const
const KEY_WORDS = 5

const AT = 0x40

/** `next` of a row that only holds a second spelling of another key: no member of K, not in the index. */
const SPELLING_ONLY = 0xfffffffe

/** The domain under which X.500 names are filed; no other is empty. */
export const X500_DOMAIN = 0

/** More than the folded form of any key takes: a text of 1,024 octets, tripled at worst by NFC, an @ and a domain. */
export const MAX_FOLDED_BYTES = 4096

interface Domain {
  /** As configured. */
  readonly spelled: string
  /** As `normaliseDomain` makes it. */
  readonly normal: string
  readonly normalBytes: Buffer
  readonly isAscii: boolean
  /** Number of the domain that is spelled in the normal way. */
  readonly normalNumber: number
  /** Of the normal form. */
  readonly hash: number
}

export class KeyStore {
  readonly #isLive: (entry: number, revision: number) => boolean
  readonly #texts = new TextArena()
  readonly #rows = new RowStore(KEY_WORDS, 12)
  readonly #index = new AddressIndex(this.#rows, KEY)
  /** Rows before this one are in the index. */
  #indexed = 0
  readonly #domains: Domain[] = []
  readonly #domainNumbers = new Map<string, number>()

  /** @param isLive  whether an entry belongs to a revision: keys of others are not found */
  constructor(isLive: (entry: number, revision: number) => boolean) {
    this.#isLive = isLive
    this.domainNumber('', '')
  }

  /** Keys count from 0 in the order of adding. */
  get count(): number {
    return this.#rows.count
  }

  get sizeBytes(): number {
    return this.#texts.sizeBytes + this.#rows.sizeBytes + this.#index.sizeBytes
  }

  /**
   * Adds a key, which is found after `indexKeys` only.
   *
   * @param bytes  its text as configured: unquoted, pure ASCII
   * @param hash  `finishHash` of the text's `addToHash` and the domain's hash
   */
  addBytes(entry: number, bytes: Uint8Array, start: number, end: number, domain: number, hash: number): number {
    return this.#add(entry, this.#texts.addBytes(bytes, start, end, true), domain, hash)
  }

  /** As `addBytes`, any text. */
  addText(entry: number, text: string, domain: number): number {
    return this.#add(entry, this.#texts.add(text), domain, hashOf(foldLocalText(text), this.domainHash(domain)))
  }

  /** Adds a second spelling of a key. */
  addSpelling(entry: number, text: string, domain: number): number {
    const key = this.#add(entry, this.#texts.add(text), domain, 0)
    this.#rows.set(key, KEY.next, SPELLING_ONLY)
    return key
  }

  #add(entry: number, text: number, domain: number, hash: number): number {
    const key = this.#rows.add()
    const segment = this.#rows.segment(key)
    const base = this.#rows.base(key)
    segment[base + KEY.text] = text
    segment[base + KEY.domain] = domain
    segment[base + KEY.entry] = entry
    segment[base + KEY.hash] = hash
    return key
  }

  /**
   * Puts the next `limit` keys into the index that are not in it yet.
   *
   * @param clash  called for a key that another entry of `revision` has too
   * @returns whether all are in
   */
  indexKeys(limit: number, revision: number, clash: (key: number, other: number) => void): boolean {
    // Many keys in one go find their places made: growing by splits would touch each of them some more times.
    if (this.#indexed === 0) this.#index.reserve(Math.ceil(this.#rows.count * 1.5))
    const end = Math.min(this.#indexed + limit, this.#rows.count)
    while (this.#indexed < end) {
      const key = this.#indexed++
      const other = this.#indexKey(key, revision)
      if (other !== NO_ROW) clash(key, other)
    }
    return this.#indexed === this.#rows.count
  }

  /** @returns a key of `revision` that equals this one */
  #indexKey(key: number, revision: number): number {
    if (this.isSpellingOnly(key)) return NO_ROW
    const first = this.#index.insert(key)
    return first === NO_ROW ? NO_ROW : this.#findEqual(first, key, revision)
  }

  /** A key in the chain from `first` on that equals `key`. */
  #findEqual(first: number, key: number, revision: number): number {
    const hash = this.hash(key)
    for (let other = first; other !== NO_ROW; other = this.#rows.get(other, KEY.next)) {
      if (this.hash(other) !== hash || !this.#isLive(this.entryOf(other), revision)) continue
      if (this.folded(other) === this.folded(key) && this.isX500(other) === this.isX500(key)) return other
    }
    return NO_ROW
  }

  /** Number of a domain; it gets one if it has none. */
  domainNumber(spelled: string, normal: string): number {
    const known = this.#domainNumbers.get(spelled)
    if (known !== undefined) return known
    const own = spelled === normal ? undefined : this.domainNumber(normal, normal)
    const number = this.#domains.length
    this.#domains.push({
      spelled,
      normal,
      normalBytes: Buffer.from(normal),
      isAscii: Buffer.byteLength(spelled) === spelled.length,
      normalNumber: own ?? number,
      hash: hashOf(normal, 0),
    })
    this.#domainNumbers.set(spelled, number)
    return number
  }

  domainHash(number: number): number {
    return this.#domains[number]?.hash ?? 0
  }

  /** Number of a domain given as a key spells it, or in the form of `normaliseDomain`; undefined when no key has it. */
  findDomain(domain: string): number | undefined {
    const number = this.#domainNumbers.get(domain)
    return number === undefined ? undefined : this.#domains[number]?.normalNumber
  }

  /** A domain in the form of `normaliseDomain`. */
  domainName(number: number): string {
    return this.#domains[number]?.normal ?? ''
  }

  /**
   * Finds a key.
   *
   * @param text  local part, unquoted; folded, unless it is pure ASCII
   * @param length  how many characters of `text` count
   * @param domain  number from `findDomain`, or `X500_DOMAIN`
   * @returns `NO_ROW` when no entry of `revision` has it
   */
  find(text: string, length: number, domain: number, revision: number): number {
    let hash = HASH_START
    for (let i = 0; i < length; i++) hash = addToHash(hash, text.charCodeAt(i))
    hash = finishHash(hash, this.domainHash(domain))
    for (let key = this.#index.first(hash); key !== NO_ROW;) {
      const segment = this.#rows.segment(key)
      const base = this.#rows.base(key)
      if (
        segment[base + KEY.hash] === hash &&
        this.#domains[segment[base + KEY.domain] ?? 0]?.normalNumber === domain &&
        this.#isLive(segment[base + KEY.entry] ?? 0, revision) &&
        this.#isText(segment[base + KEY.text] ?? 0, text, length)
      ) {
        return key
      }
      key = segment[base + KEY.next] ?? NO_ROW
    }
    return NO_ROW
  }

  #isText(at: number, text: string, length: number): boolean {
    const head = this.#texts.head(at)
    if (head >= NOT_ASCII) return foldLocalText(this.#texts.text(at)) === text.slice(0, length)
    if (head !== length) return false
    const segment = this.#texts.segment(at)
    const start = this.#texts.start(at)
    for (let i = 0; i < length; i++) {
      if (lowerCase(segment[start + i] ?? 0) !== lowerCase(text.charCodeAt(i))) return false
    }
    return true
  }

  entryOf(key: number): number {
    return this.#rows.get(key, KEY.entry)
  }

  hash(key: number): number {
    return this.#rows.get(key, KEY.hash)
  }

  isSpellingOnly(key: number): boolean {
    return this.#rows.get(key, KEY.next) === SPELLING_ONLY
  }

  isX500(key: number): boolean {
    return this.#rows.get(key, KEY.domain) === X500_DOMAIN
  }

  /** As configured: local part, unquoted, or X.500 name. */
  text(key: number): string {
    return this.#texts.text(this.#rows.get(key, KEY.text))
  }

  /** As configured. */
  domain(key: number): string {
    return this.#domains[this.#rows.get(key, KEY.domain)]?.spelled ?? ''
  }

  normalDomain(key: number): string {
    return this.#domains[this.#rows.get(key, KEY.domain)]?.normal ?? ''
  }

  /** Whether a key is pure ASCII as configured. */
  isAscii(key: number): boolean {
    const hasAsciiDomain = this.#domains[this.#rows.get(key, KEY.domain)]?.isAscii ?? true
    return hasAsciiDomain && this.#texts.isAscii(this.#rows.get(key, KEY.text))
  }

  /** How a key is written (R28): an address, or an X.500 name. */
  written(key: number): string {
    const text = this.text(key)
    return this.isX500(key) ? text : `${quoteLocalPartIfNeeded(text)}@${this.domain(key)}`
  }

  /** The form that is compared (R20): `local@domain` with the local part unquoted, or an X.500 name. */
  folded(key: number): string {
    const text = foldLocalText(this.text(key))
    return this.isX500(key) ? text : `${text}@${this.normalDomain(key)}`
  }

  /**
   * Writes `folded` of a key, in UTF-8.
   *
   * @param target  has room for `MAX_FOLDED_BYTES` from `at` on
   * @returns where it ends, negative when the key is configured otherwise than in that form
   */
  writeFolded(key: number, target: Buffer, at: number): number {
    const rows = this.#rows.segment(key)
    const base = this.#rows.base(key)
    const text = rows[base + KEY.text] ?? 0
    const domainNumber = rows[base + KEY.domain] ?? 0
    const domain = this.#domains[domainNumber]
    const head = this.#texts.head(text)
    let end = at
    let isFolded = domain?.spelled === domain?.normal
    if (head < NOT_ASCII) {
      const segment = this.#texts.segment(text)
      const start = this.#texts.start(text)
      for (let i = 0; i < head; i++) {
        const code = segment[start + i] ?? 0
        const folded = lowerCase(code)
        if (folded !== code) isFolded = false
        target[end++] = folded
      }
    } else {
      end += target.write(foldLocalText(this.#texts.text(text)), end)
      isFolded = false
    }
    if (domain !== undefined && domainNumber !== X500_DOMAIN) {
      target[end++] = AT
      const bytes = domain.normalBytes
      for (let i = 0; i < bytes.length; i++) target[end++] = bytes[i] ?? 0
    }
    return isFolded ? end : -end
  }
}

function lowerCase(code: number): number {
  return code >= 0x41 && code <= 0x5a ? code + 0x20 : code
}

/** FNV-1a over the characters of a text, ASCII letters in lower case: begins with `HASH_START`. */
export const HASH_START = 0x811c9dc5

export function addToHash(hash: number, code: number): number {
  return addFoldedToHash(hash, lowerCase(code))
}

/** As `addToHash`, of what is in lower case already. */
export function addFoldedToHash(hash: number, code: number): number {
  return Math.imul(hash ^ code, 0x01000193)
}

/** Stirs the hash of a text and that of its domain, so that all bits of the result depend on all characters. */
export function finishHash(text: number, domain: number): number {
  let hash = text ^ domain
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

function hashOf(text: string, domain: number): number {
  let hash = HASH_START
  for (let i = 0; i < text.length; i++) hash = addToHash(hash, text.charCodeAt(i))
  return finishHash(hash, domain)
}
