// What an attempt makes of a message's state. (DU-4, DL-2)
import type { DeliveryState, MessageRecord, RecipientState, RouteName, SmtpReply } from '../message-record.ts'
import type { Outcome } from '../outbound/outcome.ts'

/** One recipient after one attempt. */
export interface Result {
  /** Index into the record's recipients. */
  readonly recipient: number
  readonly outcome: Outcome
}

/** Where and when results were had. */
export interface Occasion {
  readonly remote: string
  /** ms since the epoch */
  readonly at: number
}

/** @param results  of recipients that were queued; all others keep their state */
export function withResults(
  state: DeliveryState,
  results: readonly Result[],
  { remote, at }: Occasion,
  next: Pick<DeliveryState, 'attempts' | 'nextAttemptAt' | 'isHeld'>,
): DeliveryState {
  const recipients = state.recipients.slice()
  for (const { recipient, outcome } of results)
    recipients[recipient] = recipientState(outcome, remote, at, recipients[recipient])
  return { ...next, recipients, isDead: false }
}

function recipientState(
  outcome: Outcome,
  remote: string,
  at: number,
  before: RecipientState | undefined,
): RecipientState {
  if (outcome.kind === 'deferred')
    return {
      kind: 'queued',
      lastReply: outcome.reply,
      ...(before?.kind === 'queued' && before.delayToldAt !== undefined ? { delayToldAt: before.delayToldAt } : {}),
    }
  return { kind: outcome.kind, reply: outcome.reply, remote, at }
}

/** Of these recipients, which all wait, a delay has been reported; without `at` it has not. */
export function withDelayTold(
  state: DeliveryState,
  told: readonly number[],
  delayToldAt: number | undefined,
): DeliveryState {
  const recipients = state.recipients.slice()
  for (const index of told) {
    const recipient = recipients[index]
    if (recipient?.kind !== 'queued') throw new Error(`unreachable: recipient ${index} does not wait`)
    const { delayToldAt: _, ...untold } = recipient
    recipients[index] = delayToldAt === undefined ? untold : { ...untold, delayToldAt }
  }
  return { ...state, recipients }
}

/** Nobody is left to deliver to. */
export function isFinal({ recipients }: DeliveryState): boolean {
  return recipients.every(({ kind }) => kind !== 'queued')
}

export function hasFailed({ recipients }: DeliveryState): boolean {
  return recipients.some(({ kind }) => kind === 'failed')
}

/** The recipients that still wait and go by one of `routes`. */
export function queuedRecipients(
  record: MessageRecord,
  state: DeliveryState,
  routes: ReadonlySet<RouteName>,
): number[] {
  const queued: number[] = []
  for (const [index, { route }] of record.recipients.entries()) {
    if (state.recipients[index]?.kind === 'queued' && routes.has(route)) queued.push(index)
  }
  return queued
}

/** What a dead letter becomes when the operator wants it tried again (DL-5). */
export function revived(state: DeliveryState, now: number): DeliveryState {
  return {
    ...state,
    nextAttemptAt: now,
    isDead: false,
    recipients: state.recipients.map((recipient) =>
      recipient.kind === 'failed' ? { kind: 'queued', lastReply: recipient.reply } : recipient,
    ),
  }
}

/** Of a message that nothing has happened to since intake. */
export function untouchedState(recipientCount: number, nextAttemptAt: number): DeliveryState {
  return {
    attempts: 0,
    nextAttemptAt,
    isHeld: false,
    isDead: false,
    recipients: Array.from({ length: recipientCount }, () => ({ kind: 'queued' })),
  }
}

/** RFC 3463 §3.5, X.4.7: its time is over; what the next hop said last says why. */
export function givenUp(last: SmtpReply): Outcome {
  return { kind: 'failed', reply: { ...last, status: '4.4.7' } }
}
