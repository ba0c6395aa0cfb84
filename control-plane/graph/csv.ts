// CSV as reports have it (RFC 4180): quoted fields with commas, quotes and line ends, a byte order mark, CRLF or LF; chunk by chunk, with bounds on
// what one field and one row may hold. Pure.

const MAX_FIELD_LENGTH = 65_536
const MAX_FIELDS = 500

/** It is no CSV, or not one of ours. The message holds nothing of it. */
export class CsvFault extends Error {
  override readonly name = 'CsvFault'
}

/** Takes text, gives rows of fields. Chunks may end anywhere. */
export class CsvReader {
  #row: string[] = []
  #field = ''
  /** `quote`: in a quoted field, behind a quote that ends it or is the first of two. */
  #at: 'start' | 'plain' | 'quoted' | 'quote' = 'start'
  #isAfterReturn = false
  #isBegun = false

  /** @throws CsvFault */
  push(text: string): string[][] {
    const rows: string[][] = []
    for (const character of this.#isBegun ? text : text.replace(/^\uFEFF/, '')) this.#take(character, rows)
    if (text !== '') this.#isBegun = true
    return rows
  }

  /** The last row, when no line end closed it. @throws CsvFault */
  end(): string[][] {
    if (this.#at === 'quoted') throw new CsvFault('a quoted field does not end')
    if (this.#at === 'start' && this.#row.length === 0) return []
    const rows: string[][] = []
    this.#endRow(rows)
    return rows
  }

  #take(character: string, rows: string[][]): void {
    const wasAfterReturn = this.#isAfterReturn
    this.#isAfterReturn = false
    if (this.#at === 'quoted') {
      if (character === '"') this.#at = 'quote'
      else this.#append(character)
      return
    }
    switch (character) {
      case ',':
        this.#endField()
        return
      case '\r':
        this.#isAfterReturn = true
        this.#endRow(rows)
        return
      case '\n':
        if (!wasAfterReturn) this.#endRow(rows)
        return
      case '"':
        if (this.#at === 'quote') this.#append('"')
        else if (this.#at === 'plain') throw new CsvFault('a quote stands inside a field that has none around it')
        this.#at = 'quoted'
        return
      default:
        if (this.#at === 'quote') throw new CsvFault('something stands behind a quoted field')
        this.#at = 'plain'
        this.#append(character)
    }
  }

  #append(character: string): void {
    if (this.#field.length >= MAX_FIELD_LENGTH) throw new CsvFault('a field is too long')
    this.#field += character
  }

  #endField(): void {
    if (this.#row.length >= MAX_FIELDS) throw new CsvFault('a row has too many fields')
    this.#row.push(this.#field)
    this.#field = ''
    this.#at = 'start'
  }

  /** An empty line is none. */
  #endRow(rows: string[][]): void {
    if (this.#at === 'start' && this.#row.length === 0) return
    this.#endField()
    rows.push(this.#row)
    this.#row = []
  }
}
