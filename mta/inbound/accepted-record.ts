// What is kept of a message beside its bytes, made of what the client said and of what the engine made of it. Pure.
import type { Direction, ForwardPath, RewrittenEnvelope } from '../../rewrite-rules/index.ts'
import type { DeliveryState, MessageRecord, RecipientRecord, RouteName } from '../message-record.ts'
import type { QueueId } from '../queue-id.ts'
import type { Transaction } from './transaction.ts'

export interface AcceptedMessage {
  readonly queueId: QueueId
  /** As received. */
  readonly transaction: Transaction
  readonly rewritten: RewrittenEnvelope
  readonly direction: Direction
  /** In the order of the rewritten forward-paths (rewriting.md §13). */
  readonly routes: readonly RouteName[]
  readonly returnRoute: RouteName
  /** Who handed it over; undefined where nothing proves it. */
  readonly tenant: string | undefined
  readonly project: string
  readonly tableVersion: number
  readonly snapshotVersion: number | undefined
  /** ms since the epoch */
  readonly receivedAt: number
  readonly has8Bit: boolean
  /** Its header says that a machine sent it (DL-5). */
  readonly isAutomatic: boolean
  readonly headerBytes: number
  readonly bodyBytes: number
}

export function acceptedRecord(message: AcceptedMessage): MessageRecord {
  const { transaction, rewritten, routes, tenant, receivedAt, snapshotVersion } = message
  const { RET: ret, ENVID: envid, BODY: body, REQUIRETLS: requireTls } = transaction.parameters
  const received = transaction.envelope().forwardPaths
  return {
    queueId: message.queueId,
    project: message.project,
    direction: message.direction,
    ...(tenant === undefined ? {} : { tenant }),
    returnRoute: message.returnRoute,
    tableVersion: message.tableVersion,
    ...(snapshotVersion === undefined ? {} : { snapshotVersion }),
    receivedAt,
    intakeMs: Math.max(0, receivedAt - transaction.startedAt),
    reversePath: rewritten.envelope.reversePath,
    receivedReversePath: transaction.reversePath,
    ...(ret === 'FULL' || ret === 'HDRS' ? { ret } : {}),
    ...(typeof envid === 'string' ? { envid } : {}),
    smtpUtf8: transaction.isSmtpUtf8,
    ...(requireTls === true ? { requireTls } : {}),
    body8BitMime: body === '8BITMIME',
    has8Bit: message.has8Bit,
    isOwnReport: false,
    isAutomatic: message.isAutomatic,
    recipients: rewritten.envelope.forwardPaths.map((forward, i) => {
      // The first of those that became one: its ORCPT is kept too (R13).
      return recipientRecord(forward, received[rewritten.received[i]?.[0] ?? -1], routes[i])
    }),
    headerBytes: message.headerBytes,
    bodyBytes: message.bodyBytes,
  }
}

function recipientRecord(
  forward: ForwardPath,
  received: ForwardPath | undefined,
  route: RouteName | undefined,
): RecipientRecord {
  if (received === undefined || route === undefined) throw new Error('unreachable: a recipient that nobody sent')
  const { NOTIFY: notify, ORCPT: orcpt } = forward.parameters
  return {
    path: forward.path,
    received: received.path,
    ...(typeof notify === 'string' ? { notify } : {}),
    ...(typeof orcpt === 'string' ? { orcpt } : {}),
    route,
  }
}

/** Received recipients that are delivered as part of an earlier one (R13). */
export function collapsedPaths(transaction: Transaction, rewritten: RewrittenEnvelope | undefined): string[] {
  const received = transaction.envelope().forwardPaths
  const others = rewritten?.received.flatMap((indices) => indices.slice(1)) ?? []
  return others.map((index) => received[index]?.path ?? '')
}

/** Due at once, to everybody. */
export function firstState({ recipients, receivedAt }: MessageRecord): DeliveryState {
  return {
    attempts: 0,
    nextAttemptAt: receivedAt,
    isHeld: false,
    isDead: false,
    recipients: recipients.map(() => ({ kind: 'queued' })),
  }
}
