// Reads an uploaded table file, JSON or CSV, as it comes in: rows go on in batches, faults are all counted and the first thousand told, each with
// line and column. Memory stays flat whatever the file is. (control-plane.md §3.5)
import { setImmediate } from 'node:timers/promises'
import { TableItems } from '../../rewrite-rules/index.ts'
import type { Fault, Place as TextPlace, RuleListName, TableEntry } from '../../rewrite-rules/index.ts'
import { Problem } from '../http/problem.ts'
import type { RequestFault } from '../http/problem.ts'
import { newId } from '../ids.ts'
import { entryRow, MAX_KNOWN, outsideMembers, overfullMember } from './mapping.ts'
import type { AcceptedDomains } from './mapping.ts'
import { MAX_RULES, ruleRows, targetsOf } from './rule.ts'
import type { RuleLists } from './rule.ts'
import type { StagedRow } from './staging-store.ts'
import { MAX_TOLD } from './table-change.ts'

export const MAX_IMPORT_ROWS = 1_000_000
const ROWS_PER_BATCH = 2_000
const SLICE_BYTES = 64 * 1024

export interface Upload {
  readonly format: 'json' | 'csv'
  readonly rows: number
  /** As the file has them; a CSV file has none. */
  readonly rules: RuleLists | undefined
  /** The first thousand. */
  readonly faults: readonly RequestFault[]
  readonly faultCount: number
}

/** @param take  gets the rows in batches; what it rejects with ends the reading */
export async function readUpload(
  chunks: AsyncIterable<Buffer>,
  accepted: AcceptedDomains,
  take: (rows: readonly StagedRow[]) => Promise<void>,
): Promise<Upload> {
  const intake = new Intake(accepted)
  try {
    for await (const chunk of chunks) {
      for (let at = 0; at < chunk.length && !intake.isHopeless; at += SLICE_BYTES) {
        intake.items.write(chunk.subarray(at, at + SLICE_BYTES))
        if (intake.batch.length >= ROWS_PER_BATCH) await take(intake.batch.splice(0))
        else if (at + SLICE_BYTES < chunk.length) await setImmediate()
      }
      // What follows is let go by: a client that is still sending would not look for the answer.
    }
  } catch (error) {
    if (!(error instanceof Problem && intake.isHopeless)) throw error // too large as well: the fault says more
  }
  if (!intake.isHopeless) intake.end()
  if (intake.batch.length > 0) await take(intake.batch.splice(0))
  return intake.upload()
}

class Intake {
  readonly batch: StagedRow[] = []
  readonly items: TableItems
  readonly #accepted: AcceptedDomains
  readonly #faults: RequestFault[] = []
  #faultCount = 0
  #rows = 0
  readonly #rules: Record<RuleListName, unknown[]> = { domainRules: [], wildcards: [], exceptions: [] }
  readonly #rulePlaces = new Map<string, TextPlace>()

  constructor(accepted: AcceptedDomains) {
    this.#accepted = accepted
    this.items = new TableItems({
      entry: (entry, path, placeOf) => this.#entry(entry, path, placeOf),
      rule: (list, value, path, place) => this.#rule(list, value, path, place),
      fault: (fault, place) => this.#fault(toFault(fault, place)),
    })
  }

  /** Whether reading on would tell nothing new. */
  get isHopeless(): boolean {
    return this.items.isBroken || this.#rows > MAX_IMPORT_ROWS
  }

  end(): void {
    this.items.end()
    const { rows, faults } = ruleRows(this.#rules)
    for (const fault of faults) this.#fault(toFault(fault, this.#placeOfRule(fault.path)))
    if (!this.#accepted.isComplete) return
    for (const rule of rows) {
      if (targetsOf(rule).every((domain) => this.#accepted.domains.has(domain))) continue
      this.#fault(outside(rule.path, this.#placeOfRule(rule.path)))
    }
  }

  upload(): Upload {
    const format = this.items.format ?? 'json'
    return {
      format,
      rows: this.#rows,
      rules: format === 'csv' ? undefined : this.#rules,
      faults: this.#faults,
      faultCount: this.#faultCount,
    }
  }

  #entry(entry: TableEntry, path: string, placeOf: (below: string) => TextPlace): void {
    const row = ++this.#rows
    if (row > MAX_IMPORT_ROWS) {
      this.#fault({ pointer: `/${path}`, code: 'too-many-rows', detail: `at most ${MAX_IMPORT_ROWS}`, ...placeOf('') })
      return
    }
    const overfull = overfullMember(entry)
    if (overfull !== undefined) this.#fault(tooMany(`${path}/${overfull}`, placeOf(overfull)))
    if (this.#accepted.isComplete) {
      for (const member of outsideMembers(entry, this.#accepted))
        this.#fault(outside(`${path}/${member}`, placeOf(member)))
    }
    const { line, column } = placeOf('')
    this.batch.push({ id: newId('mapping'), row, path, line, column, entry: entryRow(entry), isRemoval: false })
  }

  #rule(list: RuleListName, value: unknown, path: string, place: TextPlace): void {
    if (this.#rulePlaces.size > MAX_RULES) return
    this.#rulePlaces.set(path, place)
    if (this.#rulePlaces.size > MAX_RULES)
      this.#fault({ pointer: `/${path}`, code: 'too-many-rules', detail: `at most ${MAX_RULES}`, ...place })
    else this.#rules[list].push(value)
  }

  #placeOfRule(path: string): TextPlace {
    return this.#rulePlaces.get(path.split('/').slice(0, 2).join('/')) ?? { line: 1, column: 1 }
  }

  #fault(fault: RequestFault): void {
    this.#faultCount++
    if (this.#faults.length < MAX_TOLD) this.#faults.push(fault)
  }
}

function toFault({ path, rule, reason }: Fault, { line, column }: TextPlace): RequestFault {
  return { pointer: path === '' ? '' : `/${path}`, code: rule, detail: reason, line, column }
}

export function tooMany(path: string, place: TextPlace | undefined): RequestFault {
  return { pointer: `/${path}`, code: 'too-many', detail: `at most ${MAX_KNOWN}`, ...place }
}

export function outside(path: string, place: TextPlace | undefined): RequestFault {
  return {
    pointer: path === '' ? '' : `/${path}`,
    code: 'domain-not-accepted',
    detail: "not an accepted domain of the project's tenants",
    ...place,
  }
}
