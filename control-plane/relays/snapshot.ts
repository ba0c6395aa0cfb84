// A push as octets: frames, the manifest that names and hashes the parts, and its signature. Pure but for the signature's key, which comes in.
// (common/relay-contract.ts, RC-2)
import { createHash, sign } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import {
  FRAME_HEAD_BYTES,
  FRAME_KINDS,
  KEY_ROTATION_PREFIX,
  MAX_FRAME_BYTES,
  SNAPSHOT_FORMAT,
} from '../../common/relay-contract.ts'
import type {
  FrameKind,
  KeyRotation,
  Manifest,
  ManifestPart,
  PartBegin,
  PartName,
  SnapshotKey,
} from '../../common/relay-contract.ts'

const LENGTH_BYTES = 4

/** @throws RangeError for a payload that fits no frame */
export function frame(kind: FrameKind, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  if (payload.length >= MAX_FRAME_BYTES) throw new RangeError(`a payload of ${payload.length} octets fits no frame`)
  const bytes = Buffer.allocUnsafe(FRAME_HEAD_BYTES + payload.length)
  bytes.writeUInt32BE(1 + payload.length, 0)
  bytes.writeUInt8(FRAME_KINDS[kind], LENGTH_BYTES)
  bytes.set(payload, FRAME_HEAD_BYTES)
  return bytes
}

/** What a reader takes at once: its memory stays small, and its work between two frames short. */
const CHUNK_BYTES = 256 * 1024

/**
 * The frames of one part; afterwards `return` gives what the manifest says of it.
 *
 * @param chunks  of any size
 */
export function* partFrames(name: PartName, chunks: Iterable<Uint8Array>): Generator<Buffer, ManifestPart> {
  const hash = createHash('sha256')
  let sizeBytes = 0
  yield frame('part', Buffer.from(JSON.stringify({ name } satisfies PartBegin)))
  for (const chunk of chunks) {
    hash.update(chunk)
    sizeBytes += chunk.length
    for (let at = 0; at < chunk.length; at += CHUNK_BYTES) yield frame('chunk', chunk.subarray(at, at + CHUNK_BYTES))
  }
  return { name, sizeBytes, sha256: hash.digest('hex') }
}

/** Everything that a manifest says but for its parts, which are known last. */
export type ManifestHead = Omit<Manifest, 'format' | 'parts'>

/** In this order of members, which is the canonical one: the octets are what is signed. */
export function manifestBytes(head: ManifestHead, parts: readonly ManifestPart[]): Buffer {
  const { installation, project, relay, version, createdAt, key, base, table, settings, state } = head
  const manifest: Manifest = {
    format: SNAPSHOT_FORMAT,
    installation,
    project,
    relay,
    version,
    createdAt,
    key,
    ...(base === undefined ? {} : { base }),
    parts: parts.map(({ name, sizeBytes, sha256 }) => ({ name, sizeBytes, sha256 })),
    table: { revision: table.revision, digest: table.digest, entries: table.entries },
    settings: { version: settings.version },
    state,
  }
  return Buffer.from(JSON.stringify(manifest))
}

/** The two frames that end a push. */
export function sealingFrames(manifest: Uint8Array, key: KeyObject): Buffer {
  return Buffer.concat([frame('manifest', manifest), frame('signature', sign(null, manifest, key))])
}

/** What the key before signs to make relays believe the next one. */
export const rotationText = (next: SnapshotKey): Buffer =>
  Buffer.from(`${KEY_ROTATION_PREFIX}${next.id} ${next.publicKey}`)

export const rotationFrame = (rotation: KeyRotation): Buffer => frame('key', Buffer.from(JSON.stringify(rotation)))
