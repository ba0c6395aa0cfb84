// Changes on their way in: rows that have been read and wait to be applied, of one request's transaction or of a large import's operation.
import { sql } from 'kysely'
import { rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { MappingImportId } from '../ids.ts'
import type { TableChangeBody } from './import-result.ts'
import type { EntryRow, Place } from './mapping.ts'
import type { RuleLists } from './rule.ts'

export type StagedMode = 'upsert' | 'replace' | 'restore'

export interface Staged {
  readonly id: MappingImportId
  readonly mode: StagedMode
  readonly validatesOnly: boolean
  readonly confirm: number | undefined
  /** That the table must have, for If-Match; undefined: any. */
  readonly expectedRevision: number | undefined
  readonly restoredRevision: number | undefined
  /** undefined: the change has no say in rules. */
  readonly rules: RuleLists | undefined
  /** `callerName` */
  readonly author: string
}

/** One row of the input. */
export interface StagedRow {
  readonly id: string
  /** In the order of the input. */
  readonly row: number
  /** Path of the entry in the input. */
  readonly path: string
  readonly line: number
  readonly column: number
  readonly entry: EntryRow
  /** The entry presented so is to go; of `entry` only `presentedKey` counts. */
  readonly isRemoval: boolean
  /** Of what a pair writes: its id. */
  readonly sourceRef?: string
}

export async function insertStaged(tx: Tx, place: Place, staged: Staged, now: number): Promise<void> {
  const { id, mode, validatesOnly, confirm = null, expectedRevision = null, restoredRevision = null, rules } = staged
  await sql`
    insert into mapping_import (organisation_id, project_id, id, mode, validates_only, confirm, expected_revision,
                                restored_revision, rules, author, created_at)
    values (${place.organisation}, ${place.project}, ${id}, ${mode}, ${validatesOnly}, ${confirm}, ${expectedRevision},
            ${restoredRevision}, ${rules === undefined ? null : JSON.stringify(rules)}::jsonb, ${staged.author}, ${new Date(now)})`.execute(
    tx,
  )
}

/** What is only known at the end of the input. */
export async function setStagedRules(tx: Tx, place: Place, id: MappingImportId, rules: RuleLists): Promise<void> {
  await sql`
    update mapping_import set rules = ${JSON.stringify(rules)}::jsonb
     where organisation_id = ${place.organisation} and project_id = ${place.project} and id = ${id}`.execute(tx)
}

export async function findStaged(
  tx: Tx,
  place: Place,
  id: MappingImportId,
): Promise<(Staged & { readonly result: TableChangeBody | undefined }) | undefined> {
  const row = await rowOf<{
    mode: StagedMode
    validates_only: boolean
    confirm: number | null
    expected_revision: number | null
    restored_revision: number | null
    rules: RuleLists | null
    author: string
    result: TableChangeBody | null
  }>(
    tx,
    sql`select mode, validates_only, confirm, expected_revision, restored_revision, rules, author, result from mapping_import
         where organisation_id = ${place.organisation} and project_id = ${place.project} and id = ${id}`,
  )
  return (
    row && {
      id,
      mode: row.mode,
      validatesOnly: row.validates_only,
      confirm: row.confirm ?? undefined,
      expectedRevision: row.expected_revision ?? undefined,
      restoredRevision: row.restored_revision ?? undefined,
      rules: row.rules ?? undefined,
      author: row.author,
      result: row.result ?? undefined,
    }
  )
}

/**
 * After the change, in its transaction: the rows are of no more use, but what came of them must be known, should the commit not be heard of and
 * the change be asked for again.
 */
export async function setStagedResult(
  tx: Tx,
  place: Place,
  id: MappingImportId,
  result: TableChangeBody,
): Promise<void> {
  const { organisation, project } = place
  await sql`
    delete from mapping_import_row
     where organisation_id = ${organisation} and project_id = ${project} and import_id = ${id}`.execute(tx)
  await sql`
    update mapping_import set result = ${JSON.stringify(result)}::jsonb
     where organisation_id = ${organisation} and project_id = ${project} and id = ${id}`.execute(tx)
}

export async function deleteStaged(tx: Tx, place: Place, id: MappingImportId): Promise<void> {
  await sql`
    delete from mapping_import
     where organisation_id = ${place.organisation} and project_id = ${place.project} and id = ${id}`.execute(tx)
}

/** Uploads that were broken off, and what is left of operations that have ended. The transaction sees one organisation. @returns how many */
export async function sweepStaged(tx: Tx, before: Date): Promise<number> {
  const swept = await rowsOf(
    tx,
    sql`delete from mapping_import i
         where organisation_id = current_organisation() and created_at < ${before}
           and not exists (select from operation o where o.organisation_id = i.organisation_id and o.object_id = i.id
                              and o.state in ('queued', 'running', 'cancelling'))
     returning id`,
  )
  return swept.length
}

const FIELDS = 12
const FIELD = '\t'
const ROW = '\n'
const KEY = '\x1f'

/**
 * Rows go over as one text: no address, X.500 name or JSON text holds a control character (R3, R26), and an array parameter of as many texts
 * would be escaped twice.
 */
export async function insertStagedRows(
  tx: Tx,
  place: Place,
  id: MappingImportId,
  rows: readonly StagedRow[],
): Promise<void> {
  if (rows.length === 0) return
  const text = rows
    .map(({ id: entryId, row, path, line, column, entry, isRemoval, sourceRef = '' }) =>
      [
        row,
        path,
        line,
        column,
        entryId,
        entry.presentedKey,
        entry.presented,
        entry.mailbox,
        entry.mailboxDomain,
        entry.keys.join(KEY),
        isRemoval ? '' : entry.wire,
        sourceRef,
      ].join(FIELD),
    )
    .join(ROW)
  await sql`
    insert into mapping_import_row (organisation_id, project_id, import_id, presented_key, row, path, line, col, id, presented,
                                    mailbox, mailbox_domain, keys, wire, source_ref)
    select ${place.organisation}, ${place.project}, ${id}, f[6], f[1]::integer, f[2], f[3]::integer, f[4]::integer, f[5], f[7],
           f[8], f[9], string_to_array(f[10], ${KEY}), nullif(f[11], ''), f[${sql.lit(FIELDS)}]
      from (select string_to_array(line, ${FIELD}) as f from string_to_table(${text}, ${ROW}) as line) as read`.execute(
    tx,
  )
}
