// Holds what waits, starts deliveries as next hops and limits allow, and applies what comes of them. What an outcome is, when a message is tried
// again and what reaches the disk in which order is decided in outcome.ts, schedule.ts, destination.ts and ledger.ts.
import type { Log } from '../../common/log.ts'
import type { Metrics } from '../../common/metrics.ts'
import type { DeliveryAttempt } from '../delivery-event.ts'
import type { Limits } from '../limits.ts'
import type { QueueEvent } from '../mail-event.ts'
import type { MessageRecord, RouteName, SmtpReply } from '../message-record.ts'
import type { Attempt, Outbound, OutboundPlace } from '../outbound/deliver.ts'
import { judgeMissingRoute } from '../outbound/outcome.ts'
import type { HostVerdict, Outcome } from '../outbound/outcome.ts'
import { routeFinder } from '../outbound/route.ts'
import type { NextHop } from '../outbound/route.ts'
import type { QueueId } from '../queue-id.ts'
import { routeLabel } from '../route-names.ts'
import type { RetrySettings, SmartHost } from '../settings.ts'
import { SpoolDamaged } from '../spool/contract.ts'
import type { Spool, SpoolEntry } from '../spool/contract.ts'
import { givenUp, queuedRecipients, revived } from './delivery-state.ts'
import type { Result } from './delivery-state.ts'
import { Ledger } from './ledger.ts'
import type { InHand, Late, MakeReport, Settled } from './ledger.ts'
import { queueMetrics } from './queue-metrics.ts'
import type { QueueCensus, QueueMetrics, QueuePlace } from './queue-metrics.ts'
import { addDeliveries, queuedMessage } from './queued-message.ts'
import type { Delivery, Lane, QueuedMessage } from './queued-message.ts'
import { giveUpAfterMs, isGivenUp, isLate, longestWaitMs, messageAgeMs, retryDelayMs } from './schedule.ts'
import type { Tries } from './schedule.ts'
import { mayTakePlace } from './share.ts'
import { head, leave, Waiting } from './waiting.ts'

export interface QueueDeps {
  readonly spool: Spool
  readonly settings: {
    /** To begin with; `reroute` changes them. */
    readonly routes: Readonly<Record<RouteName, SmartHost>>
    /** undefined: nothing is delivered by MX. */
    readonly mx?: { readonly port: number } | undefined
    readonly limits: Pick<Limits, 'nextHopConnections' | 'nextHopConnectionsPerHost'>
    readonly retry: RetrySettings
  }
  readonly outbound: Outbound
  readonly makeReport: MakeReport
  /** Called once for each recipient of each attempt, after its result is durable. */
  readonly deliveryDone: (attempt: DeliveryAttempt) => void
  /** Likewise of what else happens to a message. Never throws. */
  readonly noted: (event: QueueEvent) => void
  readonly log: Log
  readonly metrics: Metrics
  /** ms since the epoch */
  readonly now: () => number
  /** Running time in ms: a clock that nobody sets. */
  readonly monotonicMs: () => number
  /** In [0, 1) */
  readonly random: () => number
  /** Calls `run` once after `delayMs`; the result calls it off. */
  readonly timer: (run: () => void, delayMs: number) => () => void
}

export type QueueChange = 'retry' | 'hold' | 'release' | 'remove'
/** `busy`: a delivery attempt of it is running. */
export type QueueChangeResult = 'changed' | 'unknown' | 'busy'

/** Attempts begun whose results aren't written yet; at more nothing is begun, so that a dead disk stops deliveries instead of repeating them. */
const MAX_UNRECORDED = 1_000
/**
 * So many may stand in a lane with the mark of being in hand. What comes on top is written as waiting, lest a crash be counted against it: a
 * write and a read more for each, against being tried one at a time after a crash.
 */
const MAX_MARKED_IN_LANE = 5_000
/** So many lanes in a row without a place: the others, of which delivery by MX may have thousands, have to wait for the next chance. */
const MAX_REFUSED = 64
/** Written at once where many must be. */
const REST_BATCH = 500

/** Where an attempt is made. */
interface Place {
  readonly outbound: OutboundPlace
  /** false: right behind another message, with whose place it goes on. */
  readonly isOwn: boolean
}

export class Queue {
  readonly #deps: QueueDeps
  readonly #ledger: Ledger
  readonly #metrics: QueueMetrics
  readonly #messages = new Map<QueueId, QueuedMessage>()
  readonly #waiting: Waiting
  #hopOf: (route: RouteName) => NextHop | undefined
  /** The one message that may have ended the process and is being tried (DU-8). */
  #suspect: QueuedMessage | undefined
  #state: 'new' | 'running' | 'draining' = 'new'
  #attempts = 0
  /** That attempts have; one that follows another takes over that one's. */
  #places = 0
  #unrecorded = 0
  #whenStill: (() => void)[] = []

  constructor(deps: QueueDeps) {
    this.#deps = deps
    this.#hopOf = routeFinder(deps.settings.routes, deps.settings.mx)
    this.#waiting = new Waiting({
      hopOf: (route) => this.#hopOf(route),
      // One message on each connection, and one right behind it.
      perHost: 2 * deps.settings.limits.nextHopConnectionsPerHost,
      retry: deps.settings.retry,
      monotonicMs: deps.monotonicMs,
      timer: deps.timer,
      wake: () => this.#pump(),
    })
    this.#metrics = queueMetrics(deps.metrics, () => this.census())
    this.#ledger = new Ledger({
      spool: deps.spool,
      makeReport: deps.makeReport,
      reportSpooled: (queueId, about) => {
        this.#metrics.reportMade()
        deps.noted({ kind: 'reported', queueId: about, report: queueId })
        this.accepted(queueId)
      },
      log: deps.log,
      wait: (ms) => new Promise((resolve) => void deps.timer(resolve, ms)),
      isStopping: () => this.#state === 'draining',
    })
    deps.outbound.onRoom(() => this.#pump())
  }

  /** Takes over what the spool holds and begins to deliver. */
  start(): void {
    this.#state = 'running'
    for (const entry of this.#deps.spool.entries()) if (!this.#messages.has(entry.queueId)) this.#admit(entry, false)
    this.#pump()
  }

  /** What waits, and what comes, goes where these lead; a message whose attempt is under way with its next one. */
  reroute(routes: Readonly<Record<RouteName, SmartHost>>): void {
    this.#hopOf = routeFinder(routes, this.#deps.settings.mx)
    this.#waiting.rerouted()
    this.#pump()
  }

  /** A message is durable: delivery may begin at once. Unknown ids are ignored: the message is gone already. */
  accepted(queueId: QueueId): void {
    if (this.#messages.has(queueId)) return
    const entry = this.#deps.spool.find(queueId)
    if (entry === undefined) return
    const message = this.#admit(entry, true)
    for (const { lane } of message.deliveries) this.#pumpLane(lane)
    if (this.#mustRest(message)) void this.#ledger.putToRest(message, this.#nextAttemptAt(message))
    this.#waiting.setAlarm()
  }

  /**
   * @returns as soon as it is certain; a message that is retried has begun to wait for a connection
   * @throws SpoolDamaged, SpoolBroken: the message stays as it was
   */
  async change(change: QueueChange, queueId: QueueId): Promise<QueueChangeResult> {
    const message = this.#messages.get(queueId)
    if (message === undefined) return 'unknown'
    switch (change) {
      case 'hold':
        return await this.#setHeld(message, true)
      case 'release':
        return await this.#setHeld(message, false)
      case 'retry':
        return await this.#retry(message)
      case 'remove':
        return await this.#remove(message)
      default:
        return change satisfies never
    }
  }

  /** In an attempt right now. */
  isActive(queueId: QueueId): boolean {
    const message = this.#messages.get(queueId)
    return message !== undefined && isBusy(message)
  }

  /** What its next hop said or did when it was given up for a while; undefined when the message waits for nothing of that kind. */
  troubleOf(queueId: QueueId): SmtpReply | undefined {
    const { deliveries = [] } = this.#messages.get(queueId) ?? {}
    const waiting = deliveries.find(
      ({ place, lane }) => place === 'ready' && lane.destination.closedUntilMs !== undefined,
    )
    return waiting?.lane.lastTrouble?.reply
  }

  /**
   * Begins nothing any more and resolves when all attempts are over and recorded and all connections are closed.
   * @param deadline  when it is aborted, attempts are broken off: their messages stay queued (DU-6)
   */
  async drain(deadline: AbortSignal): Promise<void> {
    this.#state = 'draining'
    this.#waiting.stopAlarm()
    const abort = () => this.#deps.outbound.abort()
    if (deadline.aborted) abort()
    deadline.addEventListener('abort', abort, { once: true })
    await this.#still()
    deadline.removeEventListener('abort', abort)
    const marked = [...this.#messages.values()].filter((message) => message.isMarked && message.hand === undefined)
    for (let from = 0; from < marked.length; from += REST_BATCH) {
      const batch = marked.slice(from, from + REST_BATCH)
      await Promise.all(batch.map((message) => this.#ledger.putToRest(message, this.#deps.now())))
    }
    await this.#deps.outbound.close()
  }

  #still(): Promise<void> {
    if (this.#attempts + this.#unrecorded === 0) return Promise.resolve()
    return new Promise((resolve) => this.#whenStill.push(resolve))
  }

  // ---- what waits ----

  #admit(entry: SpoolEntry, isMarked: boolean): QueuedMessage {
    const nowMs = this.#deps.monotonicMs()
    const message = queuedMessage(entry, (route) => this.#waiting.laneOf(route), nowMs, isMarked)
    this.#messages.set(message.queueId, message)
    // A stored time far ahead comes from a clock that was wrong: nothing waits longer than the longest wait (DU-9).
    const waitMs = Math.min(entry.state.nextAttemptAt - this.#deps.now(), longestWaitMs(this.#deps.settings.retry))
    for (const delivery of message.deliveries) this.#waiting.schedule(delivery, isMarked ? nowMs : nowMs + waitMs)
    return message
  }

  #forget(message: QueuedMessage): void {
    for (const delivery of message.deliveries) this.#waiting.setAside(delivery)
    if (!this.#messages.delete(message.queueId)) return
    for (const { lane } of message.deliveries) this.#waiting.leave(lane)
  }

  #mustRest(message: QueuedMessage): boolean {
    if (!message.isMarked || isBusy(message)) return false
    const nowMs = this.#deps.monotonicMs()
    return message.deliveries.every(
      ({ lane }) => lane.destination.isClosed(nowMs) || lane.ready.length > MAX_MARKED_IN_LANE,
    )
  }

  /** When the next of its deliveries may begin, at the latest in `atMostMs`; ms since the epoch. */
  #nextAttemptAt(message: QueuedMessage, atMostMs = Infinity): number {
    const waitMs = Math.min(atMostMs, this.#waiting.nextDueMs(message) - this.#deps.monotonicMs())
    return this.#deps.now() + (waitMs === Infinity ? 0 : Math.max(0, waitMs))
  }

  // ---- starting ----

  /** Begins what can begin. */
  #pump(): void {
    if (this.#state !== 'running') return
    this.#waiting.readyWhatIsDue()
    let refused = 0
    for (const lane of this.#waiting.lanesInTurn()) {
      refused = this.#pumpLane(lane) ? 0 : refused + 1
      if (refused >= MAX_REFUSED) break
    }
    this.#waiting.setAlarm()
  }

  /** @returns false when there was no place for it */
  #pumpLane(lane: Lane): boolean {
    if (this.#state !== 'running') return true
    const nowMs = this.#deps.monotonicMs()
    while (this.#attempts + this.#unrecorded < MAX_UNRECORDED && lane.destination.canBegin(nowMs)) {
      // DU-8: of what may have ended the process one message is tried at a time, whatever its next hop.
      const suspect = this.#suspect === undefined ? head(lane.suspects) : undefined
      const delivery = suspect ?? head(lane.ready)
      if (delivery === undefined) return true
      const place = lane.hop && this.#placeFor(lane, lane.hop)
      if (lane.hop !== undefined && place === undefined) return false
      leave(suspect === undefined ? lane.ready : lane.suspects, delivery)
      if (suspect !== undefined) this.#suspect = suspect.message
      void this.#attempt(delivery, place)
    }
    return true
  }

  /** Without one, others hold places, and the end of each of their attempts begins what can begin. */
  #placeFor({ running, destination }: Lane, hop: NextHop): Place | undefined {
    const { nextHopConnections: limit } = this.#deps.settings.limits
    const { outbound } = this.#deps
    const mayTake = mayTakePlace({ running, runningInAll: this.#places, limit }, destination.isWell)
    const own = mayTake ? outbound.place(hop) : undefined
    if (own !== undefined) return { outbound: own, isOwn: true }
    // A host that works gets the next envelope with the content before it.
    const behind = destination.isWell ? outbound.follow(hop) : undefined
    return behind && { outbound: behind, isOwn: false }
  }

  // ---- one attempt ----

  async #attempt(delivery: Delivery, taken: Place | undefined): Promise<void> {
    const { message, lane } = delivery
    const place = taken?.outbound
    const places = taken?.isOwn === false ? 0 : 1
    // What follows another takes over its place, and the next may take over this one's.
    delivery.place = 'active'
    this.#attempts++
    this.#places += places
    lane.running += places
    const { destination } = lane
    const turn = destination.begin()
    const startedAt = this.#deps.now()
    let inHand: InHand | undefined
    let made: { recipients: readonly number[]; attempt: Attempt } | undefined
    try {
      inHand = await this.#ledger.open(message)
      const recipients = queuedRecipients(inHand.spooled.record, inHand.state(), lane.routes)
      if (recipients.length === 0) this.#waiting.setAside(delivery)
      else if (place === undefined)
        made = { recipients, attempt: attemptWithoutRoute(inHand.spooled.record, recipients) }
      else made = { recipients, attempt: await place.deliver(inHand.spooled, recipients) }
    } catch (error) {
      this.#failedHere(delivery, error)
    }
    const nowMs = this.#deps.monotonicMs()
    const hasClosed = destination.end(turn, made?.attempt.host, nowMs, this.#deps.random())
    this.#waiting.hostChanged(lane)
    this.#attempts--
    const freed = place === undefined || place.freesPlace() ? 1 : 0
    this.#places -= freed
    lane.running -= freed
    this.#unrecorded++
    // The connection serves the next message while this one's result is being written.
    place?.release()
    let isRecorded = true
    try {
      if (inHand !== undefined && made !== undefined) await this.#conclude(delivery, inHand, made, startedAt)
    } catch (error) {
      isRecorded = false
      this.#deps.log.error('queue.attempt-lost', { queueId: message.queueId, error })
    }
    if (isRecorded) place?.recorded()
    else place?.lost()
    await this.#putDown(message, inHand)
    if (hasClosed && made !== undefined && lane.destination === destination) this.#closed(lane, made.attempt)
    this.#unrecorded--
    this.#afterWork(message)
  }

  async #putDown(message: QueuedMessage, inHand: InHand | undefined): Promise<void> {
    if (inHand === undefined) return
    try {
      await this.#ledger.close(message, inHand)
    } catch (error) {
      this.#deps.log.warn('queue.close-failed', { queueId: message.queueId, error })
    }
  }

  #afterWork(message: QueuedMessage): void {
    // It went through the whole process and the process lives.
    message.deaths = 0
    if (this.#suspect === message) this.#suspect = undefined
    this.#workDone()
  }

  #workDone(): void {
    if (this.#attempts + this.#unrecorded === 0) for (const resolve of this.#whenStill.splice(0)) resolve()
    this.#pump()
  }

  /** Nobody's fault but ours or the disk's: the message waits, whatever it was. */
  #failedHere(delivery: Delivery, error: unknown): void {
    const { queueId } = delivery.message
    // Damaged just now, or found to be so by the spool's own housekeeping: it is in quarantine.
    if (error instanceof SpoolDamaged || this.#deps.spool.find(queueId) === undefined) {
      this.#deps.log.error('queue.message-damaged', { queueId, error })
      return this.#forget(delivery.message)
    }
    this.#deps.log.error('queue.attempt-failed', { queueId, error })
    this.#waiting.schedule(
      delivery,
      this.#deps.monotonicMs() + retryDelayMs(1, 0, this.#deps.random(), this.#deps.settings.retry),
    )
  }

  /** From outcomes to the disk, the log and the next attempt. */
  async #conclude(
    delivery: Delivery,
    inHand: InHand,
    { recipients, attempt }: { recipients: readonly number[]; attempt: Attempt },
    startedAt: number,
  ): Promise<void> {
    const { message, lane } = delivery
    const nowMs = this.#deps.monotonicMs()
    delivery.attempts++
    delivery.firstTriedMs ??= nowMs
    const tries = { attempts: delivery.attempts, firstMs: delivery.firstTriedMs }
    const isOver = this.#isOver(delivery, tries)
    const results = recipients.map((recipient, index): Result => {
      const outcome = outcomeAt(attempt, index)
      return { recipient, outcome: isOver && outcome.kind === 'deferred' ? givenUp(outcome.reply) : outcome }
    })
    const dueMs = this.#retryAtMs(delivery, attempt.host, nowMs)
    const late = delivery.isDelayTold ? undefined : this.#late(delivery, tries)
    const settled = await this.#settle(delivery, inHand, results, attempt, dueMs, late)
    if (late !== undefined) delivery.isDelayTold = settled.isDelayTold
    this.#tell(inHand, settled, attempt, { attempt: delivery.attempts, startedAt, dueMs })
    if (settled.end !== 'kept') return
    if (settled.results.every(({ outcome }) => outcome.kind !== 'deferred')) return this.#waiting.setAside(delivery)
    // A host that failed before any message was named is everybody's trouble: this one goes on waiting in its lane.
    if (attempt.host === 'down' && lane.destination.closedUntilMs !== undefined && !message.isHeld)
      this.#waiting.makeReady(delivery)
    else this.#waiting.schedule(delivery, dueMs)
  }

  #retryAtMs(delivery: Delivery, host: HostVerdict, nowMs: number): number {
    const { closedUntilMs } = delivery.lane.destination
    if (this.#state === 'draining') return nowMs
    if (host === 'down' && closedUntilMs !== undefined) return closedUntilMs
    return (
      nowMs +
      retryDelayMs(delivery.attempts, this.#ageMs(delivery.message), this.#deps.random(), this.#deps.settings.retry)
    )
  }

  async #settle(
    delivery: Delivery,
    inHand: InHand,
    results: readonly Result[],
    from: Pick<Attempt, 'remote' | 'offersDsn'>,
    dueMs: number,
    late?: Late,
  ): Promise<Settled> {
    const { message } = delivery
    const now = this.#deps.now()
    const waitMs = Math.max(0, dueMs - this.#deps.monotonicMs())
    const settled = await this.#ledger.settle(
      message,
      inHand,
      results,
      { ...from, at: now, ...(late === undefined ? {} : { late }) },
      {
        attempts: Math.max(...message.deliveries.map(({ attempts }) => attempts)),
        nextAttemptAt: this.#nextAttemptAt(message, waitMs),
      },
    )
    if (settled.end === 'gone') this.#forget(message)
    if (settled.end === 'dead') {
      message.isDead = true
      for (const each of message.deliveries) this.#waiting.setAside(each)
      this.#deps.log.warn('queue.dead-letter', { queueId: message.queueId })
      this.#deps.noted({ kind: 'dead', queueId: message.queueId })
    }
    return settled
  }

  #tell(
    { spooled: { record } }: InHand,
    { results }: Settled,
    from: Pick<Attempt, 'remote' | 'tls' | 'connectMs' | 'sendMs'>,
    when: { attempt: number; startedAt: number; dueMs: number },
  ): void {
    const now = this.#deps.now()
    const retryAt = now + Math.max(0, when.dueMs - this.#deps.monotonicMs())
    for (const { recipient, outcome } of results) {
      const { remote, tls, connectMs, sendMs } = from
      const { attempt, startedAt } = when
      const event = {
        record,
        recipient,
        attempt,
        result: outcome.kind,
        reply: outcome.reply,
        remote,
        tls,
        startedAt,
        connectMs,
        sendMs,
      }
      this.#report(outcome.kind === 'deferred' ? { ...event, retryAt } : event)
      this.#metrics.recipientDone(outcome.kind, routeLabel(record.recipients[recipient]?.route ?? ''))
      if (outcome.kind === 'delivered') this.#metrics.delivered(Math.max(0, now - record.receivedAt))
    }
  }

  /** A log that fails must not keep the message from its next attempt. */
  #report(attempt: DeliveryAttempt): void {
    try {
      this.#deps.deliveryDone(attempt)
    } catch (error) {
      this.#deps.log.error('queue.event-lost', { queueId: attempt.record.queueId, error })
    }
  }

  // ---- giving up ----

  #ageMs({ receivedAt, seenMs }: QueuedMessage): number {
    return messageAgeMs({ nowMs: this.#deps.now(), receivedAt, runningMs: this.#deps.monotonicMs(), seenMs })
  }

  #isOver({ message }: Delivery, tries: TriesSince): boolean {
    const { isNullSender } = message
    return isGivenUp({ ageMs: this.#ageMs(message), isNullSender }, this.#tries(tries), this.#deps.settings.retry)
  }

  /** Set when it is so late that its sender should hear of it. */
  #late({ message }: Delivery, tries: TriesSince): Late | undefined {
    const { retry } = this.#deps.settings
    if (!isLate(this.#ageMs(message), this.#tries(tries), retry)) return undefined
    return { until: message.receivedAt + giveUpAfterMs(message, retry) }
  }

  #tries({ attempts, firstMs }: TriesSince): Tries {
    return { attempts, tryingMs: firstMs === undefined ? undefined : this.#deps.monotonicMs() - firstMs }
  }

  /** Its own, and those of its host that failed while it stood in line. */
  #sharedTries({ attempts, firstTriedMs, readySinceMs, lane }: Delivery): TriesSince {
    const shared = lane.destination.failuresSince(readySinceMs)
    return { attempts: attempts + shared.count, firstMs: firstTriedMs ?? shared.firstMs }
  }

  #closed(lane: Lane, { outcomes, remote }: Attempt): void {
    const trouble = outcomes.find(({ kind }) => kind === 'deferred')
    if (trouble !== undefined) lane.lastTrouble = { reply: trouble.reply, remote }
    void this.#lookAfterWaiting(lane)
  }

  /**
   * Messages whose host is down get no attempt of their own any more: their time ends, or becomes long enough to be told, while they wait.
   * One after the other: there may be many.
   */
  async #lookAfterWaiting(lane: Lane): Promise<void> {
    if (lane.isLookedAfter || this.#state !== 'running') return
    lane.isLookedAfter = true
    for (const delivery of [...lane.suspects, ...lane.ready].filter((each) => this.#isToBeLookedAfter(each))) {
      if (this.#state !== 'running') break
      if (!this.#isToBeLookedAfter(delivery)) continue // delivered meanwhile
      if (this.#isOver(delivery, this.#sharedTries(delivery))) await this.#giveUp(delivery)
      else await this.#tellDelay(delivery)
    }
    lane.isLookedAfter = false
  }

  #isToBeLookedAfter(delivery: Delivery): boolean {
    const { message, place, isDelayTold } = delivery
    if (place !== 'ready') return false
    const { retry } = this.#deps.settings
    const ageMs = this.#ageMs(message)
    if (ageMs < giveUpAfterMs(message, retry) && (isDelayTold || ageMs < retry.warnAfter)) return false // as nearly all are
    const tries = this.#sharedTries(delivery)
    return this.#isOver(delivery, tries) || (!isDelayTold && this.#late(delivery, tries) !== undefined)
  }

  /** It stays in its line meanwhile, and may be tried. */
  async #tellDelay(delivery: Delivery): Promise<void> {
    const { message, lane } = delivery
    const late = this.#late(delivery, this.#sharedTries(delivery))
    if (late === undefined || message.hand !== undefined) return // what is done with it now tells it, or the next failure of the host
    this.#unrecorded++
    let inHand: InHand | undefined
    try {
      inHand = await this.#ledger.open(message)
      const last = { ...lastTroubleOf(lane), at: this.#deps.now() }
      delivery.isDelayTold = await this.#ledger.settleDelay(message, inHand, lane.routes, last, late)
    } catch (error) {
      this.#deps.log.error('queue.delay-not-told', { queueId: message.queueId, error })
      if (error instanceof SpoolDamaged && !isActive(message)) this.#forget(message)
    }
    await this.#putDown(message, inHand)
    this.#unrecorded--
    this.#workDone()
  }

  async #giveUp(delivery: Delivery): Promise<void> {
    const { message, lane } = delivery
    delivery.place = 'active'
    this.#unrecorded++
    let inHand: InHand | undefined
    try {
      inHand = await this.#ledger.open(message)
      const state = inHand.state()
      const last = lastTroubleOf(lane)
      const results = queuedRecipients(inHand.spooled.record, state, lane.routes).map((recipient) => ({
        recipient,
        outcome: givenUp(last.reply),
      }))
      const nowMs = this.#deps.monotonicMs()
      const from = { remote: last.remote, tls: undefined, offersDsn: false, connectMs: 0, sendMs: 0 }
      const settled = await this.#settle(delivery, inHand, results, from, nowMs)
      this.#tell(inHand, settled, from, { attempt: delivery.attempts, startedAt: this.#deps.now(), dueMs: nowMs })
      if (settled.results.some(({ outcome }) => outcome.kind === 'deferred')) this.#waiting.makeReady(delivery)
      else this.#waiting.setAside(delivery)
    } catch (error) {
      this.#failedHere(delivery, error)
    }
    await this.#putDown(message, inHand)
    this.#unrecorded--
    this.#afterWork(message)
  }

  // ---- the operator ----

  async #setHeld(message: QueuedMessage, isHeld: boolean): Promise<QueueChangeResult> {
    if (message.isHeld === isHeld) return 'changed'
    // Known before it is written: whatever writes the message's state meanwhile writes this with it.
    message.isHeld = isHeld
    try {
      await this.#ledger.edit(message, (state) => ({ ...state, isHeld }))
    } catch (error) {
      message.isHeld = !isHeld
      throw error
    } finally {
      for (const delivery of this.#unfinished(message)) this.#waiting.schedule(delivery, 0)
    }
    this.#pump()
    return 'changed'
  }

  async #retry(message: QueuedMessage): Promise<QueueChangeResult> {
    if (isBusy(message)) return 'busy'
    if (message.isDead) {
      await this.#ledger.edit(message, (state) => revived(state, this.#deps.now()))
      message.isDead = false
    }
    for (const delivery of this.#unfinished(message)) {
      delivery.lane.destination.reopen()
      this.#waiting.hostChanged(delivery.lane)
      // What is held becomes due when it is released.
      if (delivery.place !== 'ready') this.#waiting.schedule(delivery, 0)
    }
    this.#pump()
    return 'changed'
  }

  /** Its deliveries that have recipients left and aren't under way. */
  #unfinished(message: QueuedMessage): Delivery[] {
    const entry = this.#deps.spool.find(message.queueId)
    if (entry === undefined) return []
    const laneOf = (route: RouteName) => this.#waiting.laneOf(route)
    addDeliveries(message, entry, laneOf)
    const lanes = new Set(entry.routes.map(laneOf))
    return message.deliveries.filter(({ place, lane }) => place !== 'active' && lanes.has(lane))
  }

  async #remove(message: QueuedMessage): Promise<QueueChangeResult> {
    if (isBusy(message)) return 'busy'
    // Nothing may begin while it is being removed.
    const places = message.deliveries.map((delivery) => ({
      delivery,
      isDue: delivery.place !== 'aside',
      dueMs: delivery.place === 'waiting' ? delivery.dueMs : 0,
    }))
    for (const { delivery } of places) this.#waiting.setAside(delivery)
    try {
      await this.#deps.spool.remove(message.queueId)
    } catch (error) {
      for (const { delivery, isDue, dueMs } of places) if (isDue) this.#waiting.schedule(delivery, dueMs)
      throw error
    }
    this.#forget(message)
    return 'changed'
  }

  /** How many messages are where, and the age of the oldest that nobody holds back, ms. */
  census(): QueueCensus {
    const messages: Record<QueuePlace, number> = { active: 0, ready: 0, waiting: 0, held: 0, dead: 0 }
    let oldestMs = 0
    for (const message of this.#messages.values()) {
      const place = placeOf(message)
      messages[place]++
      if (place !== 'held' && place !== 'dead') oldestMs = Math.max(oldestMs, this.#ageMs(message))
    }
    return { messages, oldestMs }
  }
}

/** Attempts over, and running time of the first. */
interface TriesSince {
  readonly attempts: number
  readonly firstMs: number | undefined
}

function lastTroubleOf({ lastTrouble }: Lane): NonNullable<Lane['lastTrouble']> {
  return lastTrouble ?? { reply: { code: 0, status: '4.4.1', text: 'the next hop was never reached' }, remote: '' }
}

function isBusy(message: QueuedMessage): boolean {
  return message.hand !== undefined || isActive(message)
}

function isActive({ deliveries }: QueuedMessage): boolean {
  return deliveries.some(({ place }) => place === 'active')
}

function placeOf(message: QueuedMessage): QueuePlace {
  const { isDead, isHeld, deliveries } = message
  if (isDead) return 'dead'
  if (isActive(message)) return 'active'
  if (isHeld) return 'held'
  return deliveries.some(({ place }) => place === 'ready') ? 'ready' : 'waiting'
}

function outcomeAt({ outcomes }: Attempt, index: number): Outcome {
  const outcome = outcomes[index]
  if (outcome === undefined) throw new Error(`unreachable: no outcome ${index}`)
  return outcome
}

function attemptWithoutRoute({ recipients: all }: MessageRecord, recipients: readonly number[]): Attempt {
  const outcomes = recipients.map((recipient) => judgeMissingRoute(all[recipient]?.route ?? ''))
  return { outcomes, host: 'well', remote: '', tls: undefined, offersDsn: false, connectMs: 0, sendMs: 0 }
}
