// A change of a few entries, whole within the transaction of a request: what single, bulk and small imports have in common.
import type { Tx } from '../db/database.ts'
import { badRequest } from '../http/problem.ts'
import type { RequestFault } from '../http/problem.ts'
import { FaultList, parseEntry } from '../../rewrite-rules/index.ts'
import { newId } from '../ids.ts'
import type { MappingId } from '../ids.ts'
import { outside, tooMany } from './intake.ts'
import { entryRow, outsideMembers, overfullMember } from './mapping.ts'
import type { AcceptedDomains, EntryRow, Place } from './mapping.ts'
import type { RuleLists } from './rule.ts'
import { deleteStaged, insertStaged, insertStagedRows } from './staging-store.ts'
import type { StagedRow } from './staging-store.ts'
import { changeTable } from './table-change.ts'
import type { ChangeOptions, ChangeResult } from './table-change.ts'

export interface EntryChange extends Omit<ChangeOptions, 'rows'> {
  readonly rows: readonly StagedRow[]
  readonly mode: 'upsert' | 'replace'
  readonly author: string
  readonly confirm?: number | undefined
  readonly rules?: RuleLists | undefined
  readonly validatesOnly?: boolean
}

const ROWS_PER_INSERT = 2_000

/** @throws Problem as `changeTable` */
export async function changeEntries(tx: Tx, place: Place, change: EntryChange): Promise<ChangeResult> {
  const { rows, mode, author, confirm, rules, validatesOnly = false, ...options } = change
  const staged = {
    id: newId('mapping-import'),
    mode,
    validatesOnly,
    confirm,
    expectedRevision: undefined,
    restoredRevision: undefined,
    rules,
    author,
  }
  await insertStaged(tx, place, staged, change.now)
  for (let at = 0; at < rows.length; at += ROWS_PER_INSERT)
    await insertStagedRows(tx, place, staged.id, rows.slice(at, at + ROWS_PER_INSERT))
  const result = await changeTable(tx, place, staged, { ...options, rows: rows.length })
  await deleteStaged(tx, place, staged.id)
  return result
}

/**
 * Reads entries of a request's body.
 * @param path  of the list in the body; undefined: the one entry is the body itself
 * @throws Problem 400 with every fault
 */
export function readEntries(
  values: readonly unknown[],
  path: string | undefined,
  accepted: AcceptedDomains,
): readonly { row: EntryRow; path: string }[] {
  const told: RequestFault[] = []
  const rows = values.flatMap((value, i) => {
    const at = path === undefined ? '' : `${path}/${i}`
    const faults = new FaultList()
    const entry = parseEntry(value, at, faults)
    for (const fault of faults.faults)
      told.push({ pointer: at === '' ? fault.path : `/${fault.path}`, code: fault.rule, detail: fault.reason })
    if (entry === undefined) return []
    const below = (member: string): string => (at === '' ? member : `${at}/${member}`)
    const overfull = overfullMember(entry)
    if (overfull !== undefined) told.push(tooMany(below(overfull), undefined))
    if (accepted.isComplete) {
      for (const member of outsideMembers(entry, accepted)) told.push(outside(below(member), undefined))
    }
    return [{ row: entryRow(entry), path: at }]
  })
  if (told.length > 0) throw badRequest(told)
  return rows
}

export function upsertRow(row: number, path: string, entry: EntryRow, id: MappingId = newId('mapping')): StagedRow {
  return { id, row, path, line: 0, column: 0, entry, isRemoval: false }
}

export function removalRow(row: number, path: string, presentedKey: string): StagedRow {
  const entry = { presentedKey, presented: '', mailbox: '', mailboxDomain: '', keys: [], wire: '' }
  return { id: '', row, path, line: 0, column: 0, entry, isRemoval: true }
}
