// The lines of the delivery journal: what may stand in one, how it is written, and how it is read again. Ids, codes and tags; no content,
// no reply texts, no address but as the privacy setting has it. (SF-6, PR-2, PR-3)
import { escapeControls } from '../../common/log.ts'
import type { DeliveryEvent } from '../delivery-event.ts'
import { OPERATOR_EVENTS } from '../mail-event.ts'
import type { MailEvent } from '../mail-event.ts'
import type { Tags } from '../privacy.ts'

export type { Tags } from '../privacy.ts'

export const JOURNAL_EVENTS = [
  'accepted',
  'delivered',
  'deferred',
  'failed',
  'reported',
  'dead',
  'quarantined',
  ...OPERATOR_EVENTS,
] as const

/** One line. What else it holds depends on the event, and on the version that wrote it. */
export interface JournalEntry {
  /** ISO 8601, UTC, with ms: 24 characters that sort. */
  readonly time: string
  readonly event: string
  readonly queueId: string
  readonly [member: string]: unknown
}

/** Every recipient of a message is found again by its later attempts; here only so many are named. */
const MAX_NAMED = 1_000

/** One recipient after one attempt. */
export function deliveryLine(at: number, { event, fields }: DeliveryEvent): string {
  return line({ time: new Date(at).toISOString(), event: event.slice('delivery.'.length), ...fields })
}

export function mailLine(at: number, event: MailEvent, tags: Tags): string {
  const time = new Date(at).toISOString()
  if (event.kind !== 'accepted') {
    const { kind, queueId, ...more } = event
    return line({ time, event: kind, queueId, ...more })
  }
  const { record, client, messageId } = event
  const from = tags.address(record.receivedReversePath)
  return line({
    time,
    event: 'accepted',
    queueId: record.queueId,
    direction: record.direction,
    ...(record.tenant === undefined ? {} : { tenant: record.tenant }),
    client,
    ...(messageId === '' ? {} : { messageId: tags.messageId(messageId) }),
    // As its sender wrote them: that is what he asks with. The attempts name what they became.
    ...(from === undefined
      ? {}
      : { from, to: record.recipients.slice(0, MAX_NAMED).map(({ received }) => tags.address(received)) }),
    bytes: record.headerBytes + record.bodyBytes,
    recipients: record.recipients.length,
    tableVersion: record.tableVersion,
    ...(record.snapshotVersion === undefined ? {} : { snapshotVersion: record.snapshotVersion }),
    intakeMs: record.intakeMs,
  })
}

function line(entry: JournalEntry): string {
  return `${escapeControls(JSON.stringify(entry))}\n`
}

/** undefined for what is no whole line of a journal: the last one before a crash may be torn. Never throws. */
export function parseEntry(text: string): JournalEntry | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  return isEntry(value) ? value : undefined
}

function isEntry(value: unknown): value is JournalEntry {
  if (typeof value !== 'object' || value === null) return false
  const { time, event, queueId } = value as Partial<Record<string, unknown>>
  return typeof time === 'string' && isTime(time) && typeof event === 'string' && typeof queueId === 'string'
}

function isTime(text: string): boolean {
  return /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(text)
}
