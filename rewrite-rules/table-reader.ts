// A table file as it comes in, in chunks: JSON or CSV, told apart by the first character.
import { JsonMembers } from './json-members.ts'
import { TABLE_FORMAT, TableBuilder } from './table-builder.ts'
import type { TableContent } from './table-builder.ts'
import { TableCsv } from './table-csv.ts'

/** What a CSV file can't say of itself. */
export interface CsvIdentity {
  readonly project: string
  readonly version: number
}

const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf]
const OPEN_BRACE = 0x7b

export class ContentReader {
  readonly #builder = new TableBuilder()
  readonly #csv: CsvIdentity
  #form: JsonMembers | TableCsv | undefined
  /** Octets of a byte order mark at the head so far: it is passed over. */
  #marks = 0
  #ended = false

  constructor(csv: CsvIdentity) {
    this.#csv = csv
  }

  write(chunk: Uint8Array): void {
    if (this.#builder.isHopeless) return
    if (this.#form !== undefined) {
      this.#form.write(chunk)
      return
    }
    let start = 0
    while (start < chunk.length && this.#marks < 3 && chunk[start] === BYTE_ORDER_MARK[this.#marks]) {
      this.#marks++
      start++
    }
    while (start < chunk.length && isSpace(chunk[start])) start++
    const first = chunk[start]
    if (first === undefined) return
    this.#form = first === OPEN_BRACE || first === 0x5b ? this.#json() : this.#csvForm()
    this.#form.write(chunk.subarray(start))
  }

  /** After the last chunk: call it until it gives the table. Each call takes some milliseconds at most. @throws TableFault */
  step(): TableContent | undefined {
    if (this.#form === undefined) this.#form = this.#json() // an empty file: which form it was to be is not known
    if (!this.#ended) {
      this.#form.end()
      this.#ended = true
    }
    return this.#builder.step()
  }

  #json(): JsonMembers {
    const builder = this.#builder
    return new JsonMembers({
      member: (key, value) => builder.member(key, value),
      list: (key) => builder.list(key),
      readItem: (key, index, bytes, start, end) =>
        key === 'entries' ? builder.plainEntry(key, index, bytes, start, end) : -1,
      item: (key, index, value) => builder.item(key, index, value),
      syntaxError: (path, reason) => builder.fault(path, undefined, 'format', reason),
    })
  }

  #csvForm(): TableCsv {
    const builder = this.#builder
    builder.member('format', TABLE_FORMAT)
    builder.member('project', this.#csv.project)
    builder.member('version', this.#csv.version)
    builder.list('entries')
    return new TableCsv({
      row: (entry, row) => builder.entry(entry, 'row', row),
      syntaxError: (row, value, reason) => builder.fault(`row/${row}`, value, 'format', reason),
    })
  }
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
}
