// Folds a physical header line that rewriting has made longer than a line may be (R42; RFC 5322 §2.1.1, RFC 6532 §3.4).
import { scanAddressList } from './address-list.ts'

/** RFC 5322 §2.1.1, without the line break. */
export const MAX_LINE = 998

/** Where rewriting has written in a field, and by how much that made its line longer (negative: shorter). */
export interface Growth {
  readonly at: number
  readonly bytes: number
}

/** A place where a fold may be: a line break is put before `at`, and a space after that break where there is no white space yet. */
export interface FoldPlace {
  readonly at: number
  readonly needsSpace: boolean
}

/**
 * Folds the lines of a rewritten field that grew beyond `MAX_LINE`, as late as possible; one without such a place stays long.
 *
 * @param field  the whole field as latin1 text, with its last line break
 * @param growths  in ascending order
 * @param places  in ascending order
 * @param lineBreakBefore  that of the line before the field; undefined in the first field
 * @returns `field` itself where nothing is folded
 */
export function refold(
  field: string,
  growths: readonly Growth[],
  places: readonly FoldPlace[],
  lineBreakBefore: string | undefined,
): string {
  let folded = ''
  let copied = 0
  let growthIndex = 0
  let placeIndex = 0
  let lineBreak = lineBreakBefore
  for (let lineStart = 0; lineStart < field.length;) {
    const lf = field.indexOf('\n', lineStart)
    const nextLine = lf < 0 ? field.length : lf + 1
    const lineEnd = lf < 0 ? nextLine : lf > lineStart && field[lf - 1] === '\r' ? lf - 1 : lf
    let grown = 0
    for (
      let growth = growths[growthIndex];
      growth !== undefined && growth.at < nextLine;
      growth = growths[++growthIndex]
    ) {
      grown += growth.bytes
    }
    const ownBreak = field.slice(lineEnd, nextLine)
    if (grown > 0) {
      const addedBreak = lineBreak ?? (ownBreak === '' ? '\r\n' : ownBreak)
      let from = lineStart
      let indent = 0
      while (lineEnd - from + indent > MAX_LINE) {
        let place: FoldPlace | undefined
        for (let next = places[placeIndex]; next !== undefined; next = places[++placeIndex]) {
          if (next.at - from + indent > MAX_LINE || next.at > lineEnd) break
          if (next.at > from) place = next
        }
        if (place === undefined) break
        folded += `${field.slice(copied, place.at)}${addedBreak}${place.needsSpace ? ' ' : ''}`
        copied = from = place.at
        indent = place.needsSpace ? 1 : 0
      }
    }
    lineBreak = ownBreak
    lineStart = nextLine
  }
  return copied === 0 ? field : folded + field.slice(copied)
}

/** Fold places between the addresses of the list text[start, end): beside what separates them, or at the white space that alone does. */
export function placesInAddressList(text: string, start: number, end: number): FoldPlace[] {
  const { addresses, separators } = scanAddressList(text, start, end)
  const places: FoldPlace[] = []
  let separatorIndex = 0
  let previousEnd: number | undefined
  for (const address of addresses) {
    let hasSeparator = false
    for (
      let at = separators[separatorIndex];
      at !== undefined && at < address.start;
      at = separators[++separatorIndex]
    ) {
      if (previousEnd === undefined) continue
      hasSeparator = true
      addPlace(places, placeAtSeparator(text, at))
    }
    if (previousEnd !== undefined && !hasSeparator) {
      const afterBracket = text[previousEnd] === '>' ? previousEnd + 1 : previousEnd
      if (isFoldableSpace(text, afterBracket)) addPlace(places, { at: afterBracket, needsSpace: false })
    }
    previousEnd = address.end
  }
  return places
}

/** Fold places between the URIs of a list as RFC 2369 §2 writes it: never inside angle brackets (R36). */
export function placesInUriList(text: string, start: number, end: number): FoldPlace[] {
  const places: FoldPlace[] = []
  let isInBrackets = false
  let hasUri = false
  for (let at = start; at < end; at++) {
    if (text[at] === '<') isInBrackets = true
    else if (text[at] === '>') {
      isInBrackets = false
      hasUri = true
    } else if (text[at] === ',' && !isInBrackets && hasUri && text.indexOf('<', at) >= 0) {
      addPlace(places, placeAtSeparator(text, at))
    }
  }
  return places
}

function addPlace(places: FoldPlace[], place: FoldPlace | undefined): void {
  if (place !== undefined) places.push(place)
}

/** Before white space after the separator, else before white space in front of it, else after it; undefined where a fold is already. */
function placeAtSeparator(text: string, at: number): FoldPlace | undefined {
  if (isFoldableSpace(text, at + 1)) return { at: at + 1, needsSpace: false }
  if (isLineEnd(text, skipSpace(text, at + 1))) return undefined
  let before = at
  while (isSpace(text, before - 1)) before--
  // White space that a line begins with is its fold already.
  if (before < at && text[before - 1] !== '\n') return { at: before, needsSpace: false }
  return { at: at + 1, needsSpace: true }
}

/** White space with something after it on its line: a break before it leaves no line of white space only. */
function isFoldableSpace(text: string, at: number): boolean {
  return isSpace(text, at) && !isLineEnd(text, skipSpace(text, at))
}

function isSpace(text: string, at: number): boolean {
  return text[at] === ' ' || text[at] === '\t'
}

function skipSpace(text: string, start: number): number {
  let at = start
  while (isSpace(text, at)) at++
  return at
}

function isLineEnd(text: string, at: number): boolean {
  return at >= text.length || text[at] === '\n' || (text[at] === '\r' && text[at + 1] === '\n')
}
