// The digest of a table's content (R3): SHA-256 over a tree, so that a delta renews only the branches it touches, and the same
// whichever way the content came about.
//
// Entry: SHA-256 of its canonical form. It belongs to one of 64 × 64 × 64 buckets by the hash of its presented address (key-store.ts).
// Bucket: SHA-256 of its entries' hashes, in order. Three levels of nodes above: SHA-256 of 64 hashes each. The whole: SHA-256 of format,
// project, version, rules and the topmost node. Entries are hashed one by one, so that a whole table is read in the order in which it lies
// in memory: in that of the buckets, nearly each look would miss the processor's caches.
import { Buffer } from 'node:buffer'
import { hash } from 'node:crypto'
import type { ExceptionList, RuleSet } from './domain-rules.ts'
import { MAX_FOLDED_BYTES } from './key-store.ts'
import { DIGEST_BUCKETS } from './table-store.ts'
import type { TableStore } from './table-store.ts'

const HASH_BYTES = 32
const FAN_OUT = 64
const LEVELS = 3
const BUCKETS_PER_STEP = DIGEST_BUCKETS / 256
const ENTRIES_PER_STEP = 4096
/** First octet of what is hashed, so that no node can pass for a bucket, nor a bucket for an entry. */
const BUCKET_MARK = 0
const NODE_MARK = 1
const ENTRY_MARK = 2
const LINE_FEED = 0x0a

/** Nodes by number: the hashes of 64 buckets or nodes below, behind the mark. Undefined where there are no entries below. */
type Level = readonly (Buffer | undefined)[]

/** The tree over the entries of one snapshot: a value. What has no entries counts as zeros. */
export class EntriesDigest {
  /** From the nodes above the buckets to the one at the top. */
  readonly #levels: readonly Level[]

  private constructor(levels: readonly Level[]) {
    this.#levels = levels
  }

  static readonly empty = new EntriesDigest(
    Array.from({ length: LEVELS }, (_, level) => Array.from({ length: DIGEST_BUCKETS / FAN_OUT ** (level + 1) })),
  )

  get root(): string {
    return hash('sha256', this.#levels[LEVELS - 1]?.[0] ?? newNode(), 'hex')
  }

  /** The digest at `revision` of `store`, where only these buckets changed since this one was made. */
  withBuckets(buckets: Iterable<number>, store: TableStore, revision: number): EntriesDigest {
    const entryHash = new EntryHash(store)
    const changes = new Map<number, string | undefined>()
    for (const bucket of buckets) {
      const hashes = store.rowsInDigestBucket(bucket, revision).map((row) => entryHash.of(row))
      changes.set(bucket, bucketHash(hashes))
    }
    return this.withBucketHashes(changes)
  }

  /** The digest with other hashes of these buckets; undefined: a bucket is empty. */
  withBucketHashes(buckets: ReadonlyMap<number, string | undefined>): EntriesDigest {
    const emptyNode = newNode()
    let changes = buckets
    const levels: Level[] = []
    for (const old of this.#levels) {
      const above = new Map<number, string | undefined>()
      const level = [...old]
      for (const [number, node] of withHashes(old, changes)) {
        const isEmpty = node.equals(emptyNode)
        level[number] = isEmpty ? undefined : node
        above.set(number, isEmpty ? undefined : sha256(node))
      }
      levels.push(level)
      changes = above
    }
    return new EntriesDigest(levels)
  }
}

/** Copies of the nodes that hold these hashes, with the new ones. */
function withHashes(level: Level, changes: ReadonlyMap<number, string | undefined>): Map<number, Buffer> {
  const nodes = new Map<number, Buffer>()
  for (const [place, value] of changes) {
    const number = Math.floor(place / FAN_OUT)
    let node = nodes.get(number)
    if (node === undefined) {
      node = Buffer.from(level[number] ?? newNode())
      nodes.set(number, node)
    }
    setHash(node, place % FAN_OUT, value)
  }
  return nodes
}

/**
 * Makes the digest of a whole store, some of it at a time: counts the entries of each bucket, hashes all entries in the order of their rows,
 * each to its bucket's place, then goes through the buckets as they lie in memory.
 */
export class DigestBuilder {
  readonly #store: TableStore
  readonly #entryHash: EntryHash
  /** One hash an entry, sorted by bucket. */
  readonly #hashes: Buffer
  /** Where the next hash of a bucket goes, counted in hashes; once all are there, where the bucket ends. */
  readonly #ends = new Uint32Array(DIGEST_BUCKETS)
  /** Places of the hashes of the bucket at hand. */
  #places = new Uint32Array(64)
  /** What is hashed of it. */
  #bucket = Buffer.alloc(1 + 64 * HASH_BYTES, BUCKET_MARK)
  #countedRows = 0
  #hashedRows = 0
  #digest = EntriesDigest.empty
  #nextBucket = 0

  /** @param store  no entry of which was removed */
  constructor(store: TableStore) {
    this.#store = store
    this.#entryHash = new EntryHash(store)
    this.#hashes = Buffer.allocUnsafe(store.entryRows * HASH_BYTES)
  }

  /** Works off a small part of a large store. @returns the digest when all is done */
  step(): EntriesDigest | undefined {
    if (this.#store.entryRows <= ENTRIES_PER_STEP) return smallDigest(this.#store)
    if (this.#countedRows < this.#store.entryRows) this.#countEntries()
    else if (this.#hashedRows < this.#store.entryRows) this.#hashEntries()
    else this.#hashBuckets()
    return this.#nextBucket === DIGEST_BUCKETS ? this.#digest : undefined
  }

  #countEntries(): void {
    const { entryRows } = this.#store
    const end = Math.min(this.#countedRows + ENTRIES_PER_STEP, entryRows)
    for (; this.#countedRows < end; this.#countedRows++) {
      const bucket = this.#store.digestBucketOf(this.#countedRows)
      this.#ends[bucket] = (this.#ends[bucket] ?? 0) + 1
    }
    if (end === entryRows) this.#toStarts()
  }

  /** From numbers of entries to where the first of each bucket goes. */
  #toStarts(): void {
    let start = 0
    for (let bucket = 0; bucket < DIGEST_BUCKETS; bucket++) {
      const count = this.#ends[bucket] ?? 0
      this.#ends[bucket] = start
      start += count
    }
  }

  #hashEntries(): void {
    const end = Math.min(this.#hashedRows + ENTRIES_PER_STEP, this.#store.entryRows)
    for (; this.#hashedRows < end; this.#hashedRows++) {
      const bucket = this.#store.digestBucketOf(this.#hashedRows)
      const place = this.#ends[bucket] ?? 0
      this.#ends[bucket] = place + 1
      this.#hashes.write(this.#entryHash.of(this.#hashedRows), place * HASH_BYTES, 'latin1')
    }
  }

  #hashBuckets(): void {
    const changes = new Map<number, string | undefined>()
    for (; this.#nextBucket < DIGEST_BUCKETS && changes.size < BUCKETS_PER_STEP; this.#nextBucket++) {
      const start = this.#nextBucket === 0 ? 0 : (this.#ends[this.#nextBucket - 1] ?? 0)
      const end = this.#ends[this.#nextBucket] ?? 0
      if (end > start) changes.set(this.#nextBucket, this.#bucketHash(start, end))
    }
    if (changes.size > 0) this.#digest = this.#digest.withBucketHashes(changes)
  }

  /** As `bucketHash`, of the hashes from place `start` to `end`. */
  #bucketHash(start: number, end: number): string {
    const count = end - start
    if (count > this.#places.length) {
      this.#places = new Uint32Array(2 * count)
      this.#bucket = Buffer.alloc(1 + 2 * count * HASH_BYTES, BUCKET_MARK)
    }
    this.#sortPlaces(start, count)
    for (let i = 0; i < count; i++) {
      const from = (this.#places[i] ?? 0) * HASH_BYTES
      this.#hashes.copy(this.#bucket, 1 + i * HASH_BYTES, from, from + HASH_BYTES)
    }
    return sha256(this.#bucket.subarray(0, 1 + count * HASH_BYTES))
  }

  #sortPlaces(start: number, count: number): void {
    const places = this.#places
    if (count > 32) {
      for (let i = 0; i < count; i++) places[i] = start + i
      places.subarray(0, count).sort((a, b) => this.#compareHashes(a, b))
      return
    }
    // Nearly always it is a handful, for which insertion is the faster way.
    for (let i = 0; i < count; i++) {
      let place = i
      for (; place > 0; place--) {
        const other = places[place - 1] ?? 0
        if (this.#compareHashes(other, start + i) <= 0) break
        places[place] = other
      }
      places[place] = start + i
    }
  }

  #compareHashes(a: number, b: number): number {
    const [atA, atB] = [a * HASH_BYTES, b * HASH_BYTES]
    for (let i = 0; i < HASH_BYTES; i++) {
      const difference = (this.#hashes[atA + i] ?? 0) - (this.#hashes[atB + i] ?? 0)
      if (difference !== 0) return difference
    }
    return 0
  }
}

/** Of a table so small that most buckets are empty. */
function smallDigest(store: TableStore): EntriesDigest {
  const buckets = new Set<number>()
  for (let row = 0; row < store.entryRows; row++) buckets.add(store.digestBucketOf(row))
  return EntriesDigest.empty.withBuckets(buckets, store, store.revision)
}

/** @param hashes  of a bucket's entries, as `sha256` gives them. @returns undefined for an empty bucket */
function bucketHash(hashes: readonly string[]): string | undefined {
  if (hashes.length === 0) return undefined
  return sha256(Buffer.from(String.fromCharCode(BUCKET_MARK) + hashes.toSorted().join(''), 'latin1'))
}

/** SHA-256 (hex) of a table's whole content. */
export function tableDigest(project: string, version: number, rules: RuleSet, entries: EntriesDigest): string {
  return hash(
    'sha256',
    JSON.stringify(['causeway-mapping-digest/1', project, version, canonicalRules(rules), entries.root]),
  )
}

function newNode(): Buffer {
  const node = Buffer.alloc(1 + FAN_OUT * HASH_BYTES)
  node[0] = NODE_MARK
  return node
}

/** As text of one character an octet: node makes a Buffer of it three times as slowly. */
function sha256(bytes: Buffer): string {
  return hash('sha256', bytes, 'binary')
}

function setHash(node: Buffer, place: number, value: string | undefined): void {
  const start = 1 + place * HASH_BYTES
  if (value === undefined) node.fill(0, start, start + HASH_BYTES)
  else node.write(value, start, 'latin1')
}

/**
 * The hash of an entry's canonical form, in UTF-8: a line of its flags, then a line for each member of K as it is compared, that of P with a
 * tab and `p` behind it, that of M with a tab and `m`, each followed by its spelling where that is another. No part can hold a control
 * character. Members are in the order of their hashes (key-store.ts): cheaper to find than that of the texts, which only decides between
 * equal hashes.
 */
class EntryHash {
  readonly #store: TableStore
  #bytes: Buffer = Buffer.allocUnsafe(8 * MAX_FOLDED_BYTES)
  #end = 0
  readonly #members: KeyOrder

  constructor(store: TableStore) {
    this.#store = store
    this.#members = new KeyOrder(store)
  }

  of(row: number): string {
    const { keys } = this.#store
    this.#bytes[0] = ENTRY_MARK
    this.#end = 1
    const route = this.#store.route(row)
    if (this.#store.isEai(row)) this.#write('eai')
    if (route !== undefined) this.#write(`\t${route}`)
    this.#endLine()
    const presented = this.#store.presentedKey(row)
    const mailbox = this.#store.mailboxKey(row)
    const members = this.#sortedMembers(row)
    for (let i = 0; i < members.count; i++) {
      const key = members.key(i)
      this.#makeRoom()
      const folded = keys.writeFolded(key, this.#bytes, this.#end)
      this.#end = Math.abs(folded)
      if (key === presented) this.#write(folded > 0 ? '\tp' : `\tp${keys.written(key)}`)
      if (key === mailbox) this.#write(folded > 0 ? '\tm' : `\tm${keys.written(key)}`)
      else if (this.#store.isSameKey(key, mailbox, row)) this.#write(`\tm${keys.written(mailbox)}`)
      this.#endLine()
    }
    return sha256(this.#bytes.subarray(0, this.#end))
  }

  #sortedMembers(row: number): KeyOrder {
    const members = this.#members
    members.clear()
    const end = this.#store.endOfKeys(row)
    for (let key = this.#store.firstKey(row); key < end; key++) {
      if (!this.#store.keys.isSpellingOnly(key)) members.add(key)
    }
    members.sort()
    return members
  }

  #write(text: string): void {
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i)
      if (code >= 0x80) {
        this.#end += this.#bytes.write(text.slice(i), this.#end)
        return
      }
      this.#bytes[this.#end++] = code
    }
  }

  #endLine(): void {
    this.#bytes[this.#end++] = LINE_FEED
  }

  /** For the line of a key. */
  #makeRoom(): void {
    if (this.#end + 4 * MAX_FOLDED_BYTES <= this.#bytes.length) return
    const larger = Buffer.allocUnsafe(this.#bytes.length * 2)
    this.#bytes.copy(larger, 0, 0, this.#end)
    this.#bytes = larger
  }
}

/** Puts keys in the order of the canonical form. */
class KeyOrder {
  readonly #store: TableStore
  #keys = new Uint32Array(64)
  #hashes = new Uint32Array(64)
  #count = 0

  constructor(store: TableStore) {
    this.#store = store
  }

  get count(): number {
    return this.#count
  }

  clear(): void {
    this.#count = 0
  }

  add(key: number): void {
    if (this.#count === this.#keys.length) {
      this.#keys = doubled(this.#keys)
      this.#hashes = doubled(this.#hashes)
    }
    this.#keys[this.#count] = key
    this.#hashes[this.#count++] = this.#store.keys.hash(key)
  }

  /** @param place  from 0, of those that were sorted */
  key(place: number): number {
    return this.#keys[place] ?? 0
  }

  sort(): void {
    if (this.#count > 32) {
      this.#keys
        .subarray(0, this.#count)
        .sort((a, b) => this.#compare(a, this.#store.keys.hash(a), b, this.#store.keys.hash(b)))
      return
    }
    // Nearly always it is a handful, for which insertion is the faster way.
    for (let i = 1; i < this.#count; i++) {
      const key = this.#keys[i] ?? 0
      const ownHash = this.#hashes[i] ?? 0
      let place = i
      for (; place > 0; place--) {
        const other = this.#keys[place - 1] ?? 0
        const otherHash = this.#hashes[place - 1] ?? 0
        if (this.#compare(other, otherHash, key, ownHash) <= 0) break
        this.#keys[place] = other
        this.#hashes[place] = otherHash
      }
      this.#keys[place] = key
      this.#hashes[place] = ownHash
    }
  }

  #compare(a: number, hashOfA: number, b: number, hashOfB: number): number {
    if (hashOfA !== hashOfB || a === b) return hashOfA - hashOfB
    return compareText(this.#store.keys.folded(a), this.#store.keys.folded(b))
  }
}

function doubled(array: Uint32Array<ArrayBuffer>): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(array.length * 2)
  larger.set(array)
  return larger
}

function compareText(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

function canonicalRules(rules: RuleSet): unknown {
  return [
    rules.domainRules
      .map((rule) => [rule.from, rule.to, rule.twoWay ? 'both' : 'out', sorted(rule.except)])
      .toSorted(bySource),
    rules.wildcards.map((rule) => [rule.from, rule.to, sorted(rule.except)]).toSorted(bySource),
    sorted(rules.exceptions),
  ]
}

function sorted(exceptions: ExceptionList): readonly string[] {
  return [...new Set(exceptions.written)].toSorted()
}

function bySource(a: readonly unknown[], b: readonly unknown[]): number {
  return String(a[0]) < String(b[0]) ? -1 : 1
}
