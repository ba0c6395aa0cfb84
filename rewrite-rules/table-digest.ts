// The digest of a table's content (R3): SHA-256 over a tree, so that a delta renews only the branches it touches, and the same
// whichever way the content came about.
//
// An entry belongs to one of 64 × 64 × 64 buckets by the hash of its presented address (key-store.ts). Bucket: SHA-256 of its entries'
// canonical forms, in order. Three levels of nodes above: SHA-256 of 64 hashes each. The whole: SHA-256 of format, project, version,
// rules and the topmost node.
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
/** First octet of what is hashed, so that no node can pass for a bucket. */
const BUCKET_MARK = 0
const NODE_MARK = 1
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
    const bucketHash = new BucketHash(store)
    const emptyNode = newNode()
    let changes = new Map<number, string | undefined>()
    for (const bucket of buckets) changes.set(bucket, bucketHash.of(store.rowsInDigestBucket(bucket, revision)))
    const levels: Level[] = []
    for (const old of this.#levels) {
      const nodes = withHashes(old, changes)
      changes = new Map()
      const level = [...old]
      for (const [number, node] of nodes) {
        const isEmpty = node.equals(emptyNode)
        level[number] = isEmpty ? undefined : node
        changes.set(number, isEmpty ? undefined : sha256(node))
      }
      levels.push(level)
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

/** Makes the digest of a whole store, some buckets at a time. */
export class DigestBuilder {
  readonly #store: TableStore
  readonly #revision: number
  #digest = EntriesDigest.empty
  #next = 0

  constructor(store: TableStore, revision: number) {
    this.#store = store
    this.#revision = revision
  }

  /** Works off about 1/256 of a large store. @returns the digest when all is done */
  step(): EntriesDigest | undefined {
    const isSmall = this.#store.entryRows <= BUCKETS_PER_STEP
    const buckets = isSmall ? this.#allBuckets() : this.#nextBuckets()
    if (buckets.size > 0) this.#digest = this.#digest.withBuckets(buckets, this.#store, this.#revision)
    return isSmall || this.#next === DIGEST_BUCKETS ? this.#digest : undefined
  }

  #allBuckets(): Set<number> {
    const buckets = new Set<number>()
    for (let row = 0; row < this.#store.entryRows; row++) buckets.add(this.#store.digestBucketOf(row))
    return buckets
  }

  #nextBuckets(): Set<number> {
    const buckets = new Set<number>()
    for (; this.#next < DIGEST_BUCKETS && buckets.size < BUCKETS_PER_STEP; this.#next++) {
      if (this.#store.hasDigestBucket(this.#next)) buckets.add(this.#next)
    }
    return buckets
  }
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
 * Canonical form of the entries of a bucket, in UTF-8. An entry: a line of its flags, then a line for each member of K as it is compared,
 * that of P with a tab and `p` behind it, that of M with a tab and `m`, each followed by its spelling where that is another; then an
 * empty line. No part can hold a control character. Members are in the order of their hashes (key-store.ts), entries in that of P's:
 * cheaper to find than that of the texts, which only decides between equal hashes.
 */
class BucketHash {
  readonly #store: TableStore
  #bytes: Buffer = Buffer.allocUnsafe(8 * MAX_FOLDED_BYTES)
  #end = 0
  readonly #entries: KeyOrder
  readonly #members: KeyOrder

  constructor(store: TableStore) {
    this.#store = store
    this.#entries = new KeyOrder(store)
    this.#members = new KeyOrder(store)
  }

  of(rows: readonly number[]): string | undefined {
    if (rows.length === 0) return undefined
    const entries = this.#entries
    entries.clear()
    for (const row of rows) entries.add(this.#store.presentedKey(row))
    entries.sort()
    this.#bytes[0] = BUCKET_MARK
    this.#end = 1
    for (let i = 0; i < entries.count; i++) this.#writeEntry(this.#store.keys.entryOf(entries.key(i)))
    return sha256(this.#bytes.subarray(0, this.#end))
  }

  #writeEntry(row: number): void {
    const { keys } = this.#store
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
    this.#endLine()
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

  /** For the line of a key and those of the next entry's flags. */
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
