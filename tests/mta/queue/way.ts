// The whole way out for a test: a real spool, the queue, real sockets, and as many next hops as there are routes.
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Registry } from 'prom-client'
import type { DeliveryAttempt } from '../../../mta/delivery-event.ts'
import { DEFAULT_LIMITS } from '../../../mta/limits.ts'
import type { MessageRecord } from '../../../mta/message-record.ts'
import { createOutbound } from '../../../mta/outbound/deliver.ts'
import { DEFAULT_TIMEOUTS } from '../../../mta/outbound/timeouts.ts'
import type { Timeouts } from '../../../mta/outbound/timeouts.ts'
import { newQueueId } from '../../../mta/queue-id.ts'
import type { QueueId } from '../../../mta/queue-id.ts'
import type { MakeReport } from '../../../mta/queue/ledger.ts'
import { Queue } from '../../../mta/queue/queue.ts'
import type { RetrySettings } from '../../../mta/settings.ts'
import { openSpool } from '../../../mta/spool/spool.ts'
import type { OpenSpool } from '../../../mta/spool/spool.ts'
import { eventually } from '../../harness/wait.ts'
import { NO_CREDENTIALS, record } from '../outbound/fixtures.ts'
import { listLog, queued, RETRY, simpleReport } from './world.ts'

export interface Way extends AsyncDisposable {
  readonly spool: OpenSpool
  readonly queue: Queue
  readonly events: DeliveryAttempt[]
  readonly metrics: Registry
  send(content: { header: string; body: string }, more?: Partial<MessageRecord>): Promise<QueueId>
  /** Resolves when the spool holds nothing any more. */
  empty(timeoutMs?: number): Promise<void>
}

/** Retries within the time of a test. */
export const QUICK: RetrySettings = { ...RETRY, firstWaits: [50, 50, 50], thenWait: 50, lastWait: 50 }

const monotonicMs = () => performance.now()
const smartHost = (port: number) => ({ kind: 'smart-host', host: '127.0.0.1', port, tls: 'none' }) as const

export async function way(
  ports: { owner: number; mailbox?: number; others?: Readonly<Record<string, number>> },
  options: { retry?: RetrySettings; perHost?: number; timeouts?: Timeouts; makeReport?: MakeReport } = {},
): Promise<Way> {
  const directory = await mkdtemp(join(tmpdir(), 'causeway-way-'))
  const limits = {
    ...DEFAULT_LIMITS,
    freeSpaceRatio: 0,
    freeSpaceMessages: 0,
    freeInodeRatio: 0,
    nextHopConnectionsPerHost: options.perHost ?? 20,
  }
  const log = listLog([])
  const now = Date.now
  const metrics = new Registry()
  const spool = await openSpool({ directory, rootKey: randomBytes(32), project: 'p1', limits, now, log })
  const events: DeliveryAttempt[] = []
  const queue = new Queue({
    spool,
    settings: {
      routes: {
        'owner-tenant': smartHost(ports.owner),
        mailbox: smartHost(ports.mailbox ?? ports.owner),
        ...Object.fromEntries(Object.entries(ports.others ?? {}).map(([route, port]) => [route, smartHost(port)])),
      },
      limits,
      retry: options.retry ?? QUICK,
    },
    outbound: createOutbound({
      name: 'relay.example',
      limits,
      credentials: () => NO_CREDENTIALS,
      timeouts: options.timeouts ?? DEFAULT_TIMEOUTS,
      monotonicMs,
      metrics,
    }),
    makeReport: options.makeReport ?? simpleReport,
    noted: () => {},
    deliveryDone: (attempt) => void events.push(attempt),
    log,
    metrics,
    now,
    monotonicMs,
    random: Math.random,
    timer(run, delayMs) {
      const timer = setTimeout(run, delayMs)
      return () => clearTimeout(timer)
    },
  })
  queue.start()
  return {
    spool,
    queue,
    events,
    metrics,
    async send({ header, body }, more = {}) {
      const queueId = newQueueId(Date.now())
      const made = record({
        queueId,
        receivedAt: Date.now(),
        headerBytes: header.length,
        bodyBytes: body.length,
        ...more,
      })
      const intake = spool.begin(queueId)
      for (let from = 0; from < body.length; from += 65_536)
        await intake.write(Buffer.from(body.slice(from, from + 65_536), 'latin1'))
      await intake.commit(Buffer.from(header, 'latin1'), made, queued(made.recipients.length))
      queue.accepted(queueId)
      return queueId
    },
    async empty(timeoutMs) {
      await eventually('the spool to be empty', () => (spool.health().messages === 0 ? true : undefined), timeoutMs)
    },
    async [Symbol.asyncDispose]() {
      await queue.drain(AbortSignal.timeout(1_000))
      await spool.close()
      await rm(directory, { recursive: true })
    },
  }
}

export const SMALL = { header: 'Subject: x\r\n\r\n', body: '.a line\r\nanother\r\n' }
