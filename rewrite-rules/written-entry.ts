// An entry as it is written: for table files and deltas in JSON, as a row of the CSV form; and the keys by which its addresses are found.
import { foldLocalText, formatAddrSpec, quoteLocalPartIfNeeded } from './addr-spec.ts'
import { formatCell, joinValues } from './csv-cell.ts'
import { COLUMNS } from './table-csv.ts'
import type { KnownAddress, Route, TableEntry } from './table-entry.ts'

/** As product.md §8 writes it; what is not said there is left out. */
export interface WrittenEntry {
  readonly known: readonly string[]
  readonly presented: string
  readonly mailbox: string
  readonly x500?: readonly string[]
  readonly eai?: true
  readonly route?: Route
}

export function writtenEntry(entry: TableEntry): WrittenEntry {
  return {
    known: entry.known.map(writtenAddress),
    presented: writtenAddress(entry.presented),
    mailbox: writtenAddress(entry.mailbox),
    ...(entry.x500.length > 0 && { x500: entry.x500 }),
    ...(entry.eai && { eai: true }),
    ...(entry.route !== undefined && { route: entry.route }),
  }
}

export function writtenAddress(address: KnownAddress): string {
  return formatAddrSpec(quoteLocalPartIfNeeded(address.text), address.domain)
}

/** Equal for addresses that are equal after R20. Not to be written anywhere: local parts are without quotes. */
export function addressKey({ folded, normalDomain }: KnownAddress): string {
  return formatAddrSpec(folded, normalDomain)
}

/** Equal for X.500 names that are equal (R26), and for no address: the prefix has capitals. */
export function x500Key(name: string): string {
  return `X500:${foldLocalText(name)}`
}

export const CSV_HEADER = `${COLUMNS.join(',')}\r\n`

/** One line of the CSV form, which reads as the same entry again. */
export function csvRow(entry: WrittenEntry): string {
  const { presented, mailbox, known, x500 = [], route = '', eai = false } = entry
  const cells = [presented, mailbox, joinValues(known), joinValues(x500), route, eai ? 'true' : '']
  return `${cells.map(formatCell).join(',')}\r\n`
}
