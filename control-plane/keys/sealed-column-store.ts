// Finds and replaces sealed values in whatever table a feature described (sealed-columns.ts). Identifiers come from constants of the program,
// never from a request, and are quoted all the same.
import { sql } from 'kysely'
import type { RawBuilder } from 'kysely'
import { countOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import { projectOf } from './key-owner.ts'
import type { KeyOwner } from './key-owner.ts'
import type { SealedColumn } from './sealed-columns.ts'

export interface SealedRow {
  readonly key: readonly string[]
  readonly sealed: Buffer
}

/** Rows of `owner` whose value wasn't sealed by `currentKeyId`, by key after `after`, locked until the transaction ends. */
export async function listSealedByOthers(
  tx: Tx,
  column: SealedColumn,
  owner: KeyOwner,
  currentKeyId: string,
  after: readonly string[] | undefined,
  limit: number,
): Promise<SealedRow[]> {
  const rows = await rowsOf<{ key: string[]; sealed: Buffer }>(
    tx,
    sql`select ${keyOf(column)} as key, ${sql.ref(column.column)} as sealed
          from ${sql.table(column.table)}
         where ${belongsTo(column, owner)}
           and ${sealedByAnother(column, currentKeyId)}
           and ${after === undefined ? sql`true` : sql`${keyOf(column)} > ${after}::text[]`}
         order by 1
         limit ${limit}
           for update`,
  )
  return rows
}

/** All rows of `owner` that have a value, by key after `after`. Holds up nobody. */
export function listSealed(
  tx: Tx,
  column: SealedColumn,
  owner: KeyOwner,
  after: readonly string[] | undefined,
  limit: number,
): Promise<SealedRow[]> {
  return rowsOf<SealedRow>(
    tx,
    sql`select ${keyOf(column)} as key, ${sql.ref(column.column)} as sealed
          from ${sql.table(column.table)}
         where ${belongsTo(column, owner)} and ${sql.ref(column.column)} is not null
           and ${after === undefined ? sql`true` : sql`${keyOf(column)} > ${after}::text[]`}
         order by 1
         limit ${limit}`,
  )
}

/** @returns false when the value was changed since it was read */
export async function replaceSealed(
  tx: Tx,
  column: SealedColumn,
  owner: KeyOwner,
  before: SealedRow,
  after: Buffer,
): Promise<boolean> {
  const replaced = await countOf(
    tx,
    sql`update ${sql.table(column.table)} set ${sql.ref(column.column)} = ${after}
         where ${belongsTo(column, owner)} and ${keyOf(column)} = ${before.key}::text[] and ${sql.ref(column.column)} = ${before.sealed}`,
  )
  return replaced === 1
}

export async function countSealedByOthers(
  tx: Tx,
  column: SealedColumn,
  owner: KeyOwner,
  currentKeyId: string,
): Promise<number> {
  const [row] = await rowsOf<{ count: number }>(
    tx,
    sql`select count(*) as count from ${sql.table(column.table)}
         where ${belongsTo(column, owner)} and ${sealedByAnother(column, currentKeyId)}`,
  )
  return row?.count ?? 0
}

const keyOf = ({ key }: SealedColumn): RawBuilder<unknown> =>
  sql`array[${sql.join(key.map((name) => sql`${sql.ref(name)}::text collate "C"`))}]`

const sealedByAnother = ({ column }: SealedColumn, keyId: string): RawBuilder<unknown> =>
  sql`(${sql.ref(column)} is not null and substring(${sql.ref(column)} from 2 for 16) <> ${Buffer.from(keyId, 'hex')})`

/** Of the installation key's values those of the owner's organisation only: a transaction sees no others. */
const belongsTo = ({ sealedBy }: SealedColumn, owner: KeyOwner): RawBuilder<unknown> =>
  sealedBy === 'project'
    ? sql`organisation_id = ${owner.organisation} and project_id = ${projectOf(owner)}`
    : sql`organisation_id = ${owner.organisation}`
