// The spool's contract without a disk: what was durable survives `crash`, and every operation can be made to fail or to wait.
import { mayHearOfDelay } from '../../../mta/delay-notice.ts'
import type { DeliveryState, MessageRecord } from '../../../mta/message-record.ts'
import type { QueueId } from '../../../mta/queue-id.ts'
import { SpoolDamaged } from '../../../mta/spool/contract.ts'
import type { Spool, SpoolEntry, SpoolIntake, SpooledMessage } from '../../../mta/spool/contract.ts'

interface Stored {
  readonly record: MessageRecord
  readonly header: Buffer
  readonly body: Buffer
  state: DeliveryState
  isInHand: boolean
  deaths: number
  isDamaged: boolean
}

export type SpoolCall = 'commit' | 'take' | 'update' | 'remove' | 'read'

export class MemorySpool implements Spool {
  readonly stored = new Map<QueueId, Stored>()
  /** Every durable change in order: `remove 01…`. */
  readonly journal: string[] = []
  /** Before each call; what it throws, the call throws; what it waits for, the call waits for. */
  before: (call: SpoolCall, queueId: QueueId) => Promise<void> | void = () => {}

  checkRoom(): void {}

  begin(queueId: QueueId): SpoolIntake {
    const chunks: Buffer[] = []
    return {
      queueId,
      write: (chunk) => void chunks.push(Buffer.from(chunk)),
      commit: async (header, record, state) => {
        await this.before('commit', queueId)
        this.stored.set(queueId, {
          record,
          header: Buffer.from(header),
          body: Buffer.concat(chunks),
          state,
          isInHand: true,
          deaths: 0,
          isDamaged: false,
        })
        this.journal.push(`commit ${queueId}`)
      },
      abort: async () => {},
    }
  }

  async take(queueId: QueueId): Promise<void> {
    await this.before('take', queueId)
    this.#get(queueId).isInHand = true
    this.journal.push(`take ${queueId}`)
  }

  async update(queueId: QueueId, state: DeliveryState): Promise<void> {
    await this.before('update', queueId)
    const stored = this.#get(queueId)
    stored.state = state
    stored.isInHand = false
    this.journal.push(`update ${queueId}`)
  }

  async remove(queueId: QueueId): Promise<void> {
    await this.before('remove', queueId)
    this.stored.delete(queueId)
    this.journal.push(`remove ${queueId}`)
  }

  async read(queueId: QueueId): Promise<SpooledMessage> {
    await this.before('read', queueId)
    const stored = this.#get(queueId)
    if (stored.isDamaged) {
      this.stored.delete(queueId)
      throw new SpoolDamaged('damaged')
    }
    return {
      record: stored.record,
      state: stored.state,
      header: stored.header,
      body: () => [stored.body],
      close: async () => {},
    }
  }

  *entries(): Iterable<SpoolEntry> {
    for (const queueId of [...this.stored.keys()].toSorted()) yield this.#entry(queueId)
  }

  find(queueId: QueueId): SpoolEntry | undefined {
    return this.stored.has(queueId) ? this.#entry(queueId) : undefined
  }

  readonly quarantine = { list: async () => [], export: async () => Buffer.alloc(0), remove: async () => {} }

  health() {
    return { messages: this.stored.size, bytes: 0, freeBytes: 1e9, freeInodeRatio: 1, quarantined: 0 }
  }

  async close(): Promise<void> {}

  /** The process dies: what was in hand has one death more. */
  crash(): MemorySpool {
    const after = new MemorySpool()
    for (const [queueId, stored] of this.stored) {
      after.stored.set(queueId, { ...stored, isInHand: false, deaths: stored.deaths + (stored.isInHand ? 1 : 0) })
    }
    // The old process writes nothing any more.
    this.before = () => new Promise(() => {})
    return after
  }

  #get(queueId: QueueId): Stored {
    const stored = this.stored.get(queueId)
    if (stored === undefined) throw new Error(`unreachable: ${queueId} is not in the spool`)
    return stored
  }

  #entry(queueId: QueueId): SpoolEntry {
    const { record, state, deaths } = this.#get(queueId)
    const routes = record.recipients
      .filter((_, index) => state.recipients[index]?.kind === 'queued')
      .map(({ route }) => route)
    return {
      queueId,
      receivedAt: record.receivedAt,
      sizeBytes: record.headerBytes + record.bodyBytes,
      direction: record.direction,
      isNullSender: record.reversePath === '',
      isOwnReport: record.isOwnReport,
      routes: [...new Set(routes)],
      recipientCount: record.recipients.length,
      state,
      hasDelayToTell:
        mayHearOfDelay(record) &&
        state.recipients.some((each) => each.kind === 'queued' && each.delayToldAt === undefined),
      deaths,
    }
  }
}
