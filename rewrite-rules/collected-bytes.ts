// Bytes that arrive piece by piece, however small, and are wanted in one.
import { Buffer } from 'node:buffer'

export class CollectedBytes {
  #buffer = Buffer.allocUnsafe(512)
  #length = 0

  get length(): number {
    return this.#length
  }

  append(source: Uint8Array, start = 0, end = source.length): void {
    const length = this.#length + end - start
    if (length > this.#buffer.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(length, 2 * this.#buffer.length))
      this.#buffer.copy(larger, 0, 0, this.#length)
      this.#buffer = larger
    }
    this.#buffer.set(source.subarray(start, end), this.#length)
    this.#length = length
  }

  /** What was collected from `start` on; only good until the next `append`. */
  view(start: number): Buffer {
    return this.#buffer.subarray(start, this.#length)
  }

  /** The first `length` bytes, for good: nothing may be appended after that. */
  take(length = this.#length): Buffer {
    return this.#buffer.subarray(0, length)
  }
}
