// A queue with everything around it: a spool in memory, a clock that a test moves, and next hops as functions (for days of outage) or sockets.
import { Registry } from 'prom-client'
import type { Log } from '../../../common/log.ts'
import type { DeliveryAttempt } from '../../../mta/delivery-event.ts'
import { DEFAULT_LIMITS } from '../../../mta/limits.ts'
import type { QueueEvent } from '../../../mta/mail-event.ts'
import type { DeliveryState, MessageRecord } from '../../../mta/message-record.ts'
import type { Attempt, Outbound } from '../../../mta/outbound/deliver.ts'
import type { HostVerdict, Outcome } from '../../../mta/outbound/outcome.ts'
import type { NextHop } from '../../../mta/outbound/route.ts'
import { newQueueId } from '../../../mta/queue-id.ts'
import type { QueueId } from '../../../mta/queue-id.ts'
import type { MakeReport } from '../../../mta/queue/ledger.ts'
import { Queue } from '../../../mta/queue/queue.ts'
import type { RetrySettings, SmartHost } from '../../../mta/settings.ts'
import type { Spool } from '../../../mta/spool/contract.ts'
import { record, recipient } from '../outbound/fixtures.ts'
import { MemorySpool } from './memory-spool.ts'

export const SECOND_MS = 1_000
export const MINUTE_MS = 60_000
export const HOUR_MS = 3_600_000
export const DAY_MS = 24 * HOUR_MS

export const RETRY: RetrySettings = {
  firstWaits: [MINUTE_MS, 5 * MINUTE_MS, 15 * MINUTE_MS, 30 * MINUTE_MS],
  thenWait: HOUR_MS,
  thenUntilAge: 6 * HOUR_MS,
  lastWait: 3 * HOUR_MS,
  warnAfter: 4 * HOUR_MS,
  giveUpAfter: 5 * DAY_MS,
  giveUpNullSenderAfter: 2 * DAY_MS,
}

export const OWNER: SmartHost = { host: 'owner.example', port: 25, tls: 'none' }
export const MAILBOX: SmartHost = { host: 'mailbox.example', port: 25, tls: 'none' }

/** A clock with timers. The wall clock can be set without time passing. */
export class FakeClock {
  wallMs = 1_700_000_000_000
  runningMs = 10_000
  #timers: { atMs: number; run: () => void }[] = []

  readonly timer = (run: () => void, delayMs: number) => {
    const entry = { atMs: this.runningMs + delayMs, run }
    this.#timers.push(entry)
    return () => {
      this.#timers = this.#timers.filter((each) => each !== entry)
    }
  }

  /** Lets time pass, stopping at each timer until all that it set off is done. */
  async pass(ms: number): Promise<void> {
    const until = this.runningMs + ms
    await settle()
    for (;;) {
      const next = this.#timers.toSorted((a, b) => a.atMs - b.atMs)[0]
      if (next === undefined || next.atMs > until) break
      this.#timers = this.#timers.filter((each) => each !== next)
      this.#advance(next.atMs)
      next.run()
      await settle()
    }
    this.#advance(until)
  }

  #advance(toMs: number): void {
    const by = Math.max(0, toMs - this.runningMs)
    this.runningMs += by
    this.wallMs += by
  }
}

/** Until no promise has anything left to do. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 4; i++) await new Promise((resolve) => setImmediate(resolve))
}

export interface Asked {
  readonly hop: NextHop
  readonly queueId: QueueId
  readonly paths: readonly string[]
  /** Running time. */
  readonly atMs: number
}

/** What a next hop makes of an attempt; by default all is delivered at once. */
export type Answer = (asked: Asked) => Partial<Attempt> | Promise<Partial<Attempt>>

export const delivered: Outcome = { kind: 'delivered', reply: { code: 250, status: '2.0.0', text: '2.0.0 ok' } }
export const deferred: Outcome = { kind: 'deferred', reply: { code: 451, status: '4.3.0', text: '4.3.0 later' } }
export const failed: Outcome = { kind: 'failed', reply: { code: 550, status: '5.1.1', text: '5.1.1 unknown' } }

export function all(outcome: Outcome, host: HostVerdict = 'well'): Answer {
  return ({ paths }) => ({ outcomes: paths.map(() => outcome), host })
}

export const DOWN = all(
  { kind: 'deferred', reply: { code: 0, status: '4.4.1', text: "the next hop can't be reached (ECONNREFUSED)" } },
  'down',
)

export class FakeOutbound implements Outbound {
  answer: Answer = all(delivered)
  readonly asked: Asked[] = []
  readonly said: string[] = []
  active = new Map<string, number>()
  mostActive = new Map<string, number>()
  limits = { total: 100, perHost: 20 }
  readonly #clock: FakeClock
  #whenRoom: () => void = () => {}
  readonly #aborts = new Set<() => void>()

  constructor(clock: FakeClock) {
    this.#clock = clock
  }

  follow(): undefined {
    return undefined
  }

  place(hop: NextHop) {
    const atHost = this.active.get(hop.key) ?? 0
    const total = [...this.active.values()].reduce((sum, each) => sum + each, 0)
    if (atHost >= this.limits.perHost || total >= this.limits.total) return undefined
    this.active.set(hop.key, atHost + 1)
    this.mostActive.set(hop.key, Math.max(atHost + 1, this.mostActive.get(hop.key) ?? 0))
    return {
      freesPlace: () => true,
      deliver: async (message: { record: MessageRecord }, recipients: readonly number[]): Promise<Attempt> => {
        const paths = recipients.map((index) => message.record.recipients[index]?.path ?? '')
        const asked = { hop, queueId: message.record.queueId, paths, atMs: this.#clock.runningMs }
        this.asked.push(asked)
        const broken = Promise.withResolvers<Partial<Attempt>>()
        const stopped: Outcome = { kind: 'deferred', reply: { code: 0, status: '4.3.2', text: 'stopped' } }
        const abort = () => broken.resolve({ outcomes: paths.map(() => stopped) })
        this.#aborts.add(abort)
        const made = await Promise.race([this.answer(asked), broken.promise])
        this.#aborts.delete(abort)
        return {
          outcomes: paths.map(() => delivered),
          host: 'well',
          remote: hop.hostPort,
          tls: undefined,
          offersDsn: true,
          connectMs: 1,
          sendMs: 2,
          ...made,
        }
      },
      release: () => {
        this.said.push('release')
        this.active.set(hop.key, (this.active.get(hop.key) ?? 0) - 1)
        this.#whenRoom()
      },
      recorded: () => void this.said.push('recorded'),
      lost: () => void this.said.push('lost'),
    }
  }

  onRoom(run: () => void): void {
    this.#whenRoom = run
  }

  abort(): void {
    this.said.push('abort')
    for (const abort of this.#aborts) abort()
  }

  async close(): Promise<void> {
    this.said.push('close')
  }
}

export interface World {
  readonly clock: FakeClock
  readonly spool: MemorySpool
  readonly outbound: FakeOutbound
  readonly queue: Queue
  readonly events: DeliveryAttempt[]
  readonly noted: QueueEvent[]
  readonly logged: string[]
  readonly metrics: Registry
}

export interface WorldOptions {
  readonly clock?: FakeClock
  readonly spool?: MemorySpool
  readonly routes?: Record<string, SmartHost>
  readonly makeReport?: MakeReport
  readonly random?: () => number
}

export function world(options: WorldOptions = {}): World {
  const clock = options.clock ?? new FakeClock()
  const spool = options.spool ?? new MemorySpool()
  const outbound = new FakeOutbound(clock)
  const events: DeliveryAttempt[] = []
  const noted: QueueEvent[] = []
  const logged: string[] = []
  const metrics = new Registry()
  const queue = new Queue({
    spool,
    settings: {
      routes: options.routes ?? { 'owner-tenant': OWNER, mailbox: MAILBOX },
      mx: { port: 25 },
      limits: DEFAULT_LIMITS,
      retry: RETRY,
    },
    outbound,
    makeReport: options.makeReport ?? simpleReport,
    deliveryDone: (attempt) => void events.push(attempt),
    noted: (event) => void noted.push(event),
    log: listLog(logged),
    metrics,
    now: () => clock.wallMs,
    monotonicMs: () => clock.runningMs,
    random: options.random ?? (() => 0.5),
    timer: clock.timer,
  })
  return { clock, spool, outbound, queue, events, noted, logged, metrics }
}

export function listLog(logged: string[]): Log {
  const note = (event: string) => void logged.push(event)
  return { debug: note, info: note, warn: note, error: note }
}

let serial = 0

/** A report as short as can be. Goes by the other route, as those of a relay without tenants do. */
export const simpleReport: MakeReport = ({ record: of }, recipients) => {
  const queueId = newQueueId(1_700_000_000_000 + serial++)
  const header = Buffer.from('Subject: report\r\n\r\n')
  const body = Buffer.from(
    `${recipients.map(({ index, action, reply }) => `${index} ${action} ${reply.status}`).join('\r\n')}\r\n`,
  )
  const to = recipient(of.receivedReversePath, { route: 'mailbox' })
  return {
    header,
    body,
    record: record({
      queueId,
      reversePath: '',
      receivedReversePath: '',
      isOwnReport: true,
      recipients: [to],
      headerBytes: header.length,
      bodyBytes: body.length,
    }),
    state: queued(1),
  }
}

export function queued(recipients: number, more: Partial<DeliveryState> = {}): DeliveryState {
  return {
    attempts: 0,
    nextAttemptAt: 0,
    isHeld: false,
    isDead: false,
    recipients: Array.from({ length: recipients }, () => ({ kind: 'queued' })),
    ...more,
  }
}

/** Spools a message as intake does. @returns its id; the queue hasn't heard of it */
export async function intake(
  spool: Spool,
  clock: FakeClock,
  more: Partial<MessageRecord> = {},
  state: Partial<DeliveryState> = {},
): Promise<QueueId> {
  const queueId = newQueueId(clock.wallMs + serial++ / 1000)
  const made = record({ queueId, receivedAt: clock.wallMs, headerBytes: 10, bodyBytes: 5, ...more })
  const spooled = spool.begin(queueId)
  await spooled.write(Buffer.from('body\r'))
  await spooled.commit(
    Buffer.from('A: bcdef\r\n'),
    made,
    queued(made.recipients.length, { nextAttemptAt: made.receivedAt, ...state }),
  )
  return queueId
}

export async function accept({ spool, clock, queue }: World, more: Partial<MessageRecord> = {}): Promise<QueueId> {
  const queueId = await intake(spool, clock, more)
  queue.accepted(queueId)
  return queueId
}
