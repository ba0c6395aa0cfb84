// What happens to a message beside its delivery attempts (delivery-event.ts): told by whoever made it happen, kept in the delivery journal.
import type { MessageRecord } from './message-record.ts'
import type { QueueId } from './queue-id.ts'

export interface AcceptedMail {
  readonly record: MessageRecord
  /** Address of the peer that sent it. */
  readonly client: string
  /** Body of its Message-ID field, trimmed; empty when there is none. */
  readonly messageId: string
}

/** - `dead`: an undeliverable report of our own, kept for the operator (DL-5) */
export type QueueEvent =
  /** A report on it is durable and waits as a message of its own. */
  | { readonly kind: 'reported'; readonly queueId: QueueId; readonly report: QueueId }
  | {
      readonly kind: 'dead'
      readonly queueId: QueueId
    }

/** The last two concern quarantined mail. */
export const OPERATOR_EVENTS = ['held', 'released', 'retried', 'removed', 'exported', 'discarded'] as const

export type OperatorEvent = (typeof OPERATOR_EVENTS)[number]

export type MailEvent =
  | ({ readonly kind: 'accepted' } & AcceptedMail)
  | QueueEvent
  /** Set aside by the spool (SF-4, DU-8). Of a piece that can't be told to be a message: its place. */
  | { readonly kind: 'quarantined'; readonly queueId: string; readonly reason: 'damaged' | 'poison' }
  | { readonly kind: OperatorEvent; readonly queueId: string }
