// Who may hear that his message is delayed: a person who asked for it. (DL-4, DL-5, RFC 3461 §4.1)
import type { MessageRecord, RecipientRecord } from './message-record.ts'

/** Without NOTIFY the sender hears of failures only (R10; RFC 3461 §4.1 leaves delays to us). */
export function wantsDelayNotice({ notify }: Pick<RecipientRecord, 'notify'>): boolean {
  return notify !== undefined && notify.toUpperCase().split(',').includes('DELAY')
}

/** Of a message that was accepted by a version that didn't look, only its header tells whether a machine sent it. */
export function mayHearOfDelay(record: MessageRecord): boolean {
  const { isOwnReport, receivedReversePath, isAutomatic, recipients } = record
  return !isOwnReport && receivedReversePath !== '' && isAutomatic !== true && recipients.some(wantsDelayNotice)
}
