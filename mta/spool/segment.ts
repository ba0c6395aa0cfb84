// One file of the log, as memory knows it: where it ends, what in it still counts, and which finished messages in it still have their salt.
import { randomBytes } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { TAG_BYTES, counterNonce, seal, unseal } from '../../common/seal.ts'
import type { Disk, DiskFile } from './disk.ts'
import { SEGMENT_HEADER_BYTES, decodeSegmentHeader, encodeSegmentHeader } from './format.ts'
import type { KeyRing } from './keys.ts'
import type { ManifestSegment } from './manifest.ts'

/** Where a record is. */
export interface Place {
  readonly segment: Segment
  readonly offset: number
  /** Header and payload. */
  readonly bytes: number
}

/** A message's record that no longer counts, but whose salt is still there. Until it is gone, so must not be what tells that it's dead. */
export interface DeadCopy {
  readonly offset: number
  /** The segment with the removal, or with the newer copy. */
  readonly killer: Segment
  /** ms since the epoch */
  readonly since: number
  /** Has a salt to overwrite; a damaged record has none that is known. */
  readonly isWipeable: boolean
}

export class Segment {
  readonly id: number
  readonly keyId: number
  readonly generation: number
  readonly salt: Buffer
  readonly key: KeyObject
  /** Bytes up to here are on stable storage. */
  end = SEGMENT_HEADER_BYTES
  /** Length of the file, with what is written ahead. */
  fileBytes = SEGMENT_HEADER_BYTES
  /** Bytes of records that count. */
  liveBytes = 0
  /** Records that count, and dead copies elsewhere whose killer is here. */
  references = 0
  /** A write or sync failed: it is never written again (DU-3). */
  isSuspect = false
  /** Holds damage: its live records move out at the next sweep. */
  isCondemned = false
  dead: DeadCopy[] = []

  constructor(id: number, keyId: number, generation: number, salt: Buffer, key: KeyObject) {
    this.id = id
    this.keyId = keyId
    this.generation = generation
    this.salt = salt
    this.key = key
  }

  get path(): string {
    return segmentPath(this.id)
  }

  hold(bytes: number): void {
    this.references++
    this.liveBytes += bytes
  }

  letGo(bytes: number): void {
    this.references--
    this.liveBytes -= bytes
  }

  bury(offset: number, killer: Segment, since: number, isWipeable: boolean): void {
    if (killer !== this) killer.references++
    this.dead.push({ offset, killer, since, isWipeable })
  }

  /** The salts of these dead copies, or the whole file, are gone for good. */
  forget(copies: readonly DeadCopy[]): void {
    const gone = new Set(copies)
    for (const { killer } of copies) if (killer !== this) killer.references--
    this.dead = this.dead.filter((copy) => !gone.has(copy))
  }

  toManifest(isActive: boolean): ManifestSegment {
    const { id, keyId, generation } = this
    return { id, keyId, generation, salt: this.salt.toString('hex'), ...(isActive ? {} : { end: this.end }) }
  }
}

export function segmentPath(id: number): string {
  return `segment-${String(id).padStart(10, '0')}`
}

/** undefined when `name` is not a segment's. */
export function parseSegmentPath(name: string): number | undefined {
  return /^segment-\d{10}$/.test(name) ? Number(name.slice(-10)) : undefined
}

/** Makes the file, durable with its name. */
export async function createSegment(
  disk: Disk,
  keys: KeyRing,
  id: number,
  generation: number,
): Promise<{ segment: Segment; file: DiskFile }> {
  const salt = randomBytes(32)
  const key = keys.segmentKey(keys.currentId, salt)
  if (key === undefined) throw new Error('unreachable: the current project key is in the ring')
  const segment = new Segment(id, keys.currentId, generation, salt, key)
  const header = encodeSegmentHeader({ keyId: keys.currentId, segment: id, generation, project: keys.project, salt })
  const file = await disk.create(segment.path)
  try {
    await disk.write(file, [header, ...seal(key, counterNonce(0, 0), header, [])], 0)
    await disk.sync(file)
    await disk.syncDirectory('.')
  } catch (error) {
    await disk.close(file).catch(() => {})
    await disk.unlink(segment.path).catch(() => {}) // without it the next start sweeps it
    throw error
  }
  return { segment, file }
}

/** The segment whose header `bytes` begin with; undefined when the header is damaged, or of another project or segment. */
export function openSegment(keys: KeyRing, id: number, bytes: Buffer): Segment | undefined {
  const header = decodeSegmentHeader(bytes)
  if (header === undefined || header.segment !== id || !header.project.equals(keys.project)) return undefined
  const key = keys.segmentKey(header.keyId, header.salt)
  if (key === undefined) return undefined
  const plain = bytes.subarray(0, SEGMENT_HEADER_BYTES - TAG_BYTES)
  const tag = bytes.subarray(SEGMENT_HEADER_BYTES - TAG_BYTES, SEGMENT_HEADER_BYTES)
  if (unseal(key, counterNonce(0, 0), plain, tag) === undefined) return undefined
  return new Segment(id, header.keyId, header.generation, Buffer.from(header.salt), key)
}

/** The segment as the manifest knows it, when its own header is damaged. */
export function segmentFromManifest(keys: KeyRing, listed: ManifestSegment): Segment | undefined {
  const salt = Buffer.from(listed.salt, 'hex')
  const key = keys.segmentKey(listed.keyId, salt)
  return key && new Segment(listed.id, listed.keyId, listed.generation, salt, key)
}
