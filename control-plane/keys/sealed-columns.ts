// Which columns hold sealed values. A feature describes each of its own as a constant and seals with its place; whoever starts the process
// puts them on one list, so that a rotation finds all that an old key sealed (KM-2). Names of such columns end in `_sealed`; a test compares
// the list with the schema.
import type { Place } from './sealed-value.ts'

export interface SealedColumn {
  /** Has a column organisation_id, and project_id where a project's key seals. */
  readonly table: string
  readonly column: string
  /** Which columns beside these two tell the row; text or whole numbers. */
  readonly key: readonly [string, ...string[]]
  readonly sealedBy: 'project' | 'installation'
}

/** What a value of this column is bound to, within its owner. @param key  values of `column.key`, in its order */
export function placeInRow(column: SealedColumn, key: readonly string[]): Pick<Place, 'purpose' | 'context'> {
  if (key.length !== column.key.length)
    throw new RangeError(`the key of ${column.table} has ${column.key.length} parts`)
  return { purpose: `${column.table}.${column.column}`, context: JSON.stringify(key) }
}

/** A list of columns, checked for what would seal two things alike. */
export function sealedColumns(columns: readonly SealedColumn[]): readonly SealedColumn[] {
  const names = columns.map(({ table, column }) => `${table}.${column}`)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) throw new RangeError(`${twice} is described twice`)
  return columns
}

/** Where a rotation has got to in one column: the key of the last row it has seen. */
export interface ResealProgress {
  readonly resealed: number
  /** Values that no key opened: damaged, or of a key that is gone. Left as they are. */
  readonly unreadable: number
  /** Absent: the column is done. */
  readonly next?: readonly string[]
}
