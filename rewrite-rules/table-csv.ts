// The CSV form of a table (product.md §8; RFC 4180): a header line that names the columns, then one entry a row. `;` separates several
// values in a cell; spreadsheets of many countries separate the columns with it too, then such cells come quoted.
import { splitValues } from './csv-cell.ts'
import { CsvRows } from './csv-rows.ts'
import type { Place } from './text-place.ts'

/** What is told of the file; rows count from 1, which is the header line. */
export interface RowHandler {
  /** An entry in the form a JSON table gives it. */
  row(entry: Record<string, unknown>, row: number): void
  syntaxError(row: number, value: string, reason: string): void
}

export const COLUMNS = ['presented', 'mailbox', 'known', 'x500', 'route', 'eai'] as const
type Column = (typeof COLUMNS)[number]
const REQUIRED: readonly Column[] = ['presented', 'mailbox', 'known']

export class TableCsv {
  readonly #rows: CsvRows<Column>

  constructor(handler: RowHandler) {
    this.#rows = new CsvRows(
      { columns: COLUMNS, required: REQUIRED },
      {
        row: (cells, columns, row) => handler.row(entryOf(cells, columns), row),
        syntaxError: (row, value, reason) => handler.syntaxError(row, value, reason),
      },
    )
  }

  /** Whether the text can't be read on. */
  get isBroken(): boolean {
    return this.#rows.isBroken
  }

  /** Where a column's cell begins, or the row, of the row that is being told. */
  placeOf(column: string): Place {
    return this.#rows.placeOf(column)
  }

  write(chunk: Uint8Array): void {
    this.#rows.write(chunk)
  }

  end(): void {
    this.#rows.end()
  }
}

function entryOf(cells: readonly string[], columns: readonly Column[]): Record<string, unknown> {
  const entry: Record<string, unknown> = {}
  for (const [i, column] of columns.entries()) {
    const cell = cells[i] ?? ''
    if (column === 'known' || column === 'x500') entry[column] = splitValues(cell)
    else if (column === 'eai')
      entry[column] = cell === '' ? false : isBoolean(cell) ? cell.toLowerCase() === 'true' : cell
    else if (column !== 'route' || cell !== '') entry[column] = cell
  }
  return entry
}

// Spreadsheets write truth values in capitals.
function isBoolean(cell: string): boolean {
  return ['true', 'false'].includes(cell.toLowerCase())
}
