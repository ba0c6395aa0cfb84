// CSV as it comes in (RFC 4180), whatever its columns: a header line that names them, then rows of as many cells. Columns are separated by `,`, or
// by `;` as spreadsheets of many countries do it. No more than a chunk and a row is in memory; what is told has its place.
import { Buffer } from 'node:buffer'
import { restoreCell } from './csv-cell.ts'
import type { Place } from './text-place.ts'

export interface CsvColumns<Column extends string> {
  /** All there can be, in lower case. */
  readonly columns: readonly Column[]
  readonly required: readonly Column[]
}

/** What is told of the file; rows count from 1, which is the header line. */
export interface CsvRowHandler<Column extends string> {
  /** As many cells as columns, which are those of the header line in its order. */
  row(cells: readonly string[], columns: readonly Column[], row: number): void
  syntaxError(row: number, value: string, reason: string): void
}

/** No row is as large; bounds what is held. */
const MAX_ROW_CHARACTERS = 4 * 1024 * 1024
const NOT_UTF8 = 'not UTF-8'
/** A byte order mark at the head of the file is gone already; anywhere else it is a character. */
const UTF8 = { fatal: true, ignoreBOM: true }

export class CsvRows<Column extends string> {
  readonly #known: CsvColumns<Column>
  readonly #handler: CsvRowHandler<Column>
  readonly #decoder = new TextDecoder('utf-8', UTF8)
  /** Octets of a character that the last chunk left unfinished: the decoder holds them too, until it finds a fault. */
  #unfinished: Uint8Array = new Uint8Array(0)
  #separator = ','
  #columns: readonly Column[] | undefined
  #row = 1
  #cells: string[] = []
  /** Pieces of the cell at hand from earlier chunks. */
  #cell: string[] = []
  /** Characters of the row at hand in earlier chunks. */
  #size = 0
  #place: 'start' | 'plain' | 'quoted' | 'quote-in-quoted' = 'start'
  #isBroken = false
  #line = 1
  /** Characters of the line at hand before the text at hand. */
  #lineOffset = 0
  /** Where the cells of the row at hand begin, and the row itself. */
  #places: Place[] = []
  #rowPlace: Place = { line: 1, column: 1 }

  constructor(known: CsvColumns<Column>, handler: CsvRowHandler<Column>) {
    this.#known = known
    this.#handler = handler
  }

  /** Whether the text can't be read on. */
  get isBroken(): boolean {
    return this.#isBroken
  }

  /** Where a column's cell begins, or the row, of the row that is being told. */
  placeOf(column: string): Place {
    const index = this.#columns?.findIndex((name) => name === column) ?? -1
    return this.#places[index] ?? this.#rowPlace
  }

  write(chunk: Uint8Array): void {
    if (this.#isBroken) return
    try {
      this.#read(this.#decoder.decode(chunk, { stream: true }))
      this.#unfinished = unfinishedCharacter(this.#unfinished, chunk)
    } catch (error) {
      if (!(error instanceof TypeError)) throw error
      // What comes before it is read first: which fault is told must not depend on where the chunks are cut.
      this.#read(decodeUpToFault(Buffer.concat([this.#unfinished, chunk])))
      this.#fail('', NOT_UTF8)
    }
  }

  end(): void {
    if (this.#isBroken) return
    if (this.#unfinished.length > 0) this.#fail('', NOT_UTF8)
    else if (this.#place === 'quoted') this.#fail('', 'a quoted cell is not closed')
    else if (this.#cells.length > 0 || this.#place !== 'start') {
      this.#endCell()
      this.#endRow()
    }
    if (!this.#isBroken && this.#columns === undefined) this.#fail('', 'a header line is expected')
  }

  #read(text: string): void {
    let start = 0
    let rowStart = 0
    let lineStart = -this.#lineOffset
    const beginCell = (at: number): void => void this.#places.push({ line: this.#line, column: at - lineStart + 1 })
    const endLine = (at: number): void => {
      this.#line++
      lineStart = at + 1
    }
    const take = (end: number): void => {
      if (end > start) this.#cell.push(text.slice(start, end))
    }
    for (let i = 0; i < text.length && !this.#isBroken; i++) {
      const character = text[i]
      if (this.#place === 'quoted') {
        if (character === '\n') endLine(i)
        if (character !== '"') continue
        take(i)
        start = i + 1
        this.#place = 'quote-in-quoted'
      } else if (this.#place === 'quote-in-quoted' && character === '"') {
        start = i // the second of two quotes stands for one
        this.#place = 'quoted'
      } else if (this.#place === 'start' && character === '"') {
        beginCell(i)
        start = i + 1
        this.#place = 'quoted'
      } else if (character === '\n' || this.#isSeparator(character)) {
        if (this.#place === 'plain') take(i)
        else if (this.#place === 'start') beginCell(i)
        start = i + 1
        this.#endCell()
        if (character !== '\n') continue
        this.#size += i - rowStart
        rowStart = i + 1
        if (this.#isTooLarge()) return
        endLine(i)
        this.#endRow()
        this.#rowPlace = { line: this.#line, column: 1 }
      } else if (this.#place === 'start') {
        if (character === ' ') start = i + 1
        else {
          beginCell(i)
          this.#place = 'plain'
        }
      } else if (this.#place === 'quote-in-quoted' && character !== '\r' && character !== ' ') {
        this.#fail(this.#cell.join(''), 'text after a quoted cell')
      }
    }
    if (this.#place === 'plain' || this.#place === 'quoted') take(text.length)
    this.#size += text.length - rowStart
    this.#lineOffset = text.length - lineStart
    this.#isTooLarge()
  }

  #isTooLarge(): boolean {
    if (this.#size <= MAX_ROW_CHARACTERS) return false
    this.#fail('', `a row of more than ${MAX_ROW_CHARACTERS} characters`)
    return true
  }

  /** The header line shows which character separates: no column name holds one. */
  #isSeparator(character: string | undefined): boolean {
    if (this.#columns === undefined && this.#cells.length === 0 && character === ';') this.#separator = ';'
    return character === this.#separator
  }

  #endCell(): void {
    this.#cells.push(restoreCell(this.#cell.join('').trim()))
    this.#cell = []
    this.#place = 'start'
  }

  #endRow(): void {
    const cells = this.#cells
    this.#cells = []
    this.#size = 0
    if (this.#columns === undefined) this.#readHeader(cells)
    else if (cells.some((cell) => cell !== '')) this.#readRow(cells, this.#columns)
    this.#row++
    this.#places = []
  }

  #readHeader(cells: readonly string[]): void {
    const { columns: known, required } = this.#known
    const columns = cells.map((cell) => known.find((column) => column === cell.toLowerCase()))
    const unknown = columns.indexOf(undefined)
    if (unknown >= 0) this.#fail(cells[unknown] ?? '', `a column is one of ${known.join(', ')}`)
    else if (new Set(columns).size < columns.length) this.#fail(cells.join(), 'a column stands there twice')
    else if (!required.every((column) => columns.includes(column))) {
      this.#fail(cells.join(), `the columns ${required.join(', ')} are needed`)
    } else this.#columns = columns.filter((column) => column !== undefined)
  }

  #readRow(cells: readonly string[], columns: readonly Column[]): void {
    if (cells.length === columns.length) this.#handler.row(cells, columns, this.#row)
    else this.#handler.syntaxError(this.#row, cells.join(this.#separator), `${columns.length} cells are expected`)
  }

  #fail(value: string, reason: string): void {
    if (this.#isBroken) return
    this.#isBroken = true
    this.#handler.syntaxError(this.#row, value, reason)
  }
}

/** The octets at the end that begin a character and don't complete it. Both together are UTF-8 so far. */
function unfinishedCharacter(before: Uint8Array, chunk: Uint8Array): Uint8Array {
  // Three at most: four complete any character.
  const bytes = Buffer.concat([before, chunk.subarray(Math.max(0, chunk.length - 3))])
  for (let length = 1; length <= 3 && length <= bytes.length; length++) {
    const byte = bytes[bytes.length - length] ?? 0
    if (byte < 0x80) break
    if (byte < 0xc0) continue // goes on with a character
    const needed = byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4
    return length < needed ? bytes.subarray(bytes.length - length) : new Uint8Array(0)
  }
  return new Uint8Array(0)
}

/** The text before the first octet that is not UTF-8. */
function decodeUpToFault(bytes: Uint8Array): string {
  let [good, bad] = [0, bytes.length]
  while (bad - good > 1) {
    const middle = (good + bad) >>> 1
    if (decodeBeginning(bytes.subarray(0, middle)) === undefined) bad = middle
    else good = middle
  }
  return decodeBeginning(bytes.subarray(0, good)) ?? ''
}

/** undefined where it is not UTF-8; a character that is cut off at the end is left out. */
function decodeBeginning(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', UTF8).decode(bytes, { stream: true })
  } catch {
    return undefined // the one thing it throws is what is asked here
  }
}
