// The spool: every accepted message, encrypted, until it is delivered or bounced (reliability-security.md §5, §6).
// Small messages and all changes of state go through one log with group commit, large ones into a file each; memory keeps an index.
import type { Log } from '../../common/log.ts'
import type { Metrics } from '../../common/metrics.ts'
import type { DeliveryState } from '../message-record.ts'
import type { QueueId } from '../queue-id.ts'
import { SpoolDamaged, SpoolFull, SpoolUnusable } from './contract.ts'
import type { QuarantineEntry, Spool, SpoolEntry, SpoolHealth, SpoolIntake, SpooledMessage } from './contract.ts'
import { Disk } from './disk.ts'
import type { DiskHooks, VolumeSpace } from './disk.ts'
import type { HeldMessage } from './held-message.ts'
import { RouteLists } from './held-message.ts'
import { HeldMessages } from './held-messages.ts'
import { Intake, IntakeMemory } from './intake.ts'
import { openKeyRing, refuseNewerKeys } from './keys.ts'
import type { KeyRing } from './keys.ts'
import { LARGE_DIRECTORY, largePath } from './large-file.ts'
import { lockSpool } from './lock.ts'
import type { SpoolLock } from './lock.ts'
import { SegmentLog } from './log.ts'
import type { LogEvents } from './log.ts'
import { refuseNewerManifest } from './manifest.ts'
import { QUARANTINE_DIRECTORY, Quarantine } from './quarantine.ts'
import { openHot, openStored, readStored } from './read-message.ts'
import type { Unreadable } from './read-message.ts'
import { sealRemoval } from './records.ts'
import { recover, refuseNewerSegments } from './recover.ts'
import type { Recovered } from './recover.ts'
import { whyNearlyNoRoom, whyNoRoom } from './room.ts'
import type { RoomInUse, RoomLimits } from './room.ts'
import { parseSegmentPath } from './segment.ts'
import type { Segment } from './segment.ts'
import { saveUnlisted, settleRecovery } from './settle.ts'
import type { QuarantinePart } from './settle.ts'
import { spoolMetrics } from './spool-metrics.ts'
import type { SpoolMetrics } from './spool-metrics.ts'
import { SWEEP_EVERY_MS, isOverMargin, sweep } from './sweep.ts'

/** The volume is asked again when what is known of it is older. */
const SPACE_FOR_MS = 1_000

export interface SpoolOptions {
  readonly directory: string
  /** 32 bytes; see `loadSpoolKey`. */
  readonly rootKey: Buffer
  readonly project: string
  readonly limits: RoomLimits
  /** ms since the epoch */
  readonly now: () => number
  readonly log: Log
  readonly metrics?: Metrics
  /** Called when something has been set aside, after that is durable (SF-4). */
  readonly quarantined?: (entry: QuarantineEntry) => void
  /** For tests: how often finished messages are swept, 0 for only when `sweep` is called. */
  readonly sweepEveryMs?: number
  /** For tests: what goes wrong on the disk. */
  readonly diskHooks?: DiskHooks
}

export interface OpenSpool extends Spool {
  /** What the timer does: drops what finished messages left. @param minAgeMs  how long they must have been finished */
  sweep(minAgeMs?: number): Promise<void>
}

/**
 * Takes the spool for this process, finds out what it holds, and makes it ready.
 * @throws SpoolUnusable when it can't be opened as it is; no mail in it has been touched then
 */
export async function openSpool(options: SpoolOptions): Promise<OpenSpool> {
  const disk = new Disk(options.directory, options.diskHooks)
  try {
    // Before the first change, the lock's file included.
    await refuseNewer(disk)
    for (const path of ['.', LARGE_DIRECTORY, QUARANTINE_DIRECTORY]) disk.makeDirectory(path)
  } catch (cause) {
    throw unusable(cause)
  }
  const lock = lockSpool(options.directory)
  try {
    return await LogSpool.open(options, disk, lock)
  } catch (cause) {
    lock.release()
    throw unusable(cause)
  }
}

async function refuseNewer(disk: Disk): Promise<void> {
  await refuseNewerKeys(disk)
  await refuseNewerManifest(disk)
  await refuseNewerSegments(disk)
}

/** Throws SpoolUnusable when the directory's spool is of a later version, or can't be looked at; touches nothing (SF-5). */
export async function refuseNewerSpool(directory: string): Promise<void> {
  try {
    await refuseNewer(new Disk(directory))
  } catch (cause) {
    throw unusable(cause)
  }
}

function unusable(cause: unknown): SpoolUnusable {
  return cause instanceof SpoolUnusable ? cause : new SpoolUnusable("the spool can't be opened", { cause })
}

class LogSpool implements OpenSpool {
  readonly #options: SpoolOptions
  readonly #disk: Disk
  readonly #keys: KeyRing
  readonly #lock: SpoolLock
  readonly #metrics: SpoolMetrics | undefined
  readonly #messages: HeldMessages
  readonly #intakeMemory = new IntakeMemory()
  readonly #store: Quarantine
  readonly #log: SegmentLog
  /** Files that no longer count and are still to be unlinked. */
  readonly #leftovers: Set<string>
  readonly #unlinking = new Set<Promise<void>>()
  #timer: NodeJS.Timeout | undefined
  #space: VolumeSpace
  #spaceAt: number
  #sweeping: Promise<void> | undefined
  #isClosed = false

  private constructor(parts: {
    options: SpoolOptions
    disk: Disk
    keys: KeyRing
    lock: SpoolLock
    metrics: SpoolMetrics | undefined
    routes: RouteLists
    store: Quarantine
    quarantinePart: QuarantinePart
    recovered: Recovered
    log: SegmentLog
  }) {
    this.#options = parts.options
    this.#disk = parts.disk
    this.#keys = parts.keys
    this.#lock = parts.lock
    this.#metrics = parts.metrics
    this.#store = parts.store
    this.#log = parts.log
    this.#messages = new HeldMessages({
      ...parts,
      now: parts.options.now,
      held: parts.recovered.held,
      quarantine: parts.quarantinePart,
    })
    this.#leftovers = new Set(parts.recovered.leftovers)
    this.#space = parts.disk.space()
    this.#spaceAt = parts.options.now()
  }

  static async open(options: SpoolOptions, disk: Disk, lock: SpoolLock): Promise<LogSpool> {
    const { now, project, rootKey, log } = options
    const isEmpty = !disk.list('.').some((path) => parseSegmentPath(path) !== undefined)
    const keys = await openKeyRing(disk, rootKey, project, isEmpty)
    const routes = new RouteLists()
    const recovered = await recover(disk, keys, routes, now)
    const metrics = options.metrics && spoolMetrics(options.metrics)
    // The log speaks to a spool that is made only after it.
    let opened: LogSpool | undefined
    const events: LogEvents = {
      synced: (records, bytes, ms) => metrics?.synced(records, bytes, ms),
      broken: (segment, cause) => {
        metrics?.writeFailed()
        log.error('spool.write-failed', { segment, cause })
      },
      listed: (dropped) => opened?.afterListing(dropped),
    }
    const store = new Quarantine(disk, keys)
    const quarantinePart: QuarantinePart = async (entry, found, isLarge) => {
      await store.put(entry, [found], isLarge)
      metrics?.quarantined(entry.reason)
      log.error('spool.quarantined', { ...entry })
      options.quarantined?.(entry)
    }
    await saveUnlisted(recovered, { quarantinePart, now })
    const segmentLog = await SegmentLog.start({
      disk,
      keys,
      generation: recovered.lastGeneration + 1,
      nextSegment: recovered.nextSegment,
      segments: recovered.segments,
      unsettled: recovered.unsettled,
      now,
      events,
    })
    const spool = new LogSpool({
      options,
      disk,
      keys,
      lock,
      metrics,
      routes,
      store,
      quarantinePart,
      recovered,
      log: segmentLog,
    })
    opened = spool
    await spool.#settle(recovered, quarantinePart)
    const every = options.sweepEveryMs ?? SWEEP_EVERY_MS
    if (every > 0) spool.#timer = setInterval(() => spool.#sweepInBackground(), every).unref()
    return spool
  }

  async #settle(recovered: Recovered, quarantinePart: QuarantinePart): Promise<void> {
    await settleRecovery(recovered, {
      disk: this.#disk,
      log: this.#options.log,
      quarantine: this.#store,
      now: this.#options.now,
      quarantineHeld: (held, reason, detail) => this.#messages.quarantine(held, reason, { detail, found: undefined }),
      quarantinePart,
      countDeath: (held) => this.#messages.mark(held, { isInHand: false, deaths: held.deaths + 1 }),
      bury: (queueId, segment, offset) =>
        this.#log.append(
          (slot) => sealRemoval(queueId, slot),
          (place) => segment.bury(offset, place.segment, this.#options.now(), false),
        ),
      reportDamage: () => this.#metrics?.damaged(),
    })
    if (recovered.unsettled !== undefined) await this.#log.settle()
    for (const segment of recovered.segments) {
      if (!this.#log.segments.has(segment.id)) this.#leftovers.add(segment.path)
      else if (segment.fileBytes !== segment.end) await this.#cutOff(segment)
    }
    await this.#unlinkLeftovers()
  }

  /** What a crash left behind the last whole record: never to be read again, and perhaps somebody's mail. */
  async #cutOff(segment: Segment): Promise<void> {
    try {
      await this.#disk.truncate(segment.path, segment.end)
      segment.fileBytes = segment.end
    } catch (cause) {
      this.#options.log.warn('spool.truncate-failed', { path: segment.path, cause })
    }
  }

  // ---- taking messages in ----

  checkRoom(declaredBytes: number): void {
    const reason = this.#whyRefusing(declaredBytes)
    if (reason !== undefined) throw new SpoolFull(reason)
  }

  #whyRefusing(declaredBytes: number): string | undefined {
    if (this.#log.failure !== undefined) {
      this.#log.tryAgain().catch(() => {}) // has been logged when it failed first
      return "the spool can't be written"
    }
    try {
      this.#lookAtVolume()
    } catch {
      return "the volume can't be looked at"
    }
    return whyNoRoom(this.#options.limits, this.#inUse(), this.#space, declaredBytes)
  }

  #inUse(): RoomInUse {
    return { messages: this.#messages.count, bytes: this.#bytes() }
  }

  #lookAtVolume(): void {
    if (Math.abs(this.#options.now() - this.#spaceAt) < SPACE_FOR_MS) return
    this.#space = this.#disk.space()
    this.#spaceAt = this.#options.now()
  }

  #bytes(): number {
    let bytes = this.#messages.largeBytes
    for (const { fileBytes } of this.#log.segments.values()) bytes += fileBytes
    return bytes
  }

  begin(queueId: QueueId): SpoolIntake {
    return new Intake(queueId, {
      disk: this.#disk,
      keys: this.#keys,
      memory: this.#intakeMemory,
      checkRoom: () => {
        if (this.#messages.count >= this.#options.limits.queuedMessages)
          throw new SpoolFull('too many messages are queued')
      },
      commit: (header, body, record, state) => this.#messages.add(header, body, record, state),
    })
  }

  // ---- changing what is held ----

  async take(queueId: QueueId): Promise<void> {
    await this.#messages.exclusive(queueId, (held) =>
      this.#messages.mark(held, { isInHand: true, deaths: held.deaths }),
    )
  }

  async update(queueId: QueueId, state: DeliveryState): Promise<void> {
    await this.#messages.exclusive(queueId, (held) => this.#messages.setState(held, state))
  }

  async remove(queueId: QueueId): Promise<void> {
    const largeBytes = await this.#messages.exclusive(
      queueId,
      async (held) => {
        await this.#messages.remove(held)
        return held.largeBytes
      },
      () => 0, // it was removed before
    )
    if (largeBytes > 0) await this.#unlinkLater(largePath(queueId))
  }

  // ---- reading ----

  async read(queueId: QueueId): Promise<SpooledMessage> {
    const hot = this.#messages.hot.get(queueId)
    if (hot !== undefined) return openHot(hot)
    return this.#messages.exclusive(queueId, async (held) => {
      const stored = await readStored(this.#disk, this.#keys, held)
      if ('detail' in stored) return this.#throwDamaged(held, stored)
      const damagedLater = (found: Unreadable) =>
        this.#messages.exclusive(
          queueId,
          () => this.#messages.quarantine(held, 'damaged', found),
          () => {}, // removed while it was being read
        )
      const message = await openStored(this.#disk, this.#keys, held, stored, damagedLater)
      return 'detail' in message ? this.#throwDamaged(held, message) : message
    })
  }

  async #throwDamaged(held: HeldMessage, found: Unreadable): Promise<never> {
    await this.#messages.quarantine(held, 'damaged', found)
    throw new SpoolDamaged('the message is damaged and has been quarantined')
  }

  *entries(): Iterable<SpoolEntry> {
    for (const held of this.#messages.all()) yield held.toEntry()
  }

  find(queueId: QueueId): SpoolEntry | undefined {
    return this.#messages.get(queueId)?.toEntry()
  }

  // ---- quarantine ----

  readonly quarantine: Spool['quarantine'] = {
    list: () => this.#store.list(),
    export: (queueId) => this.#store.export(queueId),
    remove: (queueId) => this.#store.remove(queueId),
  }

  // ---- housekeeping ----

  health(): SpoolHealth {
    const refusing = this.#whyRefusing(0)
    const nearlyFull = whyNearlyNoRoom(this.#options.limits, this.#inUse(), this.#space)
    return {
      messages: this.#messages.count,
      bytes: this.#bytes(),
      freeBytes: this.#space.freeBytes,
      freeInodeRatio: this.#space.freeInodeRatio,
      quarantined: this.#store.count,
      ...(refusing === undefined ? {} : { refusing }),
      ...(nearlyFull === undefined ? {} : { nearlyFull }),
    }
  }

  /** The log has written its list of segments, without these. */
  afterListing(dropped: readonly Segment[]): void {
    for (const { path } of dropped) {
      const unlinked: Promise<void> = this.#unlinkLater(path).finally(() => this.#unlinking.delete(unlinked))
      this.#unlinking.add(unlinked)
    }
    if (!this.#isClosed && isOverMargin(this.#log)) this.#sweepInBackground()
  }

  /** Unlinks now, or with the next sweep when that fails. */
  async #unlinkLater(path: string): Promise<void> {
    this.#leftovers.add(path)
    try {
      await this.#disk.unlink(path)
      this.#leftovers.delete(path)
    } catch (cause) {
      this.#options.log.warn('spool.unlink-failed', { path, cause })
    }
  }

  async #unlinkLeftovers(): Promise<void> {
    for (const path of Array.from(this.#leftovers)) await this.#unlinkLater(path)
  }

  #sweepInBackground(): void {
    this.sweep().catch((cause: unknown) => this.#options.log.error('spool.sweep-failed', { cause }))
  }

  async sweep(minAgeMs = SWEEP_EVERY_MS): Promise<void> {
    await (this.#sweeping ??= this.#sweep(minAgeMs).finally(() => {
      this.#sweeping = undefined
    }))
  }

  async #sweep(minAgeMs: number): Promise<void> {
    const deps = {
      disk: this.#disk,
      log: this.#log,
      now: this.#options.now,
      held: () => this.#messages.all(),
      moveOut: (queueId: QueueId, segment: Segment) =>
        this.#messages.exclusive(
          queueId,
          (held) => this.#messages.moveOut(held, segment),
          () => {}, // finished meanwhile
        ),
    }
    await sweep(deps, minAgeMs)
    await this.#unlinkLeftovers()
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    clearInterval(this.#timer)
    await this.#sweeping?.catch(() => {})
    await this.#log.idle()
    // Nothing of what has been delivered stays behind while no process is there to remove it.
    await this.sweep(0).catch((cause: unknown) => this.#options.log.error('spool.sweep-failed', { cause }))
    try {
      await this.#log.close()
    } catch (cause) {
      this.#options.log.error('spool.close-failed', { cause })
    } finally {
      // The next process must not find files going while it looks.
      await Promise.all(this.#unlinking)
      this.#lock.release()
    }
  }
}
