// SHA-256 of a body in canonical form, as the body streams by: `relaxed` for what we sign, both forms for what we verify.
// (RFC 6376 §3.4.3, §3.4.4) A line ends with CR LF; a CR or LF alone is content (PH-1 lets none in).
import { createHash } from 'node:crypto'

export type Canonicalization = 'simple' | 'relaxed'

const TAB = 0x09
const LF = 0x0a
const CR = 0x0d
const SP = 0x20

/**
 * What is copied together before it is hashed: a call of the hash costs as much as some hundred octets. Less than half a pool of Node's, or
 * each message would get a piece of memory of its own.
 */
const SCRATCH_BYTES = 4000
/** Views shorter than this are copied, not hashed on their own. */
const SMALL_BYTES = 512
/** So far the octets behind an irregular one are taken one by one; further where regular ones are few, for each search costs. */
const MIN_SLOW_BYTES = 16
const MAX_SLOW_BYTES = 1024
/** How far octets are looked at one by one behind a space. */
const NEAR_BYTES = 1024

const LINE_ENDS = Buffer.from('\r\n'.repeat(2048))

/**
 * Takes a body in chunks of any size; where they are cut makes no difference. Keeps no octet of them: white space and empty lines that may
 * yet turn out to be the end of a line or of the body are counted.
 */
export class BodyHash {
  readonly #relaxed: boolean
  readonly #hash = createHash('sha256')
  readonly #scratch = Buffer.allocUnsafe(SCRATCH_BYTES)
  #scratchBytes = 0
  /** Line ends not hashed yet: at the end of the body they go. */
  #lineEnds = 0
  /** Not hashed yet: white space that may end the line (`relaxed` only), and a CR behind it that may be half of a line end. */
  #hasSpace = false
  #hasCr = false
  #isEmpty = true
  #digest: string | undefined

  constructor(canonicalization: Canonicalization = 'relaxed') {
    this.#relaxed = canonicalization === 'relaxed'
  }

  update(chunk: Uint8Array): void {
    if (this.#digest !== undefined) throw new Error('unreachable: a body goes on after its end')
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    if (this.#relaxed) this.#updateRelaxed(bytes)
    else this.#updateSimple(bytes)
  }

  /** Base64, as bh= holds it. */
  digest(): string {
    this.#digest ??= this.#end()
    return this.#digest
  }

  #updateRelaxed(bytes: Buffer): void {
    // What `relaxed` changes begins at a tab or at a space with more white space or a line end behind it; all else is hashed as it stands.
    let [tab, space] = [-1, -1]
    let slowBytes = MIN_SLOW_BYTES
    let at = 0
    while (at < bytes.length) {
      if (!this.#hasSpace && !this.#hasCr) {
        if (tab < at) tab = findTab(bytes, at)
        if (space < at) space = findIrregularSpace(bytes, at)
        let end = Math.min(tab, space)
        // A CR or a space that more may follow is not settled.
        if (end === bytes.length && end > at && bytes[end - 1] === CR) end--
        if (end > at && bytes[end - 1] === SP) end--
        this.#regular(bytes, at, end)
        slowBytes = end - at < 2 * MIN_SLOW_BYTES ? Math.min(2 * slowBytes, MAX_SLOW_BYTES) : MIN_SLOW_BYTES
        at = end
      }
      at = this.#oneByOne(bytes, at, at + slowBytes)
    }
  }

  #updateSimple(bytes: Buffer): void {
    let at = 0
    if (this.#hasCr && bytes.length > 0) at = this.#oneByOne(bytes, 0, 1)
    const end = bytes.length > at && bytes[bytes.length - 1] === CR ? bytes.length - 1 : bytes.length
    this.#regular(bytes, at, end)
    if (end < bytes.length) this.#hasCr = true
  }

  /** Octets that canonicalization leaves alone, but for the line ends they end with. */
  #regular(bytes: Buffer, start: number, end: number): void {
    let contentEnd = end
    while (contentEnd - 2 >= start && bytes[contentEnd - 1] === LF && bytes[contentEnd - 2] === CR) contentEnd -= 2
    if (contentEnd > start) {
      this.#settle(false, false)
      this.#push(bytes, start, contentEnd)
    }
    this.#lineEnds += (end - contentEnd) / 2
  }

  /** @returns where the regular octets go on: at `stop` at the earliest, and only where nothing is unsettled */
  #oneByOne(bytes: Buffer, start: number, stop: number): number {
    const relaxed = this.#relaxed
    const scratch = this.#scratch
    const { length } = bytes
    let hasSpace = this.#hasSpace
    let hasCr = this.#hasCr
    let holds = hasSpace || hasCr || this.#lineEnds > 0
    let filled = this.#scratchBytes
    let at = start
    for (; at < length && (at < stop || hasSpace || hasCr); at++) {
      const byte = bytes[at] ?? 0
      if (byte <= SP) {
        if (byte === LF && hasCr) {
          hasSpace = hasCr = false
          this.#lineEnds++
          continue
        }
        if (!hasCr && byte === CR) {
          hasCr = holds = true
          continue
        }
        if (!hasCr && relaxed && (byte === SP || byte === TAB)) {
          hasSpace = holds = true
          continue
        }
      }
      // Content follows: what was held back belongs to the body.
      if (holds || filled === SCRATCH_BYTES) {
        this.#scratchBytes = filled
        this.#settle(hasSpace, hasCr)
        filled = this.#scratchBytes
        hasSpace = relaxed && (byte === SP || byte === TAB)
        hasCr = byte === CR
        holds = hasSpace || hasCr
        if (holds) continue
      }
      scratch[filled++] = byte
    }
    this.#hasSpace = hasSpace
    this.#hasCr = hasCr
    this.#scratchBytes = filled
    return at
  }

  /** Hashes what was held back. Afterwards there is room in the scratch for one octet at least. */
  #settle(hasSpace: boolean, hasCr: boolean): void {
    while (this.#lineEnds > 0) {
      const count = Math.min(this.#lineEnds, LINE_ENDS.length / 2)
      this.#push(LINE_ENDS, 0, count * 2)
      this.#lineEnds -= count
    }
    if (SCRATCH_BYTES - this.#scratchBytes < 3) this.#flush()
    if (hasSpace) this.#scratch[this.#scratchBytes++] = SP
    if (hasCr) this.#scratch[this.#scratchBytes++] = CR
  }

  #push(bytes: Buffer, start: number, end: number): void {
    const length = end - start
    if (length <= SMALL_BYTES) {
      if (length > SCRATCH_BYTES - this.#scratchBytes) this.#flush()
      this.#scratchBytes += bytes.copy(this.#scratch, this.#scratchBytes, start, end)
      return
    }
    this.#flush()
    this.#isEmpty = false
    this.#hash.update(bytes.subarray(start, end))
  }

  #flush(): void {
    if (this.#scratchBytes === 0) return
    this.#isEmpty = false
    this.#hash.update(this.#scratch.subarray(0, this.#scratchBytes))
    this.#scratchBytes = 0
  }

  #end(): string {
    // A CR that no LF follows was content, and so is the white space before it.
    if (this.#hasCr) this.#settle(this.#hasSpace, true)
    this.#flush()
    // Every body ends with one line end, but for an empty one: there `simple` has it too, `relaxed` nothing.
    if (!this.#isEmpty || !this.#relaxed) this.#hash.update(LINE_ENDS.subarray(0, 2))
    return this.#hash.digest('base64')
  }
}

function findTab(bytes: Buffer, from: number): number {
  const at = bytes.indexOf(TAB, from)
  return at < 0 ? bytes.length : at
}

/** The next space before white space or a CR; the last octet is not judged. */
function findIrregularSpace(bytes: Buffer, from: number): number {
  const last = bytes.length - 1
  // The spaces of encoded bodies are far apart, and indexOf goes fastest; those of text are close together, and each call would cost more
  // than the few octets between them.
  for (let at = bytes.indexOf(SP, from); at >= 0; at = bytes.indexOf(SP, at)) {
    const stop = Math.min(at + NEAR_BYTES, last)
    for (; at < stop; at++) {
      if (bytes[at] !== SP) continue
      const next = bytes[at + 1]
      if (next === SP || next === TAB || next === CR) return at
    }
    if (at === last) break
  }
  return bytes.length
}
