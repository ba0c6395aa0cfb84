// Reads one large JSON object in chunks (RFC 8259): its lists item by item, so that no more than a chunk and one item is in memory.
// Only the outer two levels are taken apart here; the items are JSON.parse's.
import { Buffer, isUtf8 } from 'node:buffer'
import { PlaceCounter } from './text-place.ts'
import type { Place } from './text-place.ts'

/** What is told of the object, in the order of the text. Whatever is wrong is told once, then nothing more. */
export interface MemberHandler {
  /** A member whose value is no list. */
  member(key: string, value: unknown): void
  /** A list begins; its items follow. */
  list(key: string): void
  /**
   * Reads the item that begins at `start`, after white space at most, if it can do better than JSON.parse and the item is whole.
   *
   * @returns where the item ends; negative when it has to be parsed
   */
  readItem(key: string, index: number, bytes: Uint8Array, start: number, end: number): number
  item(key: string, index: number, value: unknown): void
  /** @param path  where: a member, or an item of a list */
  syntaxError(path: string, reason: string): void
}

/** No entry is as large; bounds what is held. */
const MAX_ITEM_BYTES = 4 * 1024 * 1024
const MAX_DEPTH = 32
const FIRST_CAPACITY = 128 * 1024
const NO_BYTES = new Uint8Array(0)

const QUOTE = 0x22
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_BRACKET = 0x5b
const BACKSLASH = 0x5c
const CLOSE_BRACKET = 0x5d
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d

type State =
  | 'start'
  | 'first-key'
  | 'key'
  | 'colon'
  | 'value'
  | 'item-start'
  | 'item'
  | 'after-item'
  | 'after-list'
  | 'end'
  | 'broken'

export class JsonMembers {
  readonly #handler: MemberHandler
  #state: State = 'start'
  /** Bytes from `#start` to `#end` are not dealt with yet; those up to `#at` have been looked at. */
  #bytes = Buffer.alloc(FIRST_CAPACITY)
  #start = 0
  #at = 0
  #end = 0
  /** Within a value or item: brackets open, and whether in a string. */
  #depth = 0
  #inString = false
  #escaped = false
  #key = ''
  #index = 0
  readonly #places: PlaceCounter | undefined
  /** Bytes before it are counted in `#places`. */
  #counted = 0
  #item: Uint8Array = NO_BYTES

  /** @param countsPlaces  whether `place` will be asked for: it costs a look at every octet */
  constructor(handler: MemberHandler, { countsPlaces = false } = {}) {
    this.#handler = handler
    if (countsPlaces) this.#places = new PlaceCounter()
  }

  /** Where the member, item or fault stands that is being told. */
  get place(): Place {
    return this.#places?.place ?? { line: 1, column: 1 }
  }

  /** The item that is being told, as it is written. Gone when the next thing is told. */
  get itemBytes(): Uint8Array {
    return this.#item
  }

  write(chunk: Uint8Array): void {
    if (this.#state === 'broken') return
    this.#append(chunk)
    this.#scan()
    if (this.#end - this.#start > MAX_ITEM_BYTES) this.#fail(`larger than ${MAX_ITEM_BYTES} octets`)
  }

  end(): void {
    if (this.#state !== 'end' && this.#state !== 'broken') this.#fail('the text ends too early')
  }

  #append(chunk: Uint8Array): void {
    const held = this.#end - this.#start
    if (this.#end + chunk.length > this.#bytes.length) {
      this.#countTo(this.#start)
      // Twice what is needed: however small the chunks are, a byte is moved a bounded number of times.
      const target =
        (held + chunk.length) * 2 > this.#bytes.length ? Buffer.alloc((held + chunk.length) * 2) : this.#bytes
      this.#bytes.copy(target, 0, this.#start, this.#end)
      this.#bytes = target
      this.#at -= this.#start
      this.#counted -= this.#start
      this.#start = 0
      this.#end = held
    }
    this.#bytes.set(chunk, this.#end)
    this.#end += chunk.length
  }

  #countTo(at: number): void {
    if (at > this.#counted) this.#places?.advance(this.#bytes, this.#counted, at)
    this.#counted = Math.max(this.#counted, at)
  }

  /** @returns where the first octet is that is no white space */
  #skipSpace(start: number, end: number): number {
    let at = start
    while (at < end && isSpace(this.#bytes[at] ?? 0)) at++
    return at
  }

  #scan(): void {
    while (this.#at < this.#end && this.#state !== 'broken') {
      if (this.#state === 'item-start') this.#beginItem()
      else if (this.#state === 'value' || this.#state === 'item' || this.#inString) this.#scanValue()
      else this.#structure(this.#bytes[this.#at++] ?? 0)
    }
  }

  #beginItem(): void {
    this.#start = this.#at
    this.#depth = 0
    this.#state = 'item'
    const after = this.#handler.readItem(this.#key, this.#index, this.#bytes, this.#at, this.#end)
    if (after < 0) return
    this.#index++
    this.#at = after
    this.#start = after
    this.#state = 'after-item'
  }

  /** One byte between keys and values. */
  #structure(byte: number): void {
    if (isSpace(byte)) {
      this.#start = this.#at
      return
    }
    switch (this.#state) {
      case 'start':
        if (byte === OPEN_BRACE) this.#state = 'first-key'
        else this.#fail('a table is a JSON object')
        return
      case 'first-key':
      case 'key':
        if (byte === QUOTE) {
          this.#start = this.#at - 1
          this.#inString = true
        } else if (byte === CLOSE_BRACE && this.#state === 'first-key') this.#state = 'end'
        else this.#fail('a key is expected')
        return
      case 'colon':
        if (byte !== COLON) this.#fail('a colon is expected')
        else {
          this.#state = 'value'
          this.#start = this.#at
          this.#depth = 0
        }
        return
      case 'after-item':
        if (byte === COMMA) this.#state = 'item-start'
        else if (byte === CLOSE_BRACKET) this.#endList()
        else this.#fail('a comma is expected')
        return
      case 'after-list':
        this.#afterMember(byte)
        return
      default:
        this.#fail('text after the object')
    }
  }

  #afterMember(byte: number): void {
    if (byte === COMMA) this.#state = 'key'
    else if (byte === CLOSE_BRACE) this.#state = 'end'
    else this.#fail('a comma is expected')
    this.#start = this.#at
  }

  /** Goes on within a key, a value or an item until it ends or the bytes do. */
  #scanValue(): void {
    const bytes = this.#bytes
    const end = this.#end
    let at = this.#at
    let inString = this.#inString
    let escaped = this.#escaped
    for (; at < end; at++) {
      const byte = bytes[at] ?? 0
      if (inString) {
        if (escaped) escaped = false
        else if (byte === BACKSLASH) escaped = true
        else if (byte === QUOTE) {
          inString = false
          if (this.#state !== 'value' && this.#state !== 'item') break
        }
      } else if (byte === QUOTE) inString = true
      else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
        if (byte === OPEN_BRACKET && this.#state === 'value' && this.#depth === 0) break
        if (++this.#depth > MAX_DEPTH) break
      } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
        // An item that is an object ends with it; other values where the next thing begins.
        if (--this.#depth < 0 || (this.#depth === 0 && this.#state === 'item')) break
      } else if (byte === COMMA && this.#depth === 0) break
    }
    this.#at = at
    this.#inString = inString
    this.#escaped = escaped
    if (at < end) this.#boundary(bytes[this.#at++] ?? 0)
  }

  /** The byte that ended a key, a value or an item; `#at` is behind it. */
  #boundary(byte: number): void {
    if (this.#depth > MAX_DEPTH) this.#fail(`nested deeper than ${MAX_DEPTH}`)
    else if (this.#state === 'item') this.#itemBoundary(byte)
    else if (this.#state === 'value') this.#valueBoundary(byte)
    else {
      const key = this.#parse(this.#start, this.#at)
      if (key === undefined) this.#fail('not a key')
      else {
        this.#key = String(key.value)
        this.#state = 'colon'
      }
    }
  }

  #valueBoundary(byte: number): void {
    if (byte === OPEN_BRACKET) {
      if (!this.#isBlank(this.#start, this.#at - 1)) this.#fail('not a value')
      this.#handler.list(this.#key)
      this.#state = 'item-start'
      this.#index = 0
      return
    }
    const value = this.#parse(this.#start, this.#at - 1)
    if (value === undefined || byte === CLOSE_BRACKET) this.#fail('not a value')
    else {
      this.#countTo(this.#skipSpace(this.#start, this.#at - 1))
      this.#handler.member(this.#key, value.value)
      this.#afterMember(byte)
    }
  }

  /** The last byte of an item, or the one behind it. */
  #itemBoundary(byte: number): void {
    const isLast = this.#depth === 0 && byte !== COMMA
    const end = isLast ? this.#at : this.#at - 1
    if (byte === CLOSE_BRACKET && !isLast && this.#index === 0 && this.#isBlank(this.#start, end)) {
      this.#endList()
      return
    }
    const item = this.#parse(this.#start, end)
    if (item === undefined) this.#fail('not JSON in UTF-8')
    else {
      const first = this.#skipSpace(this.#start, end)
      this.#countTo(first)
      this.#item = this.#bytes.subarray(first, end)
      this.#handler.item(this.#key, this.#index++, item.value)
      this.#state = 'after-item'
      this.#start = this.#at
      if (!isLast) this.#structure(byte)
    }
  }

  #endList(): void {
    this.#state = 'after-list'
    this.#start = this.#at
  }

  /** @returns a box, since the value may be anything; undefined for what is no JSON */
  #parse(start: number, end: number): { value: unknown } | undefined {
    const slice = this.#bytes.subarray(start, end)
    if (!isUtf8(slice)) return undefined
    try {
      const value: unknown = JSON.parse(slice.toString())
      return { value }
    } catch {
      return undefined // the one thing JSON.parse throws is what is asked here
    }
  }

  #isBlank(start: number, end: number): boolean {
    for (let i = start; i < end; i++) if (!isSpace(this.#bytes[i] ?? 0)) return false
    return true
  }

  #fail(reason: string): void {
    if (this.#state === 'broken') return
    const inList = ['item-start', 'item', 'after-item'].includes(this.#state)
    this.#state = 'broken'
    this.#countTo(this.#skipSpace(this.#start, this.#at))
    this.#handler.syntaxError(inList ? `${this.#key}/${this.#index}` : this.#key, reason)
  }
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
}
