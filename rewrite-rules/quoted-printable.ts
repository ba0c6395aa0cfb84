// Quoted-printable (RFC 2045 §6.7), decoded so that a change of the octets is written into the encoded lines it touches and no others (R54).
import { Buffer } from 'node:buffer'
import type { DecodedBody, Splice } from './splice.ts'

const MAX_LINE = 76

const TAB = 0x09
const LF = 0x0a
const CR = 0x0d
const SPACE = 0x20
const EQUALS = 0x3d

/**
 * @param lineBreak  of soft breaks that are added
 * @param maxOctets  where decoding may end, because a body with more is not wanted
 */
export function decodeQuotedPrintable(body: Buffer, lineBreak: string, maxOctets: number): DecodedBody {
  const octets = Buffer.allocUnsafe(body.length)
  let length = 0
  let isSuspicious = false
  for (let start = 0; start < body.length && length <= maxOctets;) {
    const { contentEnd, isSoft, breakStart, end } = readLine(body, start)
    for (let at = start; at < contentEnd; at++) {
      const byte = body[at] ?? 0
      const octet = byte === EQUALS ? hexOctet(body, at + 1) : byte
      // An = that encodes nothing stands for itself (RFC 2045 §6.7, note 2), as do 8-bit octets.
      if (octet < 0 || byte >= 0x80) isSuspicious = true
      octets[length++] = octet < 0 ? byte : octet
      if (byte === EQUALS && octet >= 0) at += 2
    }
    if (!isSoft) length += body.copy(octets, length, breakStart, end)
    start = end
  }
  return {
    octets: octets.subarray(0, length),
    isSuspicious,
    encode: (splices) => encodeChanged(body, splices, `=${lineBreak}`),
  }
}

interface EncodedLine {
  /** After the last character that stands for an octet. */
  readonly contentEnd: number
  readonly isSoft: boolean
  readonly breakStart: number
  readonly end: number
}

/** The line that starts at `start`. White space at its end was added on the way and counts for nothing (RFC 2045 §6.7 (3)). */
function readLine(body: Buffer, start: number): EncodedLine {
  const lf = body.indexOf(LF, start)
  const end = lf < 0 ? body.length : lf + 1
  const breakStart = lf < 0 ? end : lf > start && body[lf - 1] === CR ? lf - 1 : lf
  let contentEnd = breakStart
  while (contentEnd > start && (body[contentEnd - 1] === SPACE || body[contentEnd - 1] === TAB)) contentEnd--
  const isSoft = contentEnd > start && body[contentEnd - 1] === EQUALS
  return { contentEnd: isSoft ? contentEnd - 1 : contentEnd, isSoft, breakStart, end }
}

/** The octet of the two hexadecimal digits at `at`; -1 where there are none. */
function hexOctet(body: Buffer, at: number): number {
  const high = hexDigit(body[at])
  const low = hexDigit(body[at + 1])
  return high < 0 || low < 0 ? -1 : high * 16 + low
}

function hexDigit(byte: number | undefined): number {
  if (byte === undefined) return -1
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const upper = byte & ~0x20
  return upper >= 0x41 && upper <= 0x46 ? upper - 0x37 : -1
}

/** How a new octet is written; white space at the end of a line is the writer's care. */
function spell(octet: number): string {
  const isLiteral = (octet > SPACE && octet < 0x7f && octet !== EQUALS) || octet === SPACE || octet === TAB
  return isLiteral ? String.fromCharCode(octet) : escape(octet)
}

function escape(octet: number): string {
  return `=${octet.toString(16).toUpperCase().padStart(2, '0')}`
}

/** @param softBreak  with its = */
function encodeChanged(body: Buffer, splices: readonly Splice[], softBreak: string): Buffer {
  const parts: Buffer[] = []
  let copied = 0
  const lines = new LineCursor(body)
  for (let i = 0; i < splices.length;) {
    lines.goTo(splices[i]?.start ?? 0)
    const { start, firstOctet } = lines
    const region: Splice[] = []
    // Splices that share an encoded line are written together.
    for (
      let splice = splices[i];
      splice !== undefined && (region.length === 0 || lines.has(splice.start));
      splice = splices[i]
    ) {
      lines.goTo(splice.end)
      region.push(splice)
      i++
    }
    parts.push(body.subarray(copied, start), writeRegion(body, region, { start, firstOctet, last: lines, softBreak }))
    copied = lines.line.end
  }
  parts.push(body.subarray(copied))
  return Buffer.concat(parts)
}

/** Goes through the lines of a body by the octets that they stand for. */
class LineCursor {
  readonly #body: Buffer
  start = 0
  firstOctet = 0
  line: EncodedLine
  #octets: number

  constructor(body: Buffer) {
    this.#body = body
    this.line = readLine(body, 0)
    this.#octets = countOctets(body, 0, this.line)
  }

  get nextOctet(): number {
    return this.firstOctet + this.#octets
  }

  /** Whether `octet` is in this line; the end of all octets is in the last. */
  has(octet: number): boolean {
    return octet < this.nextOctet || this.line.end === this.#body.length
  }

  /** Goes on to the line that has `octet`. */
  goTo(octet: number): void {
    while (!this.has(octet)) {
      this.firstOctet = this.nextOctet
      this.start = this.line.end
      this.line = readLine(this.#body, this.start)
      this.#octets = countOctets(this.#body, this.start, this.line)
    }
  }
}

function countOctets(body: Buffer, start: number, { contentEnd, isSoft, breakStart, end }: EncodedLine): number {
  let count = isSoft ? 0 : end - breakStart
  for (let at = start; at < contentEnd; at++, count++) {
    if (body[at] === EQUALS && hexOctet(body, at + 1) >= 0) at += 2
  }
  return count
}

/** Consecutive lines, the last of which a cursor is at. */
interface Region {
  readonly start: number
  readonly firstOctet: number
  readonly last: LineCursor
  readonly softBreak: string
}

/** Writes the lines of a region again with `splices`, all of which are in them. */
function writeRegion(body: Buffer, splices: readonly Splice[], { start, firstOctet, last, softBreak }: Region): Buffer {
  const { isSoft, contentEnd, breakStart, end: lineEnd } = last.line
  const regionEnd = last.nextOctet - (isSoft ? 0 : lineEnd - breakStart)
  const spelling = new Spelling(body, start, firstOctet)
  const writer = new LineWriter(softBreak)
  for (const { start: from, end, pieces } of splices) {
    spelling.copyTo(from, writer)
    // Where the line break after this splice is spelled =0D=0A, those in it are too.
    const breaksAreLiteral = !isSoft && end === regionEnd
    for (const piece of pieces) {
      if ('from' in piece) {
        spelling.copyTo(piece.from)
        spelling.copyTo(piece.to, writer)
      } else if (piece.isLineBreak && breaksAreLiteral) writer.addLineBreak(piece.added)
      else for (const octet of Buffer.from(piece.added, 'latin1')) writer.add(spell(octet))
    }
    spelling.copyTo(end)
  }
  spelling.copyTo(regionEnd, writer)
  const terminator = body.subarray(isSoft ? contentEnd : breakStart, lineEnd)
  return Buffer.concat([Buffer.from(writer.finish(isSoft), 'latin1'), terminator])
}

/** Walks over octets in the spelling they have in the body. */
class Spelling {
  readonly #body: Buffer
  #line: EncodedLine
  #at: number
  #octet: number

  /** @param start  of the line whose first octet is number `octet` */
  constructor(body: Buffer, start: number, octet: number) {
    this.#body = body
    this.#line = readLine(body, start)
    this.#at = start
    this.#octet = octet
  }

  /** Goes on to `octet`; what lies between is written to `writer`, if there is one, else left out. */
  copyTo(octet: number, writer?: LineWriter): void {
    while (this.#octet < octet) {
      const { contentEnd, isSoft, breakStart, end } = this.#line
      if (this.#at < contentEnd) this.#copyOne(writer)
      else {
        if (!isSoft) {
          writer?.addLineBreak(this.#body.toString('latin1', breakStart, end))
          this.#octet += end - breakStart
        }
        this.#at = end
        this.#line = readLine(this.#body, end)
      }
    }
  }

  #copyOne(writer: LineWriter | undefined): void {
    const byte = this.#body[this.#at] ?? 0
    const isEscape = byte === EQUALS && hexOctet(this.#body, this.#at + 1) >= 0
    // What stands for itself though it shouldn't is written in the clean form.
    writer?.add(isEscape ? this.#body.toString('latin1', this.#at, this.#at + 3) : spell(byte))
    this.#at += isEscape ? 3 : 1
    this.#octet++
  }
}

/** Puts spelled octets into lines of at most 76 characters. */
class LineWriter {
  readonly #softBreak: string
  #text = ''
  #column = 0
  /** The last octet: whether a soft break must fit after it is known with the next one. */
  #last = ''

  /** @param softBreak  with its = */
  constructor(softBreak: string) {
    this.#softBreak = softBreak
  }

  /** @param spelled  one octet, as itself or as =XX */
  add(spelled: string): void {
    this.#writeLast(MAX_LINE - 1)
    this.#last = spelled
  }

  addLineBreak(lineBreak: string): void {
    this.#writeLastOfLine()
    this.#text += lineBreak
    this.#column = 0
  }

  /** @param softly  a soft break follows, not the end of the line */
  finish(softly: boolean): string {
    if (softly) this.#writeLast(MAX_LINE - 1)
    else this.#writeLastOfLine()
    return this.#text
  }

  #writeLastOfLine(): void {
    if (this.#last === ' ' || this.#last === '\t') this.#last = escape(this.#last.charCodeAt(0))
    this.#writeLast(MAX_LINE)
  }

  #writeLast(limit: number): void {
    if (this.#column + this.#last.length > limit) {
      this.#text += this.#softBreak
      this.#column = 0
    }
    this.#text += this.#last
    this.#column += this.#last.length
    this.#last = ''
  }
}
