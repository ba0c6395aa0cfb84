// Every route of the product on a test's database, with real keys, sealer, wake-ups and tables behind them.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Log } from '../../common/log.ts'
import { emptyMetrics } from '../../common/metrics.ts'
import { Sessions } from '../../control-plane/access/session-lookup.ts'
import { WakeUps } from '../../control-plane/db/wake-ups.ts'
import type { AnyRoute } from '../../control-plane/http/route.ts'
import { openKeyDirectory } from '../../control-plane/keys/file-provider.ts'
import { KeyCache } from '../../control-plane/keys/key-cache.ts'
import { KeyUses } from '../../control-plane/keys/key-uses.ts'
import { createSealer } from '../../control-plane/keys/sealer.ts'
import { CompiledTables } from '../../control-plane/mapping/compiled-tables.ts'
import { HealthCheck } from '../../control-plane/monitoring/health.ts'
import { allRoutes } from '../../control-plane/routes.ts'
import { loadSettings } from '../../control-plane/settings.ts'
import { openConnect } from '../../control-plane/tenants/connect.ts'
import type { Ending, TestDatabase } from './postgres.ts'

export async function everyRoute(
  t: Ending,
  { database, log }: { database: TestDatabase; log: Log },
  env: Readonly<Record<string, string>> = {},
): Promise<readonly AnyRoute[]> {
  const directory = mkdtempSync(join(tmpdir(), 'causeway-keys-'))
  const now = () => Date.now()
  const monotonicMs = () => performance.now()
  const settings = loadSettings({
    CAUSEWAY_MODE: 'evaluation',
    PUBLIC_URL: 'http://127.0.0.1:8080',
    DATABASE_URL: 'socket:/none?user=none&database=none',
    ...env,
  })
  const provider = await openKeyDirectory(join(directory, 'keys'), now)
  const cache = new KeyCache(now)
  const uses = new KeyUses({ db: database.db, log, now: () => new Date() })
  const sealer = createSealer({ db: database.db, provider, cache, uses, now: () => new Date() })
  const wakeUps = new WakeUps(database.connection, log)
  await wakeUps.start()
  t.after(async () => {
    await wakeUps.close()
    await uses.settle()
    cache.close()
    provider.close()
    rmSync(directory, { recursive: true, force: true })
  })
  const { db } = database
  return allRoutes({
    settings,
    database,
    sealer,
    wakeUps,
    log,
    metrics: emptyMetrics(),
    now,
    monotonicMs,
    connect: await openConnect(settings, { log, metrics: emptyMetrics(), now, monotonicMs }),
    tables: new CompiledTables({ db, log }),
    health: new HealthCheck({
      database,
      pingQueue: () => Promise.resolve(),
      keyService: provider,
      isStopping: () => false,
      monotonicMs,
    }),
    sessions: new Sessions({ db, signIn: undefined, log }),
    signIn: undefined,
  })
}
