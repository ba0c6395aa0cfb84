// The entries of a mapping table as rows of typed arrays: one store, which only grows, is shared by all snapshots of a table's
// history. Each entry says from which revision to which it holds, so that a delta costs what it changes and older snapshots stay right.
// A million entries are too many for objects and strings: they would cost a gigabyte and seconds of garbage collection.
import { foldLocalText } from './addr-spec.ts'
import { NO_ROW } from './address-index.ts'
import { KeyStore, X500_DOMAIN } from './key-store.ts'
import { RowStore } from './row-store.ts'
import { ROUTES, isSameAddress } from './table-entry.ts'
import type { KnownAddress, Route, TableEntry } from './table-entry.ts'

/** Words of an entry row; its keys are those from `firstKey` to the next entry's. */
const ENTRY = { firstKey: 0, presented: 1, mailbox: 2, flags: 3, addedAt: 4, removedAt: 5, nextInBucket: 6 } as const
const ENTRY_WORDS = 7

const EAI = 1
const ROUTE_SHIFT = 1
const NOT_REMOVED = 0xffffffff
const DIGEST_BITS = 18

/** Number of the parts into which the digest divides the entries: so many that renewing one touches few entries even of a million. */
export const DIGEST_BUCKETS = 2 ** DIGEST_BITS

export class TableStore {
  readonly keys = new KeyStore((row, revision) => this.isLive(row, revision))
  readonly #entries = new RowStore(ENTRY_WORDS, 12)
  /** First row of every bucket plus one, so that memory nobody has written to is right. */
  readonly #digestHeads = new Uint32Array(DIGEST_BUCKETS)
  readonly #removed: number[] = []
  #revision = 0

  /** Of the newest snapshot. */
  get revision(): number {
    return this.#revision
  }

  /** Entry rows ever added: rows count from 0 in the order of adding. */
  get entryRows(): number {
    return this.#entries.count
  }

  /** Rows of removed entries in the order of removing. */
  get removedRows(): readonly number[] {
    return this.#removed
  }

  get sizeBytes(): number {
    return this.keys.sizeBytes + this.#entries.sizeBytes + this.#digestHeads.byteLength
  }

  /** Begins the next revision: what is added and removed from here on is not seen by older ones. */
  beginRevision(): number {
    return ++this.#revision
  }

  /** Takes back the newest revision, none of which was published: entries added since `firstRow`, and the removals since `removals`. */
  abandonRevision(firstRow: number, removals: number): void {
    for (const row of this.#removed.splice(removals)) this.#entries.set(row, ENTRY.removedAt, NOT_REMOVED)
    for (let row = firstRow; row < this.#entries.count; row++) this.remove(row)
    this.#revision--
  }

  /**
   * Adds an entry to the newest revision; its keys are found after `keys.indexKeys` only, which also tells whether another entry has one
   * of them.
   */
  add(entry: TableEntry): number {
    const row = this.beginEntry(entry.eai, entry.route)
    let presented = NO_ROW
    let mailbox = NO_ROW
    for (const known of distinct(entry.known, addressKey)) {
      // P and M are filed as `presented` and `mailbox` spell them: that is what is written (R28).
      if (isSameAddress(known, entry.presented)) presented = this.#addAddress(row, entry.presented)
      else if (isSameAddress(known, entry.mailbox)) mailbox = this.#addAddress(row, entry.mailbox)
      else this.#addAddress(row, known)
    }
    if (mailbox === NO_ROW) {
      const { text, domain, normalDomain } = entry.mailbox
      const isSpelledSame = text === entry.presented.text && domain === entry.presented.domain
      mailbox = isSpelledSame
        ? presented
        : this.keys.addSpelling(row, text, this.keys.domainNumber(domain, normalDomain))
    }
    for (const name of distinct(entry.x500, foldLocalText)) this.keys.addText(row, name, X500_DOMAIN)
    this.endEntry(row, presented, mailbox)
    return row
  }

  #addAddress(entry: number, { text, domain, normalDomain }: KnownAddress): number {
    return this.keys.addText(entry, text, this.keys.domainNumber(domain, normalDomain))
  }

  /** Begins an entry of the newest revision: its keys are added next, then `endEntry`. */
  beginEntry(eai: boolean, route: Route | undefined): number {
    const row = this.#entries.add()
    const segment = this.#entries.segment(row)
    const base = this.#entries.base(row)
    const routeNumber = route === undefined ? 0 : ROUTES.indexOf(route) + 1
    segment[base + ENTRY.firstKey] = this.keys.count
    segment[base + ENTRY.flags] = (eai ? EAI : 0) | (routeNumber << ROUTE_SHIFT)
    segment[base + ENTRY.addedAt] = this.#revision
    segment[base + ENTRY.removedAt] = NOT_REMOVED
    return row
  }

  endEntry(row: number, presented: number, mailbox: number): void {
    const segment = this.#entries.segment(row)
    const base = this.#entries.base(row)
    segment[base + ENTRY.presented] = presented
    segment[base + ENTRY.mailbox] = mailbox
    const bucket = this.digestBucketOf(row)
    segment[base + ENTRY.nextInBucket] = this.#digestHeads[bucket] ?? 0
    this.#digestHeads[bucket] = row + 1
  }

  /** Ends an entry with the newest revision. */
  remove(row: number): void {
    this.#entries.set(row, ENTRY.removedAt, this.#revision)
    this.#removed.push(row)
  }

  isLive(row: number, revision: number): boolean {
    const segment = this.#entries.segment(row)
    const base = this.#entries.base(row)
    return (segment[base + ENTRY.addedAt] ?? 0) <= revision && revision < (segment[base + ENTRY.removedAt] ?? 0)
  }

  /** Key of an address; `NO_ROW` when no entry of `revision` has it. */
  findAddress({ folded, normalDomain }: KnownAddress, revision: number): number {
    const domain = this.keys.findDomain(normalDomain)
    return domain === undefined ? NO_ROW : this.keys.find(folded, folded.length, domain, revision)
  }

  /** Key of an X.500 name; `NO_ROW` when no entry of `revision` has it. */
  findX500(name: string, revision: number): number {
    const folded = foldLocalText(name)
    return this.keys.find(folded, folded.length, X500_DOMAIN, revision)
  }

  /** Row of the entry of `revision` that is presented as an address. */
  findPresented(address: KnownAddress, revision: number): number | undefined {
    const key = this.findAddress(address, revision)
    const row = key === NO_ROW ? NO_ROW : this.keys.entryOf(key)
    return row !== NO_ROW && this.presentedKey(row) === key ? row : undefined
  }

  presentedKey(row: number): number {
    return this.#entries.get(row, ENTRY.presented)
  }

  mailboxKey(row: number): number {
    return this.#entries.get(row, ENTRY.mailbox)
  }

  /** Whether a key is the same address as `target`, the presented or mailbox key of its entry (R45). */
  isSameKey(key: number, target: number, row: number): boolean {
    return key === target || (this.keys.isSpellingOnly(target) && key === this.presentedKey(row))
  }

  firstKey(row: number): number {
    return this.#entries.get(row, ENTRY.firstKey)
  }

  /** Where the keys of an entry end. */
  endOfKeys(row: number): number {
    return row + 1 < this.#entries.count ? this.firstKey(row + 1) : this.keys.count
  }

  route(row: number): Route | undefined {
    const number = this.#entries.get(row, ENTRY.flags) >>> ROUTE_SHIFT
    // Nearly all have none, and looking for what is in front of a list is slow.
    return number === 0 ? undefined : ROUTES[number - 1]
  }

  isEai(row: number): boolean {
    return (this.#entries.get(row, ENTRY.flags) & EAI) !== 0
  }

  /** One entry as it was added, but for members of K that were there twice. */
  entry(row: number): TableEntry {
    const known: KnownAddress[] = []
    const x500: string[] = []
    const end = this.endOfKeys(row)
    for (let key = this.firstKey(row); key < end; key++) {
      if (this.keys.isX500(key)) x500.push(this.keys.text(key))
      else if (!this.keys.isSpellingOnly(key)) known.push(this.#address(key))
    }
    const presented = this.#address(this.presentedKey(row))
    const mailbox = this.#address(this.mailboxKey(row))
    return { known, presented, mailbox, x500, eai: this.isEai(row), route: this.route(row) }
  }

  #address(key: number): KnownAddress {
    const text = this.keys.text(key)
    return {
      text,
      folded: foldLocalText(text),
      domain: this.keys.domain(key),
      normalDomain: this.keys.normalDomain(key),
    }
  }

  /** Which part of the digest an entry belongs to: decided by its identity, the presented address. */
  digestBucketOf(row: number): number {
    return this.keys.hash(this.presentedKey(row)) >>> (32 - DIGEST_BITS)
  }

  /** Rows of one part of the digest that are live at `revision`, in no particular order. */
  rowsInDigestBucket(bucket: number, revision: number): number[] {
    const rows: number[] = []
    let next = this.#digestHeads[bucket] ?? 0
    for (; next !== 0; next = this.#entries.get(next - 1, ENTRY.nextInBucket)) {
      if (this.isLive(next - 1, revision)) rows.push(next - 1)
    }
    return rows
  }
}

function addressKey({ folded, normalDomain }: KnownAddress): string {
  return `${folded}@${normalDomain}`
}

/** The items with different keys, the first of each. */
function distinct<T>(items: readonly T[], keyOf: (item: T) => string): readonly T[] {
  const keys = new Set<string>()
  return items.filter((item) => keys.size < keys.add(keyOf(item)).size)
}
