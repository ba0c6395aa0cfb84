// What is known of messages in hand, and its way to the disk. Nothing is forgotten here before it is written there: a report is spooled before
// its recipient is written off, a result is written before the message leaves memory. (DU-4, DU-8, DL-5)
import type { Log } from '../../common/log.ts'
import { NO_HEADER_LIMITS, scanHeader } from '../../rewrite-rules/index.ts'
import { isAutomaticMail } from '../automatic-mail.ts'
import { planNotification } from '../bounce/notify.ts'
import type { ReportedRecipient } from '../bounce/notify.ts'
import type { DeliveryState, MessageRecord, RouteName, SmtpReply } from '../message-record.ts'
import type { QueueId } from '../queue-id.ts'
import type { Spool, SpooledMessage } from '../spool/contract.ts'
import { hasFailed, isFinal, queuedRecipients, untouchedState, withDelayTold, withResults } from './delivery-state.ts'
import type { Occasion, Result } from './delivery-state.ts'
import type { QueuedMessage } from './queued-message.ts'

/** A message of our own, ready to be spooled. */
export interface Report {
  /** With its final empty line. */
  readonly header: Buffer
  readonly body: Buffer
  readonly record: MessageRecord
  readonly state: DeliveryState
}

/** undefined: there is nothing to tell after all. */
export type MakeReport = (
  message: SpooledMessage,
  recipients: readonly ReportedRecipient[],
  /** When delayed recipients will be given up, ms since the epoch. */
  willRetryUntil?: number,
) => Report | undefined | Promise<Report | undefined>

export interface LedgerDeps {
  readonly spool: Spool
  readonly makeReport: MakeReport
  /** A report is durable and can be delivered. */
  readonly reportSpooled: (queueId: QueueId, about: QueueId) => void
  readonly log: Log
  readonly wait: (ms: number) => Promise<void>
  /** Results that can't be written now won't be waited for. */
  readonly isStopping: () => boolean
}

/** One message while something is done with it. Several deliveries of one message share it. */
export interface Hand {
  users: number
  /** As on disk, or about to be; undefined until it was read. */
  state: DeliveryState | undefined
  /** Ends when nothing is being written. */
  turn: Promise<unknown>
}

export interface InHand {
  readonly spooled: SpooledMessage
  readonly state: () => DeliveryState
}

/** A message whose delay is worth telling (DL-4). */
export interface Late {
  /** When it will be given up, ms since the epoch. */
  readonly until: number
}

export interface Settled {
  /** Where a report couldn't be spooled, a failure has become a deferral. */
  readonly results: readonly Result[]
  /** `gone`: nothing is left of it; `dead`: kept for the operator (DL-5). */
  readonly end: 'kept' | 'gone' | 'dead'
  /** Of a late message: nobody is left who should be told that it is. */
  readonly isDelayTold: boolean
}

/** Between attempts to write a result. Meanwhile it is known in memory only, and a crash would repeat the delivery. */
const WRITE_AGAIN_MS = 5_000

export class Ledger {
  readonly #deps: LedgerDeps

  constructor(deps: LedgerDeps) {
    this.#deps = deps
  }

  /**
   * Takes a message in hand and reads it. Afterwards `close` must be called.
   * @throws SpoolDamaged, or any I/O error; then it is not in hand
   */
  async open(message: QueuedMessage): Promise<InHand> {
    const { spool } = this.#deps
    const hand = this.#join(message)
    try {
      if (hand.users > 1) await hand.turn
      if (!message.isMarked) {
        await spool.take(message.queueId)
        message.isMarked = true
      }
      const spooled = await spool.read(message.queueId)
      hand.state ??= spooled.state
      return { spooled, state: () => hand.state ?? spooled.state }
    } catch (error) {
      this.#leave(message)
      throw error
    }
  }

  async close(message: QueuedMessage, { spooled }: InHand): Promise<void> {
    this.#leave(message)
    await spooled.close()
  }

  /**
   * Makes results durable, with whatever follows from them.
   *
   * A failure is told before it is written, a delay after: a crash in between may tell the one twice and the other not at all, which is the
   * lesser harm each time.
   * @throws only while stopping: the results are lost, the recipients will be tried again after the next start
   */
  async settle(
    message: QueuedMessage,
    { spooled }: InHand,
    results: readonly Result[],
    occasion: Occasion & { readonly offersDsn: boolean; readonly late?: Late },
    next: Pick<DeliveryState, 'attempts' | 'nextAttemptAt'>,
  ): Promise<Settled> {
    return await this.#inTurn(message, async (hand) => {
      const isTold = await this.#tell(spooled, results, occasion)
      const settled = isTold ? results : results.map(asDeferred)
      const state = withResults(hand.state ?? spooled.state, settled, occasion, { ...next, isHeld: message.isHeld })
      const end = endOf(spooled.record, state)
      const waiting = settled.filter(({ outcome }) => outcome.kind === 'deferred')
      const delayed =
        isTold && occasion.late !== undefined ? delaysToTell(spooled, state, waiting, occasion.remote) : []
      hand.state = {
        ...withDelayTold(state, indicesOf(delayed), occasion.at),
        isDead: end === 'dead',
      }
      await this.#write(message, hand.state, end === 'gone')
      const isDelayTold = await this.#tellDelay(message, hand, spooled, delayed, occasion.late)
      return { results: settled, end, isDelayTold: isTold && isDelayTold }
    })
  }

  /**
   * Tells of the delay of recipients that wait for a host without an attempt of their own.
   * @param last  what the host said, or did, when it was given up
   * @returns false when it should be tried again later
   * @throws only while stopping
   */
  async settleDelay(
    message: QueuedMessage,
    { spooled }: InHand,
    routes: ReadonlySet<RouteName>,
    last: { readonly reply: SmtpReply; readonly remote: string; readonly at: number },
    late: Late,
  ): Promise<boolean> {
    return await this.#inTurn(message, async (hand) => {
      const before = hand.state ?? spooled.state
      const waiting = queuedRecipients(spooled.record, before, routes).map((recipient) => ({
        recipient,
        outcome: { kind: 'deferred', reply: last.reply } as const,
      }))
      if (waiting.length === 0) return true // done with meanwhile, and perhaps gone
      const delayed = delaysToTell(spooled, before, waiting, last.remote)
      hand.state = {
        ...withDelayTold(before, indicesOf(delayed), last.at),
        isHeld: message.isHeld,
      }
      await this.#write(message, hand.state, false)
      return await this.#tellDelay(message, hand, spooled, delayed, late)
    })
  }

  /** Writes that a message nobody has touched waits, so that a crash isn't counted against it. */
  async putToRest(message: QueuedMessage, nextAttemptAt: number): Promise<void> {
    this.#join(message)
    try {
      await this.#inTurn(message, async () => {
        if (!message.isMarked) return
        message.isMarked = false
        await this.#deps.spool.update(message.queueId, untouchedState(message.recipientCount, nextAttemptAt))
      })
    } catch (error) {
      this.#deps.log.error('queue.rest-not-recorded', { queueId: message.queueId, error })
    } finally {
      this.#leave(message)
    }
  }

  /** The operator's changes. @throws SpoolDamaged, SpoolBroken: nothing is changed */
  async edit(message: QueuedMessage, change: (state: DeliveryState) => DeliveryState): Promise<void> {
    const hand = this.#join(message)
    try {
      await this.#inTurn(message, async () => {
        const state = change(hand.state ?? (await this.#readState(message.queueId)))
        await this.#deps.spool.update(message.queueId, state)
        hand.state = state
        message.isMarked = false
      })
    } finally {
      this.#leave(message)
    }
  }

  async #readState(queueId: QueueId): Promise<DeliveryState> {
    const spooled = await this.#deps.spool.read(queueId)
    await spooled.close()
    return spooled.state
  }

  #join(message: QueuedMessage): Hand {
    message.hand ??= { users: 0, state: undefined, turn: Promise.resolve() }
    message.hand.users++
    return message.hand
  }

  #leave(message: QueuedMessage): void {
    if (message.hand !== undefined && --message.hand.users === 0) message.hand = undefined
  }

  /** One at a time for each message: the state is written whole, and the last one counts. */
  #inTurn<T>(message: QueuedMessage, run: (hand: Hand) => Promise<T>): Promise<T> {
    const { hand } = message
    if (hand === undefined) throw new Error('unreachable: message is not in hand')
    const result = hand.users === 1 ? run(hand) : hand.turn.then(() => run(hand))
    hand.turn = result.catch(() => {})
    return result
  }

  /** @returns false when somebody must be told and can't be: then nothing may be final yet */
  async #tell(
    spooled: SpooledMessage,
    results: readonly Result[],
    { remote, offersDsn }: { remote: string; offersDsn: boolean },
  ): Promise<boolean> {
    const { record } = spooled
    const reported = reportable(record, results, remote, offersDsn)
    if (reported.length === 0 || isUnanswerable(record)) return true
    const plan = planNotification(record, reported)
    if (plan.kind !== 'report') return true
    try {
      const report = await this.#deps.makeReport(spooled, plan.recipients)
      if (report !== undefined) await this.#spool(report, record.queueId)
      return true
    } catch (error) {
      this.#deps.log.error('queue.report-not-spooled', { queueId: record.queueId, error })
      return false
    }
  }

  /**
   * To be called when it has been written that they are told. Takes that back where the report can't be made.
   * @returns false: they aren't told
   */
  async #tellDelay(
    message: QueuedMessage,
    hand: Hand,
    spooled: SpooledMessage,
    delayed: readonly ReportedRecipient[],
    late: Late | undefined,
  ): Promise<boolean> {
    if (delayed.length === 0 || hand.state === undefined) return true
    const { makeReport, log } = this.#deps
    const { queueId } = message
    try {
      const report = await makeReport(spooled, delayed, late?.until)
      if (report !== undefined) await this.#spool(report, queueId)
      log.info('queue.delay-told', { queueId, recipients: delayed.length })
      return true
    } catch (error) {
      log.error('queue.report-not-spooled', { queueId, error })
    }
    hand.state = withDelayTold(hand.state, indicesOf(delayed), undefined)
    try {
      await this.#write(message, hand.state, false)
    } catch {
      // While stopping, and logged there. The results stand; that nobody hears of the delay is the lesser harm.
    }
    return false
  }

  async #spool({ header, body, record, state }: Report, about: QueueId): Promise<void> {
    const intake = this.#deps.spool.begin(record.queueId)
    try {
      await intake.write(body)
      await intake.commit(header, record, state)
    } catch (error) {
      await intake.abort()
      throw error
    }
    this.#deps.reportSpooled(record.queueId, about)
  }

  async #write(message: QueuedMessage, state: DeliveryState, isGone: boolean): Promise<void> {
    const { spool, log, wait, isStopping } = this.#deps
    for (;;) {
      try {
        await (isGone ? spool.remove(message.queueId) : spool.update(message.queueId, state))
        message.isMarked = false
        return
      } catch (error) {
        log.error('queue.result-not-recorded', { queueId: message.queueId, error })
        if (spool.find(message.queueId) === undefined) return // in quarantine meanwhile: nothing to write to
        if (isStopping()) throw error
      }
      await wait(WRITE_AGAIN_MS)
    }
  }
}

/** Nobody may be told of its failure: a null reverse-path, so every report (DL-5, RFC 5321 §6.1). */
function isUnanswerable({ isOwnReport, receivedReversePath }: MessageRecord): boolean {
  return isOwnReport || receivedReversePath === ''
}

function endOf(record: MessageRecord, state: DeliveryState): Settled['end'] {
  if (!isFinal(state)) return 'kept'
  return hasFailed(state) && isUnanswerable(record) ? 'dead' : 'gone'
}

/** Failures; and successes that the next hop will not report, where somebody may have asked for it. */
function reportable(
  record: MessageRecord,
  results: readonly Result[],
  remote: string,
  offersDsn: boolean,
): ReportedRecipient[] {
  const reported: ReportedRecipient[] = []
  for (const { recipient: index, outcome } of results) {
    if (outcome.kind === 'failed') reported.push({ index, action: 'failed', reply: outcome.reply, remote })
    else if (outcome.kind === 'delivered' && !offersDsn && record.recipients[index]?.notify !== undefined) {
      reported.push({ index, action: 'relayed', reply: outcome.reply, remote })
    }
  }
  return reported
}

/** Of those that wait, who should hear of it and hasn't: each once, whatever becomes of it later. */
function delaysToTell(
  { record, header }: SpooledMessage,
  state: DeliveryState,
  waiting: readonly Result[],
  remote: string,
): readonly ReportedRecipient[] {
  const untold = waiting.flatMap(({ recipient: index, outcome: { reply } }): ReportedRecipient[] => {
    const recipient = state.recipients[index]
    if (recipient?.kind !== 'queued' || recipient.delayToldAt !== undefined) return []
    return [{ index, action: 'delayed', reply, remote }]
  })
  const plan = planNotification(record, untold)
  if (plan.kind !== 'report') return []
  const isAutomatic = record.isAutomatic ?? isAutomaticMail(scanHeader(header, NO_HEADER_LIMITS))
  return isAutomatic ? [] : plan.recipients
}

const indicesOf = (recipients: readonly ReportedRecipient[]) => recipients.map(({ index }) => index)

/** The failure stays what it is, but the recipient waits until the sender can be told. A delivery is a fact. */
function asDeferred(result: Result): Result {
  return result.outcome.kind === 'failed'
    ? { ...result, outcome: { kind: 'deferred', reply: result.outcome.reply } }
    : result
}
