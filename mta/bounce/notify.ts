// Who is told of what became of a message: the sender, if he wants to know and if it is not a report itself. (R74, DL-4, DL-5, RFC 3461 §5)
import { mayHearOfDelay, wantsDelayNotice } from '../delay-notice.ts'
import type { MessageRecord, RecipientRecord, SmtpReply } from '../message-record.ts'

/** RFC 3464 §2.3.3: `relayed` = handed to a server that can't report success itself. */
export type ReportedAction = 'failed' | 'relayed' | 'delayed'

export interface ReportedRecipient {
  /** Index into `record.recipients`. */
  readonly index: number
  readonly action: ReportedAction
  readonly reply: SmtpReply
  /** Server that said so; empty when none was reached. */
  readonly remote: string
}

export type Notification =
  | { readonly kind: 'report'; readonly recipients: readonly ReportedRecipient[] }
  /** Nobody wants to know, or nobody can be told. */
  | { readonly kind: 'nobody' }
  /** A report of our own that failed: kept for the operator, never reported on. */
  | { readonly kind: 'dead-letter' }

export function planNotification(record: MessageRecord, recipients: readonly ReportedRecipient[]): Notification {
  if (record.isOwnReport)
    return recipients.some(({ action }) => action === 'failed') ? { kind: 'dead-letter' } : { kind: 'nobody' }
  if (record.receivedReversePath === '') return { kind: 'nobody' }
  const wanted = recipients.filter(({ index, action }) => wantsToKnow(record, record.recipients[index], action))
  return wanted.length > 0 ? { kind: 'report', recipients: wanted } : { kind: 'nobody' }
}

/** Without NOTIFY the sender hears of failures only (RFC 3461 §4.1 leaves delays to us). */
function wantsToKnow(record: MessageRecord, recipient: RecipientRecord | undefined, action: ReportedAction): boolean {
  if (recipient === undefined) return false
  switch (action) {
    case 'failed':
      return hasKeyword(recipient.notify ?? 'FAILURE', 'FAILURE')
    case 'relayed':
      return hasKeyword(recipient.notify ?? 'FAILURE', 'SUCCESS')
    case 'delayed':
      return mayHearOfDelay(record) && wantsDelayNotice(recipient)
    default:
      return action satisfies never
  }
}

function hasKeyword(notify: string, keyword: string): boolean {
  return notify.toUpperCase().split(',').includes(keyword)
}
