// What api and worker are both made of, opened in order and closed in reverse: database, keys, queue, wake-ups. Nothing is decided here.
import { performance } from 'node:perf_hooks'
import type { Log } from '../common/log.ts'
import type { Metrics } from '../common/metrics.ts'
import { isDatabaseAway, openDatabase, withScope } from './db/database.ts'
import type { Database } from './db/database.ts'
import { WakeUps } from './db/wake-ups.ts'
import { pendingMigrations } from './db/migrate.ts'
import { openQueue } from './jobs/queue-backend.ts'
import type { QueueBackend } from './jobs/queue-backend.ts'
import { judgeRedis } from './jobs/redis-check.ts'
import { KeyCache } from './keys/key-cache.ts'
import { KeyUses } from './keys/key-uses.ts'
import { openKeyProvider } from './keys/open-key-provider.ts'
import type { KeyDeps } from './keys/project-keys.ts'
import { createSealer } from './keys/sealer.ts'
import type { Sealer } from './keys/sealer.ts'
import { claimRegion } from './organisations/region.ts'
import { loadInstallationId } from './relays/snapshot-key-store.ts'
import { SettingsFault } from './settings.ts'
import { openConnect } from './tenants/connect.ts'
import type { Connect } from './tenants/connect.ts'
import type { Settings } from './settings.ts'

export interface Services {
  readonly settings: Settings
  readonly database: Database
  readonly keys: KeyDeps
  readonly sealer: Sealer
  readonly queue: QueueBackend
  readonly wakeUps: WakeUps
  readonly connect: Connect
  /** Id of this installation. */
  readonly installation: string
  readonly log: Log
  readonly metrics: Metrics
  /** ms since the epoch */
  readonly now: () => number
  /** ms, monotonic */
  readonly monotonicMs: () => number
  close(): Promise<void>
}

/** At the start; later the process waits for it. */
class DatabaseUnreachable extends Error {
  override readonly name = 'DatabaseUnreachable'
}

/** @throws DatabaseUnreachable; SettingsFault for what the operator must mend before a process can run */
export async function openServices(
  settings: Settings,
  { log, metrics }: { log: Log; metrics: Metrics },
): Promise<Services> {
  const now = () => Date.now()
  const monotonicMs = () => performance.now()
  const opened = new AsyncDisposableStack()
  try {
    const { connection, maxConnections } = settings.database
    const database = openDatabase({
      connection,
      maxConnections,
      onIdleError: (error) => log.warn('database.connection_lost', { error }),
    })
    opened.defer(() => database.close())
    const pending = await pendingMigrations(database.db).catch((cause: unknown) => {
      throw isDatabaseAway(cause) ? new DatabaseUnreachable('the database can not be reached', { cause }) : cause
    })
    if (pending.length > 0)
      throw new SettingsFault(['the database has an older schema than this version: run `causeway db migrate` first'])
    await claimRegion(database.db, settings.region)
    const provider = await openKeyProvider(settings.keys, now)
    opened.defer(() => provider.close())
    const cache = new KeyCache(now)
    opened.defer(() => cache.close())
    const uses = new KeyUses({ db: database.db, log, now: () => new Date(now()) })
    opened.defer(() => uses.settle())
    const keys: KeyDeps = { db: database.db, provider, cache, uses, now: () => new Date(now()) }
    const queue = openQueue(
      settings.redisUrl === undefined ? { log, connection } : { log, redisUrl: settings.redisUrl },
    )
    opened.defer(() => queue.close())
    await checkQueue(queue, settings, log)
    const wakeUps = new WakeUps(connection, log)
    await wakeUps.start()
    opened.defer(() => wakeUps.close())
    const installation = await withScope(database.db, {}, loadInstallationId)
    return {
      settings,
      database,
      keys,
      sealer: createSealer(keys),
      queue,
      wakeUps,
      connect: await openConnect(settings, { log, metrics, now, monotonicMs }),
      installation,
      log,
      metrics,
      now,
      monotonicMs,
      close: () => opened.disposeAsync(),
    }
  } catch (error) {
    await opened.disposeAsync()
    throw error
  }
}

/** JQ-3: a Redis that forgets or can be read by others is refused in production. One that is away is waited for. */
async function checkQueue(queue: QueueBackend, { mode }: Settings, log: Log): Promise<void> {
  const facts = await queue.facts().catch((error: unknown) => {
    log.warn('queue.away', { error })
    return undefined
  })
  const faults = facts === undefined ? [] : judgeRedis(facts)
  if (faults.length === 0) return
  if (mode === 'production') throw new SettingsFault(faults.map((fault) => `Redis: ${fault}`))
  for (const fault of faults) log.warn('queue.unsafe', { fault })
}
