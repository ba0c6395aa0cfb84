// What finished messages leave behind goes within a minute (SF-6): a segment that nothing refers to is dropped whole; in one that still
// holds queued mail the salts of finished messages are overwritten, or, where little is queued, that little moves out and the segment
// goes. Dead bytes stay below live bytes + 256 MiB, since beyond half of that the sweep doesn't wait for age.
import { SALT_BYTES } from '../../common/seal.ts'
import type { QueueId } from '../queue-id.ts'
import { SpoolDamaged } from './contract.ts'
import type { Disk } from './disk.ts'
import { RECORD_HEADER_BYTES, peekRecordHeader } from './format.ts'
import type { HeldMessage } from './held-message.ts'
import type { SegmentLog } from './log.ts'
import { stampFor } from './records.ts'
import type { DeadCopy, Segment } from './segment.ts'

/** Finished messages wait this long for the rest of their segment; the sweep runs as often, so they are gone in half the time allowed. */
export const SWEEP_EVERY_MS = 15_000
const DEAD_BYTES_MARGIN = 128 * 1024 * 1024
/** Below this share of live bytes a segment is emptied rather than wiped. */
const EMPTY_BELOW_RATIO = 0.25
const MOVES_AT_ONCE = 64
const HEAD_BYTES = RECORD_HEADER_BYTES + SALT_BYTES
/** Read at once in search of the headers to stamp. */
const WINDOW_BYTES = 1024 * 1024

export interface SweepDeps {
  readonly disk: Disk
  readonly log: SegmentLog
  readonly now: () => number
  readonly held: () => Iterable<HeldMessage>
  /** Writes whatever the message has in the segment again, elsewhere. Durable on return. */
  readonly moveOut: (queueId: QueueId, segment: Segment) => Promise<void>
}

/** @param minAgeMs  how long messages must have been finished; 0 takes them all */
export async function sweep(deps: SweepDeps, minAgeMs: number): Promise<void> {
  if (isOverMargin(deps.log)) minAgeMs = 0
  const emptied: Segment[] = []
  // A copy: segments come and go while the sweep waits for the disk.
  for (const segment of Array.from(deps.log.segments.values())) {
    const due = segment.dead.filter(({ since }) => Math.abs(deps.now() - since) >= minAgeMs)
    const isOpen = segment === deps.log.activeSegment
    if (
      !isOpen &&
      (segment.isCondemned || (due.length > 0 && segment.liveBytes < EMPTY_BELOW_RATIO * segment.fileBytes))
    ) {
      emptied.push(segment)
    } else if (due.length > 0) {
      await wipe(deps, segment, due)
    }
  }
  await empty(deps, emptied)
  await deps.log.dropUnreferenced()
  while (isOverMargin(deps.log)) {
    const worst = mostDead(deps.log)
    if (worst === undefined) return
    const before = deadBytes(deps.log)
    await empty(deps, [worst])
    await deps.log.dropUnreferenced()
    if (deadBytes(deps.log) >= before) return // what is in the way is being used right now; the next sweep tries again
  }
}

export function deadBytes(log: SegmentLog): number {
  let bytes = 0
  for (const segment of log.segments.values()) bytes += segment.fileBytes - segment.liveBytes
  return bytes
}

/** Whether the sweep should run at once. */
export function isOverMargin(log: SegmentLog): boolean {
  let live = 0
  for (const segment of log.segments.values()) live += segment.liveBytes
  return deadBytes(log) > live + DEAD_BYTES_MARGIN
}

function mostDead(log: SegmentLog): Segment | undefined {
  let worst: Segment | undefined
  const dead = (segment: Segment) => segment.fileBytes - segment.liveBytes
  for (const segment of log.segments.values()) {
    if (segment === log.activeSegment || segment.liveBytes === 0) continue
    if (worst === undefined || dead(segment) > dead(worst)) worst = segment
  }
  return worst
}

async function empty({ held, moveOut }: SweepDeps, segments: readonly Segment[]): Promise<void> {
  if (segments.length === 0) return
  const leaving = new Set(segments)
  const moves: [QueueId, Segment][] = []
  for (const message of held()) {
    for (const { segment } of message.places()) if (leaving.has(segment)) moves.push([message.queueId, segment])
  }
  for (let first = 0; first < moves.length; first += MOVES_AT_ONCE) {
    const some = moves.slice(first, first + MOVES_AT_ONCE)
    await Promise.all(some.map(([queueId, segment]) => moveOut(queueId, segment)))
  }
}

/** Overwrites the salts of dead copies; only after the sync do their removals stop being needed. */
async function wipe(deps: SweepDeps, segment: Segment, copies: readonly DeadCopy[]): Promise<void> {
  try {
    await overwriteSalts(deps, segment, copies)
  } catch (error) {
    if (!deps.log.segments.has(segment.id)) return // dropped and unlinked meanwhile, salts and all
    segment.isCondemned = true // a sync that failed proves nothing, however often it is repeated (DU-3)
    throw error
  }
}

async function overwriteSalts({ disk, log }: SweepDeps, segment: Segment, copies: readonly DeadCopy[]): Promise<void> {
  const wipeable = copies.filter(({ isWipeable }) => isWipeable).toSorted((a, b) => a.offset - b.offset)
  const file = await disk.openForWriting(segment.path)
  try {
    let window: { from: number; bytes: Buffer } = { from: 0, bytes: Buffer.alloc(0) }
    for (const { offset } of wipeable) {
      if (offset + HEAD_BYTES > window.from + window.bytes.length) {
        window = { from: offset, bytes: await disk.read(file, offset, WINDOW_BYTES) }
      }
      const at = offset - window.from
      // Damaged since it was written: its segment has to go instead.
      if (peekRecordHeader(window.bytes, at) === undefined)
        throw new SpoolDamaged(`${segment.path} is damaged at ${offset}`)
      const header = window.bytes.subarray(at, at + RECORD_HEADER_BYTES)
      const stamp = stampFor(segment, header, log.generation, log.nextSequence())
      await disk.write(file, [stamp], offset + RECORD_HEADER_BYTES)
    }
    await disk.sync(file)
    segment.forget(wipeable)
  } finally {
    await disk.close(file)
  }
}
