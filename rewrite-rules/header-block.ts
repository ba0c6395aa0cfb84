// A header block as bytes with spans (RFC 5322 §2.2, RFC 7103 §7.2): where it ends, where its fields are, and how spans are replaced.
import { Buffer } from 'node:buffer'
import { Refusal } from './refusal.ts'

/** One header field; offsets are into the `bytes` of its block. */
export interface HeaderField {
  /** ASCII letters in lower case. */
  readonly name: string
  readonly start: number
  readonly nameEnd: number
  /** The byte after the colon. */
  readonly valueStart: number
  /** After the line break of its last line. */
  readonly end: number
}

export interface HeaderBlock {
  /** The header block with its final empty line, where it has one. */
  readonly bytes: Buffer
  /** The same as latin1 text, so that offsets fit both. */
  readonly text: string
  readonly fields: readonly HeaderField[]
  /** Where the last field ends and a final empty line may begin. */
  readonly fieldsEnd: number
}

/** rewriting.md §12: what is larger is refused with 552 5.3.4. */
export interface HeaderLimits {
  /** Of the block without its final empty line. */
  readonly blockBytes: number
  /** Of one field with its name and line breaks. */
  readonly fieldBytes: number
  readonly fields: number
}

export const HEADER_LIMITS: HeaderLimits = { blockBytes: 1024 * 1024, fieldBytes: 256 * 1024, fields: 5000 }

/** For blocks that have been read before: rewriting and trace fields may have taken them over the limits. */
export const NO_HEADER_LIMITS: HeaderLimits = { blockBytes: Infinity, fieldBytes: Infinity, fields: Infinity }

/** Replaces the bytes [start, end) by `text`; a string is written as latin1. */
export interface Edit {
  readonly start: number
  readonly end: number
  readonly text: Buffer | string
}

const TAB = 0x09
const LF = 0x0a
const CR = 0x0d
const SP = 0x20
const LF_LF = Buffer.from('\n\n')
const LF_CRLF = Buffer.from('\n\r\n')

const tooLarge = () => new Refusal(552, '5.3.4', 'Message header too large')

/** Finds the empty line that ends a header block; the message may come in pieces of any size. */
export class HeaderBoundary {
  readonly #limits: HeaderLimits
  #seenBytes = 0
  #at: 'line start' | 'CR at line start' | 'in line' = 'line start'

  constructor(limits: HeaderLimits = HEADER_LIMITS) {
    this.#limits = limits
  }

  /**
   * Takes the next bytes of the message.
   * @returns offset from the start of the message just after the empty line, or undefined while none was seen. `scanHeader` of the bytes
   *   before it tells whether the body begins even earlier.
   * @throws Refusal 552 5.3.4 as soon as the block is larger than its limit
   */
  write(chunk: Uint8Array): number | undefined {
    let next = 0
    while (this.#at !== 'in line' && next < chunk.length) {
      const byte = chunk[next++]
      if (byte === LF) return this.#found(this.#seenBytes + next, this.#at === 'line start' ? 1 : 2)
      this.#at = byte === CR && this.#at === 'line start' ? 'CR at line start' : 'in line'
    }
    if (this.#at === 'in line' && next < chunk.length) {
      const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
      const crlf = bytes.indexOf(LF_CRLF, next)
      const lf = (crlf < 0 ? bytes : bytes.subarray(0, crlf + 1)).indexOf(LF_LF, next)
      if (lf >= 0) return this.#found(this.#seenBytes + lf + 2, 1)
      if (crlf >= 0) return this.#found(this.#seenBytes + crlf + 3, 2)
      const last = chunk.length - 1
      if (chunk[last] === LF) this.#at = 'line start'
      else if (chunk[last] === CR && last > next && chunk[last - 1] === LF) this.#at = 'CR at line start'
    }
    this.#seenBytes += chunk.length
    // A CR there may be the first byte of the empty line, which doesn't count.
    if (this.#seenBytes - (this.#at === 'CR at line start' ? 1 : 0) > this.#limits.blockBytes) throw tooLarge()
    return undefined
  }

  #found(end: number, emptyLineBytes: number): number {
    if (end - emptyLineBytes > this.#limits.blockBytes) throw tooLarge()
    return end
  }
}

/**
 * Reads the header block at the start of `message`: up to the first empty line or to the end.
 *
 * A line that is neither a field nor a continuation stays where it is and is in no field. Such lines with no field after them begin the
 * body (§12): then `bytes` of the result ends before them and has no empty line.
 * @throws Refusal 552 5.3.4 over the limits, 554 5.6.0 for a NUL
 */
export function scanHeader(message: Buffer, limits: HeaderLimits = HEADER_LIMITS): HeaderBlock {
  // A whole large message isn't copied into text for the sake of its header.
  const whole = message.length > limits.blockBytes ? new HeaderBoundary(limits).write(message) : undefined
  const text = message.toString('latin1', 0, whole)
  const fields: HeaderField[] = []
  const { length } = text
  let fieldsEnd = 0
  let bytesEnd = 0
  let colon = -1
  for (let start = 0; start < length;) {
    const lineBreak = lineBreakBytes(text, start)
    if (lineBreak > 0) {
      if (fieldsEnd === start) bytesEnd = start + lineBreak
      break
    }
    // The next colon is looked for once, however many lines are without one.
    if (colon < start) colon = text.indexOf(':', start)
    if (colon < 0) colon = length
    const end = fieldEnd(text, start)
    const name = colon < end ? fieldName(text, start, colon) : undefined
    if (name !== undefined) {
      if (end - start > limits.fieldBytes || fields.length === limits.fields) throw tooLarge()
      fields.push({ name: name.toLowerCase(), start, nameEnd: start + name.length, valueStart: colon + 1, end })
      fieldsEnd = bytesEnd = end
    }
    start = end
  }
  const bytes = message.subarray(0, bytesEnd)
  if (bytes.indexOf(0) >= 0) throw new Refusal(554, '5.6.0', 'Message header contains a NUL')
  return { bytes, text: bytesEnd === length ? text : text.slice(0, bytesEnd), fields, fieldsEnd }
}

/** The body of a field as latin1 text: line breaks of folds removed (RFC 5322 §2.2.3), white space at both ends trimmed. */
export function fieldValue(block: HeaderBlock, field: HeaderField): string {
  const { text } = block
  let start = field.valueStart
  let end = field.end
  while (end > start && isWhiteSpace(text.charCodeAt(end - 1))) end--
  while (start < end && isWhiteSpace(text.charCodeAt(start))) start++
  const folded = text.slice(start, end)
  let unfolded = ''
  let from = 0
  for (let lf = folded.indexOf('\n'); lf >= 0; lf = folded.indexOf('\n', from)) {
    unfolded += folded.slice(from, lf > from && folded.charCodeAt(lf - 1) === CR ? lf - 1 : lf)
    from = lf + 1
  }
  return unfolded + folded.slice(from)
}

/** Where the text of a field ends: before the line break of its last line. */
export function fieldTextEnd({ text }: HeaderBlock, field: HeaderField): number {
  const last = field.end - 1
  if (text.charCodeAt(last) !== LF) return field.end
  return text.charCodeAt(last - 1) === CR ? last - 1 : last
}

/** Whether a field has no body but white space. */
export function isEmptyField({ text }: HeaderBlock, field: HeaderField): boolean {
  let at = field.valueStart
  while (at < field.end && isWhiteSpace(text.charCodeAt(at))) at++
  return at === field.end
}

/** Splices `edits`, which are in ascending order and do not overlap, into a copy of `bytes`. */
export function applyEdits(bytes: Buffer, edits: readonly Edit[]): Buffer {
  let length = bytes.length
  let from = 0
  for (const { start, end, text } of edits) {
    if (start < from || end < start || end > bytes.length) throw new Error('unreachable: edits out of order')
    length += text.length - (end - start)
    from = end
  }
  const result = Buffer.allocUnsafe(length)
  let to = 0
  from = 0
  for (const { start, end, text } of edits) {
    to += bytes.copy(result, to, from, start)
    to += typeof text === 'string' ? result.write(text, to, 'latin1') : text.copy(result, to)
    from = end
  }
  bytes.copy(result, to, from)
  return result
}

/** Size of a line break at `at`; 0 where there is none. (R48) */
function lineBreakBytes(text: string, at: number): number {
  const code = text.charCodeAt(at)
  if (code === LF) return 1
  return code === CR && text.charCodeAt(at + 1) === LF ? 2 : 0
}

/** SP, HTAB, CR or LF. */
export function isWhiteSpace(code: number): boolean {
  return code === SP || code === TAB || code === CR || code === LF
}

// RFC 5322 §3.6.8: printable ASCII but the colon.
const NOT_IN_A_NAME = /[^!-~]/

/** The name before a colon, without white space behind it (RFC 5322 §4.5.8, RFC 7103 §7.4); undefined where no field begins. */
function fieldName(text: string, start: number, colon: number): string | undefined {
  let end = colon
  while (end > start && (text.charCodeAt(end - 1) === SP || text.charCodeAt(end - 1) === TAB)) end--
  const name = text.slice(start, end)
  return end === start || NOT_IN_A_NAME.test(name) ? undefined : name
}

/** Start of the first line after `at` that is not a continuation. */
function fieldEnd(text: string, at: number): number {
  let next = at
  let code
  do {
    const lf = text.indexOf('\n', next)
    if (lf < 0) return text.length
    next = lf + 1
    code = text.charCodeAt(next)
  } while (code === SP || code === TAB)
  return next
}
