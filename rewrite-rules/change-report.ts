// The report of rewriting.md §14: what one run of the engine changed, and what an operator should know about the message.
import type { Envelope } from './envelope.ts'

export type Direction = 'out' | 'in'

/** The step of R21 (or R26) that decided. */
export type MatchRule = 'entry' | 'extension' | 'domain' | 'wildcard' | 'x500'

export interface Change {
  /** `envelope:reverse-path`, `envelope:forward-path:<n>`, `header:<name>:<instance>`, `part:<path>:<property or field>`; n and instance count from 1 */
  readonly where: string
  readonly old: string
  readonly new: string
  readonly rule: MatchRule
}

export type IcsSkipReason = 'size' | 'charset' | 'no-vcalendar' | 'vcalendar-1.0' | 'encoding' | 'time'

export type ReportCode =
  | 'seen'
  | 'addr-unparsed'
  | 'from-missing'
  | 'from-multiple'
  | 'mdn-mismatch'
  | 'rule-conflict'
  | 'tnef'
  | 'partial'
  | 'bypass-signed'
  | 'ics-in-signed'
  | `ics-skipped:${IcsSkipReason}`
  | 'cte-unknown'
  | 'cte-suspicious'
  | 'mime-limit'
  | 'mime-broken'
  | 'eai-skipped'
  | 'content-md5'
  | 'collapsed'
  | 'refolded'

export interface Report {
  readonly direction: Direction
  readonly tableVersion: number
  readonly bytesIn: number
  readonly bytesOut: number
  readonly sha256In?: string
  readonly sha256Out?: string
  /** At most `MAX_LISTED_CHANGES`, in the order they were made; `changeCount` counts all. */
  readonly changes: readonly Change[]
  readonly changeCount: number
  /** Each code once, in the order first seen. */
  readonly codes: readonly ReportCode[]
  /** The rewritten envelope, when the received one was given. */
  readonly envelope?: Envelope
}

/** A hostile calendar can hold hundreds of thousands of addresses: what is kept of them stays bounded. */
export const MAX_LISTED_CHANGES = 10_000

/** Collects changes and codes while a message goes through the engine. */
export class ReportRecorder {
  readonly changes: Change[] = []
  changeCount = 0
  readonly #codes = new Set<ReportCode>()

  change(where: string, old: string, replacement: string, rule: MatchRule): void {
    this.changeCount++
    if (this.changes.length < MAX_LISTED_CHANGES) this.changes.push({ where, old, new: replacement, rule })
  }

  code(code: ReportCode): void {
    this.#codes.add(code)
  }

  /** Takes over what another recorder has collected. */
  add(changes: readonly Change[], changeCount: number, codes: readonly ReportCode[]): void {
    this.changes.push(...changes.slice(0, MAX_LISTED_CHANGES - this.changes.length))
    this.changeCount += changeCount
    for (const code of codes) this.#codes.add(code)
  }

  get codes(): ReportCode[] {
    return [...this.#codes]
  }
}
