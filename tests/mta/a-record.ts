// A plausible accepted message, for tests that care about one thing of it.
import type { MessageRecord } from '../../mta/message-record.ts'
import { parseQueueId } from '../../mta/queue-id.ts'

export function aQueueId(text = '01JDA2B3C4XY5Z6Q') {
  const id = parseQueueId(text)
  if (id === undefined) throw new Error(`not a queue id: ${text}`)
  return id
}

export function aRecord(overrides: Partial<MessageRecord> = {}): MessageRecord {
  return {
    queueId: aQueueId(),
    project: 'p1',
    direction: 'out',
    tableVersion: 7,
    receivedAt: Date.UTC(2026, 10, 22, 10, 0),
    intakeMs: 12,
    reversePath: 'alice@fabrikam.example',
    receivedReversePath: 'alice@contoso.example',
    smtpUtf8: false,
    body8BitMime: false,
    has8Bit: false,
    isOwnReport: false,
    recipients: [{ path: 'dana@example.net', received: 'dana@example.net', route: 'owner-tenant' }],
    headerBytes: 400,
    bodyBytes: 2_000,
    ...overrides,
  }
}
