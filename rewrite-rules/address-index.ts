// Hash → key rows, as a chained hash table with linear hashing (Litwin 1980): it grows one bucket at a time, so no insertion ever
// stops for a rehash of the whole.
import { RowStore } from './row-store.ts'

/** No row: the end of a chain. One more is 0, in 32 bits. */
export const NO_ROW = 0xffffffff

const FIRST_BUCKETS = 1024

/** The words of a key row that hold its hash and its link to the next row of the chain. */
export interface ChainWords {
  readonly hash: number
  readonly next: number
}

export class AddressIndex {
  readonly #rows: RowStore
  readonly #words: ChainWords
  /** First row of every chain plus one, so that new buckets are right as they come. */
  readonly #heads = new RowStore(1, 12)
  /** Smallest power of two that is not less than the number of buckets, minus one. */
  #mask = FIRST_BUCKETS - 1
  #size = 0

  constructor(rows: RowStore, words: ChainWords) {
    this.#rows = rows
    this.#words = words
    this.#heads.extend(FIRST_BUCKETS)
  }

  get sizeBytes(): number {
    return this.#heads.sizeBytes
  }

  /** First row of the chain that a key with this hash is in; the others follow by the row's `next` word. */
  first(hash: number): number {
    return (this.#heads.get(this.#bucketOf(hash), 0) - 1) >>> 0
  }

  /** Makes room for `rows` rows; for an index that is empty yet. */
  reserve(rows: number): void {
    this.#heads.extend(rows)
    while (this.#mask < this.#heads.count - 1) this.#mask = this.#mask * 2 + 1
  }

  /** @returns the row that was first in the chain before */
  insert(row: number): number {
    if (++this.#size > this.#heads.count) this.#split()
    const segment = this.#rows.segment(row)
    const base = this.#rows.base(row)
    const bucket = this.#bucketOf(segment[base + this.#words.hash] ?? 0)
    const first = (this.#heads.get(bucket, 0) - 1) >>> 0
    segment[base + this.#words.next] = first
    this.#heads.set(bucket, 0, row + 1)
    return first
  }

  #bucketOf(hash: number): number {
    const bucket = hash & this.#mask
    return bucket < this.#heads.count ? bucket : bucket & (this.#mask >>> 1)
  }

  /** Adds one bucket and moves into it what belongs there from the one bucket that held it so far. */
  #split(): void {
    const added = this.#heads.add()
    if (added > this.#mask) this.#mask = this.#mask * 2 + 1
    const old = added & (this.#mask >>> 1)
    let row = (this.#heads.get(old, 0) - 1) >>> 0
    let kept = NO_ROW
    let moved = NO_ROW
    while (row !== NO_ROW) {
      const segment = this.#rows.segment(row)
      const base = this.#rows.base(row)
      const next = segment[base + this.#words.next] ?? NO_ROW
      const moves = ((segment[base + this.#words.hash] ?? 0) & this.#mask) === added
      segment[base + this.#words.next] = moves ? moved : kept
      if (moves) moved = row
      else kept = row
      row = next
    }
    this.#heads.set(old, 0, (kept + 1) >>> 0)
    this.#heads.set(added, 0, (moved + 1) >>> 0)
  }
}
