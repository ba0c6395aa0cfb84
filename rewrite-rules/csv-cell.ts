// Cells of the CSV form of a table, both ways. A cell may hold several values, and it may begin with a character that spreadsheets take for
// the beginning of a formula (WS-3): such a cell is written behind an apostrophe, which is taken away again when it is read.

/** What a spreadsheet runs, and the apostrophe itself where taking it away would be wrong. */
const NEUTRALISED = /^(?:[=+\-@\t\r]|'['=+\-@\t\r])/
const IS_NEUTRAL = /^'['=+\-@\t\r]/

/** A cell as it is written into a file: harmless to spreadsheets, quoted where it must be (RFC 4180). */
export function formatCell(text: string): string {
  const safe = NEUTRALISED.test(text) ? `'${text}` : text
  return /[",;\r\n]|^\s|\s$/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}

/** @param text  without the quotes of RFC 4180 and the white space around */
export function restoreCell(text: string): string {
  return IS_NEUTRAL.test(text) ? text.slice(1) : text
}

/** Several values as one cell's text. One with a `;` or with spaces at its ends is quoted within the cell. */
export function joinValues(values: readonly string[]): string {
  return values.map((value) => (needsQuotes(value) ? `"${value.replaceAll('"', '""')}"` : value)).join(';')
}

function needsQuotes(value: string): boolean {
  return /;|^\s|\s$/.test(value) || (value.startsWith('"') && value.endsWith('"'))
}

/** The values of a cell: separated by `;`, without the spaces around, empty ones left out. */
export function splitValues(cell: string): string[] {
  const values: string[] = []
  for (let at = 0; at <= cell.length;) {
    while (cell[at] === ' ') at++
    const quoted = cell[at] === '"' ? readQuoted(cell, at) : undefined
    const end = quoted?.end ?? endOfValue(cell, at)
    const value = quoted?.text ?? cell.slice(at, end).trim()
    if (quoted !== undefined || value !== '') values.push(value)
    at = end + 1
  }
  return values
}

function endOfValue(cell: string, at: number): number {
  const end = cell.indexOf(';', at)
  return end < 0 ? cell.length : end
}

/** undefined where the quotes don't enclose the whole value, as with the local part of `"a b"@x.example`. */
function readQuoted(cell: string, start: number): { text: string; end: number } | undefined {
  let text = ''
  for (let at = start + 1, from = at; ; at++) {
    const quote = cell.indexOf('"', at)
    if (quote < 0) return undefined
    at = quote + 1
    if (cell[at] === '"') {
      text += cell.slice(from, at)
      from = at + 1
      continue
    }
    text += cell.slice(from, quote)
    while (cell[at] === ' ') at++
    return at === cell.length || cell[at] === ';' ? { text, end: at } : undefined
  }
}
