// From the members of a table file to a store: what every form of a table (JSON, CSV, objects, another store) is built through.
import { NO_RULES, parseRules } from './domain-rules.ts'
import type { RuleSet } from './domain-rules.ts'
import { FaultList, TableFault } from './input-fault.ts'
import { PlainEntries } from './plain-entry.ts'
import { DigestBuilder, tableDigest } from './table-digest.ts'
import type { EntriesDigest } from './table-digest.ts'
import { parseEntry } from './table-entry.ts'
import { RowStore } from './row-store.ts'
import { TableStore } from './table-store.ts'

export const TABLE_FORMAT = 'causeway-mapping-table/1'

/** What a mapping table is made of. */
export interface TableContent {
  readonly project: string
  readonly version: number
  readonly rules: RuleSet
  readonly store: TableStore
  /** Which of the store's entries belong to it. */
  readonly revision: number
  readonly entryCount: number
  readonly entriesDigest: EntriesDigest
}

/** Some milliseconds' worth. */
const KEYS_PER_STEP = 20_000

const LISTS = ['domainRules', 'wildcards', 'exceptions'] as const
type RuleList = (typeof LISTS)[number]

export class TableBuilder {
  readonly #store = new TableStore()
  readonly #plain = new PlainEntries(this.#store)
  /** Of every entry row the number in its path, and the list it comes from. */
  readonly #sources = new RowStore(1, 12)
  #list = 'entries'
  readonly #faults = new FaultList()
  readonly #members = new Map<string, unknown>()
  readonly #lists = new Map<string, unknown[]>()
  #digest: DigestBuilder | undefined
  #rules: RuleSet = NO_RULES

  /** Whether so much is wrong that reading on would tell nothing new. */
  get isHopeless(): boolean {
    return this.#faults.isFull
  }

  fault(path: string, value: unknown, rule: string, reason: string): void {
    this.#faults.add(path, value, rule, reason)
  }

  /** A top-level member that is no list. */
  member(key: string, value: unknown): void {
    if (key === 'entries' || isRuleList(key)) this.fault(key, value, 'format', 'a list')
    else if (!['format', 'project', 'version', 'digest'].includes(key)) this.fault(key, value, 'format', 'unknown key')
    else if (this.#members.has(key)) this.fault(key, value, 'format', 'given twice')
    else this.#members.set(key, value)
  }

  /** Begins a top-level list, whose items come through `item`. */
  list(key: string): void {
    if (key !== 'entries' && !isRuleList(key)) this.member(key, [])
    else if (this.#lists.has(key)) this.fault(key, [], 'format', 'given twice')
    else this.#lists.set(key, [])
  }

  item(list: string, index: number, value: unknown): void {
    if (list === 'entries') this.entry(value, 'entries', index)
    else this.#lists.get(list)?.push(value)
  }

  /** An entry that stands at `${list}/${number}`. */
  entry(value: unknown, list: string, number: number): void {
    const entry = parseEntry(value, `${list}/${number}`, this.#faults)
    if (entry === undefined) return
    this.#store.add(entry)
    this.#addSource(list, number)
  }

  /** Adds an entry from the bytes of a table file; as `PlainEntries.read`. */
  plainEntry(list: string, number: number, bytes: Uint8Array, start: number, end: number): number {
    const after = this.#plain.read(bytes, start, end)
    if (after >= 0) this.#addSource(list, number)
    return after
  }

  #addSource(list: string, number: number): void {
    this.#list = list
    this.#sources.set(this.#sources.add(), 0, number)
  }

  /**
   * Does some of what is left once all members are in: call it until it gives the table.
   *
   * @throws TableFault
   */
  step(): TableContent | undefined {
    if (this.#digest === undefined) {
      if (!this.#indexKeys()) return undefined
      this.#check()
      this.#digest = new DigestBuilder(this.#store)
    }
    const entriesDigest = this.#digest.step()
    return entriesDigest === undefined ? undefined : this.#content(entriesDigest)
  }

  /** Files some keys, and sees whether K sets are disjoint (R3). @returns whether all are filed */
  #indexKeys(): boolean {
    const { keys } = this.#store
    return keys.indexKeys(KEYS_PER_STEP, this.#store.revision, (key, other) => {
      const row = keys.entryOf(key)
      const path = `${this.#list}/${this.#sources.get(row, 0)}/${keyPath(this.#store, key)}`
      this.fault(path, keys.written(key), 'R3', ownedBy(this.#store, other))
    })
  }

  #check(): void {
    this.#rules = parseRules(
      {
        domainRules: this.#lists.get('domainRules'),
        wildcards: this.#lists.get('wildcards'),
        exceptions: this.#lists.get('exceptions'),
      },
      this.#faults,
    )
    const format = this.#members.get('format')
    if (format !== TABLE_FORMAT) this.fault('format', format, 'format', `"${TABLE_FORMAT}"`)
    const project = this.#members.get('project')
    if (!isProjectName(project)) this.fault('project', project, 'format', 'a name of 1 to 255 characters')
    const version = this.#members.get('version')
    if (!isVersion(version)) this.fault('version', version, 'R3', 'an integer from 0')
    if (!this.#lists.has('entries')) this.fault('entries', undefined, 'format', 'missing')
    if (this.#faults.faults.length > 0) throw new TableFault(this.#faults.faults)
  }

  #content(entriesDigest: EntriesDigest): TableContent {
    const project = this.#members.get('project')
    const version = this.#members.get('version')
    if (!isProjectName(project) || !isVersion(version)) throw new Error('unreachable: checked before')
    const declared = this.#members.get('digest')
    const digest = tableDigest(project, version, this.#rules, entriesDigest)
    if (declared !== undefined && declared !== digest) {
      this.fault(
        'digest',
        declared,
        'R3',
        'not the digest of this content; leave it out of a table that was edited by hand',
      )
      throw new TableFault(this.#faults.faults)
    }
    return {
      project,
      version,
      rules: this.#rules,
      store: this.#store,
      revision: this.#store.revision,
      entryCount: this.#store.entryRows,
      entriesDigest,
    }
  }
}

function isRuleList(key: string): key is RuleList {
  return LISTS.some((list) => list === key)
}

export function isVersion(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

export function isProjectName(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= 255 && !/[\p{Cc}\p{Cs}]/u.test(value)
}

/** Where in its entry a key is. */
function keyPath(store: TableStore, key: number): string {
  const isX500 = store.keys.isX500(key)
  let place = 0
  for (let i = store.firstKey(store.keys.entryOf(key)); i < key; i++) if (store.keys.isX500(i) === isX500) place++
  return `${isX500 ? 'x500' : 'known'}/${place}`
}

/** Why a key can't belong to another entry: `other` is the key of the entry that has it. */
export function ownedBy(store: TableStore, other: number): string {
  const presented = store.keys.written(store.presentedKey(store.keys.entryOf(other)))
  return `also known in the entry presented as ${presented}`
}
