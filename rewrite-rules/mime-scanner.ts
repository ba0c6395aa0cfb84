// Incremental MIME reader (RFC 2046 §5.1): bytes of a body in, at any chunking; part headers, held parts and everything else out, in order.
//
// Nothing is lost or added: the `bytes` of all events, with the header of each `part` and the body of each `held`, make up the input.
// Which parts are entered or held is the caller's to say. Body bytes are never looked at one by one: a native search finds the next "--".
import { Buffer } from 'node:buffer'
import { CollectedBytes } from './collected-bytes.ts'

/** rewriting.md §12 */
export const MAX_DEPTH = 100
export const MAX_PARTS = 10_000
export const MAX_BOUNDARY_OCTETS = 200
const MAX_PART_HEADER_BYTES = 1024 * 1024

// White space may follow a boundary (RFC 2046 §5.1.1); so that it needn't be held without end, a longer line is no delimiter (RFC 5322 §2.1.1).
const MAX_DELIMITER_LINE = 1000

const TAB = 0x09
const LF = 0x0a
const CR = 0x0d
const SPACE = 0x20
const HYPHEN = 0x2d
const HYPHENS = Buffer.from('--')
const EMPTY = Buffer.alloc(0)

export type MimeFault = 'mime-limit' | 'mime-broken'

export type MimeEvent<Context> =
  /** What goes on as it is. A view of the input where possible. */
  | { readonly kind: 'bytes'; readonly bytes: Buffer }
  /**
   * A part begins: call `enter` or `hold` before the next `next()`, or neither for a part that is of no interest.
   * `header` has the final empty line, where there is one; `context` is that of the multipart around the part.
   */
  | { readonly kind: 'part'; readonly header: Buffer; readonly context: Context }
  /** The whole body of a part for which `hold` was called; not `closed` when the message ended before any delimiter did. */
  | { readonly kind: 'held'; readonly body: Buffer; readonly closed: boolean }
  /** The body being held is larger than the limit; it comes as `bytes`. */
  | { readonly kind: 'too large' }
  | { readonly kind: 'fault'; readonly fault: MimeFault }

interface OpenMultipart<Context> {
  readonly boundary: string
  readonly context: Context
  /** Parts begun so far. */
  parts: number
}

interface Delimiter {
  /** Index in the stack of open multiparts. */
  readonly level: number
  readonly closes: boolean
}

/** @typeParam Context  what the caller wants to know of the multipart around a part */
export class MimeScanner<Context> {
  #input: Buffer = EMPTY
  #at = 0
  #ended = false
  #state: 'header' | 'body' | 'rest' = 'body'
  readonly #events: MimeEvent<Context>[] = []
  readonly #open: OpenMultipart<Context>[] = []
  /** Boundary → index in #open: no two open multiparts have the same. */
  readonly #levels = new Map<string, number>()
  /** How many boundaries of a length are open. */
  readonly #openByLength = new Uint8Array(MAX_BOUNDARY_OCTETS + 1)
  #partCount = 0
  #header: CollectedBytes | undefined
  /** Where the line being read starts in #header. */
  #headerLine = 0
  #held: CollectedBytes | undefined
  #heldLimit = 0
  /** The start of a line that may be a delimiter and whose end hasn't come yet. Length -1: we are inside an ordinary line. */
  readonly #line: Buffer = Buffer.allocUnsafe(MAX_DELIMITER_LINE)
  #lineLength = 0
  /** A delimiter that ended a part header: it is taken once the caller has said what to do with the part. */
  #afterHeader: { readonly delimiter: Delimiter; readonly line: Buffer } | undefined

  /** Reads the body of the current part (at first: of the message) as a multipart. */
  enter(boundary: string, context: Context): void {
    if (boundary === '') return this.#fault('mime-broken')
    // Neither delimiter could be told from the other's.
    if (this.#levels.has(boundary)) return this.#giveUp('mime-broken')
    if (boundary.length > MAX_BOUNDARY_OCTETS || this.#open.length === MAX_DEPTH) return this.#giveUp('mime-limit')
    this.#levels.set(boundary, this.#open.length)
    this.#countBoundary(boundary, 1)
    this.#open.push({ boundary, context, parts: 0 })
  }

  /** Keeps the body of the current part together, up to `limitBytes`. */
  hold(limitBytes: number): void {
    this.#held = new CollectedBytes()
    this.#heldLimit = limitBytes
  }

  /** The rest of the message passes unread. */
  pass(): void {
    this.#state = 'rest'
  }

  /** The current part by IMAP's numbers (RFC 3501 §6.4.5): `1.2` is the second part of the first. */
  get path(): string {
    return this.#open.length === 0 ? '1' : this.#open.map(({ parts }) => parts).join('.')
  }

  /** Takes the next bytes; all events of the last ones must have been taken. */
  write(chunk: Buffer): void {
    this.#input = chunk
    this.#at = 0
  }

  /** The last byte has been written. */
  end(): void {
    this.#ended = true
  }

  /** The next event; undefined when more bytes are needed, or after the end. */
  next(): MimeEvent<Context> | undefined {
    for (;;) {
      const event = this.#events.shift()
      if (event !== undefined) return event
      if (this.#afterHeader !== undefined) this.#takeAfterHeader(this.#afterHeader)
      else if (this.#at < this.#input.length) this.#read()
      else if (!this.#ended || !this.#readEnd()) return undefined
    }
  }

  #read(): void {
    if (this.#state === 'header') this.#readHeaderLine()
    // Without an open multipart there is nothing to look for.
    else if (this.#state === 'body' && this.#open.length > 0) this.#readBody()
    else this.#passOrHold(this.#input.length)
  }

  /** The end of the message ends everything that is open. @returns false when there is nothing more to say */
  #readEnd(): boolean {
    if (this.#state === 'body' && this.#lineLength > 0) {
      // The last line has no line break.
      const line = Buffer.from(this.#line.subarray(0, this.#lineLength))
      const delimiter = this.#findDelimiter(line)
      this.#lineLength = -1
      if (delimiter !== undefined) {
        if (this.#held === undefined) this.#takeDelimiter(delimiter)
        else this.#endPart(this.#held.take(this.#held.length - line.length), line, delimiter)
        return true
      }
    }
    if (this.#header !== undefined) {
      const lastLine = this.#header.view(this.#headerLine)
      if (this.#endHeaderAtDelimiter(this.#header, lastLine)) return true
      this.#emit(this.#header.take())
      this.#header = undefined
    }
    if (this.#held !== undefined) this.#release(this.#held.take(), this.#open.length === 0)
    if (this.#open.length > 0 && this.#state !== 'rest') this.#fault('mime-broken')
    this.#open.length = 0
    this.#levels.clear()
    return this.#events.length > 0
  }

  /** Takes one line of a part header, or what there is of it. */
  #readHeaderLine(): void {
    const header = (this.#header ??= new CollectedBytes())
    const lf = this.#input.indexOf(LF, this.#at)
    const end = lf < 0 ? this.#input.length : lf + 1
    header.append(this.#input, this.#at, end)
    this.#at = end
    const lineLength = header.length - this.#headerLine
    if (lf >= 0) {
      const line = lineLength <= MAX_DELIMITER_LINE ? header.view(this.#headerLine) : EMPTY
      if (line[0] === LF || (lineLength === 2 && line[0] === CR)) return this.#endHeader(header)
      if (this.#endHeaderAtDelimiter(header, line)) return
      this.#headerLine = header.length
    }
    // A short last line may still turn out to be a delimiter, or the empty line: it isn't counted yet.
    if ((lineLength > MAX_DELIMITER_LINE ? header.length : this.#headerLine) > MAX_PART_HEADER_BYTES) {
      this.#header = undefined
      this.#giveUp('mime-limit', header.take())
    }
  }

  /** A delimiter ends a part header too, where the empty line is missing. @returns whether `line`, the last of `header`, is one */
  #endHeaderAtDelimiter(header: CollectedBytes, line: Buffer): boolean {
    const delimiter = line[0] === HYPHEN && line[1] === HYPHEN ? this.#findDelimiter(line) : undefined
    if (delimiter === undefined) return false
    this.#afterHeader = { delimiter, line: Buffer.from(line) }
    this.#endHeader(header, this.#headerLine)
    return true
  }

  #endHeader(collected: CollectedBytes, length = collected.length): void {
    const { context } = this.#innermost()
    const start = this.#at - collected.length
    // Where all of it came in one chunk, the event has a view of that.
    const header = start >= 0 ? this.#input.subarray(start, start + length) : collected.take(length)
    this.#header = undefined
    this.#state = 'body'
    this.#lineLength = 0
    this.#events.push({ kind: 'part', header, context })
  }

  #takeAfterHeader({ delimiter, line }: { readonly delimiter: Delimiter; readonly line: Buffer }): void {
    this.#afterHeader = undefined
    if (this.#state === 'rest') this.#emit(line)
    else this.#endPart(EMPTY, line, delimiter)
  }

  /** Reads up to the end of the next delimiter line, or of the input. */
  #readBody(): void {
    const input = this.#input
    let at = this.#at
    if (this.#lineLength > 0) {
      const lineEnd = this.#continueLine()
      if (lineEnd === undefined) return
      at = lineEnd
    }
    for (let startsLine = this.#lineLength === 0; ; startsLine = true) {
      const hyphens = input.indexOf(HYPHENS, at)
      if (hyphens < 0) {
        this.#endInLine(at, startsLine)
        return this.#passOrHold(input.length)
      }
      const lf = input.indexOf(LF, hyphens + HYPHENS.length)
      const end = lf < 0 ? input.length : lf + 1
      if (hyphens === at ? startsLine : input[hyphens - 1] === LF) {
        if (lf < 0) {
          this.#lineLength = 0
          if (!this.#appendToLine(hyphens, end)) this.#lineLength = -1
          return this.#passOrHold(end)
        }
        const delimiter = end - hyphens <= MAX_DELIMITER_LINE ? this.#findDelimiter(input, hyphens, end) : undefined
        if (delimiter !== undefined) return this.#takeDelimiterInInput(hyphens, end, delimiter)
      } else if (lf < 0) {
        this.#lineLength = -1
        return this.#passOrHold(end)
      }
      at = end
    }
  }

  /**
   * Goes on with the line that began in an earlier chunk.
   * @returns where to go on reading; undefined when the line is a delimiter or still hasn't ended
   */
  #continueLine(): number | undefined {
    const before = this.#lineLength
    const lf = this.#input.indexOf(LF, this.#at)
    const end = lf < 0 ? this.#input.length : lf + 1
    if (!this.#appendToLine(this.#at, end)) {
      this.#lineLength = -1
      return this.#at
    }
    if (lf < 0) {
      this.#passOrHold(end)
      return undefined
    }
    const line = this.#line.subarray(0, this.#lineLength)
    const delimiter = this.#findDelimiter(line)
    this.#lineLength = 0
    if (delimiter === undefined) return end
    if (this.#held === undefined) {
      this.#passOrHold(end)
      this.#takeDelimiter(delimiter)
    } else {
      this.#at = end
      this.#endPart(this.#held.take(this.#held.length - before), Buffer.from(line), delimiter)
    }
    return undefined
  }

  /** Notes how the input ends, given that it has no "--" from `at` on. */
  #endInLine(at: number, startsLine: boolean): void {
    const input = this.#input
    const last = input.length - 1
    if (last < at) this.#lineLength = startsLine ? 0 : -1
    else if (input[last] === LF) this.#lineLength = 0
    else if (input[last] === HYPHEN && (last === at ? startsLine : input[last - 1] === LF)) {
      this.#lineLength = 0
      this.#appendToLine(last, last + 1)
    } else this.#lineLength = -1
  }

  /** @returns false when the line is no delimiter for certain */
  #appendToLine(start: number, end: number): boolean {
    if (this.#lineLength + end - start > MAX_DELIMITER_LINE) return false
    this.#input.copy(this.#line, this.#lineLength, start, end)
    this.#lineLength += end - start
    return this.#line[0] === HYPHEN && (this.#lineLength === 1 || this.#line[1] === HYPHEN)
  }

  #takeDelimiterInInput(start: number, end: number, delimiter: Delimiter): void {
    if (this.#held === undefined) {
      this.#passOrHold(end)
      return this.#takeDelimiter(delimiter)
    }
    this.#held.append(this.#input, this.#at, start)
    this.#at = end
    this.#endPart(this.#held.take(), this.#input.subarray(start, end), delimiter)
  }

  /** The delimiter that bytes[start, end) are, a line with its line break. The innermost multipart wins. */
  #findDelimiter(bytes: Buffer, start = 0, lineEnd = bytes.length): Delimiter | undefined {
    let end = lineEnd
    if (bytes[end - 1] === LF) end -= bytes[end - 2] === CR ? 2 : 1
    while (bytes[end - 1] === SPACE || bytes[end - 1] === TAB) end--
    const length = end - start - HYPHENS.length
    const mayClose =
      bytes[end - 1] === HYPHEN && bytes[end - 2] === HYPHEN && this.#hasBoundaryOf(length - HYPHENS.length)
    // Most lines are ruled out by their length.
    if (!mayClose && !this.#hasBoundaryOf(length)) return undefined
    const text = bytes.toString('latin1', start + HYPHENS.length, end)
    const opened = this.#levels.get(text) ?? -1
    const closed = mayClose ? (this.#levels.get(text.slice(0, -HYPHENS.length)) ?? -1) : -1
    if (opened < 0 && closed < 0) return undefined
    return { level: Math.max(opened, closed), closes: closed > opened }
  }

  #countBoundary({ length }: string, by: 1 | -1): void {
    this.#openByLength[length] = (this.#openByLength[length] ?? 0) + by
  }

  #hasBoundaryOf(length: number): boolean {
    return (this.#openByLength[length] ?? 0) > 0
  }

  /** Ends a part whose body, with the line break that belongs to the delimiter, is `body`. */
  #endPart(body: Buffer, line: Buffer, delimiter: Delimiter): void {
    let end = body.length
    if (body[end - 1] === LF) end -= body[end - 2] === CR ? 2 : 1
    if (this.#held !== undefined) this.#release(body.subarray(0, end), true)
    this.#emit(body.subarray(end))
    this.#emit(line)
    this.#takeDelimiter(delimiter)
  }

  #takeDelimiter({ level, closes }: Delimiter): void {
    // A delimiter of an outer multipart ends the inner ones (RFC 2046 §5.1.2).
    if (this.#open.length > level + 1) this.#fault('mime-broken')
    for (let remaining = closes ? level : level + 1; this.#open.length > remaining;) {
      const { boundary } = this.#innermost()
      this.#levels.delete(boundary)
      this.#countBoundary(boundary, -1)
      this.#open.pop()
    }
    this.#state = 'body'
    this.#lineLength = 0
    if (closes) return
    this.#innermost().parts++
    if (++this.#partCount > MAX_PARTS) return this.#giveUp('mime-limit')
    this.#state = 'header'
    this.#headerLine = 0
  }

  #passOrHold(end: number): void {
    if (this.#held === undefined) this.#emit(this.#input.subarray(this.#at, end))
    else this.#held.append(this.#input, this.#at, end)
    this.#at = end
    // What is held may end in a line break and a line that don't belong to the body.
    if (this.#held !== undefined && this.#held.length > this.#heldLimit + 2 + MAX_DELIMITER_LINE) {
      this.#release(this.#held.take(), true)
    }
  }

  #release(body: Buffer, closed: boolean): void {
    this.#held = undefined
    if (body.length <= this.#heldLimit) {
      this.#events.push({ kind: 'held', body, closed })
    } else {
      this.#events.push({ kind: 'too large' })
      this.#emit(body)
    }
  }

  #innermost(): OpenMultipart<Context> {
    const innermost = this.#open.at(-1)
    if (innermost === undefined) throw new Error('unreachable: no open multipart')
    return innermost
  }

  #emit(bytes: Buffer): void {
    if (bytes.length > 0) this.#events.push({ kind: 'bytes', bytes })
  }

  #fault(fault: MimeFault): void {
    this.#events.push({ kind: 'fault', fault })
  }

  #giveUp(fault: MimeFault, unread: Buffer = EMPTY): void {
    this.#state = 'rest'
    this.#fault(fault)
    this.#emit(unread)
  }
}
