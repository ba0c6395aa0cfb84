// What an operator can do with queued and quarantined mail: the same for a running relay, over its socket, and for a spool at rest.
import type { Direction } from '../../rewrite-rules/index.ts'
import type { DeliveryState, MessageRecord } from '../message-record.ts'
import type { QuarantineEntry, SpoolEntry } from '../spool/contract.ts'
import type { QueueId } from '../queue-id.ts'

/** Each given member must hold. */
export interface QueueFilter {
  readonly direction?: Direction
  readonly route?: string
  /** By any of these routes. */
  readonly routes?: readonly string[]
  /** Accepted before: ms since the epoch. */
  readonly receivedBefore?: number
  /** Tried and waiting for another attempt. */
  readonly isDeferred?: boolean
  /**
   * `local-part@domain`, `@domain` for anybody there, `<>` for the null reverse-path; as received or as rewritten, whatever the case. These two
   * need the message's record from disk: the spool keeps no address in memory.
   */
  readonly sender?: string
  /** Any of its recipients, delivered or not. */
  readonly recipient?: string
  readonly isHeld?: boolean
  /** true: only undeliverable reports of the relay (DL-5); false: everything else; absent: both */
  readonly isDead?: boolean
}

export interface QueueItem extends SpoolEntry {
  /** In a delivery attempt right now. */
  readonly isActive: boolean
  /** Why it waits: `451 4.3.0`, what its next hop said last; absent when it waits for nobody. */
  readonly status?: string
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

/** All that memory can answer. */
export function matchesFilter(entry: SpoolEntry, filter: QueueFilter): boolean {
  const { direction, route, routes, receivedBefore, isHeld, isDead, isDeferred } = filter
  const { state } = entry
  return (
    (direction === undefined || entry.direction === direction) &&
    (route === undefined || entry.routes.includes(route)) &&
    (routes === undefined || entry.routes.some((each) => routes.includes(each))) &&
    (receivedBefore === undefined || entry.receivedAt < receivedBefore) &&
    (isHeld === undefined || state.isHeld === isHeld) &&
    (isDead === undefined || state.isDead === isDead) &&
    (isDeferred === undefined || (state.attempts > 0 && !state.isHeld && !state.isDead) === isDeferred)
  )
}

export function needsRecord({ sender, recipient }: QueueFilter): boolean {
  return sender !== undefined || recipient !== undefined
}

export function matchesEnvelope(record: MessageRecord, { sender, recipient }: QueueFilter): boolean {
  return (
    (sender === undefined || [record.reversePath, record.receivedReversePath].some(isLike(sender))) &&
    (recipient === undefined ||
      record.recipients.flatMap(({ path, received }) => [path, received]).some(isLike(recipient)))
  )
}

function isLike(pattern: string): (address: string) => boolean {
  const wanted = pattern === '<>' ? '' : pattern.toLowerCase()
  return (address) => {
    const folded = address.toLowerCase()
    return wanted.startsWith('@') ? folded.slice(folded.lastIndexOf('@')) === wanted : folded === wanted
  }
}
