// What the rest of the relay may rely on of the spool (reliability-security.md §5, §6), whatever it looks like on disk.
import type { DeliveryState, MessageRecord } from '../message-record.ts'
import type { QueueId } from '../queue-id.ts'

/** One message being received. Nothing of it survives unless `commit` resolves (or the process dies between sync and reply: DU-2). */
export interface SpoolIntake {
  readonly queueId: QueueId
  /** Takes body bytes. Resolve = ready for more (backpressure); the chunk is copied or consumed before it resolves. */
  write(chunk: Uint8Array): Promise<void> | undefined
  /**
   * Makes the message durable (DU-1) together with its first "in hand" mark (DU-8).
   * @param header  rewritten header block with its final empty line
   * @returns after the sync that covers it
   * @throws SpoolFull, SpoolBroken; then nothing is kept
   */
  commit(header: Uint8Array, record: MessageRecord, state: DeliveryState): Promise<void>
  /** Drops what was written. Idempotent; also after a failed commit. */
  abort(): Promise<void>
}

export interface SpooledMessage {
  readonly record: MessageRecord
  readonly state: DeliveryState
  readonly header: Buffer
  /** The body in order; each call starts from the beginning. Verifies every chunk (SF-1). @throws SpoolDamaged */
  body(): AsyncIterable<Buffer> | Iterable<Buffer>
  /** Releases file handles and memory held for reading. Idempotent. */
  close(): Promise<void>
}

/** What the queue keeps in memory of a message: small and without content. */
export interface SpoolEntry {
  readonly queueId: QueueId
  readonly receivedAt: number
  readonly sizeBytes: number
  readonly direction: MessageRecord['direction']
  readonly isNullSender: boolean
  readonly isOwnReport: boolean
  /** Routes that still have queued recipients, without duplicates. */
  readonly routes: readonly string[]
  readonly recipientCount: number
  readonly state: Pick<DeliveryState, 'attempts' | 'nextAttemptAt' | 'isHeld' | 'isDead'>
  /** The sender may want to hear that it is delayed, and hasn't of every recipient (DL-4). */
  readonly hasDelayToTell: boolean
  /** Code and status of the last reply to a recipient that is still queued: `451 4.3.0`. Absent: none has been tried. */
  readonly lastStatus?: string
  /** Process deaths with this message in hand (DU-8). Above 0: the queue delivers it alone. */
  readonly deaths: number
}

export interface SpoolHealth {
  readonly messages: number
  readonly bytes: number
  readonly freeBytes: number
  readonly freeInodeRatio: number
  readonly quarantined: number
  /** Why the spool takes nothing now, if it doesn't (disk floor, failed sync). */
  readonly refusing?: string
  /** Why it may soon refuse; always there when it does for want of room (BP-3). */
  readonly nearlyFull?: string
}

export interface QuarantineEntry {
  readonly queueId: string
  readonly reason: 'damaged' | 'poison'
  readonly at: number
  readonly sizeBytes: number
  readonly detail: string
}

export interface Spool {
  /** @throws SpoolFull at the disk floor or message limit: 452 4.3.1 at MAIL; `declaredBytes` from SIZE= */
  checkRoom(declaredBytes: number): void
  begin(queueId: QueueId): SpoolIntake
  /** Marks a message as in hand before it is processed again (DU-8); durable on return. */
  take(queueId: QueueId): Promise<void>
  /** Replaces the delivery state and ends "in hand"; durable on return (DU-4). */
  update(queueId: QueueId, state: DeliveryState): Promise<void>
  /** Forgets a message for good: durable on return; its key is gone from disk within 60 s (SF-6). */
  remove(queueId: QueueId): Promise<void>
  /** @throws SpoolDamaged after moving the message to quarantine (SF-4) */
  read(queueId: QueueId): Promise<SpooledMessage>
  /** All messages now in the spool, quarantine excluded, in order of acceptance. */
  entries(): Iterable<SpoolEntry>
  find(queueId: QueueId): SpoolEntry | undefined
  quarantine: {
    list(): Promise<QuarantineEntry[]>
    /** Decrypted message of a poison entry, or what can still be read of a damaged one. */
    export(queueId: string): Promise<Buffer>
    remove(queueId: string): Promise<void>
  }
  health(): SpoolHealth
  /** Flushes and releases the lock. */
  close(): Promise<void>
}

/** No room (disk floor, limits): 452 4.3.1. */
export class SpoolFull extends Error {
  override readonly name = 'SpoolFull'
}
/** A write or sync failed: 451 4.3.0 for this message; the file or segment it was in is suspect (DU-3). */
export class SpoolBroken extends Error {
  override readonly name = 'SpoolBroken'
}
/** An entry fails authentication or is incomplete; it has been quarantined. */
export class SpoolDamaged extends Error {
  override readonly name = 'SpoolDamaged'
}
/** The spool can't be opened: held by another process, newer format, wrong or missing key. Text is for the operator. */
export class SpoolUnusable extends Error {
  override readonly name = 'SpoolUnusable'
}
