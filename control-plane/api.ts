// The API as a process: REST for people and scripts, streams for relays. Nothing is decided here. (product.md §2)
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer as createPlainServer } from 'node:http'
import type { Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { startAdminServer } from '../common/admin-server.ts'
import { createLog } from '../common/log.ts'
import type { Log } from '../common/log.ts'
import { createMetrics } from '../common/metrics.ts'
import type { Metrics } from '../common/metrics.ts'
import { startProcessLog } from '../common/process-log.ts'
import { untilSignal } from '../common/until-signal.ts'
import { createAuthenticate } from './access/authenticate.ts'
import { printBreakGlassCode } from './access/break-glass-print.ts'
import { FailureLimit } from './access/failure-limit.ts'
import { Sessions } from './access/session-lookup.ts'
import { setUpSignIn } from './access/sign-in-setup.ts'
import { tokenSealer } from './access/token-sealer.ts'
import { createApp, hardenServer } from './http/app.ts'
import { trackUnanswered } from './http/unanswered.ts'
import { CompiledTables } from './mapping/compiled-tables.ts'
import { storeEvents } from './messages/take-events.ts'
import { watchCertificates } from './monitoring/certificate-figures.ts'
import { watchComponents } from './monitoring/component-figures.ts'
import { HealthCheck } from './monitoring/health.ts'
import { relayEndpoints } from './relays/relay-endpoints.ts'
import { SnapshotKeys } from './relays/snapshot-keys.ts'
import { SnapshotStreams } from './relays/stream-snapshots.ts'
import { createTableSource } from './relays/table-source.ts'
import { allRoutes } from './routes.ts'
import { openServices } from './services.ts'
import type { Services } from './services.ts'
import { loadSettings } from './settings.ts'
import type { Settings } from './settings.ts'
import { productVersion } from './version.ts'

export interface RunningApi {
  readonly port: number
  readonly metricsPort: number
  readonly services: Services
  /** Finishes what is under way within `graceMs`, then ends all connections. */
  stop(graceMs: number): Promise<void>
}

const GRACE_MS = 30_000

/** @returns the process's exit code @throws SettingsFault */
export async function runApi(env: Readonly<Record<string, string | undefined>>): Promise<number> {
  const write = startProcessLog('api.died')
  const settings = loadSettings(env)
  const log = createLog({ write, level: settings.logLevel, now: Date.now })
  const api = await startApi(settings, { log, metrics: createMetrics() })
  const { database, now } = api.services
  await printBreakGlassCode({
    db: database.db,
    now,
    random: randomBytes,
    publicUrl: settings.publicUrl,
    print: (text) => process.stderr.write(text),
  })
  await untilSignal()
  await api.stop(GRACE_MS)
  return 0
}

export async function startApi(
  settings: Settings,
  { log, metrics }: { log: Log; metrics: Metrics },
): Promise<RunningApi> {
  const opened = new AsyncDisposableStack()
  try {
    const services = await openServices(settings, { log, metrics })
    opened.defer(() => services.close())
    const { database, sealer, wakeUps, installation, now, monotonicMs, queue } = services
    const { db } = database
    const stopping = new AbortController()
    const isStopping = () => stopping.signal.aborted
    const health = new HealthCheck({
      database,
      pingQueue: () => queue.ping(),
      keyService: services.keys.provider,
      isStopping,
      monotonicMs,
    })
    watchComponents(health, metrics)
    watchCertificates(settings, { metrics, log })
    const signIn =
      settings.entra &&
      (await setUpSignIn(settings.entra, {
        mode: settings.mode,
        publicUrl: settings.publicUrl,
        sealer: tokenSealer(db, sealer),
        now,
      }))
    const sessions = new Sessions({ db, signIn, log })
    opened.defer(() => sessions.settled())
    const tables = new CompiledTables({ db, log })
    const snapshotKeys = new SnapshotKeys({ db, sealer, now })
    const streams = new SnapshotStreams({
      db,
      sealer,
      snapshotKeys,
      tables: createTableSource(db, tables),
      wakeUps,
      installation,
      metrics,
      log,
      now,
    })
    opened.defer(() => streams.close())
    const isPlain = settings.tls === undefined && settings.publicUrl.protocol === 'http:'
    const app = createApp({
      routes: allRoutes({ ...services, tables, health, sessions, signIn }),
      handlers: [
        relayEndpoints({
          db,
          snapshotKeys,
          installation,
          streams,
          takeEvents: (place, events) => storeEvents(db, place, events, now()),
          now,
          monotonicMs,
        }),
      ],
      database,
      authenticate: createAuthenticate({
        db,
        findSession: (sessionId, at, isPassive) => sessions.find(sessionId, at, isPassive),
        failures: new FailureLimit(monotonicMs),
      }),
      log,
      metrics,
      version: productVersion(),
      trustedProxies: settings.trustedProxies,
      publicUrl: settings.publicUrl,
      isPlain,
      now,
      monotonicMs,
      stopping: stopping.signal,
    })
    const server: Server =
      settings.tls === undefined
        ? createPlainServer(app)
        : createTlsServer(
            {
              cert: readFileSync(settings.tls.certificateFile),
              key: readFileSync(settings.tls.keyFile),
              minVersion: 'TLSv1.2',
            },
            app,
          )
    hardenServer(server)
    const unanswered = trackUnanswered(server)
    const admin = await startAdminServer(settings.metrics, { metrics, readiness: () => health.check(), log })
    opened.defer(() => admin.close())
    server.listen(settings.listen.port, settings.listen.address)
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    log.info('api.started', { port, metricsPort: admin.port, mode: settings.mode, queue: queue.kind })
    return {
      port,
      metricsPort: admin.port,
      services,
      async stop(graceMs) {
        log.info('api.stopping')
        stopping.abort()
        streams.close()
        server.close()
        await unanswered.settled(graceMs)
        server.closeAllConnections()
        await opened.disposeAsync()
        log.info('api.stopped')
      },
    }
  } catch (error) {
    await opened.disposeAsync()
    throw error
  }
}
