// What can be lost is lost here, in the middle of work: the queue, the database, workers. No job may be missing afterwards, and no effect doubled.
// (JQ-1, JQ-2, OP-3)
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { sql } from 'kysely'
import { openDatabase } from '../../../control-plane/db/database.ts'
import { startEmbeddedPostgres } from '../../../control-plane/db/embedded-postgres.ts'
import { migrate, SERVICE_ROLE } from '../../../control-plane/db/migrate.ts'
import type { JobHandler } from '../../../control-plane/jobs/job.ts'
import { migrateQueue } from '../../../control-plane/jobs/queue-backend.ts'
import { testOnRedis, testRedis } from '../../harness/redis.ts'
import type { TestRedis } from '../../harness/redis.ts'
import { eventually } from '../../harness/wait.ts'
import { closers, makeEffects, settingOn, testOnQueues, TIMING, upTo, writeEffect, writesEffect } from './queues.ts'
import type { Setting } from './queues.ts'
import type { WorkerArguments } from './worker-process.ts'

const slow: JobHandler = {
  async run(job) {
    await sleep(20)
    await job.finish((tx) => writeEffect(tx, job))
  },
}
const JOBS = 120

testOnQueues(
  'JQ-1: a queue that forgets everything, again and again, loses no job and doubles no effect',
  async (_t, it) => {
    const organisation = await it.organisation()
    await it.start({ 'mapping.import': slow })
    await it.start({ 'mapping.import': slow })
    await it.request(organisation, 'mapping.import', JOBS)
    for (const done of [10, 40, 80]) {
      await eventually(`${done} are done`, async () =>
        (await it.effects(organisation)).length >= done ? true : undefined,
      )
      if (it.redis === undefined) await sql`delete from bullmq.job`.execute(it.database.owner.db)
      else await it.redis.command('flushall')
    }
    await it.idle()
    assert.deepEqual(await it.effects(organisation), upTo(JOBS))
  },
)

testOnRedis(
  'JQ-1: Redis killed and started again, empty, full or as it was before, loses no job and doubles no effect',
  async (t) => {
    const closing = closers(t)
    const redis = await testRedis(t)
    const it = await onRedis(t, closing, redis)
    const organisation = await it.organisation()
    await it.start({ 'mapping.import': slow })
    await it.request(organisation, 'mapping.import', JOBS)
    const reach = (done: number) =>
      eventually(`${done} are done`, async () => ((await it.effects(organisation)).length >= done ? true : undefined))
    await reach(10)
    const old = redis.copy()
    await reach(30)
    await redis.kill()
    await redis.start({ isEmpty: true })
    await reach(60)
    await redis.kill()
    await redis.start()
    await reach(80)
    await redis.kill()
    await redis.start({ from: old })
    await it.idle()
    assert.deepEqual(await it.effects(organisation), upTo(JOBS))
  },
)

testOnRedis(
  'JQ-5, OP-3: with Redis away requests are taken all the same, and their jobs done when it is back',
  async (t) => {
    const closing = closers(t)
    const redis = await testRedis(t)
    const it = await onRedis(t, closing, redis)
    const organisation = await it.organisation()
    await it.start({ 'mapping.import': slow })
    await redis.kill()
    const started = performance.now()
    await it.request(organisation, 'mapping.import', 20)
    assert.ok(performance.now() - started < 2_000, 'nobody waits for Redis')
    await eventually('the dispatcher says so', () =>
      it.lines.some((line) => line.includes('jobs.not_dispatched')) ? true : undefined,
    )
    await redis.start({ isEmpty: true })
    await it.idle()
    assert.deepEqual(await it.effects(organisation), upTo(20))
  },
)

testOnQueues('JQ-2: workers killed in the middle of jobs lose none and double no effect', async (t, it) => {
  const organisation = await it.organisation()
  await it.request(organisation, 'mapping.import', 30)
  for (const begun of [3, 8, 5]) {
    const worker = startWorker(t, it, { holdMs: 60, concurrency: 4 })
    await worker.said('begun', begun)
    worker.child.kill('SIGKILL')
    await once(worker.child, 'exit')
  }
  startWorker(t, it, { holdMs: 60, concurrency: 4 })
  await it.idle(60_000)
  assert.deepEqual(await it.effects(organisation), [...upTo(30), ...upTo(30).map((n) => 1000 + n)])
})

testOnQueues(
  'JQ-2: the job of a killed worker goes on after about one lease, though the queue believes for long that the worker has it',
  async (t, it) => {
    const organisation = await it.organisation()
    await it.request(organisation, 'mapping.import', 1)
    const lockMs = 120_000
    const first = startWorker(t, it, { holdMs: 30_000, concurrency: 1, lockMs })
    await first.said('begun', 1)
    const second = startWorker(t, it, { holdMs: 0, concurrency: 1, lockMs })
    first.child.kill('SIGKILL')
    const killed = performance.now()
    await second.said('ended', 1)
    const { leaseMs, reconcileMs, dispatchMs } = TIMING
    const took = performance.now() - killed
    assert.ok(took < leaseMs + reconcileMs + dispatchMs + 5_000, `${took} ms, of which the second's start is part`)
    await it.idle()
    assert.deepEqual(await it.effects(organisation), [0, 1000])
  },
)

testOnQueues(
  'JQ-2: what a worker was handed and had not begun when it was killed is handed to another within a lease',
  async (t, it) => {
    const organisation = await it.organisation()
    await it.request(organisation, 'mapping.import', 1)
    const first = startWorker(t, it, { holdMs: 0, concurrency: 1, diesHandedOver: true })
    await once(first.child, 'exit')
    const killed = performance.now()
    await it.start({ 'mapping.import': writesEffect })
    await it.idle()
    const took = performance.now() - killed
    assert.ok(took < TIMING.leaseMs + 5_000, `${took} ms`)
    assert.deepEqual(await it.effects(organisation), [0])
  },
)

testOnQueues('JQ-2: a worker that was stopped while another took over can write nothing more', async (t, it) => {
  const organisation = await it.organisation()
  await it.request(organisation, 'mapping.import', 1)
  const first = startWorker(t, it, { holdMs: 300, concurrency: 1 })
  await first.said('begun', 1)
  first.child.kill('SIGSTOP')
  const second = startWorker(t, it, { holdMs: 300, concurrency: 1 })
  await second.said('ended', 1)
  assert.deepEqual(await it.effects(organisation), [0, 1000])
  first.child.kill('SIGCONT')
  await first.said('"outcome":"leave"', 1)
  assert.deepEqual(await it.effects(organisation), [0, 1000])
  assert.equal(first.count('ended'), 0)
})

for (const kind of ['redis', 'postgres'] as const) {
  const title = 'OP-3: Postgres stopped and started again in the middle of work loses no job and doubles no effect'
  const register = kind === 'redis' ? testOnRedis : test
  register(`${title} (${kind})`, async (t) => {
    const closing = closers(t)
    const redis = kind === 'redis' ? await testRedis(t) : undefined
    const directory = mkdtempSync(join(tmpdir(), 'causeway-pg-'))
    let server = await startEmbeddedPostgres({ directory, isThrowaway: true })
    t.after(async () => {
      await server.stop()
      rmSync(directory, { recursive: true, force: true })
    })
    const connection = { host: directory, user: SERVICE_ROLE, database: 'postgres' }
    const ownerConnection = { ...connection, user: server.owner }
    const options = { maxConnections: 10, onIdleError: () => {} }
    const owner = openDatabase({ connection: ownerConnection, ...options })
    await sql.raw(`create role ${SERVICE_ROLE} login`).execute(owner.db)
    await migrate(owner.db)
    if (kind === 'postgres') await migrateQueue(ownerConnection)
    const service = openDatabase({ connection, ...options })
    closing(async () => {
      await service.close()
      await owner.close()
    })
    const database = { ...service, owner, connection, ownerConnection }
    await makeEffects(database)
    const it = settingOn(closing, database, redis)
    const organisation = await it.organisation()
    await it.start({ 'mapping.import': slow })
    await it.request(organisation, 'mapping.import', JOBS)
    await eventually('20 are done', async () => ((await it.effects(organisation)).length >= 20 ? true : undefined))
    await server.stop()
    server = await startEmbeddedPostgres({ directory, isThrowaway: true })
    await it.idle(60_000)
    assert.deepEqual(await it.effects(organisation), upTo(JOBS))
  })
}

async function onRedis(t: TestContext, closing: ReturnType<typeof closers>, redis: TestRedis): Promise<Setting> {
  const { testDatabase } = await import('../../harness/postgres.ts')
  const database = await testDatabase(t)
  await makeEffects(database)
  return settingOn(closing, database, redis)
}

interface Worker {
  readonly child: ChildProcess
  count(text: string): number
  /** Resolves when `text` was said so often. */
  said(text: string, times: number): Promise<void>
}

function startWorker(t: TestContext, it: Setting, options: Omit<WorkerArguments, 'connection' | 'redisUrl'>): Worker {
  const { connection } = it.database
  const all: WorkerArguments = { connection, ...(it.redis === undefined ? {} : { redisUrl: it.redis.url }), ...options }
  const file = fileURLToPath(new URL('worker-process.ts', import.meta.url))
  const child = spawn(process.execPath, [file, JSON.stringify(all)], { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  t.after(() => child.kill('SIGKILL'))
  const count = (text: string) => output.split(text).length - 1
  return {
    child,
    count,
    said: async (text, times) => {
      await eventually(`a worker says ${text} ${times} times`, () => (count(text) >= times ? true : undefined))
    },
  }
}
