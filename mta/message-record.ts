// What the relay knows of one accepted message: written once at intake, then only its delivery state changes.
import type { Direction } from '../rewrite-rules/index.ts'
import type { QueueId } from './queue-id.ts'

/** A name of route-names.ts. Decided at intake, kept (rewriting.md §13). */
export type RouteName = string

export interface RecipientRecord {
  /** Rewritten forward-path, without angle brackets. */
  readonly path: string
  /** Forward-path as the client sent it: what Final-Recipient of our DSNs names (R74). */
  readonly received: string
  /** xtext as on the wire; ORCPT as received or as added by R9. */
  readonly notify?: string
  readonly orcpt?: string
  readonly route: RouteName
}

export interface MessageRecord {
  readonly queueId: QueueId
  readonly project: string
  readonly direction: Direction
  /** The tenant that handed it over, where that is proven (SP-4). */
  readonly tenant?: string
  /** The route of reports on it. Absent in records of the first version: that of the other direction. */
  readonly returnRoute?: RouteName
  /** Mapping revision the message was rewritten with (RC-3). */
  readonly tableVersion: number
  /** Version of the control plane's snapshot that table and settings were of (RC-3). Absent where they come from files. */
  readonly snapshotVersion?: number
  /** ms since the epoch, of the 250 */
  readonly receivedAt: number
  /** ms from MAIL to the commit: the first of the four delays */
  readonly intakeMs: number
  /** Rewritten; `""` is the null reverse-path. */
  readonly reversePath: string
  /** As received; DSNs go here (R74). */
  readonly receivedReversePath: string
  /** Parameters of MAIL to pass on; SIZE is computed at delivery (R11). */
  readonly ret?: 'FULL' | 'HDRS'
  readonly envid?: string
  readonly smtpUtf8: boolean
  /** Client declared REQUIRETLS (RFC 8689): honoured or not sent (R12). */
  readonly requireTls?: true
  /** Client declared BODY=8BITMIME. */
  readonly body8BitMime: boolean
  /** Header or body hold an octet above 127 (R12). */
  readonly has8Bit: boolean
  /** Made by the relay itself (a DSN): never bounced, dead-lettered instead (DL-5). */
  readonly isOwnReport: boolean
  /** Sent by a machine: never told of delays (DL-5). Absent: accepted by a version that didn't look. */
  readonly isAutomatic?: boolean
  readonly recipients: readonly RecipientRecord[]
  /** Sizes of what will be sent: header block including its final empty line, and body; CRLF line ends, dots unstuffed. */
  readonly headerBytes: number
  readonly bodyBytes: number
}

/** A reply as it came from a next hop, bounded and stripped of control characters. */
export interface SmtpReply {
  /** 0 when no reply came (connection failed, timed out). */
  readonly code: number
  /** RFC 3463; taken from the reply, or derived from the situation. */
  readonly status: string
  readonly text: string
}

/** `451 4.3.0`; of a reply that never came only what the situation means: `4.4.1`. */
export function replyStatus({ code, status }: SmtpReply): string {
  return code === 0 ? status : `${code} ${status}`
}

export type RecipientState =
  | {
      readonly kind: 'queued'
      readonly lastReply?: SmtpReply
      /** When a report of its delay was made, ms since the epoch: there is no second one (DL-4). */
      readonly delayToldAt?: number
    }
  | { readonly kind: 'delivered'; readonly reply: SmtpReply; readonly remote: string; readonly at: number }
  | { readonly kind: 'failed'; readonly reply: SmtpReply; readonly remote: string; readonly at: number }

/** Everything about a message that changes after intake. Always written whole: the last one on disk wins. */
export interface DeliveryState {
  /** Finished delivery attempts of the message. */
  readonly attempts: number
  /** ms since the epoch */
  readonly nextAttemptAt: number
  readonly isHeld: boolean
  /** Same order and length as `MessageRecord.recipients`. */
  readonly recipients: readonly RecipientState[]
  /** `dead`: an undeliverable report of our own, kept for the operator (DL-5). */
  readonly isDead: boolean
}
