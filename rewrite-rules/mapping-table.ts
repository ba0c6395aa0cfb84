// The mapping table (R2, R3): an immutable snapshot of a project's entries and rules, with a version and a digest, and the ways to
// come by one: a table file (product.md §8), JSON or CSV, whole or in chunks, or a delta to an older snapshot.
import { Buffer } from 'node:buffer'
import { normaliseDomain } from './addr-spec.ts'
import { listRules } from './domain-rules.ts'
import type { Policy } from './policy.ts'
import { TABLE_FORMAT, TableBuilder } from './table-builder.ts'
import type { TableContent } from './table-builder.ts'
import { TableCompaction, copyTable } from './table-compaction.ts'
import { applyDelta, checkDelta } from './table-delta.ts'
import { tableDigest } from './table-digest.ts'
import { isRecord } from './table-entry.ts'
import { TableMap } from './table-map.ts'
import { ContentReader } from './table-reader.ts'
import type { CsvIdentity } from './table-reader.ts'
import { writtenEntry } from './written-entry.ts'

/** From what size on dead rows matter. */
const MIN_DEAD_ROWS = 1000
const CHUNK_CHARACTERS = 64 * 1024
const ROWS_PER_SLICE = 32 * 1024

/**
 * One version of a project's table. Never changes; a message keeps the one it began with (R1).
 *
 * Snapshots made by `apply` share their store with the one they were made from: they cost what the delta changed, and the rows that
 * deltas removed stay in memory until `compaction` has moved the live ones into a store of their own.
 */
export class MappingTable {
  readonly #content: TableContent
  readonly #maps = new WeakMap<object, TableMap>()
  /** SHA-256 of the content in hex; the same by snapshot and by deltas (R3). */
  readonly digest: string

  /** Tables come from `compileTable`, `emptyTable`, `TableReader` and `apply`. */
  constructor(content: TableContent) {
    this.#content = content
    this.digest = tableDigest(content.project, content.version, content.rules, content.entriesDigest)
  }

  get project(): string {
    return this.#content.project
  }

  /** The project's mapping revision. */
  get version(): number {
    return this.#content.version
  }

  get entryCount(): number {
    return this.#content.entryCount
  }

  /** Memory of the store, which other snapshots may share. */
  get sizeBytes(): number {
    return this.#content.store.sizeBytes
  }

  /** `present` and `locate` under a policy. Made once for a policy object: keep using the same one. */
  withPolicy(policy: Pick<Policy, 'noExtensions'>): TableMap {
    let map = this.#maps.get(policy)
    if (map === undefined) {
      const normal = policy.noExtensions.map(normaliseDomain).filter((domain) => domain !== undefined)
      map = new TableMap(this.#content.store, this.#content.revision, this.#content.rules, new Set(normal))
      this.#maps.set(policy, map)
    }
    return map
  }

  /**
   * The table after a delta (form: table-delta.ts), in time proportional to the delta. Where another delta was applied to this same
   * snapshot before, the table is copied first, since a store's history doesn't branch: that takes time proportional to the table. It is
   * done in one go: what changes tens of thousands of entries had better come as a table.
   *
   * @param delta  parsed JSON, or its text or bytes
   * @throws TableFault when it isn't for this table or would break an invariant; then nothing has changed
   */
  apply(delta: unknown): MappingTable {
    const content = this.#content
    if (content.store.revision === content.revision) return new MappingTable(applyDelta(delta, content))
    checkDelta(delta, content)
    return new MappingTable(applyDelta(delta, copyTable(content)))
  }

  /** Whether most of the store is dead rows. */
  get needsCompaction(): boolean {
    const dead = this.#content.store.removedRows.length
    return dead >= MIN_DEAD_ROWS && dead > this.#content.entryCount
  }

  /**
   * Begins to move the live entries into a store of their own.
   *
   * @returns a slice of that work, a few milliseconds long, which is given the newest table of this store each time: deltas may be applied
   *   in between. Once all is moved it gives a table equal to that newest one, to be used in its place.
   */
  compaction(): (latest: MappingTable) => MappingTable | undefined {
    const { store } = this.#content
    const compaction = new TableCompaction(store)
    return (latest) => {
      const isOld = latest.#content.store === store && latest.#content.revision !== store.revision
      if (isOld) throw new Error('a compaction has to be given the newest table of its store')
      const content = compaction.slice(latest.#content)
      if (content === undefined) return undefined
      return content === latest.#content ? latest : new MappingTable(content)
    }
  }

  /**
   * The domains that addresses can be mapped to, normalised: those of presented addresses and mailboxes, and the targets of rules. For whoever has to
   * see that mail stays within a project.
   *
   * @returns a slice of the search, a few milliseconds long: to be called until it gives them
   */
  targetDomains(): () => ReadonlySet<string> | undefined {
    const { store, revision, rules } = this.#content
    const found = new Set<string>()
    for (const rule of rules.domainRules) found.add(rule.normalTo).add(rule.twoWay ? rule.normalFrom : rule.normalTo)
    for (const rule of rules.wildcards) found.add(rule.normalTo)
    const rows = store.entryRows
    let row = 0
    return () => {
      for (const end = Math.min(row + ROWS_PER_SLICE, rows); row < end; row++) {
        if (!store.isLive(row, revision)) continue
        found.add(store.keys.normalDomain(store.presentedKey(row)))
        found.add(store.keys.normalDomain(store.mailboxKey(row)))
      }
      return row < rows ? undefined : found
    }
  }

  /** The table file of this snapshot, digest included, in chunks of about 64 KiB. */
  *snapshotChunks(): Generator<Buffer> {
    const { project, version, rules, store, revision } = this.#content
    const head = { format: TABLE_FORMAT, project, version, digest: this.digest, ...listRules(rules) }
    let text = `${JSON.stringify(head).slice(0, -1)},"entries":[`
    let separator = '\n'
    const rows = store.entryRows
    for (let row = 0; row < rows; row++) {
      if (!store.isLive(row, revision)) continue
      text += separator + JSON.stringify(writtenEntry(store.entry(row)))
      separator = ',\n'
      if (text.length < CHUNK_CHARACTERS) continue
      yield Buffer.from(text)
      text = ''
    }
    yield Buffer.from(`${text}\n]}\n`)
  }
}

/** A CSV file has no room for these: whoever reads one says what they are to be. */
const CSV_IDENTITY: CsvIdentity = { project: 'csv', version: 0 }

/** Reads a table file chunk by chunk; each call takes a few milliseconds at most for chunks of 64 KiB, so mail can go on in between. */
export class TableReader {
  readonly #reader: ContentReader

  constructor(csv: CsvIdentity = CSV_IDENTITY) {
    this.#reader = new ContentReader(csv)
  }

  write(chunk: Uint8Array): void {
    this.#reader.write(chunk)
  }

  /**
   * After the last chunk: call it until it gives the table.
   *
   * @throws TableFault
   */
  step(): MappingTable | undefined {
    const content = this.#reader.step()
    return content && new MappingTable(content)
  }

  /** All steps at once. @throws TableFault */
  end(): MappingTable {
    for (;;) {
      const table = this.step()
      if (table !== undefined) return table
    }
  }
}

/**
 * A table from a parsed table file, or from the text or bytes of one (JSON or CSV).
 *
 * @throws TableFault with everything that is wrong, at most 100 faults
 */
export function compileTable(json: unknown, csv: CsvIdentity = CSV_IDENTITY): MappingTable {
  if (typeof json === 'string' || json instanceof Uint8Array) {
    const reader = new TableReader(csv)
    reader.write(typeof json === 'string' ? Buffer.from(json) : json)
    return reader.end()
  }
  const builder = new TableBuilder()
  if (!isRecord(json)) builder.fault('', json, 'format', 'a table is a JSON object')
  else for (const [key, value] of Object.entries(json)) if (value !== undefined) addMember(builder, key, value)
  for (;;) {
    const content = builder.step()
    if (content !== undefined) return new MappingTable(content)
  }
}

function addMember(builder: TableBuilder, key: string, value: unknown): void {
  if (!Array.isArray(value)) {
    builder.member(key, value)
    return
  }
  builder.list(key)
  for (let i = 0; i < value.length && !builder.isHopeless; i++) builder.item(key, i, value[i])
}

/** A table that maps nothing, older than any. */
export function emptyTable(project: string): MappingTable {
  return compileTable({ format: TABLE_FORMAT, project, version: 0, entries: [] })
}
