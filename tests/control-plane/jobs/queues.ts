// Every test of jobs is for both queues: BullMQ on Redis and on Postgres. In `npm test` each runs on one of them, drawn by lot; on both in a long run.
// What a job does here is to write one row: a lost job leaves none, a doubled effect two.
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { sql } from 'kysely'
import { createLog } from '../../../common/log.ts'
import { emptyMetrics } from '../../../common/metrics.ts'
import { withScope } from '../../../control-plane/db/database.ts'
import type { Db } from '../../../control-plane/db/database.ts'
import { requestJob } from '../../../control-plane/db/outbox.ts'
import { WakeUps } from '../../../control-plane/db/wake-ups.ts'
import { newId } from '../../../control-plane/ids.ts'
import type { OrganisationId } from '../../../control-plane/ids.ts'
import type { JobContext, JobHandler, JobHandlers } from '../../../control-plane/jobs/job.ts'
import { JOB_NAMES } from '../../../control-plane/jobs/job-names.ts'
import type { JobName } from '../../../control-plane/jobs/job-names.ts'
import { migrateQueue, openQueue } from '../../../control-plane/jobs/queue-backend.ts'
import type { QueueBackend } from '../../../control-plane/jobs/queue-backend.ts'
import { startJobs } from '../../../control-plane/jobs/start-jobs.ts'
import type { JobsDeps, RunningJobs } from '../../../control-plane/jobs/start-jobs.ts'
import { testDatabase } from '../../harness/postgres.ts'
import type { TestDatabase } from '../../harness/postgres.ts'
import { testOnRedis, testRedis } from '../../harness/redis.ts'
import type { TestRedis } from '../../harness/redis.ts'
import { sampleOf } from '../../harness/thorough.ts'
import { eventually } from '../../harness/wait.ts'

/** Short enough for tests, long enough for a busy machine. */
export const TIMING = { leaseMs: 1_500, dispatchMs: 200, reconcileMs: 300, silentMs: 1_000 }

export interface Setting {
  readonly kind: 'redis' | 'postgres'
  readonly database: TestDatabase
  /** On Redis only. */
  readonly redis: TestRedis | undefined
  readonly lines: string[]
  openQueue(): QueueBackend
  /** A worker in this process. */
  start(handlers: Partial<JobHandlers>, more?: Partial<JobsDeps>): Promise<RunningJobs>
  organisation(): Promise<OrganisationId>
  /** `count` jobs whose objects are `0` … @returns when they are in the outbox */
  request(organisation: OrganisationId, kind: JobName, count: number): Promise<void>
  /** Objects of the effects, sorted by number. */
  effects(organisation: OrganisationId): Promise<number[]>
  /** Resolves when no job is left. */
  idle(timeoutMs?: number): Promise<void>
}

/** Titled by the queue. */
export function testOnQueues(name: string, run: (t: TestContext, setting: Setting) => Promise<void>): void {
  const queues = [
    () => testOnRedis(`${name} (Redis)`, async (t) => run(t, await setUp(t, () => testRedis(t)))),
    () => test(`${name} (Postgres)`, async (t) => run(t, await setUp(t, () => Promise.resolve(undefined)))),
  ]
  for (const index of sampleOf(queues.length, 2)) queues[index]?.()
}

async function setUp(t: TestContext, startRedis: () => Promise<TestRedis | undefined>): Promise<Setting> {
  const closing = closers(t)
  const redis = await startRedis()
  const database = await testDatabase(t)
  if (redis === undefined) await migrateQueue(database.ownerConnection)
  await makeEffects(database)
  return settingOn(closing, database, redis)
}

/** What is closed at the end of the test, the last first, before whatever the test asks for afterwards: hooks run in the order they were made. */
export function closers(t: Pick<TestContext, 'after'>): (close: () => Promise<void>) => void {
  const all: (() => Promise<void>)[] = []
  t.after(async () => {
    for (const close of all.toReversed()) await close()
  })
  return (close) => void all.push(close)
}

export async function makeEffects({ owner }: Pick<TestDatabase, 'owner'>): Promise<void> {
  await sql`create table effect (organisation_id text not null, object text not null)`.execute(owner.db)
  await sql`grant select, insert on effect to causeway_service`.execute(owner.db)
}

export function settingOn(
  closing: (close: () => Promise<void>) => void,
  database: TestDatabase,
  redis: TestRedis | undefined,
): Setting {
  const lines: string[] = []
  const log = createLog({ write: (line) => void lines.push(line), level: 'debug', now: Date.now })
  const open = () =>
    openQueue(redis === undefined ? { log, connection: database.connection } : { log, redisUrl: redis.url })
  return {
    kind: redis === undefined ? 'postgres' : 'redis',
    database,
    redis,
    lines,
    openQueue() {
      const queue = open()
      closing(() => queue.close())
      return queue
    },
    async start(handlers, more = {}) {
      const wakeUps = new WakeUps(database.connection, log)
      await wakeUps.start()
      const queue = open()
      const jobs = startJobs({
        db: database.db,
        queue,
        wakeUps,
        log,
        metrics: emptyMetrics(),
        handlers: allHandlers(handlers),
        periodic: [],
        reconcilers: [],
        random: () => 0.5,
        monotonicMs: () => performance.now(),
        timing: TIMING,
        ...more,
      })
      let stopped: Promise<void> | undefined
      const stop = (timeoutMs?: number) =>
        (stopped ??= (async () => {
          await jobs.stop(timeoutMs)
          await wakeUps.close()
          await queue.close()
        })())
      closing(() => stop(2_000))
      return { stop }
    },
    async organisation() {
      const id = newId('organisation')
      await withScope(database.db, { organisation: id }, async (tx) => {
        await sql`insert into organisation (organisation_id, name) values (${id}, 'Contoso')`.execute(tx)
        await sql`insert into audit_chain (organisation_id) values (${id})`.execute(tx)
      })
      return id
    },
    async request(organisation, kind, count) {
      await withScope(database.db, { organisation }, async (tx) => {
        for (let n = 0; n < count; n++) await requestJob(tx, { organisation }, kind, String(n))
      })
    },
    effects: (organisation) => effectsOf(database.owner.db, organisation),
    idle: (timeoutMs = 30_000) =>
      eventually(
        'no job is left',
        async () => {
          const { rows } = await sql<{ left: number }>`
            select (select count(*) from job where state <> 'failed') + (select count(*) from outbox) as left`.execute(
            database.owner.db,
          )
          return rows[0]?.left === 0 ? true : undefined
        },
        timeoutMs,
      ).then(() => {}),
  }
}

export async function effectsOf(db: Db, organisation: OrganisationId): Promise<number[]> {
  const { rows } = await sql<{
    object: string
  }>`select object from effect where organisation_id = ${organisation} order by object::int`.execute(db)
  return rows.map(({ object }) => Number(object))
}

/** All kinds; those that a test doesn't name must not be run. */
export function allHandlers(some: Partial<JobHandlers>): JobHandlers {
  const none: JobHandler = { run: ({ kind }) => Promise.reject(new Error(`nobody asked for ${kind}`)) }
  return { ...(Object.fromEntries(JOB_NAMES.map((name) => [name, none])) as JobHandlers), ...some }
}

/** Writes its row with the job's end, as handlers do. */
export const writesEffect: JobHandler = { run: (job) => job.finish((tx) => writeEffect(tx, job)) }

export async function writeEffect(tx: Db, { organisation, object }: JobContext): Promise<void> {
  await sql`insert into effect (organisation_id, object) values (${organisation}, ${object})`.execute(tx)
}

export const upTo = (count: number): number[] => Array.from({ length: count }, (_, n) => n)
