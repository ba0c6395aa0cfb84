// A table file item by item, each with its place, for whoever keeps the entries elsewhere than in a store: no more than a chunk and an item is
// in memory. Items are held against all of R3 that concerns them alone; that K sets are disjoint is for the keeper to see.
import { findMember } from './json-place.ts'
import { JsonMembers } from './json-members.ts'
import { FaultList } from './input-fault.ts'
import type { Fault } from './input-fault.ts'
import { isProjectName, isVersion, TABLE_FORMAT } from './table-builder.ts'
import { TableCsv } from './table-csv.ts'
import { parseEntry } from './table-entry.ts'
import type { TableEntry } from './table-entry.ts'
import { FormReader } from './table-reader.ts'
import type { Place } from './text-place.ts'

const LISTS = ['domainRules', 'wildcards', 'exceptions'] as const
export type RuleListName = (typeof LISTS)[number]

export interface ItemHandler {
  /** @param path  `entries/17`, or `row/18` of a CSV file. @param placeOf  of a path below the entry's, as `known/2` */
  entry(entry: TableEntry, path: string, placeOf: (below: string) => Place): void
  /** A rule as it is written, unchecked: rules have to be held against each other. */
  rule(list: RuleListName, value: unknown, path: string, place: Place): void
  fault(fault: Fault, place: Place): void
}

/** Members `project`, `version` and `digest` of the file say where it comes from; whoever reads it here has a table of his own. */
export class TableItems {
  readonly #handler: ItemHandler
  readonly #seen = new Set<string>()
  #format: 'json' | 'csv' | undefined
  #isBroken = false
  readonly #form = new FormReader(
    () => this.#json(),
    () => this.#csv(),
  )

  constructor(handler: ItemHandler) {
    this.#handler = handler
  }

  /** undefined before the first characters. */
  get format(): 'json' | 'csv' | undefined {
    return this.#format
  }

  /** Whether the text can't be read on: the fault is told. */
  get isBroken(): boolean {
    return this.#isBroken
  }

  write(chunk: Uint8Array): void {
    this.#form.write(chunk)
  }

  end(): void {
    this.#form.end()
    if (this.#format === 'csv' || this.#isBroken) return
    for (const member of ['format', 'entries']) {
      if (!this.#seen.has(member)) this.#fault(member, undefined, 'format', 'missing', { line: 1, column: 1 })
    }
  }

  #fault(path: string, value: unknown, rule: string, reason: string, place: Place): void {
    const faults = new FaultList()
    faults.add(path, value, rule, reason)
    for (const fault of faults.faults) this.#handler.fault(fault, place)
  }

  #entry(value: unknown, path: string, placeOf: (below: string) => Place): void {
    const faults = new FaultList()
    const entry = parseEntry(value, path, faults)
    for (const fault of faults.faults) this.#handler.fault(fault, placeOf(fault.path.slice(path.length + 1)))
    if (entry !== undefined) this.#handler.entry(entry, path, placeOf)
  }

  #json(): JsonMembers {
    this.#format = 'json'
    const form: JsonMembers = new JsonMembers(
      {
        member: (key, value) => this.#member(key, value, form.place),
        list: (key) => this.#list(key, form.place),
        readItem: () => -1,
        item: (key, index, value) => {
          const path = `${key}/${index}`
          if (key === 'entries') this.#entry(value, path, (below) => placeIn(form, below))
          else if (isRuleList(key)) this.#handler.rule(key, value, path, form.place)
        },
        syntaxError: (path, reason) => {
          this.#isBroken = true
          this.#fault(path, undefined, 'format', reason, form.place)
        },
      },
      { countsPlaces: true },
    )
    return form
  }

  #member(key: string, value: unknown, place: Place): void {
    const expected =
      key === 'format' && value !== TABLE_FORMAT
        ? `"${TABLE_FORMAT}"`
        : key === 'project' && !isProjectName(value)
          ? 'a name of 1 to 255 characters'
          : key === 'version' && !isVersion(value)
            ? 'an integer from 0'
            : key === 'entries' || isRuleList(key)
              ? 'a list'
              : ['format', 'project', 'version', 'digest'].includes(key)
                ? undefined
                : 'unknown key'
    if (expected !== undefined) this.#fault(key, value, 'format', expected, place)
    this.#see(key, place)
  }

  #list(key: string, place: Place): void {
    if (key !== 'entries' && !isRuleList(key)) this.#fault(key, [], 'format', 'unknown key', place)
    this.#see(key, place)
  }

  #see(key: string, place: Place): void {
    if (this.#seen.has(key)) this.#fault(key, undefined, 'format', 'given twice', place)
    this.#seen.add(key)
  }

  #csv(): TableCsv {
    this.#format = 'csv'
    const form: TableCsv = new TableCsv({
      row: (entry, row) => this.#entry(entry, `row/${row}`, (below) => form.placeOf(below.split('/', 1)[0] ?? '')),
      syntaxError: (row, value, reason) => {
        this.#isBroken = form.isBroken
        this.#fault(`row/${row}`, value, 'format', reason, form.placeOf(''))
      },
    })
    return form
  }
}

function placeIn(form: JsonMembers, below: string): Place {
  const { line, column } = form.place
  if (below === '') return { line, column }
  const inside = findMember(form.itemBytes, below.split('/'))
  return { line: line + inside.line - 1, column: inside.line === 1 ? column + inside.column - 1 : inside.column }
}

function isRuleList(key: string): key is RuleListName {
  return LISTS.some((list) => list === key)
}
