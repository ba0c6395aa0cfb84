// A worker in a process of its own, to be killed and stopped by tests. A job writes one effect as a step, holds on for a while, and writes another
// one with its end; it says so on stdout, and so does the log.
import { setTimeout as sleep } from 'node:timers/promises'
import { createLog } from '../../../common/log.ts'
import { emptyMetrics } from '../../../common/metrics.ts'
import { openDatabase } from '../../../control-plane/db/database.ts'
import type { DatabaseOptions } from '../../../control-plane/db/database.ts'
import { WakeUps } from '../../../control-plane/db/wake-ups.ts'
import { openQueue } from '../../../control-plane/jobs/queue-backend.ts'
import type { QueueBackend } from '../../../control-plane/jobs/queue-backend.ts'
import { startJobs } from '../../../control-plane/jobs/start-jobs.ts'
import { allHandlers, TIMING, writeEffect } from './queues.ts'

export interface WorkerArguments {
  readonly connection: Exclude<DatabaseOptions['connection'], string>
  readonly redisUrl?: string
  readonly holdMs: number
  readonly concurrency: number
  /** The queue's patience; default: as the product has it for the lease of the tests. */
  readonly lockMs?: number
  /** Ends with the first name that the queue hands over, before its job is begun. */
  readonly diesHandedOver?: boolean
}

const { connection, redisUrl, holdMs, concurrency, lockMs, diesHandedOver } = JSON.parse(
  process.argv[2] ?? '{}',
) as WorkerArguments
const log = createLog({ write: (line) => process.stdout.write(line), level: 'info', now: Date.now })
const { db } = openDatabase({ connection, maxConnections: 10, onIdleError: () => {} })
const wakeUps = new WakeUps(connection, log)
await wakeUps.start()
const queue = openQueue(redisUrl === undefined ? { log, connection } : { log, redisUrl })
const dying: QueueBackend = {
  ...queue,
  work: (_look, options) => queue.work(() => Promise.resolve(void process.kill(process.pid, 'SIGKILL')), options),
}
startJobs({
  db,
  queue: diesHandedOver === true ? dying : queue,
  wakeUps,
  log,
  metrics: emptyMetrics(),
  handlers: allHandlers({
    'mapping.import': {
      async run(job) {
        await job.once('first', (tx) => writeEffect(tx, job))
        process.stdout.write(`begun ${job.object}\n`)
        await sleep(holdMs)
        await job.finish((tx) => writeEffect(tx, { ...job, object: String(1000 + Number(job.object)) }))
        process.stdout.write(`ended ${job.object}\n`)
      },
    },
  }),
  periodic: [],
  reconcilers: [],
  random: Math.random,
  monotonicMs: () => performance.now(),
  timing: lockMs === undefined ? TIMING : { ...TIMING, lockMs },
  concurrency,
})
