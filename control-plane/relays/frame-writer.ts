// Writes a stream's octets as fast as its relay reads them and no faster: nothing piles up here, and a relay that does not read is cut off.
// (BP-1, WS-7)
import type { ServerResponse } from 'node:http'

/** The stream is over: the relay is gone, doesn't read, or was cut off. */
export class StreamEnded extends Error {
  override readonly name = 'StreamEnded'
  readonly why: 'closed' | 'stalled' | 'cut'

  constructor(why: StreamEnded['why']) {
    super(`the stream ended: ${why}`)
    this.why = why
  }
}

type Sink = Pick<ServerResponse, 'write' | 'end' | 'destroy' | 'once' | 'off' | 'destroyed' | 'writableNeedDrain'>

export class FrameWriter {
  readonly #sink: Sink
  readonly #stallMs: number
  #why: StreamEnded['why'] | undefined
  /** ms since the epoch of `performance`: when something was written last. */
  lastWriteMs: number
  bytesWritten = 0

  /** @param stallMs  so long may nothing be read while something waits */
  constructor(sink: Sink, stallMs: number) {
    this.#sink = sink
    this.#stallMs = stallMs
    this.lastWriteMs = performance.now()
    sink.once('close', () => (this.#why ??= 'closed'))
  }

  get isEnded(): boolean {
    return this.#why !== undefined || this.#sink.destroyed
  }

  /** Resolves once there is room for more. @throws StreamEnded */
  async write(bytes: Uint8Array): Promise<void> {
    this.#mustBeOpen()
    this.lastWriteMs = performance.now()
    this.bytesWritten += bytes.length
    if (!this.#sink.write(bytes)) await this.#drained()
  }

  /** Ends it in order: what was written still arrives. */
  end(bytes?: Uint8Array): void {
    if (this.isEnded) return
    this.#why = 'cut'
    if (bytes !== undefined) this.#sink.write(bytes)
    this.#sink.end()
    // Whoever doesn't read the end gets none.
    setTimeout(() => this.#sink.destroy(), this.#stallMs).unref()
  }

  /** Ends it at once, wherever it stands. */
  cut(why: StreamEnded['why'] = 'cut'): void {
    this.#why ??= why
    this.#sink.destroy()
  }

  #mustBeOpen(): void {
    if (this.isEnded) throw new StreamEnded(this.#why ?? 'closed')
  }

  #drained(): Promise<void> {
    return new Promise((resolve, reject) => {
      const done = (): void => {
        clearTimeout(timer)
        this.#sink.off('drain', onDrain)
        this.#sink.off('close', onClose)
      }
      const onDrain = (): void => {
        done()
        resolve()
      }
      const onClose = (): void => {
        done()
        reject(new StreamEnded(this.#why ?? 'closed'))
      }
      const timer = setTimeout(() => {
        done()
        this.cut('stalled')
        reject(new StreamEnded('stalled'))
      }, this.#stallMs)
      this.#sink.once('drain', onDrain).once('close', onClose)
    })
  }
}
