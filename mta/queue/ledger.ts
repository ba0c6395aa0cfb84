// What is known of messages in hand, and its way to the disk. Nothing is forgotten here before it is written there: a report is spooled before
// its recipient is written off, a result is written before the message leaves memory. (DU-4, DU-8, DL-5)
import type { Log } from '../../common/log.ts'
import { planNotification } from '../bounce/notify.ts'
import type { ReportedRecipient } from '../bounce/notify.ts'
import type { DeliveryState, MessageRecord } from '../message-record.ts'
import type { QueueId } from '../queue-id.ts'
import type { Spool, SpooledMessage } from '../spool/contract.ts'
import { hasFailed, isFinal, untouchedState, withResults } from './delivery-state.ts'
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

export interface Settled {
  /** Where a report couldn't be spooled, a failure has become a deferral. */
  readonly results: readonly Result[]
  /** `gone`: nothing is left of it; `dead`: kept for the operator (DL-5). */
  readonly end: 'kept' | 'gone' | 'dead'
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
   * @throws only while stopping: the results are lost, the recipients will be tried again after the next start
   */
  async settle(
    message: QueuedMessage,
    { spooled }: InHand,
    results: readonly Result[],
    occasion: Occasion & { readonly offersDsn: boolean },
    next: Pick<DeliveryState, 'attempts' | 'nextAttemptAt'>,
  ): Promise<Settled> {
    return await this.#inTurn(message, async (hand) => {
      const isTold = await this.#tell(spooled, results, occasion)
      const settled = isTold ? results : results.map(asDeferred)
      const state = withResults(hand.state ?? spooled.state, settled, occasion, { ...next, isHeld: message.isHeld })
      const end = endOf(spooled.record, state)
      hand.state = { ...state, isDead: end === 'dead' }
      await this.#write(message, hand.state, end === 'gone')
      return { results: settled, end }
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

/** The failure stays what it is, but the recipient waits until the sender can be told. A delivery is a fact. */
function asDeferred(result: Result): Result {
  return result.outcome.kind === 'failed'
    ? { ...result, outcome: { kind: 'deferred', reply: result.outcome.reply } }
    : result
}
