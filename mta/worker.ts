// Wires one relay process: table, spool, queue, listeners, administration. Nothing is decided here. The order matters: the spool's lock
// comes first, listeners open last and close first. (DU-6)
import { randomBytes, randomInt } from 'node:crypto'
import { performance } from 'node:perf_hooks'
import type { Log } from '../common/log.ts'
import { Gauge } from '../common/metrics.ts'
import type { Metrics } from '../common/metrics.ts'
import { startControl } from './admin/control.ts'
import { startAdminServer } from './admin/server.ts'
import type { Readiness } from './admin/server.ts'
import { spoolOperations } from './admin/spool-operations.ts'
import { makeReport } from './bounce/report-message.ts'
import { CurrentCredentials } from './credentials.ts'
import { deliveryEvent } from './delivery-event.ts'
import { ConnectionSlots } from './inbound/connection-slots.ts'
import { createInboundMetrics } from './inbound/inbound-metrics.ts'
import { LargeParts } from './inbound/large-parts.ts'
import { startListener } from './inbound/listener.ts'
import type { Listener } from './inbound/listener.ts'
import { processMemoryUse } from './inbound/memory-use.ts'
import { CurrentTable } from './mapping/current-table.ts'
import { loadMarkerKeys } from './marker-keys.ts'
import { createOutbound } from './outbound/deliver.ts'
import { startMxDelivery } from './outbound/mx-delivery.ts'
import { privacyKey, recipientTag } from './privacy.ts'
import { newQueueId } from './queue-id.ts'
import { Queue } from './queue/queue.ts'
import { smartHosts } from './route-names.ts'
import type { Settings } from './settings.ts'
import { loadSpoolKey } from './spool/keys.ts'
import { openSpool } from './spool/spool.ts'

export interface RunningWorker {
  /** Bound ports, in the order of the configuration's listeners. */
  readonly ports: readonly number[]
  /** Reads certificates, keys, tokens and the mapping table again (SIGHUP). */
  reload(): Promise<void>
  /** Stops accepting, finishes or breaks off what is under way within `graceMs`, and closes the spool. */
  stop(graceMs: number): Promise<void>
}

export interface WorkerDeps {
  readonly log: Log
  readonly metrics: Metrics
}

/** @throws SettingsFault, SpoolUnusable: what the operator must mend before a relay can run */
export async function startWorker(settings: Settings, { log, metrics }: WorkerDeps): Promise<RunningWorker> {
  const now = () => Date.now()
  const monotonic = () => performance.now()
  const opened = new AsyncDisposableStack()
  try {
    const rootKey = loadSpoolKey(settings.spool.key.file, settings.spool.directory)
    const spool = await openSpool({
      directory: settings.spool.directory,
      rootKey,
      project: settings.spool.project,
      limits: settings.limits,
      now,
      log,
      metrics,
    })
    opened.defer(() => spool.close())
    const markerKeys = await loadMarkerKeys(settings.marker.file)

    const currentTable = new CurrentTable({
      file: settings.table.file,
      project: settings.project,
      policy: settings.policy,
      maxAgeMs: settings.limits.maxTableAgeMs,
      log,
      metrics,
      now,
    })
    await currentTable.start()
    opened.defer(() => currentTable.close())

    const credentials = new CurrentCredentials(settings, log)
    const random = () => randomInt(2 ** 32) / 2 ** 32
    const every = (ms: number, task: () => void) => {
      const timer = setInterval(task, ms)
      return () => clearInterval(timer)
    }
    const mx =
      settings.mx &&
      (await startMxDelivery(settings.mx, settings, {
        credentials: () => credentials.get(),
        log,
        metrics,
        random,
        now,
        monotonicMs: monotonic,
        every,
      }))
    if (mx !== undefined) opened.defer(() => mx.close())
    const tagKey = privacyKey(markerKeys.secret)
    const tag = (address: string) => recipientTag(address, settings.privacy, tagKey)
    const queue = new Queue({
      spool,
      settings: { routes: smartHosts(settings), mx: settings.mx, limits: settings.limits, retry: settings.retry },
      outbound: createOutbound({
        name: settings.name,
        limits: settings.limits,
        credentials: () => credentials.get(),
        ...(mx === undefined ? {} : { mx: mx.deps }),
        monotonicMs: monotonic,
        metrics,
      }),
      makeReport: (message, recipients) =>
        makeReport(message, recipients, {
          name: settings.name,
          markerKeys,
          currentTable: () => currentTable.get(),
          newQueueId,
          randomText: () => randomBytes(16).toString('hex'),
          now,
        }),
      deliveryDone(attempt) {
        const { level, event, fields } = deliveryEvent(attempt, tag)
        log[level](event, fields)
      },
      log,
      metrics,
      now,
      monotonicMs: monotonic,
      random,
      timer(run, delayMs) {
        const timer = setTimeout(run, delayMs)
        return () => clearTimeout(timer)
      },
    })

    const inboundMetrics = createInboundMetrics(metrics)
    const largeParts = new LargeParts({ limits: settings.limits, log, metrics: inboundMetrics })
    opened.defer(() => largeParts.close())
    const slots = new ConnectionSlots(settings.limits)
    const listeners: Listener[] = []
    let isStopping = false
    const readiness = (): Readiness => {
      const { trouble, version } = currentTable.status()
      const { refusing } = spool.health()
      const reasons = [
        ...(isStopping ? ['the relay is stopping'] : []),
        ...(listeners.length < settings.listeners.length ? ['the listeners are not open yet'] : []),
        ...(version === undefined ? [trouble ?? 'no mapping table yet'] : []),
        ...(refusing === undefined ? [] : [refusing]),
      ]
      return { isReady: reasons.length === 0, reasons }
    }
    gauges(metrics, readiness, () => spool.health())
    if (settings.metrics !== undefined) {
      const admin = await startAdminServer(settings.metrics, { metrics, readiness, log })
      opened.defer(() => admin.close())
    }
    const control = await startControl({
      spoolDirectory: settings.spool.directory,
      operations: spoolOperations(spool, queue),
      log,
    })
    opened.defer(() => control.close())

    queue.start()
    for (const listener of settings.listeners) {
      listeners.push(
        await startListener(listener, {
          name: settings.name,
          authservId: settings.name,
          direction: listener.direction ?? 'out',
          limits: settings.limits,
          spool,
          routes: { out: 'owner-tenant', in: 'mailbox' },
          marker: markerKeys,
          largeParts,
          log,
          metrics: inboundMetrics,
          tag,
          slots,
          now,
          monotonic,
          accepted: (queueId) => queue.accepted(queueId),
          currentTable,
          postmaster: settings.postmaster,
          every,
          memoryUse: processMemoryUse,
        }),
      )
    }
    const ports = listeners.map(({ port }) => port)
    log.info('relay.started', { name: settings.name, ports, spool: spool.health(), table: currentTable.status() })

    return {
      ports,
      reload() {
        credentials.reload()
        return currentTable.reload()
      },
      async stop(graceMs) {
        isStopping = true
        log.info('relay.stopping', {})
        const deadline = AbortSignal.timeout(graceMs)
        await Promise.all(listeners.map((listener) => listener.close(graceMs)))
        await queue.drain(deadline)
        await opened.disposeAsync()
        log.info('relay.stopped', {})
      },
    }
  } catch (error) {
    await opened.disposeAsync()
    throw error
  }
}

function gauges(
  metrics: Metrics,
  readiness: () => Readiness,
  health: () => ReturnType<Awaited<ReturnType<typeof openSpool>>['health']>,
): void {
  const gauge = (name: string, help: string, value: () => number) =>
    new Gauge({
      name,
      help,
      registers: [metrics],
      collect() {
        this.set(value())
      },
    })
  gauge('causeway_ready', '1 when /readyz says so.', () => (readiness().isReady ? 1 : 0))
  gauge('causeway_spool_messages', 'Messages in the spool.', () => health().messages)
  gauge('causeway_spool_bytes', 'Octets they take on disk.', () => health().bytes)
  gauge('causeway_spool_free_bytes', "Free on the spool's volume.", () => health().freeBytes)
  gauge('causeway_spool_quarantined_messages', 'Damaged and poison entries set aside.', () => health().quarantined)
}
