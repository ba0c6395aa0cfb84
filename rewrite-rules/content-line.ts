// Content lines of iCalendar (RFC 5545 §3.1): unfolding for reading, folding for a line that changes (R64), and where a property line has
// its parameters and its value.
import { Buffer } from 'node:buffer'
import { HIDDEN_BYTE } from './charset.ts'
import type { TextBytes } from './charset.ts'
import type { Replacement } from './found-address.ts'
import type { Span } from './address-list.ts'
import type { Piece, Splice } from './splice.ts'

/** rewriting.md §12: octets without folds. */
export const MAX_CONTENT_LINE_OCTETS = 256 * 1024
// A line can be all folds; what is read of it must be bounded too.
const MAX_FOLDED_OCTETS = 4 * MAX_CONTENT_LINE_OCTETS
const MAX_OUTPUT_LINE_OCTETS = 75

const TAB = 0x09
const LF = 0x0a
const CR = 0x0d
const SPACE = 0x20
const QUOTE = 0x22
const COMMA = 0x2c
const COLON = 0x3a
const SEMICOLON = 0x3b
const EQUALS = 0x3d

/** Where a content line is in its text; `end` is before its line break. */
export interface ContentLine {
  readonly start: number
  readonly end: number
}

/** Walks over the content lines of a text. */
export class ContentLines {
  readonly #bytes: Buffer
  #at: number

  constructor(bytes: Buffer) {
    this.#bytes = bytes
    // A byte order mark is no part of the first line.
    this.#at = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0
  }

  /** @returns the next line, 'too long', or undefined at the end */
  next(): ContentLine | 'too long' | undefined {
    const bytes = this.#bytes
    const start = this.#at
    if (start >= bytes.length) return undefined
    let unfolded = 0
    for (let from = start; ;) {
      const lf = bytes.indexOf(LF, from)
      const end = lf < 0 ? bytes.length : lf > from && bytes[lf - 1] === CR ? lf - 1 : lf
      unfolded += end - from
      const next = lf < 0 ? bytes.length : lf + 1
      if (unfolded > MAX_CONTENT_LINE_OCTETS || next - start > MAX_FOLDED_OCTETS) return 'too long'
      if (bytes[next] !== SPACE && bytes[next] !== TAB) {
        this.#at = next
        return { start, end }
      }
      from = next + 1
    }
  }
}

/** A content line without its folds, as latin1 text, and how its offsets go back into the bytes. */
export interface UnfoldedLine extends ContentLine {
  readonly text: string
  /** Offset in `text` and in the bytes of each piece between folds. */
  readonly segments: readonly { readonly text: number; readonly bytes: number }[]
}

export function unfold(bytes: Buffer, { start, end }: ContentLine): UnfoldedLine {
  const segments = [{ text: 0, bytes: start }]
  let text = ''
  for (let from = start; ;) {
    const lf = bytes.indexOf(LF, from)
    if (lf < 0 || lf >= end) {
      text += bytes.toString('latin1', from, end)
      return { start, end, text, segments }
    }
    text += bytes.toString('latin1', from, lf > from && bytes[lf - 1] === CR ? lf - 1 : lf)
    from = lf + 2
    segments.push({ text: text.length, bytes: from })
  }
}

/**
 * The line with `replacements`, written again: folded at 75 octets with the line break of the line before it (R48, R64).
 * @param replacements  ascending, offsets into `line.text`
 */
export function refold(text: TextBytes, line: UnfoldedLine, replacements: readonly Replacement[]): Splice {
  const runs: Run[] = []
  let changed = ''
  let from = 0
  const add = (run: Run, added: string): void => {
    if (added === '') return
    runs.push(run)
    changed += added
  }
  for (const { start, end, text: added } of replacements) {
    add({ at: changed.length, from }, line.text.slice(from, start))
    add({ at: changed.length, from: undefined }, added)
    from = end
  }
  add({ at: changed.length, from }, line.text.slice(from))
  const fold: Piece[] = [
    { added: lineBreakBefore(text.bytes, line), isLineBreak: true },
    { added: ' ', isLineBreak: false },
  ]
  const pieces: Piece[] = []
  const cuts = [...foldPositions(changed, text.characters), changed.length]
  const toBytes = byteLocator(line)
  let at = 0
  let run = 0
  for (const cut of cuts) {
    if (at > 0) pieces.push(...fold)
    while (at < cut) {
      const current = runs[run]
      if (current === undefined) throw new Error('unreachable: a folded line is made of runs')
      const end = Math.min(cut, runs[run + 1]?.at ?? changed.length)
      if (current.from === undefined) {
        pieces.push({ added: changed.slice(at, end), isLineBreak: false })
      } else toBytes(current.from + at - current.at, current.from + end - current.at, pieces)
      at = end
      if (at === (runs[run + 1]?.at ?? -1)) run++
    }
  }
  return { start: line.start, end: line.end, pieces }
}

/** Text of a changed line from `at` on: kept, from offset `from` of the unfolded line on, or new. */
interface Run {
  readonly at: number
  readonly from: number | undefined
}

/** Turns ranges of the unfolded text, which must ascend, into pieces of the bytes. */
function byteLocator({ segments }: UnfoldedLine): (from: number, to: number, pieces: Piece[]) => void {
  let index = 0
  return (from, to, pieces) => {
    for (let at = from; at < to;) {
      while ((segments[index + 1]?.text ?? Infinity) <= at) index++
      const segment = segments[index]
      if (segment === undefined) throw new Error('unreachable: a line has a segment')
      const end = Math.min(to, segments[index + 1]?.text ?? to)
      pieces.push({ from: segment.bytes + at - segment.text, to: segment.bytes + end - segment.text })
      at = end
    }
  }
}

/** Offsets at which to fold: lines of at most 75 octets with the space they begin with, but characters stay whole. */
function foldPositions(text: string, characters: TextBytes['characters']): number[] {
  const positions: number[] = []
  let limit = MAX_OUTPUT_LINE_OCTETS
  for (let start = 0; text.length - start > limit;) {
    const cut = characterStart(text, start, start + limit, characters)
    if (cut === text.length) break
    positions.push(cut)
    start = cut
    limit = MAX_OUTPUT_LINE_OCTETS - 1
  }
  return positions
}

/** The last start of a character in (start, at], or the first after it when there is none. */
function characterStart(text: string, start: number, at: number, characters: TextBytes['characters']): number {
  if (characters === 'single-byte') return at
  const isInside = (offset: number): boolean => {
    const code = text.charCodeAt(offset)
    return characters === 'hidden' ? code === HIDDEN_BYTE : (code & 0xc0) === 0x80
  }
  let cut = at
  while (cut > start && isInside(cut)) cut--
  // More than three bytes that look like the rest of a sequence are no UTF-8.
  if (characters === 'utf-8') return at - cut > 3 ? at : cut
  if (cut > start) return cut
  for (cut = at; cut < text.length && isInside(cut);) cut++
  return cut
}

function lineBreakBefore(bytes: Buffer, { start }: ContentLine): string {
  const lf = bytes[start - 1] === LF ? start - 1 : bytes.indexOf(LF, start)
  return lf >= 0 && bytes[lf - 1] !== CR ? '\n' : '\r\n'
}

export interface PropertyParameter {
  /** In upper case. */
  readonly name: string
  readonly values: readonly ParameterValue[]
}

/** Without its quotes. */
export interface ParameterValue extends Span {
  readonly quoted: boolean
}

export interface PropertyLine {
  readonly parameters: readonly PropertyParameter[]
  readonly value: Span
}

/** Upper-case name of the property a content line sets, '' when it sets none. */
export function propertyName(text: string): string {
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === COLON || code === SEMICOLON) return text.slice(0, at).trim().toUpperCase()
  }
  return ''
}

/**
 * Parameters and value of a property line. A quote that isn't closed is an ordinary character, and the colon of `mailto:` doesn't end an
 * unquoted parameter value (R61).
 * @returns undefined for a line without a value
 */
export function parsePropertyLine(text: string): PropertyLine | undefined {
  const parameters: PropertyParameter[] = []
  const lastQuote = text.lastIndexOf('"')
  let at = 0
  const skipTo = (isEnd: (code: number) => boolean): void => {
    while (at < text.length && !isEnd(text.charCodeAt(at))) at++
  }
  skipTo((code) => code === SEMICOLON || code === COLON)
  while (text.charCodeAt(at) === SEMICOLON) {
    const nameStart = ++at
    skipTo((code) => code === EQUALS || code === SEMICOLON || code === COLON)
    const name = text.slice(nameStart, at).trim().toUpperCase()
    if (text.charCodeAt(at) !== EQUALS) continue
    const values: ParameterValue[] = []
    do {
      const start = ++at
      if (text.charCodeAt(at) === QUOTE && at < lastQuote) {
        const end = text.indexOf('"', at + 1)
        values.push({ start: start + 1, end, quoted: true })
        at = end + 1
        // What stands between the quote and the next separator is nothing we know.
        skipTo((code) => code === COMMA || code === SEMICOLON || code === COLON)
      } else {
        if (isMailto(text, at)) at += MAILTO.length
        skipTo((code) => code === COMMA || code === SEMICOLON || code === COLON)
        values.push({ start, end: at, quoted: false })
      }
    } while (text.charCodeAt(at) === COMMA)
    parameters.push({ name, values })
  }
  return text.charCodeAt(at) === COLON ? { parameters, value: { start: at + 1, end: text.length } } : undefined
}

export const MAILTO = 'mailto:'

export function isMailto(text: string, at: number): boolean {
  return text.slice(at, at + MAILTO.length).toLowerCase() === MAILTO
}
