// One record per recipient per attempt, with the four delays: what log, metrics and trace say of a delivery is shaped here and nowhere else.
import type { MessageRecord, SmtpReply } from './message-record.ts'
import { routeLabel } from './route-names.ts'

export type DeliveryResult = 'delivered' | 'deferred' | 'failed'

/** What the queue knows when one recipient's attempt is over. All times in ms since the epoch, all lengths in ms. */
export interface DeliveryAttempt {
  readonly record: MessageRecord
  /** Index into `record.recipients`. */
  readonly recipient: number
  /** 1 = the first */
  readonly attempt: number
  readonly result: DeliveryResult
  readonly reply: SmtpReply
  /** Name or address and port of the server that answered; empty when none was reached. */
  readonly remote: string
  /** Protocol and proof of the connection; undefined: in cleartext, or there was none. */
  readonly tls?: { readonly protocol: string; readonly verifiedBy: string } | undefined
  readonly startedAt: number
  /** Until the connection could take the message: 0 on a kept one. */
  readonly connectMs: number
  /** From MAIL to the last reply. */
  readonly sendMs: number
  /** Only of a deferred recipient. */
  readonly retryAt?: number
}

/** Delays as Postfix counts them: before the queue, in it, connecting, sending. */
export interface DeliveryDelays {
  readonly intake: number
  readonly queue: number
  readonly connect: number
  readonly send: number
}

export interface DeliveryEvent {
  readonly event: `delivery.${DeliveryResult}`
  readonly level: 'info' | 'warn'
  readonly fields: {
    readonly queueId: string
    readonly direction: MessageRecord['direction']
    readonly route: string
    /** Absent where privacy is `off`. */
    readonly recipient?: string
    readonly recipientIndex: number
    readonly attempt: number
    readonly remote: string
    readonly tls?: string
    /** Absent where the host proved nothing. */
    readonly verifiedBy?: string
    readonly code: number
    readonly status: string
    readonly delaysMs: DeliveryDelays
    readonly retryAt?: string
  }
}

/**
 * Reply text stays out: next hops quote addresses in it.
 * @param tag  `recipientTag` with the project's level and key
 */
export function deliveryEvent(attempt: DeliveryAttempt, tag: (address: string) => string | undefined): DeliveryEvent {
  const { record, result, reply } = attempt
  const recipient = record.recipients[attempt.recipient]
  if (recipient === undefined) throw new Error(`unreachable: message has no recipient ${attempt.recipient}`)
  const tagged = tag(recipient.path)
  return {
    event: `delivery.${result}`,
    level: result === 'failed' ? 'warn' : 'info',
    fields: {
      queueId: record.queueId,
      direction: record.direction,
      route: routeLabel(recipient.route),
      ...(tagged === undefined ? {} : { recipient: tagged }),
      recipientIndex: attempt.recipient,
      attempt: attempt.attempt,
      remote: attempt.remote,
      ...tlsFields(attempt),
      code: reply.code,
      status: reply.status,
      delaysMs: {
        intake: record.intakeMs,
        queue: Math.max(0, attempt.startedAt - record.receivedAt),
        connect: tenths(attempt.connectMs),
        send: tenths(attempt.sendMs),
      },
      ...(attempt.retryAt === undefined ? {} : { retryAt: new Date(attempt.retryAt).toISOString() }),
    },
  }
}

function tlsFields({ tls }: DeliveryAttempt): Pick<DeliveryEvent['fields'], 'tls' | 'verifiedBy'> {
  if (tls === undefined) return {}
  return { tls: tls.protocol, ...(tls.verifiedBy === 'nothing' ? {} : { verifiedBy: tls.verifiedBy }) }
}

/** As exact as anybody reads it. */
function tenths(ms: number): number {
  return Math.round(ms * 10) / 10
}
