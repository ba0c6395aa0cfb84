// Makes the report on a message into a message of its own, ready for the spool: who it goes to, by which route, and what it may quote. (R74, R76)
import {
  applyEdits,
  formatMarker,
  MARKER_FIELD,
  ownMarkerFields,
  presentRecipientFields,
  Refusal,
  scanHeader,
} from '../../rewrite-rules/index.ts'
import type { Direction, MappingTable, Policy } from '../../rewrite-rules/index.ts'
import type { MarkerKeys } from '../marker-keys.ts'
import type { DeliveryState, MessageRecord, RouteName } from '../message-record.ts'
import type { QueueId } from '../queue-id.ts'
import { buildDsn, returnsBody } from './dsn.ts'
import type { DsnInput } from './dsn.ts'
import type { ReportedRecipient } from './notify.ts'

/** The message that is reported on, as the spool holds it. */
export interface ReportedMessage {
  readonly record: MessageRecord
  readonly header: Buffer
  body(): AsyncIterable<Buffer> | Iterable<Buffer>
}

/** A message to spool and queue. */
export interface ReportMessage {
  /** With its final empty line. */
  readonly header: Buffer
  readonly body: Buffer
  readonly record: MessageRecord
  readonly state: DeliveryState
}

export interface ReportDeps {
  /** The relay's name. */
  readonly name: string
  readonly markerKeys: Pick<MarkerKeys, 'token' | 'tokens' | 'secret'>
  readonly currentTable: () => { readonly table: MappingTable; readonly policy: Policy } | undefined
  readonly newQueueId: (nowMs: number) => QueueId
  /** At least 16 random octets, as at most 50 letters, digits, `-` and `_`. */
  readonly randomText: () => string
  /** ms since the epoch */
  readonly now: () => number
}

const OTHER: Record<Direction, Direction> = { out: 'in', in: 'out' }
/** What a record without `returnRoute` means: the route of the other direction (rewriting.md §13). */
const ROUTE: Record<Direction, RouteName> = { out: 'owner-tenant', in: 'mailbox' }

/**
 * @param recipients  those whose sender wants to know (`planNotification`), at least one
 * @param willRetryUntil  when delayed recipients will be given up, ms since the epoch
 * @throws what reading the message's body throws
 */
export async function makeReport(
  message: ReportedMessage,
  recipients: readonly ReportedRecipient[],
  deps: ReportDeps,
  willRetryUntil?: number,
): Promise<ReportMessage> {
  const { record } = message
  const now = deps.now()
  const queueId = deps.newQueueId(now)
  const messageId = `${queueId}@${deps.name}`
  const quoted = await quotedParts(message, recipients, deps)
  const dsn = buildDsn({
    name: deps.name,
    record,
    recipients,
    messageId,
    boundary: `causeway-${deps.randomText()}`,
    now,
    ...(quoted === undefined ? {} : { quoted }),
    // A clock that jumped ahead can make it a time that is past.
    ...(willRetryUntil === undefined || willRetryUntil <= now ? {} : { willRetryUntil }),
  })
  const direction = OTHER[record.direction]
  const { token, secret } = deps.markerKeys
  const trace = formatMarker({
    token,
    secret,
    project: record.project,
    direction,
    count: 1,
    relay: deps.name,
    messageId: `<${messageId}>`,
  })
  const header = Buffer.concat([Buffer.from(`${MARKER_FIELD}: ${trace}\r\n`), dsn.header])
  return {
    header,
    body: dsn.body,
    record: {
      queueId,
      project: record.project,
      direction,
      tableVersion: record.tableVersion,
      ...(record.snapshotVersion === undefined ? {} : { snapshotVersion: record.snapshotVersion }),
      receivedAt: now,
      intakeMs: 0,
      reversePath: '',
      receivedReversePath: '',
      smtpUtf8: dsn.smtpUtf8,
      body8BitMime: dsn.has8Bit,
      has8Bit: dsn.has8Bit,
      isOwnReport: true,
      recipients: [
        {
          path: record.receivedReversePath,
          received: record.receivedReversePath,
          route: record.returnRoute ?? ROUTE[direction],
        },
      ],
      headerBytes: header.length,
      bodyBytes: dsn.body.length,
    },
    state: { attempts: 0, nextAttemptAt: now, isHeld: false, isDead: false, recipients: [{ kind: 'queued' }] },
  }
}

/** Nothing of it where it can't be made sure that its sender may see it. */
async function quotedParts(
  message: ReportedMessage,
  recipients: readonly ReportedRecipient[],
  deps: ReportDeps,
): Promise<DsnInput['quoted']> {
  const header = quotedHeader(message, deps)
  if (header === undefined) return undefined
  if (!returnsBody(message.record, recipients)) return { header }
  const chunks: Buffer[] = []
  for await (const chunk of message.body()) chunks.push(Buffer.from(chunk))
  return { header, body: Buffer.concat(chunks) }
}

function quotedHeader(
  { header, record }: ReportedMessage,
  { currentTable, markerKeys }: ReportDeps,
): Buffer | undefined {
  try {
    const unmarked = withoutMarkers(header, markerKeys.tokens)
    if (record.direction === 'out') return unmarked
    // R74: an outsider sees the address he wrote to.
    const pinned = currentTable()
    return pinned && presentRecipientFields(unmarked, pinned.table.withPolicy(pinned.policy), record.smtpUtf8)
  } catch (error) {
    // A header at a limit of §12 can have outgrown it by what we added: that must not keep the report from being made.
    if (error instanceof Refusal) return undefined
    throw error
  }
}

/** The marker's token keeps mail from being routed to us: who it was not meant for must not learn it (SP-6, coexistence.md §2.1 row 11). */
function withoutMarkers(header: Buffer, tokens: readonly string[]): Buffer {
  const fields = ownMarkerFields(scanHeader(header), tokens)
  return fields.length === 0
    ? header
    : applyEdits(
        header,
        fields.map(({ start, end }) => ({ start, end, text: '' })),
      )
}
