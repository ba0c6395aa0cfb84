// Reads what `copy (select …) to stdout` writes, as octets: a million rows that nobody wants as strings, let alone as objects, are mostly garbage
// otherwise. It comes through Kysely's interface for cursors, so that it is a statement of its transaction like any other.
import type { Duplex } from 'node:stream'
import type { PostgresDialectConfig, RawBuilder } from 'kysely'
import type { Tx } from './database.ts'

const BLOCK_BYTES = 64 * 1024
const BACKSLASH = 0x5c
/** What the letters behind a backslash stand for; whatever else stands there is itself. */
const ESCAPED: ReadonlyMap<number, number> = new Map(
  ['b\b', 'f\f', 'n\n', 'r\r', 't\t', 'v\v'].map((pair) => [pair.charCodeAt(0), pair.charCodeAt(1)]),
)

/**
 * The rows of a `copy (select …) to stdout` of one text column that is never null, a line feed behind each, in blocks of whole rows: 64 KiB, or one
 * row that is larger. Postgres waits while nobody asks for the next block. COPY takes no parameters: what it needs to know are settings of the
 * transaction (`current_scope`).
 *
 * Whoever stops early waits until the rest has gone by.
 * @returns blocks that are overwritten once the next one is asked for
 */
export async function* copyOut(tx: Tx, statement: RawBuilder<unknown>): AsyncGenerator<Buffer> {
  for await (const { rows } of tx.getExecutor().stream<Buffer>(statement.compile(tx), 1))
    for (const block of rows) yield unescaped(block)
}

interface Connection {
  readonly stream: Duplex
  query(text: string): void
}

/** A statement as pg runs it, and a cursor as Kysely reads it: `read` gives a block. */
class CopyCursor {
  readonly #text: string
  #stream: Duplex | undefined
  #block: Buffer<ArrayBuffer> = Buffer.allocUnsafe(BLOCK_BYTES)
  #used = 0
  readonly #ready: Buffer<ArrayBuffer>[] = []
  /** What was handed out last: its memory is free once the next is asked for. */
  #lent: Buffer<ArrayBuffer> | undefined
  #free: Buffer<ArrayBuffer>[] = []
  #error: Error | undefined
  #isDropped = false
  #hasEnded = false
  readonly #ended = Promise.withResolvers<void>()
  #wake = (): void => {}

  constructor(text: string) {
    this.#text = text
  }

  submit(connection: Connection): void {
    this.#stream = connection.stream
    connection.query(this.#text)
  }

  handleCopyData({ chunk }: { readonly chunk: Uint8Array }): void {
    if (this.#isDropped) return
    if (this.#used + chunk.length > this.#block.length) this.#finishBlock(Math.max(BLOCK_BYTES, chunk.length))
    this.#block.set(chunk, this.#used)
    this.#used += chunk.length
  }

  handleCommandComplete(): void {
    this.#finishBlock(0)
  }

  /** The statement failed, or the connection is gone: pg tells nothing more of it here. */
  handleError(error: Error): void {
    this.#error = error
    this.handleReadyForQuery()
  }

  handleReadyForQuery(): void {
    this.#hasEnded = true
    this.#stream?.resume() // what comes now is for others
    this.#ended.resolve()
    this.#wake()
  }

  async read(): Promise<Buffer[]> {
    if (this.#lent?.buffer.byteLength === BLOCK_BYTES) this.#free.push(Buffer.from(this.#lent.buffer))
    this.#lent = undefined
    while (this.#ready.length === 0 && !this.#hasEnded) {
      const waiting = new Promise<void>((resolve) => (this.#wake = resolve))
      this.#stream?.resume()
      await waiting
    }
    this.#lent = this.#ready.shift()
    if (this.#lent !== undefined) return [this.#lent]
    await this.#ended.promise
    if (this.#error !== undefined) throw this.#error
    return []
  }

  async close(): Promise<void> {
    this.#isDropped = true
    this.#stream?.resume()
    await this.#ended.promise
  }

  /** What has come is to be read before more comes. @param nextBytes  0: nothing more comes */
  #finishBlock(nextBytes: number): void {
    const hasBlock = this.#used > 0
    if (hasBlock) this.#ready.push(this.#block.subarray(0, this.#used))
    if (nextBytes > 0) {
      if (hasBlock) this.#stream?.pause()
      this.#block = (nextBytes === BLOCK_BYTES ? this.#free.pop() : undefined) ?? Buffer.allocUnsafeSlow(nextBytes)
    }
    this.#used = 0
    if (hasBlock) this.#wake()
  }
}

/** In the form that Kysely asks for, which would have the rows' type from each statement. */
export const copyCursor = CopyCursor as unknown as NonNullable<PostgresDialectConfig['cursor']>

/** In its own memory: what was escaped is never shorter than what it stands for. */
function unescaped(block: Buffer): Buffer {
  let from = block.indexOf(BACKSLASH)
  if (from < 0) return block
  let to = from
  while (from < block.length) {
    const byte = block[from] ?? 0
    if (byte === BACKSLASH) {
      const next = block[from + 1] ?? 0
      block[to++] = ESCAPED.get(next) ?? next
      from += 2
    } else {
      block[to++] = byte
      from++
    }
  }
  return block.subarray(0, to)
}
