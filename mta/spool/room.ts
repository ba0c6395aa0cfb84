// Whether the spool takes another message: message count, bytes, free space and inodes (reliability-security.md §4). Pure.
import type { VolumeSpace } from './disk.ts'

/** The rows of §4 that the disk sets; `mta/limits.ts` has the defaults. */
export interface RoomLimits {
  /** SIZE of EHLO. */
  readonly messageBytes: number
  /** Free share of the volume kept back, */
  readonly freeSpaceRatio: number
  /** or room for this many messages of `messageBytes`, whichever is more. */
  readonly freeSpaceMessages: number
  readonly freeInodeRatio: number
  readonly queuedMessages: number
  /** Share of the volume that the spool may fill. */
  readonly queuedVolumeRatio: number
}

export interface RoomInUse {
  readonly messages: number
  /** On disk, with what is dead but not yet gone. */
  readonly bytes: number
}

/** Why a message of `declaredBytes` (0 when unknown) can't be taken; undefined when it can. */
export function whyNoRoom(
  limits: RoomLimits,
  inUse: RoomInUse,
  space: VolumeSpace,
  declaredBytes: number,
): string | undefined {
  if (inUse.messages >= limits.queuedMessages) return 'too many messages are queued'
  if (inUse.bytes + declaredBytes > limits.queuedVolumeRatio * space.totalBytes)
    return 'queued mail fills its share of the volume'
  const floor = Math.max(limits.freeSpaceRatio * space.totalBytes, limits.freeSpaceMessages * limits.messageBytes)
  if (space.freeBytes < floor) return 'the volume is nearly full'
  if (space.freeInodeRatio < limits.freeInodeRatio) return 'the volume is nearly out of inodes'
  return undefined
}

/** By so much sooner readiness is given up, so that balancers stop sending before anything is refused (BP-3). */
const SOONER = 1.25
const NEARLY_FULL = 0.95

/** Why a balancer should send elsewhere now; undefined while there is room to spare. Never undefined where `whyNoRoom` isn't. */
export function whyNearlyNoRoom(limits: RoomLimits, inUse: RoomInUse, space: VolumeSpace): string | undefined {
  const early: RoomLimits = {
    messageBytes: limits.messageBytes,
    freeSpaceRatio: sooner(limits.freeSpaceRatio),
    freeSpaceMessages: limits.freeSpaceMessages * SOONER,
    freeInodeRatio: sooner(limits.freeInodeRatio),
    queuedMessages: Math.ceil(limits.queuedMessages * NEARLY_FULL),
    queuedVolumeRatio: limits.queuedVolumeRatio,
  }
  // The largest message is refused first; on a volume that never had room for one, the queue's share has to be nearly full.
  const share = limits.queuedVolumeRatio * space.totalBytes
  const largest = Math.min(limits.messageBytes, share * (1 - NEARLY_FULL))
  return whyNoRoom(early, inUse, space, largest)
}

/** A larger share to keep free, but never all of it. */
function sooner(ratio: number): number {
  return Math.min(ratio * SOONER, (1 + ratio) / 2)
}
