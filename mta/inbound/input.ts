// The octets of one connection, in order: command lines, or the content of DATA. Takes the place of smtp-server's parser, which lets a bare LF
// end a line and costs much for every octet of DATA. (PH-1)
// Backpressure is the stream's own: a chunk is done when everything in it was dealt with, and the socket is paused while too much waits.
import { SMTPStream } from 'smtp-server/lib/smtp-stream.js'
import { CommandReader } from './command-reader.ts'
import type { CommandLine } from './command-reader.ts'
import { DataReader } from './data-reader.ts'

/** Who deals with the input. A promise means: nothing more until it is settled. */
export interface InputHandler {
  /** Octets came, whatever they are. */
  arrived(octets: number): void
  /** @param hasMore  octets behind this line are here already */
  line(line: CommandLine, hasMore: boolean): void
  /** The beginning of a line that isn't complete yet. */
  unfinishedLine(text: string): void
  /** @param content  may be empty */
  data(content: Buffer, reader: DataReader): Promise<void> | undefined
  dataEnds(reader: DataReader): Promise<void>
  /** Everything that came together has been dealt with: time to write the replies. */
  flush(): Promise<void> | undefined
  /** The client closed its side, and all it sent has been dealt with. */
  ended(): void
  failed(error: unknown): void
}

export class SmtpInput extends SMTPStream {
  readonly #handler: InputHandler
  readonly #commands: CommandReader
  #data: DataReader | undefined

  constructor(maxLineBytes: number, handler: InputHandler) {
    super()
    this.#commands = new CommandReader(maxLineBytes)
    this.#handler = handler
  }

  /** What follows in the stream is the content of a message. */
  startData(): void {
    this.#data = new DataReader()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding | 'buffer', next: (error?: Error | null) => void): void {
    this.#take(chunk).then(
      () => next(),
      (error: unknown) => {
        this.#handler.failed(error)
        next()
      },
    )
  }

  /** Called once all input was written. The package takes the rest of a line for a command here; only CR LF ends one (PH-1). */
  override _flushData(): void {
    if (!this.isClosed) this.#handler.ended()
  }

  async #take(chunk: Buffer): Promise<void> {
    if (this.isClosed) return
    this.#handler.arrived(chunk.length)
    for (let at = 0; at < chunk.length && !this.isClosed;) {
      const reader = this.#data
      if (reader === undefined) {
        const { line, end } = this.#commands.read(chunk, at)
        at = end
        // What waits behind this chunk was sent before our reply as well.
        if (line !== undefined) this.#handler.line(line, end < chunk.length || this.writableLength > chunk.length)
        else this.#handler.unfinishedLine(this.#commands.pending)
      } else {
        const { content, end } = reader.read(chunk, at)
        at = end ?? chunk.length
        const ready = this.#handler.data(content, reader)
        if (ready !== undefined) await ready
        if (end !== undefined) {
          this.#data = undefined
          await this.#handler.dataEnds(reader)
        }
      }
    }
    const drained = this.#handler.flush()
    if (drained !== undefined) await drained
  }
}
