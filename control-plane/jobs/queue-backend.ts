// The job queue: BullMQ on Redis where there is one, on Postgres where there is none. The only module that knows BullMQ. (JQ-1, JQ-4, JQ-5)
//
// The queue holds names of turns and nothing else, and forgets each when a worker has looked at it: rows in Postgres say what there is to do. So
// adding a name twice is harmless, handing it out twice is, and so is losing all of them.
import { createPostgresBackend, Queue, runMigrations, withBackend, Worker } from 'bullmq'
import { Redis } from 'ioredis'
import pg from 'pg'
import type { Log } from '../../common/log.ts'
import type { DatabaseOptions } from '../db/database.ts'
import { SERVICE_ROLE } from '../db/migrate.ts'
import { readRedisFacts } from './redis-facts.ts'
import type { RedisFacts } from './redis-facts.ts'

export interface QueuedName {
  /** `queueId` of a job's turn. */
  readonly id: string
  readonly kind: string
}

export interface QueueWorker {
  /** Takes no more names, waits for those it has, at most so long. */
  close(timeoutMs: number): Promise<void>
}

export interface QueueBackend {
  readonly kind: 'redis' | 'postgres'
  /** Adds names; one that is there already stays where it is. @throws within seconds when the queue is away */
  publish(names: readonly QueuedName[]): Promise<void>
  /** Hands names over, so many at once. @param look  rejects: logged, and the name is forgotten all the same */
  work(look: (id: string, kind: string) => Promise<void>, options: WorkOptions): QueueWorker
  /** @throws within seconds when the queue is away */
  ping(): Promise<void>
  /** undefined on Postgres. For the checks of JQ-3. */
  facts(): Promise<RedisFacts | undefined>
  close(): Promise<void>
}

export interface WorkOptions {
  readonly concurrency: number
  /** After so long without a sign of life the queue hands the name to another worker. All workers must say the same. */
  readonly lockMs: number
}

export type QueueOptions = {
  readonly log: Log
} & (
  | { readonly redisUrl: string; readonly connection?: undefined }
  /** As `causeway_service`; needs `migrateQueue` before. */
  | { readonly redisUrl?: undefined; readonly connection: DatabaseOptions['connection'] }
)

const QUEUE = 'jobs'
const REDIS_PREFIX = 'causeway'
const SCHEMA = 'bullmq'
const ANSWER_TIMEOUT_MS = 5_000
const RECONNECT_MAX_MS = 1_000
/** Looks at the queue are also by the clock: a message about new names can get lost. */
const LOOK_AGAIN_S = 5
/** The rows count attempts (jobs/retry.ts); the queue never gives a job up. */
const NEVER = 1_000_000
const POSTGRES_POOL = 4

/** What BullMQ needs of each queue: no stream of events that nobody reads, no names of jobs that are done. */
const queueOptions = {
  prefix: REDIS_PREFIX,
  skipVersionCheck: true, // redis-check.ts does it, in our words
  streams: { events: { maxLen: 100 } },
  defaultJobOptions: {
    removeOnComplete: true,
    removeOnFail: true,
    attempts: 1,
    sizeLimit: 8 * 1024,
    stackTraceLimit: 0,
  },
}

const workerOptions = ({ concurrency, lockMs }: WorkOptions) => ({
  prefix: REDIS_PREFIX,
  skipVersionCheck: true,
  concurrency,
  lockDuration: lockMs,
  stalledInterval: lockMs,
  maxStalledCount: NEVER,
  drainDelay: LOOK_AGAIN_S,
  runRetryDelay: RECONNECT_MAX_MS,
  removeOnComplete: { count: 0 },
  removeOnFail: { count: 0 },
})

export function openQueue(options: QueueOptions): QueueBackend {
  return options.redisUrl === undefined
    ? openOnPostgres(options.connection, options.log)
    : openOnRedis(options.redisUrl, options.log)
}

function openOnRedis(url: string, log: Log): QueueBackend {
  const retryStrategy = (times: number) => Math.min(times * 50, RECONNECT_MAX_MS)
  // Producers fail fast: the rows wait, and so does the dispatcher (JQ-5).
  const client = new Redis(url, { maxRetriesPerRequest: 1, enableOfflineQueue: false, retryStrategy, keyPrefix: '' })
  client.on('error', (error) => log.debug('queue.redis_error', { error }))
  const queue = new Queue(QUEUE, { ...queueOptions, connection: client })
  queue.on('error', (error) => log.debug('queue.error', { error }))
  // Until it was connected for the first time a command waits, afterwards it fails at once.
  const ready = (): Promise<unknown> => queue.waitUntilReady()
  return {
    kind: 'redis',
    publish: (names) => soon(add(queue, names)),
    work(look, options) {
      const connection = new Redis(url, { maxRetriesPerRequest: null, retryStrategy })
      connection.on('error', (error) => log.debug('queue.redis_error', { error }))
      const disconnect = trackDuplicates(connection)
      const worker = new Worker(QUEUE, taker(look, log), { ...workerOptions(options), connection })
      return toQueueWorker(worker, log, disconnect)
    },
    async ping() {
      if ((await soon(ready().then(() => client.ping()))) !== 'PONG') throw new Error('Redis does not answer a ping')
    },
    facts: () => soon(ready().then(() => readRedisFacts(client, url))),
    async close() {
      client.disconnect() // first: BullMQ would wait for a Redis that is away
      await queue.close()
    },
  }
}

function openOnPostgres(connection: DatabaseOptions['connection'], log: Log): QueueBackend {
  const bullmq = withBackend(createPostgresBackend)
  const poolOptions = {
    ...(typeof connection === 'string' ? { connectionString: connection } : connection),
    connectionTimeoutMillis: ANSWER_TIMEOUT_MS,
    schema: SCHEMA,
  }
  const queue = new bullmq.Queue(QUEUE, { ...queueOptions, connection: { ...poolOptions, max: 2 } })
  queue.on('error', (error) => log.debug('queue.error', { error }))
  return {
    kind: 'postgres',
    publish: (names) => soon(add(queue, names)),
    work(look, options) {
      const worker = new bullmq.Worker(QUEUE, taker(look, log), {
        ...workerOptions(options),
        connection: { ...poolOptions, max: POSTGRES_POOL },
      })
      return toQueueWorker(worker, log, () => {})
    },
    async ping() {
      await soon(queue.getWaitingCount())
    },
    facts: () => Promise.resolve(undefined),
    close: () => queue.close(),
  }
}

interface Adder {
  add(name: string, data: object, options: { jobId: string }): Promise<unknown>
}

async function add(queue: Adder, names: readonly QueuedName[]): Promise<void> {
  await Promise.all(names.map(({ id, kind }) => queue.add(kind, {}, { jobId: id })))
}

/** A failure to look is no failure of the job: its row is as it was, and gets another turn (reconcile-all.ts). */
function taker(look: (id: string, kind: string) => Promise<void>, log: Log) {
  return async ({ id = '', name }: { id?: string | undefined; name: string }): Promise<void> => {
    try {
      await look(id, name)
    } catch (error) {
      log.warn('job.left', { kind: name, error })
    }
  }
}

interface ClosableWorker {
  on(event: 'error', listener: (error: Error) => void): unknown
  close(isForced?: boolean): Promise<void>
}

function toQueueWorker(worker: ClosableWorker, log: Log, disconnect: () => void): QueueWorker {
  worker.on('error', (error) => log.debug('queue.worker_error', { error }))
  return {
    async close(timeoutMs) {
      // With the queue away BullMQ waits for it for ever; what it would say is said by the rows.
      const closed = worker.close()
      await within(timeoutMs, closed).catch((error: unknown) => log.warn('queue.worker_not_closed', { error }))
      disconnect()
    },
  }
}

/** BullMQ blocks on a connection that it makes of ours. @returns how to end all of them, also while they try to connect */
function trackDuplicates(connection: Redis): () => void {
  const all = [connection]
  const duplicate = connection.duplicate.bind(connection)
  connection.duplicate = (override) => {
    const made = duplicate(override)
    all.push(made)
    return made
  }
  return () => {
    for (const each of all) each.disconnect()
  }
}

const soon = <T>(answer: Promise<T>): Promise<T> => within(ANSWER_TIMEOUT_MS, answer)

async function within<T>(timeoutMs: number, answer: Promise<T>): Promise<T> {
  const { promise: tooLate, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error('the queue does not answer in time')), timeoutMs)
  answer.catch(() => {}) // when it comes too late, nobody waits for it any more
  try {
    return await Promise.race([answer, tooLate])
  } finally {
    clearTimeout(timer)
  }
}

/**
 * Brings the schema of the Postgres backend up to date, as the owner (TI-2). The service role is given rows and no more: with jobs named by us
 * BullMQ needs no right to change the schema (it would make a sequence for names of its own).
 */
export async function migrateQueue(connection: DatabaseOptions['connection']): Promise<void> {
  const client = new pg.Client(typeof connection === 'string' ? { connectionString: connection } : connection)
  await client.connect()
  try {
    await runMigrations(client, SCHEMA)
    await client.query(`
      grant usage on schema ${SCHEMA} to ${SERVICE_ROLE};
      grant select, insert, update, delete on all tables in schema ${SCHEMA} to ${SERVICE_ROLE};
      revoke insert, update, delete on ${SCHEMA}.migration from ${SERVICE_ROLE};
      grant usage on all sequences in schema ${SCHEMA} to ${SERVICE_ROLE};`)
  } finally {
    await client.end()
  }
}
