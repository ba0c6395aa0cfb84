// A signed statement of how long a chain was and what its head was (AU-3). As text it is a signed note (C2SP signed-note, tlog-checkpoint): tools
// that read those read these; our own lines after the third are its extension lines. Pure.
//
//   causeway-audit/1/<id of the installation's first key>/<chain>     origin
//   1000                                                             size
//   4cD…=                                                            hash(1000), base64
//   time 2026-11-22T10:00:00.000Z
//   previous 900                                                     size of the checkpoint before; 0: none
//   key <id>
//
//   — <origin> <base64: 4 octets that tell the key, 64 octets signature of the lines above the empty one>
import { hash, sign, verify } from 'node:crypto'
import { SIGNATURE_BYTES, verifyingKey } from './audit-key.ts'
import type { AuditKey, Signer } from './audit-key.ts'

/** A chain with new events gets a checkpoint after so long, or after so many events. */
export const CHECKPOINT_EVERY_MS = 10 * 60_000
export const CHECKPOINT_EVERY_EVENTS = 1000

const HASH_BYTES = 32
const KEY_HASH_BYTES = 4
const ED25519_NOTE = 1 // signature type of signed-note

export interface Checkpoint {
  readonly origin: string
  /** Events of the chain, ≥ 1. */
  readonly size: number
  /** Of event `size`. */
  readonly hash: Buffer
  /** RFC 3339, ms */
  readonly time: string
  /** Size of the checkpoint before; 0: none. One that is taken away is missed. */
  readonly previous: number
  readonly keyId: string
}

export interface SignedCheckpoint extends Checkpoint {
  readonly signature: Buffer
}

/** @param firstKey  id of the installation's first key: two installations never have the same origin */
export const originOf = (firstKey: string, chain: string): string => `causeway-audit/1/${firstKey}/${chain}`

const ORIGIN = /^causeway-audit\/1\/(?<firstKey>[0-9a-f]{64})\/(?<chain>[a-z0-9_]{1,64})$/

/** undefined when it is no origin. */
export function parseOrigin(origin: string): { firstKey: string; chain: string } | undefined {
  const { firstKey, chain } = ORIGIN.exec(origin)?.groups ?? {}
  return firstKey === undefined || chain === undefined ? undefined : { firstKey, chain }
}

/** Whether a chain needs a checkpoint now. @param last  the newest one; undefined: there is none */
export function isCheckpointDue(
  size: number,
  last: { size: number; timeMs: number } | undefined,
  now: number,
): boolean {
  const unsigned = size - (last?.size ?? 0)
  if (unsigned <= 0) return false
  return last === undefined || unsigned >= CHECKPOINT_EVERY_EVENTS || now - last.timeMs >= CHECKPOINT_EVERY_MS
}

export function signCheckpoint(
  unsigned: Omit<Checkpoint, 'origin' | 'keyId'>,
  chain: string,
  signer: Signer,
): SignedCheckpoint {
  const [first, last] = [signer.keys[0], signer.keys.at(-1)]
  if (first === undefined || last === undefined) throw new Error('unreachable: a signer without keys')
  const checkpoint = { ...unsigned, origin: originOf(first.id, chain), keyId: last.id }
  return { ...checkpoint, signature: sign(null, Buffer.from(checkpointText(checkpoint)), signer.privateKey) }
}

/** The lines that are signed. */
function checkpointText({ origin, size, hash: head, time, previous, keyId }: Checkpoint): string {
  return `${origin}\n${size}\n${head.toString('base64')}\ntime ${time}\nprevious ${previous}\nkey ${keyId}\n`
}

/** @param key  of `checkpoint.keyId` */
export function formatNote(checkpoint: SignedCheckpoint, key: AuditKey): string {
  const signature = Buffer.concat([noteKeyHash(checkpoint.origin, key), checkpoint.signature]).toString('base64')
  return `${checkpointText(checkpoint)}\n— ${checkpoint.origin} ${signature}\n`
}

const NOTE = new RegExp(
  String.raw`^(?<origin>[^\n]+)\n(?<size>[1-9]\d{0,15})\n(?<head>[A-Za-z0-9+/]{43}=)\ntime (?<time>[^\n]+)\nprevious (?<previous>0|[1-9]\d{0,15})\nkey (?<keyId>[0-9a-f]{64})\n\n— (?<name>[^\n]+) (?<signature>[A-Za-z0-9+/]+={0,2})\n$`,
)

/** What a note says; undefined when it is none of ours. Whether to believe it: `noteFault`. */
export function parseNote(text: string): SignedCheckpoint | undefined {
  const { origin, size, head, time, previous, keyId, name, signature } = NOTE.exec(text)?.groups ?? {}
  if (
    origin === undefined ||
    head === undefined ||
    time === undefined ||
    keyId === undefined ||
    signature === undefined
  )
    return undefined
  if (parseOrigin(origin) === undefined || name !== origin || !isTime(time)) return undefined
  const octets = Buffer.from(signature, 'base64')
  if (octets.length !== KEY_HASH_BYTES + SIGNATURE_BYTES) return undefined
  const hashed = Buffer.from(head, 'base64')
  if (hashed.length !== HASH_BYTES) return undefined
  return {
    origin,
    size: Number(size),
    hash: hashed,
    time,
    previous: Number(previous),
    keyId,
    signature: octets.subarray(KEY_HASH_BYTES),
  }
}

/** Why a note is not what `key` signed, to the last octet; undefined when it is. */
export function noteFault(text: string, checkpoint: SignedCheckpoint, key: AuditKey): string | undefined {
  if (formatNote(checkpoint, key) !== text) return 'is not written as checkpoints are'
  const isSigned = verify(
    null,
    Buffer.from(checkpointText(checkpoint)),
    verifyingKey(key.publicKey),
    checkpoint.signature,
  )
  return isSigned ? undefined : 'has a signature that does not fit'
}

/** Of signed-note: SHA-256(name ‖ LF ‖ type ‖ public key), the first octets. */
function noteKeyHash(name: string, { publicKey }: AuditKey): Buffer {
  const named = Buffer.concat([Buffer.from(`${name}\n`), Buffer.of(ED25519_NOTE), publicKey])
  return hash('sha256', named, 'buffer').subarray(0, KEY_HASH_BYTES)
}

export function isTime(text: string): boolean {
  const ms = Date.parse(text)
  return !Number.isNaN(ms) && new Date(ms).toISOString() === text
}
