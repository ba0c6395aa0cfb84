// Growing arrays for the table store: they grow by segments, so that nothing is copied and no single growth holds up mail.
import { Buffer } from 'node:buffer'

const EMPTY = new Uint32Array(0)

/** Rows of a fixed number of unsigned 32-bit words. */
export class RowStore {
  readonly #words: number
  readonly #segmentBits: number
  readonly #mask: number
  readonly #segments: Uint32Array[] = []
  #count = 0

  /** @param segmentBits  2^segmentBits rows a segment */
  constructor(words: number, segmentBits: number) {
    this.#words = words
    this.#segmentBits = segmentBits
    this.#mask = (1 << segmentBits) - 1
  }

  get count(): number {
    return this.#count
  }

  get sizeBytes(): number {
    return this.#segments.length * (this.#mask + 1) * this.#words * 4
  }

  /** Adds a row of zeros and gives its number. */
  add(): number {
    const row = this.#count
    this.extend(row + 1)
    return row
  }

  /** Adds rows of zeros until there are `count`. */
  extend(count: number): void {
    while (this.#segments.length * (this.#mask + 1) < count) {
      this.#segments.push(new Uint32Array(this.#words << this.#segmentBits))
    }
    this.#count = Math.max(this.#count, count)
  }

  /** The segment that holds a row: its words begin at `base`. For loops that read several words of it. */
  segment(row: number): Uint32Array {
    return this.#segments[row >>> this.#segmentBits] ?? EMPTY
  }

  base(row: number): number {
    return (row & this.#mask) * this.#words
  }

  get(row: number, word: number): number {
    return this.segment(row)[this.base(row) + word] ?? 0
  }

  set(row: number, word: number, value: number): void {
    this.segment(row)[this.base(row) + word] = value
  }
}

const SEGMENT_BITS = 20
const SEGMENT_BYTES = 1 << SEGMENT_BITS
const IN_SEGMENT = SEGMENT_BYTES - 1
const MAX_ARENA_BYTES = 2 ** 32
const NO_BYTES = Buffer.alloc(0)

export const NOT_ASCII = 0x8000

/** Short texts as UTF-8, each within one segment, behind two octets that hold its length and whether it is pure ASCII. */
export class TextArena {
  readonly #segments: Buffer[] = []
  #used = SEGMENT_BYTES

  get sizeBytes(): number {
    return this.#segments.length * SEGMENT_BYTES
  }

  /** @returns where the text is; it has at most 32,767 octets */
  add(text: string): number {
    const bytes = Buffer.from(text)
    return this.addBytes(bytes, 0, bytes.length, bytes.length === text.length)
  }

  addBytes(bytes: Uint8Array, start: number, end: number, isAscii: boolean): number {
    const length = end - start
    if (this.#used + 2 + length > SEGMENT_BYTES) this.#grow()
    const number = this.#segments.length - 1
    const segment = this.#segments[number] ?? NO_BYTES
    const at = this.#used
    segment[at] = length & 0xff
    segment[at + 1] = (length >>> 8) | (isAscii ? 0 : NOT_ASCII >>> 8)
    for (let i = 0; i < length; i++) segment[at + 2 + i] = bytes[start + i] ?? 0
    this.#used = at + 2 + length
    return number * SEGMENT_BYTES + at
  }

  #grow(): void {
    if ((this.#segments.length + 1) * SEGMENT_BYTES > MAX_ARENA_BYTES) throw new RangeError('mapping table over 4 GiB')
    this.#segments.push(Buffer.allocUnsafeSlow(SEGMENT_BYTES))
    this.#used = 0
  }

  /** The segment that holds a text: its octets begin at `start(at)`. */
  segment(at: number): Buffer {
    return this.#segments[at >>> SEGMENT_BITS] ?? NO_BYTES
  }

  start(at: number): number {
    return (at & IN_SEGMENT) + 2
  }

  /** Length in octets of UTF-8, with `NOT_ASCII` set where it is not pure ASCII. */
  head(at: number): number {
    const segment = this.segment(at)
    const start = at & IN_SEGMENT
    return (segment[start] ?? 0) | ((segment[start + 1] ?? 0) << 8)
  }

  isAscii(at: number): boolean {
    return this.head(at) < NOT_ASCII
  }

  text(at: number): string {
    const head = this.head(at)
    const start = this.start(at)
    if (head < NOT_ASCII) return this.segment(at).toString('latin1', start, start + head)
    return this.segment(at).toString('utf8', start, start + head - NOT_ASCII)
  }
}
