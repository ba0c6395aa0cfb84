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

interface Form {
  write(chunk: Uint8Array): void
  end(): void
}

const BYTE_ORDER_MARK = Uint8Array.of(0xef, 0xbb, 0xbf)
const OPEN_BRACE = 0x7b
const OPEN_BRACKET = 0x5b

/** Passes the chunks of a table file on to whichever of the two forms it has. */
export class FormReader<Json extends Form, Csv extends Form> {
  readonly #json: () => Json
  readonly #csv: () => Csv
  #form: Json | Csv | undefined
  /** Octets of a byte order mark at the head so far: a whole one is passed over. */
  #marks = 0
  #isBehindMark = false

  constructor(json: () => Json, csv: () => Csv) {
    this.#json = json
    this.#csv = csv
  }

  write(chunk: Uint8Array): void {
    if (this.#form !== undefined) {
      this.#form.write(chunk)
      return
    }
    let start = this.#isBehindMark ? 0 : this.#passMark(chunk)
    if (!this.#isBehindMark) return
    const isMarkBroken = this.#marks > 0 && this.#marks < BYTE_ORDER_MARK.length
    while (!isMarkBroken && start < chunk.length && isSpace(chunk[start])) start++
    const first = chunk[start]
    if (first === undefined) return
    this.#form = !isMarkBroken && (first === OPEN_BRACE || first === OPEN_BRACKET) ? this.#json() : this.#csv()
    if (isMarkBroken) this.#form.write(BYTE_ORDER_MARK.subarray(0, this.#marks)) // it was none: part of what isn't UTF-8
    this.#form.write(chunk.subarray(start))
  }

  /** @returns where what is behind the mark begins */
  #passMark(chunk: Uint8Array): number {
    let at = 0
    while (at < chunk.length && this.#marks < BYTE_ORDER_MARK.length && chunk[at] === BYTE_ORDER_MARK[this.#marks]) {
      this.#marks++
      at++
    }
    this.#isBehindMark = at < chunk.length || this.#marks === BYTE_ORDER_MARK.length
    return at
  }

  end(): void {
    this.#form ??= this.#json() // an empty file: which form it was to be is not known
    this.#form.end()
  }
}

export class ContentReader {
  readonly #builder = new TableBuilder()
  readonly #csv: CsvIdentity
  readonly #form = new FormReader(
    () => this.#json(),
    () => this.#csvForm(),
  )
  #ended = false

  constructor(csv: CsvIdentity) {
    this.#csv = csv
  }

  write(chunk: Uint8Array): void {
    if (!this.#builder.isHopeless) this.#form.write(chunk)
  }

  /** After the last chunk: call it until it gives the table. Each call takes some milliseconds at most. @throws TableFault */
  step(): TableContent | undefined {
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
