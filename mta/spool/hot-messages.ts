// Content of messages committed a moment ago: most are delivered at once, and need no read and no decryption then. Bounded by bytes.
import type { KeyObject } from 'node:crypto'
import type { DeliveryState, MessageRecord } from '../message-record.ts'
import type { QueueId } from '../queue-id.ts'

export interface HotMessage {
  readonly record: MessageRecord
  readonly state: DeliveryState
  readonly header: Buffer
  readonly body: readonly Buffer[]
  readonly key: KeyObject
  readonly keyId: number
}

/** What an entry costs beside its content. */
const OVERHEAD_BYTES = 1024

export class HotMessages {
  readonly #limitBytes: number
  readonly #messages = new Map<QueueId, HotMessage>()
  #bytes = 0

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes
  }

  get(queueId: QueueId): HotMessage | undefined {
    return this.#messages.get(queueId)
  }

  /** The oldest go when there is no room. */
  put(message: HotMessage): void {
    this.delete(message.record.queueId)
    this.#messages.set(message.record.queueId, message)
    this.#bytes += sizeOf(message)
    for (const [oldest] of this.#messages) {
      if (this.#bytes <= this.#limitBytes) break
      this.delete(oldest)
    }
  }

  delete(queueId: QueueId): void {
    const message = this.#messages.get(queueId)
    if (message === undefined) return
    this.#messages.delete(queueId)
    this.#bytes -= sizeOf(message)
  }
}

function sizeOf({ record, header }: HotMessage): number {
  return OVERHEAD_BYTES + header.length + record.bodyBytes + record.recipients.length * 256
}
