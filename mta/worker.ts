// Wires one relay process: table, spool, queue, listeners, administration. Nothing is decided here. The order matters: the spool's lock
// comes first, listeners open last and close first. (DU-6)
import { randomBytes, randomInt } from 'node:crypto'
import type { Socket } from 'node:net'
import { Resolver } from 'node:dns/promises'
import { performance } from 'node:perf_hooks'
import type { Log } from '../common/log.ts'
import { Gauge } from '../common/metrics.ts'
import type { Metrics } from '../common/metrics.ts'
import { startControl } from './admin/control.ts'
import { notedOperations } from './admin/noted-operations.ts'
import { startAdminServer } from './admin/server.ts'
import type { Readiness } from './admin/server.ts'
import { spoolOperations } from './admin/spool-operations.ts'
import { makeReport } from './bounce/report-message.ts'
import { certificateMetrics } from './certificate-metrics.ts'
import { certificatesInUse, CurrentCredentials } from './credentials.ts'
import { deliveryEvent } from './delivery-event.ts'
import { mayWantVerification } from './inbound/attestation.ts'
import type { VerifierOf } from './inbound/attestation.ts'
import { ConnectionSlots } from './inbound/connection-slots.ts'
import { createInboundMetrics } from './inbound/inbound-metrics.ts'
import { LargeParts } from './inbound/large-parts.ts'
import { startListener } from './inbound/listener.ts'
import type { Listener } from './inbound/listener.ts'
import { processMemoryUse } from './inbound/memory-use.ts'
import { ProbeRate } from './inbound/probe.ts'
import { openJournal } from './journal/open-journal.ts'
import { CurrentTable } from './mapping/current-table.ts'
import { loadMarkerKeys } from './marker-keys.ts'
import { createOutbound } from './outbound/deliver.ts'
import { hostPort } from './outbound/route.ts'
import { startMxDelivery } from './outbound/mx-delivery.ts'
import { privacyKey, recipientTag } from './privacy.ts'
import { newQueueId } from './queue-id.ts'
import { Queue } from './queue/queue.ts'
import { smartHosts } from './route-names.ts'
import type { Settings } from './settings.ts'
import { loadSpoolKey } from './spool/keys.ts'
import { openSpool } from './spool/spool.ts'
import { Tenants } from './tenants.ts'

/** For each of two tries: within what a client is kept waiting after the final dot. */
const DNS_TIMEOUT_MS = 5_000

export interface RunningWorker {
  /** Bound ports, in the order of the configuration's listeners. */
  readonly ports: readonly number[]
  readiness(): Readiness
  /** Serves a client that the primary took at a listener of the configuration; calls `left` when it is gone. */
  take(listener: number, socket: Socket, left: () => void): void
  /** Its spool holds no mail; what is in quarantine isn't counted. */
  isDrained(): boolean
  /** Reads certificates, keys, tokens and the mapping table again (SIGHUP). */
  reload(): Promise<void>
  /** Stops accepting, finishes or breaks off what is under way within `graceMs`, and closes the spool. */
  stop(graceMs: number): Promise<void>
}

/** One of several processes of a relay: the primary takes the connections and answers monitoring. */
export interface WorkerPart {
  /** Its own part of the spool. */
  readonly spoolDirectory: string
  /** false: it delivers what its spool holds and takes nothing. */
  readonly takesMail: boolean
}

export interface WorkerDeps {
  readonly log: Log
  readonly metrics: Metrics
  /** undefined: this process is the whole relay. */
  readonly part?: WorkerPart
}

/** @throws SettingsFault, SpoolUnusable: what the operator must mend before a relay can run */
export async function startWorker(settings: Settings, { log, metrics, part }: WorkerDeps): Promise<RunningWorker> {
  const now = () => Date.now()
  const monotonic = () => performance.now()
  const directory = part?.spoolDirectory ?? settings.spool.directory
  const listenerSettings = part?.takesMail === false ? [] : settings.listeners
  const opened = new AsyncDisposableStack()
  try {
    const markerKeys = await loadMarkerKeys(settings.marker.file)
    const journal = openJournal(settings, directory, { secret: markerKeys.secret, log, metrics, now })
    opened.defer(() => journal.close())
    const rootKey = loadSpoolKey(settings.spool.key.file, settings.spool.directory)
    const spool = await openSpool({
      directory,
      rootKey,
      project: settings.spool.project,
      limits: settings.limits,
      now,
      log,
      metrics,
      quarantined: ({ queueId, reason }) => journal.mail({ kind: 'quarantined', queueId, reason }),
    })
    opened.defer(() => spool.close())
    const credentials = new CurrentCredentials(settings, log)

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
      makeReport: (message, recipients, willRetryUntil) =>
        makeReport(
          message,
          recipients,
          {
            name: settings.name,
            markerKeys,
            currentTable: () => currentTable.get(),
            newQueueId,
            randomText: () => randomBytes(16).toString('hex'),
            now,
          },
          willRetryUntil,
        ),
      deliveryDone(attempt) {
        const done = deliveryEvent(attempt, tag)
        log[done.level](done.event, done.fields)
        journal.delivery(done)
      },
      noted: (event) => journal.mail(event),
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
    const tenants = settings.tenants && new Tenants(settings.tenants)
    const probeRate = new ProbeRate()
    const verifierOf = mayWantVerification(settings) ? await loadVerifier(settings, now) : undefined
    const listeners: Listener[] = []
    let isStopping = false
    const readiness = (): Readiness => {
      const { trouble, version } = currentTable.status()
      const { refusing, nearlyFull } = spool.health()
      const noRoom = refusing ?? nearlyFull
      const reasons = [
        ...(isStopping ? ['the relay is stopping'] : []),
        ...(listeners.length < listenerSettings.length ? ['the listeners are not open yet'] : []),
        ...(version === undefined ? [trouble ?? 'no mapping table yet'] : []),
        ...(noRoom === undefined ? [] : [noRoom]),
      ]
      return { isReady: reasons.length === 0, reasons }
    }
    certificateMetrics(metrics, () =>
      certificatesInUse(credentials.get()).map(({ use, notAfter }) => ({ name: use, notAfter: new Date(notAfter) })),
    )
    gauges(metrics, readiness, () => spool.health())
    if (settings.metrics !== undefined && part === undefined) {
      const admin = await startAdminServer(settings.metrics, { metrics, readiness, log })
      opened.defer(() => admin.close())
    }
    const control = await startControl({
      spoolDirectory: directory,
      operations: notedOperations(spoolOperations(spool, queue), (event) => journal.mail(event)),
      log,
    })
    opened.defer(() => control.close())

    queue.start()
    for (const listener of listenerSettings) {
      listeners.push(
        await startListener(listener, {
          name: settings.name,
          authservId: settings.name,
          direction: listener.direction,
          limits: settings.limits,
          credentials,
          requireTls: settings.requireTls,
          hasTenants: settings.tenants !== undefined,
          spool,
          tenants,
          proof: settings.proof,
          tokens: () => credentials.get().tokens,
          signingKeys: () => credentials.get().signing,
          verifierOf,
          hasMx: settings.mx !== undefined,
          nonces: () => credentials.get().nonces,
          probeRate,
          marker: markerKeys,
          largeParts,
          log,
          metrics: inboundMetrics,
          tag,
          slots,
          now,
          monotonic,
          accepted(queueId, mail) {
            // First: a delivery may begin, and end, at once.
            journal.mail({ kind: 'accepted', ...mail })
            queue.accepted(queueId)
          },
          currentTable,
          postmaster: settings.postmaster,
          every,
          memoryUse: processMemoryUse,
          isFed: part !== undefined,
        }),
      )
    }
    const ports = listeners.map(({ port }) => port)
    log.info(part === undefined ? 'relay.started' : 'worker.started', {
      name: settings.name,
      ports,
      spool: spool.health(),
      table: currentTable.status(),
    })

    return {
      ports,
      readiness,
      take(listener, socket, left) {
        const server = listeners[listener]
        if (server === undefined)
          throw new Error('unreachable: a client of a listener that is not in the configuration')
        server.take(socket, left)
      },
      isDrained: () => spool.health().messages === 0,
      reload() {
        credentials.reload()
        return currentTable.reload()
      },
      async stop(graceMs) {
        isStopping = true
        log.info(part === undefined ? 'relay.stopping' : 'worker.stopping')
        const deadline = AbortSignal.timeout(graceMs)
        await Promise.all(listeners.map((listener) => listener.close(graceMs)))
        await queue.drain(deadline)
        await opened.disposeAsync()
        log.info(part === undefined ? 'relay.stopped' : 'worker.stopped')
      },
    }
  } catch (error) {
    await opened.disposeAsync()
    throw error
  }
}

async function loadVerifier({ mx }: Settings, now: () => number): Promise<VerifierOf> {
  const { MessageVerifier } = await import('./sign/verify.ts')
  const dns = new Resolver({ timeout: DNS_TIMEOUT_MS, tries: 2 })
  if (mx?.resolver !== undefined)
    dns.setServers(mx.resolver.servers.map(({ address, port }) => hostPort(address, port)))
  return (received) => new MessageVerifier(received, { resolve: (name) => dns.resolveTxt(name), now: now() })
}

function gauges(
  metrics: Metrics,
  readiness: () => Readiness,
  health: () => ReturnType<Awaited<ReturnType<typeof openSpool>>['health']>,
): void {
  const gauge = (name: string, help: string, value: () => number, aggregator: 'sum' | 'min' | 'max' | 'omit' = 'sum') =>
    new Gauge({
      name,
      help,
      aggregator,
      registers: [metrics],
      collect() {
        this.set(value())
      },
    })
  gauge('causeway_ready', '1 when /readyz says so.', () => (readiness().isReady ? 1 : 0), 'omit')
  gauge('causeway_spool_messages', 'Messages in the spool.', () => health().messages)
  gauge('causeway_spool_bytes', 'Octets they take on disk.', () => health().bytes)
  gauge('causeway_spool_free_bytes', "Free on the spool's volume.", () => health().freeBytes, 'min')
  gauge('causeway_spool_free_inode_ratio', 'Share of its inodes that is free.', () => health().freeInodeRatio, 'min')
  gauge(
    'causeway_spool_refusing',
    '1 while the spool takes nothing (disk floor, limits, failed sync).',
    () => (health().refusing === undefined ? 0 : 1),
    'max',
  )
  gauge('causeway_spool_quarantined_messages', 'Damaged and poison entries set aside.', () => health().quarantined)
}
