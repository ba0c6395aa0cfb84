// What an operator can do with queued and quarantined mail: the same for a running relay, over its socket, and for a spool at rest.
import type { Direction } from '../../rewrite-rules/index.ts'
import type { DeliveryState, MessageRecord } from '../message-record.ts'
import type { QuarantineEntry, SpoolEntry } from '../spool/contract.ts'
import type { QueueId } from '../queue-id.ts'

/** Each given member must hold. */
export interface QueueFilter {
  readonly direction?: Direction
  readonly route?: string
  readonly isHeld?: boolean
  /** true: only undeliverable reports of the relay (DL-5); false: everything else; absent: both */
  readonly isDead?: boolean
}

export interface QueueItem extends SpoolEntry {
  /** In a delivery attempt right now. */
  readonly isActive: boolean
}

export interface QueueItemDetail {
  readonly record: MessageRecord
  readonly state: DeliveryState
}

export type QueueChange = 'retry' | 'hold' | 'release' | 'remove'
export const QUEUE_CHANGES: readonly QueueChange[] = ['retry', 'hold', 'release', 'remove']

/** Messages by id, or all that a filter lets through. */
export type ChangeTarget = { readonly ids: readonly QueueId[] } | { readonly all: QueueFilter }

export interface ChangeResult {
  readonly changed: readonly QueueId[]
  /** Not in the queue (any more). */
  readonly unknown: readonly QueueId[]
  /** There, but it can't be changed now: a delivery attempt of it is running. */
  readonly busy: readonly QueueId[]
}

export interface QueueOperations {
  /** In order of acceptance. */
  list(filter: QueueFilter): AsyncIterable<QueueItem>
  show(id: QueueId): Promise<QueueItemDetail | undefined>
  change(change: QueueChange, target: ChangeTarget): Promise<ChangeResult>
  quarantine: {
    list(): Promise<readonly QuarantineEntry[]>
    /** undefined: not in quarantine. */
    export(id: string): Promise<Buffer | undefined>
    /** @returns false: not in quarantine */
    remove(id: string): Promise<boolean>
  }
}

export function matchesFilter(entry: SpoolEntry, { direction, route, isHeld, isDead }: QueueFilter): boolean {
  return (
    (direction === undefined || entry.direction === direction) &&
    (route === undefined || entry.routes.includes(route)) &&
    (isHeld === undefined || entry.state.isHeld === isHeld) &&
    (isDead === undefined || entry.state.isDead === isDead)
  )
}
