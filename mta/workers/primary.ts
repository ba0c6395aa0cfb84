// The primary of a relay with several workers. It has no mail: it starts a process for each part of the spool, starts again what dies, takes
// connections for them, answers monitoring for all, and passes signals on.
import { existsSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Log } from '../../common/log.ts'
import { Counter, createMetrics, Gauge } from '../../common/metrics.ts'
import { startAdminServer } from '../../common/admin-server.ts'
import type { Readiness } from '../../common/admin-server.ts'
import type { ControlPlaneLink, LinkClient } from '../control-plane-link.ts'
import { GRACE_MS } from '../relay-process.ts'
import { hasControlPlane, parseSettings, readSettingsFile } from '../settings.ts'
import type { Settings } from '../settings.ts'
import { Disk } from '../spool/disk.ts'
import { loadSpoolKey } from '../spool/keys.ts'
import { lockSpool } from '../spool/lock.ts'
import { refuseNewerSpool } from '../spool/spool.ts'
import { FrontDoor } from './front-door.ts'
import { findPartitions, findSpools } from './partitions.ts'
import type { Partition } from './partitions.ts'
import { RelayFigures } from './relay-figures.ts'
import { sumOfFigures } from './sum-of-figures.ts'
import { parseReadiness, relayReadiness } from './relay-readiness.ts'
import { HEALTHY_AFTER_MS, restartDelayMs } from './restart-delay.ts'
import { WorkerProcess } from './worker-process.ts'
import type { Exit, Start } from './worker-process.ts'

/** A worker can't start until the operator mends what its text says. */
export class WorkerUnusable extends Error {
  override readonly name = 'WorkerUnusable'
}

/** For a new worker's first word of whether it may take mail; nobody waits for it but the next one to be replaced. */
const REPLACED_MS = 30_000
/** For workers to take over what was pushed, before the control plane is told what the relay has. */
const FOLLOW_MS = 5_000

export interface PrimaryDeps {
  readonly log: Log
  /** Takes the workers' log, whole lines. */
  readonly write: (lines: string) => void
  /** Of the spool. */
  readonly rootKey: Uint8Array
}

/**
 * Runs a relay until SIGTERM or SIGINT, which end it in order; a second one ends it at once. SIGHUP: all workers read the table again.
 * SIGUSR2: they are replaced one after another, with the configuration as it is by then.
 * @returns the process's exit code
 * @throws SettingsFault, SpoolUnusable, WorkerUnusable: what the operator must mend before a relay can run
 */
export async function runPrimary(settings: Settings, deps: Omit<PrimaryDeps, 'rootKey'>): Promise<number> {
  const { directory, key } = settings.spool
  // All of them before anything is touched (SF-5).
  for (const spool of findSpools(directory)) await refuseNewerSpool(spool)
  new Disk(directory).makeDirectory('.')
  // DU-7: of two relays with different numbers of workers neither would meet the other at a part of the spool.
  const lock = lockSpool(directory, 'primary.lock')
  if (existsSync(join(directory, 'lock'))) lockSpool(directory).release()
  // Made once, before several processes could.
  const rootKey = loadSpoolKey(key.file, directory)

  const primary = new Primary(settings, await readSettingsFile(settings.file), { ...deps, rootKey })
  const stopped = new Promise<number>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        if (primary.isStopping) primary.kill()
        else void primary.stop().then(resolve)
      })
    }
  })
  process.on('SIGHUP', () => primary.reload())
  process.on('SIGUSR2', () => void primary.restart())
  await primary.start()
  const code = await stopped
  lock.release()
  return code
}

interface Slot {
  readonly partition: Partition
  process: WorkerProcess | undefined
  startedAt: number
  /** In a row. */
  deaths: number
  /** Its process is ended on purpose. */
  isLeaving: boolean
  hasStarted: boolean
  /** Snapshot version that it said it has; 0: none. */
  active: number
  /** Nothing to deliver was left in a part that takes no mail. */
  isDone: boolean
  /** Why there is no process; for readiness. */
  why: string
  timer: NodeJS.Timeout | undefined
}

export class Primary {
  isStopping = false
  #settings: Settings
  /** Text of the configuration that workers start with. */
  #source: string
  readonly #deps: PrimaryDeps
  readonly #slots: readonly Slot[]
  readonly #door: FrontDoor
  readonly #figures = new RelayFigures()
  readonly #metrics = createMetrics()
  readonly #restarts: Counter<'reason'>
  readonly #opened = new AsyncDisposableStack()
  readonly #told = new AbortController()
  #link: ControlPlaneLink | undefined
  /** Why it isn't set up by its control plane yet. */
  #waitsFor: string | undefined
  #isOpen = false
  #isRestarting = false
  #hadToKill = false
  readonly #whenActive = new Set<() => void>()

  constructor(settings: Settings, source: string, deps: PrimaryDeps) {
    this.#settings = settings
    this.#source = source
    this.#deps = deps
    this.#door = new FrontDoor(settings.limits.connections)
    this.#slots = findPartitions(settings.spool.directory, settings.workers).map((partition) => {
      return {
        partition,
        process: undefined,
        startedAt: 0,
        deaths: 0,
        isLeaving: false,
        hasStarted: false,
        active: 0,
        isDone: false,
        why: 'starting',
        timer: undefined,
      }
    })
    const registers = [this.#metrics]
    this.#restarts = new Counter({
      name: 'causeway_worker_restarts_total',
      help: 'Worker processes started again, because they died or the operator asked',
      labelNames: ['reason'],
      registers,
    })
    for (const reason of ['died', 'asked']) this.#restarts.inc({ reason }, 0)
    const gauge = (name: string, help: string, value: () => Promise<number>) =>
      new Gauge({
        name,
        help,
        registers,
        async collect() {
          this.set(await value())
        },
      })
    gauge('causeway_ready', '1 when /readyz says so.', async () => ((await this.#readiness()).isReady ? 1 : 0))
    gauge('causeway_workers', 'Worker processes there are', async () => this.#running().length)
  }

  /** Resolves when the workers have opened their spools and clients are taken. */
  async start(): Promise<void> {
    const { listeners, metrics, workers } = this.#settings
    try {
      if (metrics !== undefined) {
        const admin = await startAdminServer(metrics, {
          metrics: { contentType: this.#metrics.contentType, metrics: () => this.#allFigures() },
          readiness: () => this.#readiness(),
          log: this.#deps.log,
        })
        this.#opened.defer(() => admin.close())
      }
      this.#link = await this.#openLink()
      if (this.isStopping) return
      await Promise.all(
        this.#slots.map(async (slot) => {
          const start = await this.#begin(slot)
          // One that died without a word is started again, as it will be later; one that says why needs the operator.
          if (start.kind === 'failed') throw faultOf(start)
        }),
      )
      if (this.isStopping) return
      const ports = await this.#door.open(listeners)
      this.#isOpen = true
      this.#link?.start(this.#carriers())
      this.#deps.log.info('relay.started', { name: this.#settings.name, ports, workers, processes: this.#slots.length })
    } catch (error) {
      await this.stop()
      throw error
    }
  }

  /** undefined: a relay without a control plane, or one that is told to stop before it is enrolled. @throws SettingsFault, SpoolUnusable */
  async #openLink(): Promise<ControlPlaneLink | undefined> {
    if (!hasControlPlane(this.#settings)) return undefined
    const { log, rootKey } = this.#deps
    const state = this.#settings.controlPlane.state.directory
    new Disk(state).makeDirectory('.')
    const lock = lockSpool(state)
    this.#opened.defer(() => lock.release())
    this.#waitsFor = 'starting'
    const { enrolNow, openLink } = await import('../control-plane-link.ts')
    const deps = { rootKey, log, metrics: this.#metrics, now: Date.now }
    try {
      const enrolled = await enrolNow(this.#settings, {
        ...deps,
        signal: this.#told.signal,
        waiting: (why) => (this.#waitsFor = why),
      })
      const link = await openLink(this.#settings, enrolled, deps)
      this.#waitsFor = undefined
      return link
    } catch (error) {
      if (this.isStopping) return undefined
      throw error
    }
  }

  /** The workers as those who carry mail by what is pushed. */
  #carriers(): LinkClient {
    const tell = (message: Parameters<WorkerProcess['tellSnapshot']>[0]): void => {
      for (const { process } of this.#running()) process.tellSnapshot(message)
    }
    return {
      condition: async () => {
        const figures = await Promise.all(this.#running().map(({ process }) => process.ask('figures')))
        return { ...(await this.#readiness()), ...sumOfFigures(figures) }
      },
      activated: async ({ version }, push) => {
        tell(push === undefined ? { kind: 'whole', version } : { kind: 'push', version, push })
        await Promise.race([this.#haveAll(version), sleep(FOLLOW_MS, undefined, { ref: false })])
      },
      confirmed: (at) => tell({ kind: 'confirmed', at }),
      revoked: () => tell({ kind: 'revoked' }),
    }
  }

  /** Resolves when each worker that serves has the version, or a newer one. */
  #haveAll(version: number): Promise<void> {
    const isThere = () => this.#running().every((slot) => !slot.hasStarted || slot.active >= version)
    if (isThere()) return Promise.resolve()
    return new Promise((resolve) => {
      const look = (): void => {
        if (!isThere()) return
        this.#whenActive.delete(look)
        resolve()
      }
      this.#whenActive.add(look)
      setTimeout(() => this.#whenActive.delete(look), FOLLOW_MS).unref()
    })
  }

  reload(): void {
    for (const { process } of this.#running()) process.reload()
  }

  /** @returns the relay's exit code */
  async stop(): Promise<number> {
    this.isStopping = true
    this.#told.abort()
    this.#deps.log.info('relay.stopping')
    this.#door.close()
    for (const slot of this.#slots) clearTimeout(slot.timer)
    await Promise.all(this.#running().map(({ process }) => this.#end(process)))
    await this.#link?.close()
    await this.#opened.disposeAsync()
    this.#deps.log.info('relay.stopped')
    return this.#hadToKill ? 1 : 0
  }

  /** At once: what is accepted is on disk. */
  kill(): void {
    for (const { process } of this.#running()) process.kill()
  }

  /** Replaces the workers one after another; those that are not being replaced go on taking clients. Stops at the first that fails. */
  async restart(): Promise<void> {
    const { log } = this.#deps
    if (this.isStopping || this.#isRestarting)
      return log.warn('relay.restart-refused', { reason: 'another is under way' })
    this.#isRestarting = true
    const before = { settings: this.#settings, source: this.#source }
    try {
      await this.#readSettings()
      log.info('relay.restarting')
      const wasReady = (await this.#readiness()).isReady
      for (const slot of this.#slots) {
        if (this.isStopping) return
        const reasons = await this.#replace(slot, wasReady)
        if (reasons === undefined) continue
        // Whoever is started next has what served so far.
        this.#settings = before.settings
        this.#source = before.source
        return log.error('relay.restart-failed', { worker: slot.partition.worker, reasons })
      }
      log.info('relay.restarted')
    } catch (error) {
      // Everything is as it was: a faulty configuration, or one that asks for more than workers.
      log.error('relay.restart-refused', { error })
    } finally {
      this.#isRestarting = false
    }
  }

  /** @returns why it may not take mail; undefined when it may, or has nothing to do any more */
  async #replace(slot: Slot, mustBeReady: boolean): Promise<readonly string[] | undefined> {
    const { process } = slot
    // It is started again in its own time, with the configuration that was just read.
    if (process === undefined) return undefined
    slot.isLeaving = true
    await this.#door.leave(process)
    const { isDrained } = await this.#end(process)
    slot.isLeaving = false
    slot.isDone = isDrained && !slot.partition.takesMail
    if (this.isStopping || slot.isDone) return undefined
    this.#restarts.inc({ reason: 'asked' })
    const start = await this.#begin(slot)
    if (start.kind === 'failed') return [start.text]
    if (start.kind === 'died') return ['it died']
    const said = parseReadiness(await slot.process?.ask('readiness', REPLACED_MS))
    return said?.isReady === true || !mustBeReady ? undefined : (said?.reasons ?? ['it does not answer'])
  }

  async #readSettings(): Promise<void> {
    const { file } = this.#settings
    const source = await readSettingsFile(file)
    const settings = parseSettings(file, source, hostname())
    const fixed = ({ spool, workers, metrics, controlPlane, listeners }: Settings) =>
      JSON.stringify([spool, workers, metrics, controlPlane, listeners.map(({ address, port }) => [address, port])])
    if (fixed(settings) !== fixed(this.#settings)) {
      throw new WorkerUnusable(
        'spool, workers, metrics, controlPlane, and addresses and ports of listeners take a restart of the whole relay',
      )
    }
    this.#settings = settings
    this.#source = source
  }

  // ---- one worker ----

  /** Starts its process. @returns when it serves, or has ended */
  async #begin(slot: Slot): Promise<Start> {
    const { partition } = slot
    const process: WorkerProcess = new WorkerProcess(
      {
        configFile: this.#settings.file,
        source: this.#source,
        worker: partition.worker,
        spoolDirectory: partition.directory,
        takesMail: partition.takesMail,
        workers: this.#settings.workers,
        processes: this.#slots.filter(({ isDone }) => !isDone).length,
      },
      {
        took: (client) => this.#door.took(process, client),
        left: (client) => this.#door.left(process, client),
        active: (version) => {
          slot.active = version
          for (const look of this.#whenActive) look()
        },
        events: (messages, audit) => {
          for (const line of messages) this.#link?.events.message(line)
          for (const line of audit) this.#link?.events.audit(line)
        },
      },
      this.#deps.write,
    )
    slot.process = process
    slot.hasStarted = false
    slot.active = 0
    slot.startedAt = performance.now()
    void process.exited.then((exit) => this.#exited(slot, process, exit))
    const start = await process.started
    slot.hasStarted = start.kind === 'started' && slot.process === process
    this.#tellNewcomer(process)
    if (slot.hasStarted && !slot.isLeaving && !this.isStopping) {
      if (partition.takesMail) this.#door.join(process)
      const { worker } = partition
      this.#deps.log.info('worker.serves', { worker, pid: process.pid, takesMail: partition.takesMail })
    }
    return start
  }

  /** What was told to others while it started. */
  #tellNewcomer(process: WorkerProcess): void {
    const snapshot = this.#link?.snapshot
    if (snapshot === undefined) return
    process.tellSnapshot({ kind: 'confirmed', at: snapshot.confirmedAt })
    if (snapshot.held !== undefined) process.tellSnapshot({ kind: 'whole', version: snapshot.held.version })
    if (snapshot.isRevoked) process.tellSnapshot({ kind: 'revoked' })
  }

  #exited(slot: Slot, process: WorkerProcess, { status, metrics, isDrained, failure }: Exit): void {
    const { worker, takesMail } = slot.partition
    slot.process = undefined
    this.#door.forget(process)
    this.#figures.heard(process, metrics)
    void this.#figures.retire(process)
    if (this.isStopping || slot.isLeaving) {
      slot.why = 'it is being restarted'
      return
    }
    if (isDrained && !takesMail) {
      this.#deps.log.info('worker.done', { worker })
      slot.isDone = true
      return
    }
    const isHealthy = performance.now() - slot.startedAt >= HEALTHY_AFTER_MS
    slot.deaths = isHealthy ? 1 : slot.deaths + 1
    const delayMs = restartDelayMs(slot.deaths)
    slot.why = failure ?? `it ended (${status}) and is started again`
    this.#deps.log.error('worker.died', { worker, status, failure, deaths: slot.deaths, restartInMs: delayMs })
    slot.timer = setTimeout(() => {
      this.#restarts.inc({ reason: 'died' })
      void this.#begin(slot)
    }, delayMs)
  }

  async #end(process: WorkerProcess): Promise<Exit> {
    const exit = await process.stop(GRACE_MS)
    if (exit.status === 0 || exit.failure !== undefined) return exit
    if (this.isStopping) this.#hadToKill = true
    this.#deps.log.error('worker.ended-badly', { worker: process.worker, status: exit.status })
    return exit
  }

  // ---- monitoring ----

  #running(): (Slot & { process: WorkerProcess })[] {
    return this.#slots.filter((slot): slot is Slot & { process: WorkerProcess } => slot.process !== undefined)
  }

  async #readiness(): Promise<Readiness> {
    const conditions = await Promise.all(
      this.#slots
        .filter(({ isDone }) => !isDone)
        .map(async ({ partition, process, hasStarted, why }) => ({
          worker: partition.worker,
          takesMail: partition.takesMail,
          said: process === undefined || !hasStarted ? why : parseReadiness(await process.ask('readiness')),
        })),
    )
    return relayReadiness(conditions, [
      ...(this.isStopping ? ['the relay is stopping'] : []),
      ...(this.#waitsFor === undefined ? [] : [this.#waitsFor]),
      ...(this.#isOpen ? [] : ['the listeners are not open yet']),
    ])
  }

  async #allFigures(): Promise<string> {
    const answered = new Set<object>()
    await Promise.all(
      this.#running().map(async ({ process }) => {
        const figures = await process.ask('metrics')
        if (figures === undefined) return
        this.#figures.heard(process, figures)
        answered.add(process)
      }),
    )
    return this.#figures.merged(await this.#metrics.getMetricsAsJSON(), answered).metrics()
  }
}

function faultOf({ isUnusable, text }: Start & { kind: 'failed' }): Error {
  return isUnusable ? new WorkerUnusable(text) : new Error(text)
}
