// A mapping entry as the control plane keeps it, and the rules that a change of the table obeys beside those of the engine. Pure.
// (control-plane.md §3)
import { addressKey, writtenEntry, x500Key } from '../../rewrite-rules/index.ts'
import type { TableEntry } from '../../rewrite-rules/index.ts'
import type { OrganisationId, ProjectId } from '../ids.ts'

export interface Place {
  readonly organisation: OrganisationId
  readonly project: ProjectId
}

export const SOURCES = ['manual', 'pair', 'import'] as const
export type Source = (typeof SOURCES)[number]

/** What is stored of an entry, all in the forms of R20 or as configured. */
export interface EntryRow {
  readonly presentedKey: string
  readonly presented: string
  readonly mailbox: string
  readonly mailboxDomain: string
  /** Look-up keys of everything it is known as, each once. */
  readonly keys: readonly string[]
  /** As a table file writes it; no address stands there twice. */
  readonly wire: string
}

/** Of one entry, and as many X.500 names: Exchange Online allows a mailbox fewer. */
export const MAX_KNOWN = 1_000

/** The member that holds too much; undefined: none does. */
export function overfullMember({ known, x500 }: TableEntry): 'known' | 'x500' | undefined {
  return known.length > MAX_KNOWN ? 'known' : x500.length > MAX_KNOWN ? 'x500' : undefined
}

export function entryRow(entry: TableEntry): EntryRow {
  const known = new Map(entry.known.map((address) => [addressKey(address), address] as const))
  const x500 = new Map(entry.x500.map((name) => [x500Key(name), name] as const))
  const written = writtenEntry({ ...entry, known: [...known.values()], x500: [...x500.values()] })
  return {
    presentedKey: addressKey(entry.presented),
    presented: written.presented,
    mailbox: written.mailbox,
    mailboxDomain: entry.mailbox.normalDomain,
    keys: [...known.keys(), ...x500.keys()],
    wire: JSON.stringify(written),
  }
}

/** Accepted domains of a project's tenants (control-plane.md §3.3). */
export interface AcceptedDomains {
  /** In A-labels. */
  readonly domains: ReadonlySet<string>
  /** Whether every tenant has named its own, and there is one: else a domain outside is worth a warning only. */
  readonly isComplete: boolean
}

/** Which of an entry's two addresses are in no accepted domain. */
export function outsideMembers(entry: TableEntry, { domains }: AcceptedDomains): readonly ('presented' | 'mailbox')[] {
  return (['presented', 'mailbox'] as const).filter((member) => !domains.has(entry[member].normalDomain))
}

const ALWAYS_DELETABLE = 100
const DELETABLE_SHARE = 0.1

/** control-plane.md §3.6: whether so much goes that the number has to be confirmed. */
export function needsConfirmation(entries: number, removed: number): boolean {
  if (removed === 0) return false
  return removed >= entries || (entries > ALWAYS_DELETABLE && removed > entries * DELETABLE_SHARE)
}
