// What changed between two versions of a table, as data. JSON, UTF-8; unknown keys are errors:
//
//   { "format": "causeway-mapping-delta/1", "project": "p1", "fromVersion": 7, "toVersion": 9,
//     "remove": ["alice@fabrikam.example"],        presented addresses of entries that go
//     "upsert": [ { "known": […], … } ],           entries as in the table file; one with the same presented address is replaced
//     "domainRules": […], "wildcards": […], "exceptions": […],   whole new lists; a list that is not there stays as it is
//     "digest": "…" }                              optional: SHA-256 of the table after it, which then has to come out
//
// An entry whose presented address changes is removed under the old one and upserted under the new one.
import { Buffer, isUtf8 } from 'node:buffer'
import { foldLocalText, formatAddrSpec } from './addr-spec.ts'
import { NO_ROW } from './address-index.ts'
import { FaultList, TableFault } from './input-fault.ts'
import { listRules, parseRules } from './domain-rules.ts'
import type { RuleLists, RuleSet } from './domain-rules.ts'
import { isProjectName, isVersion, ownedBy } from './table-builder.ts'
import type { TableContent } from './table-builder.ts'
import { tableDigest } from './table-digest.ts'
import { AddressFault, isRecord, parseEntry, parseKnownAddress } from './table-entry.ts'
import type { TableEntry } from './table-entry.ts'

export const DELTA_FORMAT = 'causeway-mapping-delta/1'

/** A delta that fits its table: carrying it out breaks no invariant of R3. */
interface Changes {
  readonly toVersion: number
  /** Rows of the store that go, those of replaced entries too. */
  readonly removed: readonly number[]
  readonly added: readonly TableEntry[]
  readonly rules: RuleSet
  readonly digest: string | undefined
}

const KEYS = new Set([
  'format',
  'project',
  'fromVersion',
  'toVersion',
  'remove',
  'upsert',
  'domainRules',
  'wildcards',
  'exceptions',
  'digest',
])

/**
 * The table after a delta, in time proportional to the delta. `table` has to be the newest revision of its store and goes on to be what
 * it was; when the delta doesn't fit, nothing has changed.
 *
 * @param input  parsed JSON, or its text or bytes
 * @throws TableFault
 */
export function applyDelta(input: unknown, table: TableContent): TableContent {
  const { store } = table
  const { toVersion, removed, added, rules, digest } = checkDelta(input, table)
  const firstRow = store.entryRows
  const removals = store.removedRows.length
  const revision = store.beginRevision()
  try {
    for (const row of removed) store.remove(row)
    const rows = added.map((entry) => store.add(entry))
    store.keys.indexKeys(Infinity, revision, unexpectedClash)
    const buckets = new Set([...removed, ...rows].map((row) => store.digestBucketOf(row)))
    const entriesDigest = table.entriesDigest.withBuckets(buckets, store, revision)
    if (digest !== undefined && digest !== tableDigest(table.project, toVersion, rules, entriesDigest)) {
      const faults = new FaultList()
      faults.add('digest', digest, 'R3', 'not the digest of the table after this delta')
      throw new TableFault(faults.faults)
    }
    const entryCount = table.entryCount - removed.length + added.length
    return { project: table.project, version: toVersion, rules, store, revision, entryCount, entriesDigest }
  } catch (error) {
    store.abandonRevision(firstRow, removals)
    throw error
  }
}

function unexpectedClash(): never {
  throw new Error('unreachable: K sets were checked to be disjoint')
}

/**
 * Reads a delta and holds it against the table it is for, without changing anything.
 *
 * @throws TableFault
 */
export function checkDelta(input: unknown, table: TableContent): Changes {
  const faults = new FaultList()
  const value = typeof input === 'string' || input instanceof Uint8Array ? parseJson(input) : input
  if (!isRecord(value))
    throw new TableFault([{ path: '', value: 'no object', rule: 'format', reason: 'a delta is a JSON object' }])
  for (const key of Object.keys(value)) if (!KEYS.has(key)) faults.add(key, value[key], 'format', 'unknown key')
  const toVersion = checkHead(value, table, faults)
  const removed = new Set<number>()
  const replaced = new Set<number>()
  parseRemovals(list(value, 'remove', faults), table, removed, faults)
  const added = parseUpserts(list(value, 'upsert', faults), table, removed, replaced, faults)
  for (const row of replaced) removed.add(row)
  checkDisjoint(added, table, removed, faults)
  const rules = parseNewRules(value, table.rules, faults)
  if (faults.faults.length > 0) throw new TableFault(faults.faults)
  const digest = typeof value['digest'] === 'string' ? value['digest'] : undefined
  return { toVersion, removed: [...removed], added, rules, digest }
}

function parseNewRules(value: Record<string, unknown>, old: RuleSet, faults: FaultList): RuleSet {
  const { domainRules, wildcards, exceptions } = value
  if (domainRules === undefined && wildcards === undefined && exceptions === undefined) return old
  const kept: RuleLists = listRules(old)
  return parseRules(
    {
      domainRules: domainRules ?? kept.domainRules,
      wildcards: wildcards ?? kept.wildcards,
      exceptions: exceptions ?? kept.exceptions,
    },
    faults,
  )
}

function parseJson(input: string | Uint8Array): unknown {
  if (typeof input !== 'string' && !isUtf8(input)) return undefined
  try {
    const text = typeof input === 'string' ? input : Buffer.from(input).toString()
    return JSON.parse(text.replace(/^\uFEFF/, ''))
  } catch {
    return undefined // told as what it is: no object
  }
}

/** Format, project, versions and the digest's form; gives the new version. */
function checkHead(value: Record<string, unknown>, table: TableContent, faults: FaultList): number {
  const { format, project, fromVersion, toVersion, digest } = value
  if (format !== DELTA_FORMAT) faults.add('format', format, 'format', `"${DELTA_FORMAT}"`)
  if (!isProjectName(project) || project !== table.project)
    faults.add('project', project, 'R3', `of "${table.project}"`)
  if (fromVersion !== table.version)
    faults.add('fromVersion', fromVersion, 'R3', `the table has version ${table.version}`)
  if (digest !== undefined && typeof digest !== 'string') faults.add('digest', digest, 'format', 'SHA-256 in hex')
  if (isVersion(toVersion) && toVersion > table.version) return toVersion
  faults.add('toVersion', toVersion, 'R3', `the version only grows: an integer above ${table.version}`)
  return table.version
}

function list(value: Record<string, unknown>, key: string, faults: FaultList): readonly unknown[] {
  const items = value[key]
  if (Array.isArray(items)) return items
  if (items !== undefined) faults.add(key, items, 'format', 'a list')
  return []
}

function parseRemovals(items: readonly unknown[], table: TableContent, removed: Set<number>, faults: FaultList): void {
  for (let i = 0; i < items.length && !faults.isFull; i++) {
    const address = parseKnownAddress(items[i])
    if (address instanceof AddressFault) {
      faults.add(`remove/${i}`, items[i], address.rule, address.reason)
      continue
    }
    const row = table.store.findPresented(address, table.revision)
    if (row === undefined) faults.add(`remove/${i}`, items[i], 'R3', 'no entry is presented so')
    else if (removed.has(row)) faults.add(`remove/${i}`, items[i], 'R3', 'removed twice')
    else removed.add(row)
  }
}

/** @param replaced  takes the rows of entries that are replaced */
function parseUpserts(
  items: readonly unknown[],
  table: TableContent,
  removed: ReadonlySet<number>,
  replaced: Set<number>,
  faults: FaultList,
): TableEntry[] {
  const entries: TableEntry[] = []
  for (let i = 0; i < items.length && !faults.isFull; i++) {
    const entry = parseEntry(items[i], `upsert/${i}`, faults)
    if (entry === undefined) continue
    const row = table.store.findPresented(entry.presented, table.revision)
    if (row !== undefined && removed.has(row)) {
      faults.add(`upsert/${i}/presented`, entry.presented.text, 'R3', 'removed by the same delta')
    }
    if (row !== undefined) replaced.add(row)
    entries.push(entry)
  }
  return entries
}

/** R3: K sets are disjoint, among the entries of the delta and with those of the table that stay. */
function checkDisjoint(
  added: readonly TableEntry[],
  { store, revision }: TableContent,
  removed: ReadonlySet<number>,
  faults: FaultList,
): void {
  const seen = new Map<string, number>()
  for (const [i, entry] of added.entries()) {
    const check = (text: string, member: string, name: string, key: number): void => {
      const other = seen.get(text) ?? i
      seen.set(text, other)
      if (other !== i) faults.add(`upsert/${i}/${member}`, name, 'R3', `also known in upsert/${other}`)
      else if (key !== NO_ROW && !removed.has(store.keys.entryOf(key))) {
        faults.add(`upsert/${i}/${member}`, name, 'R3', ownedBy(store, key))
      }
    }
    for (const [place, known] of entry.known.entries()) {
      const text = formatAddrSpec(known.folded, known.normalDomain)
      check(text, `known/${place}`, formatAddrSpec(known.text, known.domain), store.findAddress(known, revision))
    }
    for (const [place, name] of entry.x500.entries()) {
      check(` ${foldLocalText(name)}`, `x500/${place}`, name, store.findX500(name, revision))
    }
  }
}
