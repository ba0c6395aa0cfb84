// One message on its way in: kept in memory while it is small, in a file of its own once it isn't, or once all intakes together hold
// too much. So memory is bounded per message and in sum, and `write` says when to wait (BP-1).
import type { DeliveryState, MessageRecord } from '../message-record.ts'
import type { QueueId } from '../queue-id.ts'
import { SpoolBroken } from './contract.ts'
import type { SpoolIntake } from './contract.ts'
import type { Disk } from './disk.ts'
import type { KeyRing } from './keys.ts'
import { LargeFileWriter } from './large-file.ts'
import type { LargeTotals } from './large-file.ts'

/** Header block and body; more goes to a file of its own. */
export const INLINE_BYTES = 256 * 1024
/** Bodies up to this size stay in memory beside their file, so that a message that is delivered at once needs no read and no decryption. */
const HOT_BODY_BYTES = 1536 * 1024
/** Bodies that all intakes together hold in memory; beyond it they go to files however small they are. */
const MEMORY_BYTES = 64 * 1024 * 1024

/** What all intakes of a spool share. */
export class IntakeMemory {
  bytes = 0

  get isFull(): boolean {
    return this.bytes > MEMORY_BYTES
  }
}

export type ReceivedBody =
  | { readonly kind: 'inline'; readonly pieces: readonly Buffer[] }
  /** `pieces`: the body once more, where it was worth the memory. */
  | { readonly kind: 'large'; readonly totals: LargeTotals; readonly pieces: readonly Buffer[] | undefined }

export interface IntakeDeps {
  readonly disk: Disk
  readonly keys: KeyRing
  readonly memory: IntakeMemory
  /** @throws SpoolFull when there is no room for one more message */
  checkRoom(): void
  /** Durable on return. @throws SpoolBroken */
  commit(header: Buffer, body: ReceivedBody, record: MessageRecord, state: DeliveryState): Promise<void>
}

export class Intake implements SpoolIntake {
  readonly queueId: QueueId
  readonly #deps: IntakeDeps
  /** The body so far; undefined when it has become too much to be held. */
  #pieces: Buffer[] | undefined = []
  /** Of `#pieces` */
  #bytes = 0
  #large: LargeFileWriter | undefined
  #isOver = false

  constructor(queueId: QueueId, deps: IntakeDeps) {
    this.queueId = queueId
    this.#deps = deps
  }

  write(chunk: Uint8Array): Promise<void> | undefined {
    if (this.#isOver) throw new Error('unreachable: the intake is over')
    const piece = this.#hold(chunk)
    if (this.#large !== undefined) return asBroken(this.#large.write(piece ?? chunk))
    return this.#bytes > INLINE_BYTES || this.#deps.memory.isFull ? asBroken(this.#spill()) : undefined
  }

  /** A copy: what the caller has is overwritten, or part of a large buffer. */
  #hold(chunk: Uint8Array): Buffer | undefined {
    if (this.#pieces === undefined) return undefined
    if (this.#large !== undefined && (this.#bytes + chunk.length > HOT_BODY_BYTES || this.#deps.memory.isFull)) {
      this.#release()
      return undefined
    }
    const piece = Buffer.from(chunk)
    this.#pieces.push(piece)
    this.#bytes += piece.length
    this.#deps.memory.bytes += piece.length
    return piece
  }

  async #spill(): Promise<void> {
    const { disk, keys } = this.#deps
    const large = new LargeFileWriter(disk, keys, this.queueId)
    this.#large = large
    const pieces = this.#pieces ?? []
    if (this.#bytes > HOT_BODY_BYTES || this.#deps.memory.isFull) this.#release()
    // All at once, so that what is written next comes behind them.
    await Promise.all(pieces.map(async (piece) => large.write(piece)))
  }

  #release(): void {
    this.#pieces = undefined
    this.#deps.memory.bytes -= this.#bytes
    this.#bytes = 0
  }

  async commit(header: Uint8Array, record: MessageRecord, state: DeliveryState): Promise<void> {
    if (this.#isOver) throw new Error('unreachable: the intake is over')
    if (record.queueId !== this.queueId) throw new Error('unreachable: the record is of another message')
    try {
      this.#deps.checkRoom()
      // A copy: what the caller has may be a small part of a large buffer, which would stay as long as the message is hot.
      const block = Buffer.from(header)
      if (this.#large === undefined && this.#bytes + block.length > INLINE_BYTES) await asBroken(this.#spill())
      await this.#deps.commit(block, await this.#finish(block), record, state)
      this.#isOver = true
      this.#release()
    } catch (error) {
      await this.abort()
      throw error
    }
  }

  async #finish(header: Buffer): Promise<ReceivedBody> {
    if (this.#large === undefined) return { kind: 'inline', pieces: this.#pieces ?? [] }
    const totals = await this.#large.finish(header).catch((cause: unknown) => {
      throw new SpoolBroken('a write to the spool failed', { cause })
    })
    return { kind: 'large', totals, pieces: this.#pieces }
  }

  async abort(): Promise<void> {
    if (this.#isOver) return
    this.#isOver = true
    this.#release()
    await this.#large?.abort()
  }
}

/** The disk's errors are for the log; callers know SpoolBroken. */
function asBroken(work: Promise<void> | undefined): Promise<void> | undefined {
  return work?.catch((cause: unknown) => {
    throw new SpoolBroken('a write to the spool failed', { cause })
  })
}
