// Replies of a next hop, from octets at any chunking. Whoever wrote them is not trusted: lines and totals are bounded, codes must agree. (RFC 5321 §4.2, DL-6)
import type { SmtpReply } from '../message-record.ts'

export interface Reply {
  /** 200 to 599 */
  readonly code: number
  /** Text of each line after its code, without control characters. At least one. */
  readonly lines: readonly string[]
}

export interface ReplyLimits {
  /** Octets of one line with its line end. */
  readonly lineBytes: number
  /** Octets of all lines of one reply. */
  readonly replyBytes: number
}

/** What came is no reply, or more of one than anybody needs. Text is ours, for the operator. */
export class ReplyFault extends Error {
  override readonly name = 'ReplyFault'
}

const LF = 10
const CR = 13
const SPACE = 32
const HYPHEN = 45
const NOTHING = Buffer.alloc(0)
/** DL-4: more of a text is worth nothing to anybody. */
const MAX_TEXT_BYTES = 1_000

export class ReplyReader {
  readonly #limits: ReplyLimits
  /** Start of a line whose end has not come; never longer than a line may be. */
  #partial: Buffer = NOTHING
  #code = 0
  #lines: string[] = []
  #bytes = 0

  constructor(limits: ReplyLimits) {
    this.#limits = limits
  }

  /** Octets of an unfinished reply have come. */
  get hasPartial(): boolean {
    return this.#partial.length > 0 || this.#lines.length > 0
  }

  /**
   * @param chunk  may be overwritten after the call
   * @returns the replies that it completes, in order
   * @throws ReplyFault; the reader is useless afterwards
   */
  push(chunk: Buffer): Reply[] {
    const replies: Reply[] = []
    let from = 0
    while (from < chunk.length) {
      const end = chunk.indexOf(LF, from)
      const lineBytes = this.#partial.length + (end === -1 ? chunk.length : end + 1) - from
      // A line without its end is as long as a line with it would at least be.
      if (lineBytes + (end === -1 ? 1 : 0) > this.#limits.lineBytes)
        throw new ReplyFault(`reply line over ${this.#limits.lineBytes} octets`)
      if (this.#bytes + lineBytes > this.#limits.replyBytes)
        throw new ReplyFault(`reply over ${this.#limits.replyBytes} octets`)
      if (end === -1) {
        this.#partial = Buffer.concat([this.#partial, chunk.subarray(from)])
        break
      }
      const rest = chunk.subarray(from, end)
      const reply = this.#line(this.#partial.length === 0 ? rest : Buffer.concat([this.#partial, rest]), lineBytes)
      if (reply !== undefined) replies.push(reply)
      this.#partial = NOTHING
      from = end + 1
    }
    return replies
  }

  #line(line: Buffer, lineBytes: number): Reply | undefined {
    const end = line.at(-1) === CR ? line.length - 1 : line.length
    const code = codeOf(line, end)
    if (code === undefined) throw new ReplyFault('not an SMTP reply')
    if (this.#lines.length > 0 && code !== this.#code)
      throw new ReplyFault('reply code changes between the lines of one reply')
    this.#code = code
    this.#bytes += lineBytes
    this.#lines.push(end > 4 ? withoutControls(line.toString('utf8', 4, end)) : '')
    if (line[3] === HYPHEN && end > 3) return undefined
    const reply = { code, lines: this.#lines }
    this.#lines = []
    this.#bytes = 0
    return reply
  }
}

/** Three digits, the first 2 to 5, then nothing, a space or a hyphen. */
function codeOf(line: Buffer, end: number): number | undefined {
  if (end < 3 || (end > 3 && line[3] !== SPACE && line[3] !== HYPHEN)) return undefined
  const [a, b, c] = [line[0] ?? 0, line[1] ?? 0, line[2] ?? 0].map((byte) => byte - 48)
  if (a === undefined || b === undefined || c === undefined) return undefined
  if (a < 2 || a > 5 || b < 0 || b > 9 || c < 0 || c > 9) return undefined
  return a * 100 + b * 10 + c
}

function withoutControls(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029]/gu, ' ')
}

/**
 * The reply as it is stored and shown. The text begins with the enhanced status code where the next hop sent one; several lines are joined
 * by spaces, and no more than 1,000 octets are kept.
 */
export function smtpReply({ code, lines }: Reply): SmtpReply {
  const text = shortened(lines.length === 1 ? (lines[0] ?? '') : lines.join(' '))
  return { code, status: statusIn(code, text) ?? `${Math.floor(code / 100)}.0.0`, text }
}

/** The enhanced status code that `text` begins with, if it is of the class that `code` says. (RFC 2034 §4) */
function statusIn(code: number, text: string): string | undefined {
  const match = /^([245])\.\d{1,3}\.\d{1,3}(?= |$)/.exec(text)
  return match !== null && match[1] === String(Math.floor(code / 100)) ? match[0] : undefined
}

function shortened(text: string): string {
  if (text.length <= MAX_TEXT_BYTES / 3 || Buffer.byteLength(text) <= MAX_TEXT_BYTES) return text.trimEnd()
  // A character cut in two decodes to a replacement character, which goes.
  return Buffer.from(text)
    .toString('utf8', 0, MAX_TEXT_BYTES)
    .replace(/\uFFFD$/, '')
    .trimEnd()
}
