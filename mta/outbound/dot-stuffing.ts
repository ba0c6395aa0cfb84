// Content as DATA carries it: a dot at the start of a line is doubled, a line with a single dot ends it. (RFC 5321 §4.5.2)

const LINE_THEN_DOT = Buffer.from('\r\n.')
const DOT = 46
const CR = 13
const LF = 10
/** Above so many slices of one chunk copying is cheaper than writing each. */
const MAX_SLICES = 32
/** So many dots inside lines, and it is text with more of them. */
const MAX_MISSES = 64

const END_OF_DATA = Buffer.from('.\r\n')
const LINE_END_AND_END_OF_DATA = Buffer.from('\r\n.\r\n')

export class DotStuffer {
  /** The last two octets pushed; content starts as if after a line end. */
  #lastButOne = CR
  #last = LF

  /**
   * @param chunk  with CR LF line ends only; must not change before what is returned has been written
   * @returns what goes on the wire for it, in order: views of `chunk`, but where dots are many
   */
  push(chunk: Buffer): Buffer[] {
    const slices: Buffer[] = []
    let from = 0
    let dot = this.#firstDot(chunk)
    while (dot !== -1 && slices.length < MAX_SLICES) {
      // This slice ends with the dot and the next one begins with the same dot again.
      slices.push(chunk.subarray(from, dot + 1))
      from = dot
      dot = lineDot(chunk, dot)
    }
    const rest = chunk.subarray(from)
    if (rest.length > 0) slices.push(dot === -1 ? rest : doubled(rest))
    this.#remember(chunk)
    return slices
  }

  /** What ends the content; its last line gets the line end it may lack. */
  end(): Buffer {
    return this.#lastButOne === CR && this.#last === LF ? END_OF_DATA : LINE_END_AND_END_OF_DATA
  }

  #firstDot(chunk: Buffer): number {
    if (this.#lastButOne === CR && this.#last === LF && chunk[0] === DOT) return 0
    if (this.#last === CR && chunk[0] === LF && chunk[1] === DOT) return 1
    return lineDot(chunk, 0)
  }

  #remember(chunk: Buffer): void {
    if (chunk.length === 0) return
    this.#lastButOne = chunk.at(-2) ?? this.#last
    this.#last = chunk.at(-1) ?? this.#last
  }
}

/** The first dot after a line end that stands at `from` or later; -1 when there is none. */
function lineDot(chunk: Buffer, from: number): number {
  // Base64, which is what large messages are made of, has no dots at all: looking for one byte is ten times faster than for three.
  let dot = chunk.indexOf(DOT, from + 2)
  for (let misses = 0; dot !== -1; misses++) {
    if (chunk[dot - 1] === LF && chunk[dot - 2] === CR) return dot
    if (misses === MAX_MISSES) {
      const found = chunk.indexOf(LINE_THEN_DOT, dot - 1)
      return found === -1 ? -1 : found + 2
    }
    dot = chunk.indexOf(DOT, dot + 1)
  }
  return -1
}

/** In one pass, for content made of dots. */
function doubled(bytes: Buffer): Buffer {
  const out = Buffer.allocUnsafe(bytes.length + Math.floor(bytes.length / 3))
  let length = 0
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] ?? 0
    if (byte === DOT && bytes[i - 1] === LF && bytes[i - 2] === CR) out[length++] = DOT
    out[length++] = byte
  }
  return out.subarray(0, length)
}
