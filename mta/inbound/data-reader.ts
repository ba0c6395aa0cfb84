// The content of DATA out of a stream of octets: finds the one true end, takes off the stuffing dots, notices bare CR and LF. (PH-1;
// RFC 5321 §2.3.8, §4.1.1.4, §4.5.2) Pure, and the same however TCP cuts the stream.
import { isAscii } from 'node:buffer'

const LF = 0x0a
const CR = 0x0d
const DOT = 0x2e
const CRLF_DOT = Buffer.from('\r\n.')
const NOTHING = Buffer.alloc(0)

/** What the last octets were. Only the CR of `after dot CR` is ever kept back: it is the end's, or the message is bad. */
type Position = 'in line' | 'after CR' | 'line start' | 'after dot' | 'after dot CR'

export interface DataPiece {
  /** Content, dots unstuffed: a view of the chunk. Empty once the message is known to be bad. */
  readonly content: Buffer
  /** Offset in the chunk of the first octet after CR LF . CR LF; undefined while it hasn't come. */
  readonly end: number | undefined
}

export class DataReader {
  // The CR LF of the DATA line counts as the one before the dot: no content at all is a message of no octets.
  #position: Position = 'line start'
  #hasBareLineEnd = false
  #has8Bit = false
  #sizeBytes = 0

  /** A CR or LF that stands alone was seen; reading goes on to the real end all the same. */
  get hasBareLineEnd(): boolean {
    return this.#hasBareLineEnd
  }

  /** Content holds an octet above 127. */
  get has8Bit(): boolean {
    return this.#has8Bit
  }

  /** Content so far, as SIZE counts it (RFC 1870 §5): CR LF included, stuffing dots and the final dot not. */
  get sizeBytes(): number {
    return this.#sizeBytes
  }

  /** Takes the octets of `chunk` from `start` on. It belongs to the reader up to the end that is found: dots are taken off in place. */
  read(chunk: Buffer, start = 0): DataPiece {
    const { length } = chunk
    const words = wordsOf(chunk)
    let kept = start // where content ends so far
    let from = start // content from here on hasn't been moved to `kept` yet

    for (let at = start; at < length;) {
      if (this.#position !== 'in line') {
        const octet = chunk[at++]
        if (this.#position === 'line start' && octet === DOT) {
          if (kept !== from) chunk.copyWithin(kept, from, at - 1)
          kept += at - 1 - from
          from = at
        }
        if (this.#position === 'after dot CR' && octet === LF) return this.#piece(chunk, start, kept, at)
        this.#step(octet)
      } else if (this.#hasBareLineEnd) {
        at = this.#skipToDot(chunk, at)
      } else {
        const lineEnd = findLineEnd(chunk, words, at)
        at = lineEnd + 2
        if (lineEnd === length) break
        if (lineEnd + 1 === length && chunk[lineEnd] === CR) this.#position = 'after CR'
        else if (chunk[lineEnd] === LF || chunk[lineEnd + 1] !== LF) {
          this.#hasBareLineEnd = true
          at = lineEnd + 1
        } else if (at === length || chunk[at] === DOT) this.#position = 'line start'
        // Whatever else begins a line may as well stand in one.
      }
    }
    if (this.#position !== 'after dot CR') {
      if (kept !== from) chunk.copyWithin(kept, from, length)
      kept += length - from
    }
    return this.#piece(chunk, start, kept, undefined)
  }

  /** One octet, where more than its neighbours must be remembered. */
  #step(octet: number | undefined): void {
    if (octet === CR) {
      if (this.#position === 'after CR' || this.#position === 'after dot CR') this.#hasBareLineEnd = true
      this.#position = this.#position === 'after dot' ? 'after dot CR' : 'after CR'
    } else if (octet === LF) {
      if (this.#position !== 'after CR') this.#hasBareLineEnd = true
      this.#position = this.#position === 'after CR' ? 'line start' : 'in line'
    } else {
      if (this.#position === 'after CR' || this.#position === 'after dot CR') this.#hasBareLineEnd = true
      this.#position = octet === DOT && this.#position === 'line start' ? 'after dot' : 'in line'
    }
  }

  /** In a message that is refused anyway: to behind the next CR LF dot, the only thing that still matters. */
  #skipToDot(chunk: Buffer, at: number): number {
    const found = chunk.indexOf(CRLF_DOT, at)
    if (found !== -1) {
      this.#position = 'after dot'
      return found + CRLF_DOT.length
    }
    const last = chunk.length - 1
    if (chunk[last] === CR) this.#position = 'after CR'
    else if (chunk[last] === LF && last > at && chunk[last - 1] === CR) this.#position = 'line start'
    return chunk.length
  }

  #piece(chunk: Buffer, start: number, kept: number, end: number | undefined): DataPiece {
    if (this.#hasBareLineEnd) return { content: NOTHING, end }
    const content = chunk.subarray(start, kept)
    this.#sizeBytes += content.length
    if (!this.#has8Bit && !isAscii(content)) this.#has8Bit = true
    return { content, end }
  }
}

/** The part of a chunk that can be looked at four octets at a time. */
interface Words {
  readonly first: number
  readonly words: Int32Array
}

function wordsOf({ buffer, byteOffset, length }: Buffer): Words {
  const first = Math.min(-byteOffset & 3, length)
  return { first, words: new Int32Array(buffer, byteOffset + first, (length - first) >> 2) }
}

/**
 * The first CR or LF at or after `start`; the chunk's length where there is none. `indexOf` for each line takes more than twice as long: a
 * call costs as much as fifty octets here.
 */
function findLineEnd(chunk: Buffer, { first, words }: Words, start: number): number {
  const { length } = chunk
  const wordCount = words.length
  let at = start
  while (at < length) {
    if (((at - first) & 3) === 0 && at >= first) {
      let word = (at - first) >> 2
      while (word < wordCount && !mayHoldLineEnd(words[word] ?? 0)) word++
      at = first + (word << 2)
      if (at >= length) return length
    }
    const octet = chunk[at]
    if (octet === CR || octet === LF) return at
    at++
  }
  return length
}

/** Whether one of the four octets is CR or LF; may say so wrongly, when an octet borrows from its neighbour. */
function mayHoldLineEnd(word: number): boolean {
  // No octet below 0x0e: most words of most text end here. The subtraction sets a highest bit that wasn't set.
  if (((word - 0x0e0e0e0e) & ~word & 0x80808080) === 0) return false
  return hasZeroOctet(word ^ 0x0d0d0d0d) || hasZeroOctet(word ^ 0x0a0a0a0a)
}

function hasZeroOctet(word: number): boolean {
  return ((word - 0x01010101) & ~word & 0x80808080) !== 0
}
