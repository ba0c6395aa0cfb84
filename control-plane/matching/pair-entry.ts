// The mapping entry of a pair: what it would be, and what is left of it beside entries that are there already. Pure.
// (migration-semantics.md §3.8, control-plane.md §3.4)
import {
  addressKey,
  AddressFault,
  FaultList,
  isX500Name,
  parseEntry,
  parseKnownAddress,
  x500Key,
} from '../../rewrite-rules/index.ts'
import type { TableEntry } from '../../rewrite-rules/index.ts'
import type { AccountSnapshot } from '../directory/account.ts'
import { entryRow, outsideMembers, overfullMember } from '../mapping/mapping.ts'
import type { AcceptedDomains, EntryRow } from '../mapping/mapping.ts'
import type { MappingReason, Side } from './pair.ts'

export type PairAccount = Pick<AccountSnapshot, 'addresses' | 'x500'>

export interface PairSides {
  readonly source: PairAccount
  readonly target: PairAccount
  readonly presents: Side
  readonly holds: Side
}

export type Wanted =
  | { readonly kind: 'entry'; readonly entry: TableEntry }
  | { readonly kind: 'none'; readonly reason: MappingReason }
  | { readonly kind: 'blocked'; readonly reason: MappingReason }

const blocked = (reason: MappingReason): Wanted => ({ kind: 'blocked', reason })

/** §3.8. Addresses that no table can hold are left out, unless it is one of the two that matter. */
export function wantedEntry({ source, target, presents, holds }: PairSides, accepted: AcceptedDomains): Wanted {
  const primary = { source: source.addresses[0], target: target.addresses[0] }
  const presented = primary[presents]
  const mailbox = primary[holds]
  if (primary.source === undefined || primary.target === undefined || presented === undefined || mailbox === undefined)
    return { kind: 'none', reason: 'no-address' }
  const known = [...target.addresses, ...source.addresses].filter(
    (address) => !(parseKnownAddress(address) instanceof AddressFault),
  )
  const x500 = [...source.x500, ...target.x500].filter(isX500Name)
  const eai = !isAscii(presented) || !isAscii(mailbox)
  const entry = parseEntry({ known, presented, mailbox, x500, eai }, '', new FaultList())
  if (entry === undefined) return blocked('address-invalid')
  if (overfullMember(entry) !== undefined) return blocked('too-many-addresses')
  if (accepted.isComplete && outsideMembers(entry, accepted).length > 0) return blocked('domain-not-accepted')
  return { kind: 'entry', entry }
}

// oxlint-disable-next-line no-control-regex -- what ASCII is
const isAscii = (text: string): boolean => /^[\x00-\x7f]*$/.test(text)

/** Whose an address is already: of an entry that a person or an import wrote, or of another pair's. */
export type Owner = 'manual' | 'pair'

export type Settled =
  | { readonly state: 'written'; readonly reason: MappingReason | undefined; readonly row: EntryRow }
  | { readonly state: 'manual-wins' | 'blocked'; readonly reason: MappingReason }

/**
 * What others have already stays theirs: an alias is left out, and where it is the presented address or the mailbox, so is the whole entry.
 * @param ownerOf  by look-up key; undefined: it is free
 */
export function settle(entry: TableEntry, ownerOf: (key: string) => Owner | undefined): Settled {
  const row = entryRow(entry)
  const owners = new Map(row.keys.map((key) => [key, ownerOf(key)]))
  const essential = [owners.get(addressKey(entry.presented)), owners.get(addressKey(entry.mailbox))]
  if (essential.includes('manual')) return { state: 'manual-wins', reason: 'entry-exists' }
  if (essential.includes('pair')) return { state: 'blocked', reason: 'address-of-another-pair' }
  const isFree = (key: string): boolean => owners.get(key) === undefined
  if (row.keys.every(isFree)) return { state: 'written', reason: undefined, row }
  const known = entry.known.filter((address) => isFree(addressKey(address)))
  const x500 = entry.x500.filter((name) => isFree(x500Key(name)))
  return { state: 'written', reason: 'some-addresses-elsewhere', row: entryRow({ ...entry, known, x500 }) }
}

export const keysOf = (entry: TableEntry): readonly string[] => entryRow(entry).keys
