// The append-only log with group commit: records that arrive while one sync runs are written and synced together by the next.
// One sync is in flight at a time, so at one session a message waits for one write and one sync, and at a hundred they share them.
import { SpoolBroken } from './contract.ts'
import type { Disk, DiskFile } from './disk.ts'
import { byteLength } from './disk.ts'
import { MAX_PAYLOAD_BYTES } from './format.ts'
import type { KeyRing } from './keys.ts'
import type { Manifest } from './manifest.ts'
import { MANIFEST_FILE, readManifest, writeManifest } from './manifest.ts'
import type { Slot } from './records.ts'
import type { Place, Segment } from './segment.ts'
import { createSegment } from './segment.ts'

/** Where a segment is left for the next one. */
export const SEGMENT_BYTES = 32 * 1024 * 1024
/** The next segment is made when this much is written, so that nobody waits for it. */
const PREPARE_AT_BYTES = SEGMENT_BYTES / 2
/** A group that gathers takes no more; the rest waits. */
const GROUP_BYTES = 8 * 1024 * 1024
const GROUP_RECORDS = 10_000
/**
 * Zeros written ahead of small groups. Overwriting bytes that the file has already costs a sync half of what growing the file costs,
 * since the file's length need not be synced with them (docs/decisions/0002-spool-design.md).
 */
const AHEAD_BYTES = 1024 * 1024
const AHEAD_FOR_GROUPS_BELOW = 256 * 1024
/** After a segment could not be made, how long until the disk is tried again. */
const REOPEN_AFTER_MS = 5_000

/** Makes the record for a slot; called again with another when the first one's group fails before it was written. */
export type BuildRecord = (slot: Slot) => Buffer[]

export interface LogEvents {
  /** After each group: its records, bytes, and how long write and sync took. */
  synced(records: number, bytes: number, ms: number): void
  /** A write or sync failed; `cause` is the system's error. */
  broken(segment: number, cause: unknown): void
  /** The list of segments has changed; those that no longer count have been left out of it and may be unlinked. */
  listed(dropped: readonly Segment[]): void
}

/** Takes note of a record that has just become durable, before anything else can happen to its segment. */
export type ApplyRecord = (place: Place) => void

interface Waiting {
  readonly build: BuildRecord
  readonly apply: ApplyRecord
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
  offset: number
  bytes: number
}

/** Records that will be written and synced together. Without a segment while none can be written. */
interface Group {
  segment: Segment | undefined
  start: number
  bytes: number
  pieces: Buffer[]
  readonly waiting: Waiting[]
}

interface ActiveSegment {
  readonly segment: Segment
  readonly file: DiskFile
}

export interface LogOptions {
  readonly disk: Disk
  readonly keys: KeyRing
  readonly generation: number
  readonly nextSegment: number
  /** What recovery found, all of it left for good. */
  readonly segments: Iterable<Segment>
  readonly unsettled: number | undefined
  readonly now: () => number
  readonly events: LogEvents
}

export class SegmentLog {
  readonly segments = new Map<number, Segment>()
  readonly generation: number
  readonly #disk: Disk
  readonly #keys: KeyRing
  readonly #now: () => number
  readonly #events: LogEvents
  readonly #ahead = Buffer.alloc(AHEAD_BYTES)
  #unsettled: number | undefined
  #nextSegment: number
  #sequence = 0
  #active: ActiveSegment | undefined
  #next: ActiveSegment | undefined
  #preparing: Promise<void> | undefined
  #prepareFailedAt: number | undefined
  readonly #leaving = new Set<Promise<void>>()
  #gathering: Group | undefined
  #flushing: Group | undefined
  #isScheduled = false
  #manifest: Promise<void> = Promise.resolve()
  #manifestIdentity: string | undefined
  #drained: (() => void)[] = []
  #failure: { readonly cause: unknown; readonly at: number } | undefined
  #isClosed = false

  private constructor(options: LogOptions) {
    this.#disk = options.disk
    this.#keys = options.keys
    this.generation = options.generation
    this.#nextSegment = options.nextSegment
    this.#unsettled = options.unsettled
    this.#now = options.now
    this.#events = options.events
    for (const segment of options.segments) this.segments.set(segment.id, segment)
  }

  /** Makes the first segment of this generation; from then on nothing an older process writes counts (DU-7). */
  static async start(options: LogOptions): Promise<SegmentLog> {
    const log = new SegmentLog(options)
    await log.#createSegment((made) => {
      log.#active = made
    })
    return log
  }

  /** Why nothing can be written now; undefined when it can. */
  get failure(): unknown {
    return this.#failure?.cause
  }

  get activeSegment(): Segment | undefined {
    return this.#active?.segment
  }

  /** No two records, and no stamp, of a generation have the same. */
  nextSequence(): number {
    return ++this.#sequence
  }

  /**
   * Resolves once the record is on stable storage and applied.
   * @throws SpoolBroken when its group's write or sync fails, or no segment can be written
   */
  async append(build: BuildRecord, apply: ApplyRecord): Promise<void> {
    while (!this.#hasRoom()) await new Promise<void>((resolve) => this.#drained.push(resolve))
    if (this.#failure !== undefined) await this.tryAgain()
    if (this.#isClosed) throw new SpoolBroken('the spool is closed')
    const group = this.#gathering ?? this.#newGroup()
    await new Promise<void>((resolve, reject) => {
      const waiting: Waiting = { build, apply, resolve, reject, offset: 0, bytes: 0 }
      if (group.segment !== undefined) place(group, group.segment, waiting, this.nextSequence())
      group.waiting.push(waiting)
      this.#gathering = group
      this.#schedule()
    })
  }

  #hasRoom(): boolean {
    const group = this.#gathering
    return group === undefined || (group.bytes < GROUP_BYTES && group.waiting.length < GROUP_RECORDS)
  }

  #newGroup(): Group {
    const flushing = this.#flushing
    const full = this.#active
    if (full !== undefined && this.#next !== undefined && endOf(full.segment, flushing) >= SEGMENT_BYTES) {
      this.#active = this.#next
      this.#next = undefined
      if (flushing?.segment !== full.segment) this.#leave(full)
    }
    const segment = this.#active?.segment
    return { segment, start: segment === undefined ? 0 : endOf(segment, flushing), bytes: 0, pieces: [], waiting: [] }
  }

  /**
   * Closes a segment's file and cuts off what was written ahead or has failed. Nothing can go wrong that matters: every byte that anybody
   * relies on is synced, and the manifest says where the segment ends.
   */
  #leave({ segment, file }: ActiveSegment): void {
    const left = this.#disk
      .close(file)
      .then(() => (segment.fileBytes === segment.end ? undefined : this.#disk.truncate(segment.path, segment.end)))
      .then(
        () => {
          segment.fileBytes = segment.end
        },
        () => {},
      )
      .finally(() => this.#leaving.delete(left))
    this.#leaving.add(left)
  }

  #schedule(): void {
    if (this.#isScheduled || this.#flushing !== undefined) return
    this.#isScheduled = true
    // After the sockets that are readable now have been served: their records join the group without costing it any time.
    setImmediate(() => {
      this.#isScheduled = false
      void this.#flush()
    })
  }

  async #flush(): Promise<void> {
    const group = this.#gathering
    const active = this.#active
    if (group?.segment === undefined || active === undefined || this.#flushing !== undefined) return
    this.#gathering = undefined
    this.#flushing = group
    const began = performance.now()
    try {
      await this.#writeGroup(group, active)
    } catch (cause) {
      await this.#giveUp(group, active, cause)
      this.#wake()
      return
    }
    this.#flushing = undefined
    const { segment } = active
    segment.end = group.start + group.bytes
    this.#events.synced(group.waiting.length, group.bytes, performance.now() - began)
    for (const { apply, resolve, offset, bytes } of group.waiting) {
      apply({ segment, offset, bytes })
      resolve()
    }
    if (active !== this.#active) this.#leave(active)
    else if (segment.end >= PREPARE_AT_BYTES) this.#prepare()
    this.#wake()
  }

  /** Called after each group: whoever waited for room, or for the log to come to rest, goes on. */
  #wake(): void {
    const drained = this.#drained
    this.#drained = []
    for (const resolve of drained) resolve()
    if (this.#gathering !== undefined) this.#schedule()
  }

  async #writeGroup(group: Group, active: ActiveSegment): Promise<void> {
    const { segment, file } = active
    const end = group.start + group.bytes
    const pieces = group.pieces
    if (end > segment.fileBytes) {
      segment.fileBytes = end
      if (group.bytes < AHEAD_FOR_GROUPS_BELOW) {
        pieces.push(this.#ahead)
        segment.fileBytes += AHEAD_BYTES
      }
    }
    await this.#disk.write(file, pieces, group.start)
    await this.#disk.sync(file)
    // A process that took the spool over has replaced the manifest, and won't read what this one has just written.
    if (this.#disk.identity(MANIFEST_FILE) !== this.#manifestIdentity) await this.#refuseIfTakenOver()
  }

  async #refuseIfTakenOver(): Promise<void> {
    const identity = this.#disk.identity(MANIFEST_FILE)
    const found = await readManifest(this.#disk, this.#keys)
    if (typeof found === 'object' && found.generation > this.generation) {
      throw new SpoolBroken(`generation ${found.generation} has taken the spool over from ${this.generation}`)
    }
    this.#manifestIdentity = identity
  }

  /**
   * A write or sync failed. What the kernel still holds of this file can't be known, and a second sync that succeeds would prove
   * nothing (DU-3): the segment ends, by the manifest, where the last good sync left it, and a new one is begun.
   */
  async #giveUp(group: Group, failed: ActiveSegment, cause: unknown): Promise<void> {
    failed.segment.isSuspect = true
    failed.segment.isCondemned = true
    this.#events.broken(failed.segment.id, cause)
    for (const { reject } of group.waiting) reject(new SpoolBroken('a write to the spool failed', { cause }))
    if (this.#active === failed) {
      this.#active = undefined
      if (this.#gathering !== undefined) this.#gathering.segment = undefined
    }
    this.#leave(failed)
    await this.#preparing
    await this.#openNext()
    this.#flushing = undefined
  }

  /** Puts another segment in the place of the one that failed; without one, everything that waits fails. */
  async #openNext(): Promise<void> {
    try {
      if (this.#active === undefined && this.#next === undefined) {
        await this.#createSegment((made) => {
          this.#active = made
        })
      } else {
        // The manifest must say where the suspect segment ends before anything is written behind it.
        await this.writeManifest(false)
        if (this.#active === undefined) {
          this.#active = this.#next
          this.#next = undefined
        }
      }
      this.#failure = undefined
      this.#placeAgain()
    } catch (cause) {
      this.#failure = { cause, at: this.#now() }
      const lost = this.#gathering
      this.#gathering = undefined
      for (const { reject } of lost?.waiting ?? []) reject(new SpoolBroken("the spool can't be written", { cause }))
    }
  }

  /** Records that gathered for a segment which failed meanwhile are made anew for the one that took its place. */
  #placeAgain(): void {
    const group = this.#gathering
    const segment = this.#active?.segment
    if (group === undefined || segment === undefined || group.segment !== undefined) return
    const placed: Group = { segment, start: segment.end, bytes: 0, pieces: [], waiting: [] }
    for (const waiting of group.waiting) {
      try {
        place(placed, segment, waiting, this.nextSequence())
        placed.waiting.push(waiting)
      } catch (error) {
        waiting.reject(error)
      }
    }
    this.#gathering = placed.waiting.length > 0 ? placed : undefined
  }

  /** After a failure: begins a new segment, once enough time has gone by. @throws SpoolBroken while that doesn't help */
  async tryAgain(): Promise<void> {
    const failure = this.#failure
    if (failure === undefined) return
    const isDue = Math.abs(this.#now() - failure.at) >= REOPEN_AFTER_MS
    if (isDue) {
      this.#preparing ??= this.#openNext().finally(() => {
        this.#preparing = undefined
      })
      await this.#preparing
    }
    if (this.#failure !== undefined) throw new SpoolBroken("the spool can't be written", { cause: this.#failure.cause })
  }

  #prepare(): void {
    if (this.#next !== undefined || this.#preparing !== undefined) return
    const failedAt = this.#prepareFailedAt
    if (failedAt !== undefined && Math.abs(this.#now() - failedAt) < REOPEN_AFTER_MS) return
    this.#prepareFailedAt = undefined
    this.#preparing = this.#createSegment((made) => {
      this.#next = made
    })
      .catch((cause: unknown) => {
        // The segment in use goes on meanwhile.
        this.#prepareFailedAt = this.#now()
        this.#events.broken(this.#nextSegment - 1, cause)
      })
      .finally(() => {
        this.#preparing = undefined
      })
  }

  async #createSegment(made: (segment: ActiveSegment) => void): Promise<void> {
    const id = this.#nextSegment++
    const created = await createSegment(this.#disk, this.#keys, id, this.generation)
    this.segments.set(id, created.segment)
    try {
      await this.writeManifest(false, created.segment)
    } catch (error) {
      this.segments.delete(id)
      this.#leave(created)
      throw error
    }
    made(created)
  }

  /** All process deaths of earlier generations have been counted. */
  async settle(): Promise<void> {
    this.#unsettled = undefined
    await this.writeManifest(false)
  }

  /** Durable on return; segments that nothing refers to are left out of it. @throws SpoolBroken when a newer process owns the spool */
  writeManifest(isClean: boolean, fresh?: Segment): Promise<void> {
    const written = this.#manifest.then(() => this.#writeManifest(isClean, fresh))
    this.#manifest = written.catch(() => {})
    return written
  }

  async #writeManifest(isClean: boolean, fresh: Segment | undefined): Promise<void> {
    await this.#refuseIfTakenOver()
    const isOpen = (segment: Segment) => !isClean && (segment === fresh || this.#isOpen(segment))
    const dropped = this.#droppable(isOpen)
    const listed = [...this.segments.values()].filter((segment) => !dropped.has(segment))
    const manifest: Manifest = {
      generation: this.generation,
      ...(this.#unsettled === undefined ? {} : { unsettled: this.#unsettled }),
      isClean,
      nextSegment: this.#nextSegment,
      segments: listed.map((segment) => segment.toManifest(isOpen(segment))),
    }
    await writeManifest(this.#disk, this.#keys, manifest)
    for (const segment of dropped) {
      this.segments.delete(segment.id)
      segment.forget(segment.dead)
    }
    this.#events.listed([...dropped])
  }

  #isOpen(segment: Segment): boolean {
    if (segment.isSuspect) return false
    return [this.#active?.segment, this.#next?.segment, this.#flushing?.segment].includes(segment)
  }

  /** Leaves segments that nothing refers to out of the manifest, if there are any. */
  async dropUnreferenced(): Promise<void> {
    if (this.#droppable((segment) => this.#isOpen(segment)).size > 0) await this.writeManifest(false)
  }

  /** Segments that nothing refers to, but for dead copies in others of them: they all leave the manifest in one step. */
  #droppable(isOpen: (segment: Segment) => boolean): Set<Segment> {
    const found = new Set<Segment>()
    const going = new Map<Segment, number>()
    for (let before = -1; before < found.size;) {
      before = found.size
      for (const segment of this.segments.values()) {
        if (found.has(segment) || isOpen(segment) || segment.references > (going.get(segment) ?? 0)) continue
        found.add(segment)
        for (const { killer } of segment.dead) if (killer !== segment) going.set(killer, (going.get(killer) ?? 0) + 1)
      }
    }
    return found
  }

  /** Resolves when nothing is being written and nothing waits. */
  async idle(): Promise<void> {
    while (this.#gathering !== undefined || this.#flushing !== undefined) {
      await new Promise<void>((resolve) => this.#drained.push(resolve))
    }
  }

  /** Everything appended before is durable or has failed; then the manifest says that the spool was closed in order. */
  async close(): Promise<void> {
    this.#isClosed = true
    await this.idle()
    await this.#preparing
    for (const open of [this.#active, this.#next]) if (open !== undefined) this.#leave(open)
    await Promise.all(this.#leaving)
    if (this.#failure === undefined) await this.writeManifest(true)
  }
}

/** Where the next group of the segment begins: behind what is durable, or behind the group that is on its way. */
function endOf(segment: Segment, flushing: Group | undefined): number {
  return flushing?.segment === segment ? flushing.start + flushing.bytes : segment.end
}

function place(group: Group, segment: Segment, waiting: Waiting, sequence: number): void {
  const pieces = waiting.build({ segment, groupStart: group.start, sequence })
  waiting.bytes = byteLength(pieces)
  if (waiting.bytes > MAX_PAYLOAD_BYTES) throw new SpoolBroken('a record is larger than the log takes')
  waiting.offset = group.start + group.bytes
  group.bytes += waiting.bytes
  group.pieces.push(...pieces)
}
