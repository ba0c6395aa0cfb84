// Wires one relay process: table, spool, queue, listeners, administration. Nothing is decided here. The order matters: the spool's lock
// comes first, listeners open last and close first. (DU-6)
import { randomBytes, randomInt } from 'node:crypto'
import type { Socket } from 'node:net'
import { Resolver } from 'node:dns/promises'
import { performance } from 'node:perf_hooks'
import type { Log } from '../common/log.ts'
import type { ActiveSnapshot, CurrentSnapshot, ProjectSettings } from './active-snapshot.ts'
import { Gauge } from '../common/metrics.ts'
import type { Metrics } from '../common/metrics.ts'
import { startControl } from './admin/control.ts'
import { notedOperations } from './admin/noted-operations.ts'
import { startAdminServer } from '../common/admin-server.ts'
import type { Readiness } from '../common/admin-server.ts'
import { spoolOperations } from './admin/spool-operations.ts'
import { makeReport } from './bounce/report-message.ts'
import { certificateMetrics } from './certificate-metrics.ts'
import { certificatesInUse, CurrentCredentials, offeredCertificates } from './credentials.ts'
import type { Credentials } from './credentials.ts'
import { deliveryEvent } from './delivery-event.ts'
import { nonceMailLine, refusedLine } from './events/event-line.ts'
import { mayWantVerification } from './inbound/attestation.ts'
import type { VerifierOf } from './inbound/attestation.ts'
import { ConnectionSlots } from './inbound/connection-slots.ts'
import { createInboundMetrics } from './inbound/inbound-metrics.ts'
import { LargeParts } from './inbound/large-parts.ts'
import { startListener } from './inbound/listener.ts'
import type { Listener } from './inbound/listener.ts'
import { processMemoryUse } from './inbound/memory-use.ts'
import { ProbeRate } from './inbound/probe.ts'
import type { NonceMail } from './inbound/probe.ts'
import { openJournal } from './journal/open-journal.ts'
import { CurrentTable } from './mapping/current-table.ts'
import { loadMarkerKeys } from './marker-keys.ts'
import { createOutbound } from './outbound/deliver.ts'
import { hostPort } from './outbound/route.ts'
import { startMxDelivery } from './outbound/mx-delivery.ts'
import { ProbeRuns } from './probe-runs.ts'
import { newQueueId } from './queue-id.ts'
import { Queue } from './queue/queue.ts'
import type { Settings } from './settings.ts'
import { loadSpoolKey } from './spool/keys.ts'
import { openSpool } from './spool/spool.ts'
import { StandaloneSnapshot } from './standalone-snapshot.ts'
import { makesProbes } from './workers/partitions.ts'

/** For each of two tries: within what a client is kept waiting after the final dot. */
const DNS_TIMEOUT_MS = 5_000

export interface RunningWorker {
  /** Bound ports, in the order of the configuration's listeners. */
  readonly ports: readonly number[]
  readiness(): Readiness
  figures(): WorkerFigures
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
  /** The first one does what one does for all. */
  readonly worker: number
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
  /** What a control plane pushes; undefined: everything comes from files. */
  readonly pushed?: PushedProject
}

/** The project as a control plane pushes it, and who hears of what happens to mail. */
export interface PushedProject {
  /** Id of the relay. */
  readonly relay: string
  readonly snapshot: CurrentSnapshot & {
    /** Awaits `run` now, where there are settings, and before any others are in force. */
    prepare(run: (settings: ProjectSettings) => Promise<void>): Promise<void>
  }
  readonly events: {
    /** A line of the journal. */
    message(line: string): void
    /** A line of what is audited. */
    audit(line: string): void
  }
}

/** What a report to the control plane says of a process's mail. */
export interface WorkerFigures {
  readonly messages: number
  readonly oldestAgeMs: number
  readonly quarantined: number
  readonly dead: number
  /** Of the certificate that ends first, ms since the epoch. */
  readonly certificateNotAfter: number | undefined
}

/** @throws SettingsFault, SpoolUnusable: what the operator must mend before a relay can run */
export async function startWorker(
  settings: Settings,
  { log, metrics, part, pushed }: WorkerDeps,
): Promise<RunningWorker> {
  const now = () => Date.now()
  const monotonic = () => performance.now()
  const directory = part?.spoolDirectory ?? settings.spool.directory
  const listenerSettings = part?.takesMail === false ? [] : settings.listeners
  const opened = new AsyncDisposableStack()
  try {
    let current: CurrentSnapshot | undefined = pushed?.snapshot
    const journal = openJournal(settings, directory, {
      // Without settings nobody knows what may be told.
      tags: {
        address: (address) => current?.settings()?.tags.address(address),
        messageId: (id) => current?.settings()?.tags.messageId(id) ?? '',
      },
      ...(pushed === undefined ? {} : { noted: (line: string) => pushed.events.message(line) }),
      log,
      metrics,
      now,
    })
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
    const snapshot = (current ??= await standalone(settings, { credentials, log, metrics, now, opened }))
    const outboundCredentials = outboundCredentialsOf(credentials, snapshot)

    const random = () => randomInt(2 ** 32) / 2 ** 32
    const every = (ms: number, task: () => void) => {
      const timer = setInterval(task, ms)
      return () => clearInterval(timer)
    }
    const mx =
      settings.mx &&
      (await startMxDelivery(settings.mx, settings, {
        credentials: outboundCredentials,
        log,
        metrics,
        random,
        now,
        monotonicMs: monotonic,
        every,
      }))
    if (mx !== undefined) opened.defer(() => mx.close())
    const outbound = createOutbound({
      name: settings.name,
      limits: settings.limits,
      credentials: outboundCredentials,
      ...(mx === undefined ? {} : { mx: mx.deps }),
      monotonicMs: monotonic,
      metrics,
    })
    const queue = new Queue({
      spool,
      settings: {
        routes: snapshot.settings()?.routes ?? {},
        mx: settings.mx,
        limits: settings.limits,
        retry: settings.retry,
      },
      outbound,
      makeReport: (message, recipients, willRetryUntil) =>
        makeReport(
          message,
          recipients,
          {
            name: settings.name,
            markerKeys: markerOf(snapshot.settings()),
            currentTable: () => snapshot.forReports(),
            newQueueId,
            randomText: () => randomBytes(16).toString('hex'),
            now,
          },
          willRetryUntil,
        ),
      deliveryDone(attempt) {
        const done = deliveryEvent(attempt, (address) => snapshot.settings()?.tags.address(address))
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
    const probeRate = new ProbeRate()
    let verifierOf: VerifierOf | undefined
    const loadWhatVerifies = async (project: ProjectSettings | undefined): Promise<void> => {
      if (project === undefined || !mayWantVerification(listenerSettings, project)) return
      verifierOf ??= await loadVerifier(settings, now)
    }
    await (pushed === undefined ? loadWhatVerifies(snapshot.settings()) : pushed.snapshot.prepare(loadWhatVerifies))
    // Asked at each handshake: sessions that run go on with what they began with.
    const shownByListeners = () => {
      const { certificates: own, clientTrust } = credentials.get()
      const project = snapshot.settings()
      return {
        // The machine's own word comes first.
        clientTrust: settings.clientTrust === undefined ? (project?.clientTrust ?? clientTrust) : clientTrust,
        certificates: offeredCertificates(own, project?.listenerCertificates ?? [], settings.name),
      }
    }
    const needsCertificate = listenerSettings.some(({ tls }) => tls === 'starttls')
    const listeners: Listener[] = []
    let isStopping = false
    const readiness = (): Readiness => {
      const { trouble, version } = snapshot.status()
      const { refusing, nearlyFull } = spool.health()
      const noRoom = refusing ?? nearlyFull
      const reasons = [
        ...(isStopping ? ['the relay is stopping'] : []),
        ...(listeners.length < listenerSettings.length ? ['the listeners are not open yet'] : []),
        ...(version === undefined ? [trouble ?? 'no mapping table yet'] : []),
        ...(needsCertificate && shownByListeners().certificates.length === 0
          ? ['no certificate for its listeners yet']
          : []),
        ...(snapshot.isDraining ? ['the control plane has it drained'] : []),
        ...(noRoom === undefined ? [] : [noRoom]),
      ]
      return { isReady: reasons.length === 0, reasons }
    }
    const certificates = () =>
      certificatesInUse({
        certificates: [...credentials.get().certificates, ...(snapshot.settings()?.listenerCertificates ?? [])],
        tenantCertificates: snapshot.settings()?.tenantCertificates ?? new Map(),
      })
    certificateMetrics(metrics, () =>
      certificates().map(({ use, notAfter }) => ({ name: use, notAfter: new Date(notAfter) })),
    )
    gauges(metrics, readiness, () => spool.health())
    // Before it is enrolled a relay answers monitoring already: whoever enrolled it goes on with that.
    if (settings.metrics !== undefined && part === undefined && pushed === undefined) {
      const admin = await startAdminServer(settings.metrics, { metrics, readiness, log })
      opened.defer(() => admin.close())
    }
    const control = await startControl({
      spoolDirectory: directory,
      operations: notedOperations(spoolOperations(spool, queue), (event) => journal.mail(event)),
      log,
    })
    opened.defer(() => control.close())

    startQueue(queue, snapshot)
    const probeRuns =
      pushed === undefined || (part !== undefined && !makesProbes(part))
        ? undefined
        : new ProbeRuns({
            relay: pushed.relay,
            outbound,
            log,
            now,
            timer(run, delayMs) {
              const timer = setTimeout(run, delayMs)
              return () => clearTimeout(timer)
            },
          })
    if (probeRuns !== undefined) snapshot.onSettings((project) => probeRuns.follow(project))
    const nonceMail = (mail: NonceMail): void => {
      if (mail.kind === 'validation') {
        pushed?.events.message(nonceMailLine(now(), 'validation', { nonce: mail.nonce }))
        return
      }
      const { run, name, verdict } = mail
      const { nonce, tenant, direction } = run
      if (verdict === 'expected') probeRuns?.cameBack(nonce, name.relay, name.index)
      pushed?.events.message(
        nonceMailLine(now(), 'probe', { nonce, maker: name.relay, index: name.index, tenant, direction, verdict }),
      )
    }
    for (const listener of listenerSettings) {
      listeners.push(
        await startListener(listener, {
          name: settings.name,
          authservId: settings.name,
          direction: listener.direction,
          limits: settings.limits,
          credentials: { get: shownByListeners },
          requireTls: settings.requireTls,
          hasTenants: settings.tenants !== undefined || pushed !== undefined,
          spool,
          snapshot,
          verifierOf: () => verifierOf,
          hasMx: settings.mx !== undefined,
          probeRate,
          nonceMail,
          ...(pushed === undefined
            ? {}
            : {
                refused: (address: string, reason: string) => pushed.events.audit(refusedLine(now(), address, reason)),
              }),
          largeParts,
          log,
          metrics: inboundMetrics,
          slots,
          now,
          monotonic,
          accepted(queueId, mail) {
            // First: a delivery may begin, and end, at once.
            journal.mail({ kind: 'accepted', ...mail })
            queue.accepted(queueId)
          },
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
      table: snapshot.status(),
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
      figures() {
        const { messages, oldestMs } = queue.census()
        const ends = certificates().map(({ notAfter }) => notAfter)
        return {
          messages: spool.health().messages,
          oldestAgeMs: Math.round(oldestMs),
          quarantined: spool.health().quarantined,
          dead: messages.dead,
          certificateNotAfter: ends.length === 0 ? undefined : Math.min(...ends),
        }
      },
      isDrained: () => spool.health().messages === 0,
      reload() {
        if (pushed !== undefined) credentials.reload()
        return snapshot.reload()
      },
      async stop(graceMs) {
        isStopping = true
        log.info(part === undefined ? 'relay.stopping' : 'worker.stopping')
        const deadline = AbortSignal.timeout(graceMs)
        // A probe that its server lets wait is waited for no longer than mail is.
        deadline.addEventListener('abort', () => outbound.abort(), { once: true })
        await Promise.all([...listeners.map((listener) => listener.close(graceMs)), probeRuns?.close()])
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

interface StandaloneDeps extends Pick<WorkerDeps, 'log' | 'metrics'> {
  readonly credentials: CurrentCredentials
  readonly now: () => number
  readonly opened: AsyncDisposableStack
}

/** What is in force where everything comes from files. @throws SettingsFault */
async function standalone(
  settings: Settings,
  { credentials, log, metrics, now, opened }: StandaloneDeps,
): Promise<CurrentSnapshot> {
  if (settings.table === undefined) throw new Error('unreachable: a relay without a table file has a control plane')
  const table = new CurrentTable({
    file: settings.table.file,
    project: settings.project,
    policy: settings.policy,
    maxAgeMs: settings.limits.maxTableAgeMs,
    log,
    metrics,
    now,
  })
  const marker = await loadMarkerKeys(settings.marker.file)
  await table.start()
  opened.defer(() => table.close())
  return new StandaloneSnapshot(settings, { table, credentials, marker })
}

/** Nothing is delivered before there are settings to deliver by; from then on it goes by those in force. */
function startQueue(queue: Queue, snapshot: CurrentSnapshot): void {
  let routes: ProjectSettings['routes'] | undefined
  snapshot.onSettings((settings) => {
    const isFirst = routes === undefined
    if (settings.routes !== routes) queue.reroute((routes = settings.routes))
    if (isFirst) queue.start()
  })
}

/** The project's, and beside them the authorities that the configuration names for mail exchangers. Another value only when one of them is. */
function outboundCredentialsOf(credentials: CurrentCredentials, snapshot: CurrentSnapshot) {
  let from: { local: Credentials; project: ProjectSettings | undefined } | undefined
  let made: Pick<Credentials, 'tenantCertificates' | 'serverTrust'> | undefined
  return () => {
    const [local, project] = [credentials.get(), snapshot.settings()]
    if (made === undefined || from?.local !== local || from.project !== project) {
      from = { local, project }
      made = {
        tenantCertificates: project?.tenantCertificates ?? new Map(),
        serverTrust: new Map([...local.serverTrust, ...(project?.serverTrust ?? [])]),
      }
    }
    return made
  }
}

function markerOf(settings: ProjectSettings | undefined): NonNullable<ActiveSnapshot['marker']> {
  if (settings?.marker === undefined) throw new Error('unreachable: nothing is delivered before there are settings')
  return settings.marker
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
