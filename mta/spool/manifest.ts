// The list of the log's segments, replaced in one step whenever one is begun or dropped: the one truth about which files count.
// A segment that is listed must be there, one that isn't must not be read; so neither can be taken away or put in unseen (SF-1).
import { SALT_BYTES, TAG_BYTES, counterNonce, seal, unseal } from '../../common/seal.ts'
import { SpoolUnusable } from './contract.ts'
import type { Disk } from './disk.ts'
import { PREFIX_BYTES, filePrefix, judgePrefix } from './format.ts'
import type { KeyRing } from './keys.ts'

export const MANIFEST_FILE = 'manifest'
const HEAD_BYTES = PREFIX_BYTES + 4 + SALT_BYTES

export interface ManifestSegment {
  readonly id: number
  readonly keyId: number
  readonly generation: number
  /** hex; also in the segment's own header: either is enough to read it */
  readonly salt: string
  /** Bytes up to here were on stable storage when it was left; absent while it is being written. */
  readonly end?: number
}

export interface Manifest {
  /** Fencing number of the process that wrote it (DU-7). */
  readonly generation: number
  /** The first generation whose deaths have not been counted yet; absent when all are (DU-8). */
  readonly unsettled?: number
  /** Closed in order: nobody had a message in hand, and every segment has its end. */
  readonly isClean: boolean
  readonly nextSegment: number
  readonly segments: readonly ManifestSegment[]
}

export async function readManifest(disk: Disk, keys: KeyRing): Promise<Manifest | 'missing' | 'damaged'> {
  const bytes = await disk.readWhole(MANIFEST_FILE)
  if (bytes === undefined) return 'missing'
  if (judgePrefix('manifest', bytes) !== 'known' || bytes.length < HEAD_BYTES + TAG_BYTES) return 'damaged'
  const head = bytes.subarray(0, HEAD_BYTES)
  const key = keys.manifestKey(head.readUInt32BE(PREFIX_BYTES), head.subarray(PREFIX_BYTES + 4))
  const json = key && unseal(key, counterNonce(0, 0), head, bytes.subarray(HEAD_BYTES))
  // Authentic, so written by this program in this version.
  return json === undefined ? 'damaged' : (JSON.parse(json.toString()) as Manifest)
}

/** Throws SpoolUnusable when the manifest is of a later version; touches nothing (SF-5). */
export async function refuseNewerManifest(disk: Disk): Promise<void> {
  const bytes = await disk.readWhole(MANIFEST_FILE)
  if (bytes !== undefined && judgePrefix('manifest', bytes) === 'newer') {
    throw new SpoolUnusable('the spool was written by a newer version of causeway')
  }
}

/** Durable on return. */
export async function writeManifest(disk: Disk, keys: KeyRing, manifest: Manifest): Promise<void> {
  const salt = keys.newSalt()
  const keyId = Buffer.alloc(4)
  keyId.writeUInt32BE(keys.currentId)
  const key = keys.manifestKey(keys.currentId, salt)
  if (key === undefined) throw new Error('unreachable: the current project key is in the ring')
  const head = Buffer.concat([filePrefix('manifest'), keyId, salt])
  await disk.replace(MANIFEST_FILE, [
    head,
    ...seal(key, counterNonce(0, 0), head, [Buffer.from(JSON.stringify(manifest))]),
  ])
}
