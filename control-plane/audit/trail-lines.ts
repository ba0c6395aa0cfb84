// Lines of a file or answer of any length, in constant memory. Octets in, octets out: what a line must look like is its reader's business.

/** Longer than any event: a header is bounded by its fields, a payload by the body of the request that it tells of. */
export const MAX_LINE_BYTES = 16 * 1024 * 1024
const LF = 0x0a

export interface Line {
  /** Without the line feed. */
  readonly bytes: Buffer
  /** False only of the last one: the file was cut off, or the line is longer than a line can be. */
  readonly isWhole: boolean
}

/** Ends with the first line that is not whole. */
export async function* readLines(chunks: AsyncIterable<Uint8Array>, maxBytes = MAX_LINE_BYTES): AsyncGenerator<Line> {
  let held: Buffer[] = []
  let heldBytes = 0
  for await (const chunk of chunks) {
    let rest = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    for (let end = rest.indexOf(LF); end !== -1; end = rest.indexOf(LF)) {
      const bytes = held.length === 0 ? rest.subarray(0, end) : Buffer.concat([...held, rest.subarray(0, end)])
      held = []
      heldBytes = 0
      if (bytes.length > maxBytes) {
        yield { bytes: bytes.subarray(0, maxBytes), isWhole: false }
        return
      }
      yield { bytes, isWhole: true }
      rest = rest.subarray(end + 1)
    }
    if (rest.length === 0) continue
    held.push(rest)
    heldBytes += rest.length
    if (heldBytes > maxBytes) break
  }
  if (heldBytes > 0) yield { bytes: Buffer.concat(held).subarray(0, maxBytes), isWhole: false }
}
