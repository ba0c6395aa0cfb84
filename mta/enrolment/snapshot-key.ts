// The key that snapshots are believed by: pinned at enrolment, replaced only by one that it signed itself. (RC-2) Pure.
import { createPublicKey, verify } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { KEY_ROTATION_PREFIX } from '../../common/relay-contract.ts'
import type { SnapshotKey } from '../../common/relay-contract.ts'

/** Ed25519 (RFC 8032) */
const SIGNATURE_BYTES = 64

/** From what somebody sent; undefined when it is no Ed25519 key with an id. */
export function snapshotKeyOf(value: unknown): SnapshotKey | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { id, publicKey } = value as Partial<Record<string, unknown>>
  if (typeof id !== 'string' || !/^[\x21-\x7e]{1,255}$/.test(id) || typeof publicKey !== 'string') return undefined
  return keyObjectOf({ id, publicKey }) === undefined ? undefined : { id, publicKey }
}

export function keyObjectOf({ publicKey }: SnapshotKey): KeyObject | undefined {
  try {
    const key = createPublicKey({ key: Buffer.from(publicKey, 'base64url'), format: 'der', type: 'spki' })
    return key.asymmetricKeyType === 'ed25519' ? key : undefined
  } catch {
    return undefined // no key at all
  }
}

export function isSignedBy(key: SnapshotKey, bytes: Uint8Array, signature: Uint8Array): boolean {
  const object = keyObjectOf(key)
  return object !== undefined && signature.length === SIGNATURE_BYTES && verify(null, bytes, object, signature)
}

/** The next key of a rotation frame; undefined when the pinned one did not sign it. */
export function rotatedKey(pinned: SnapshotKey, payload: Uint8Array): SnapshotKey | undefined {
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(payload).toString())
  } catch {
    return undefined // no rotation
  }
  if (typeof value !== 'object' || value === null) return undefined
  const { by, next, signature } = value as Partial<Record<string, unknown>>
  const key = snapshotKeyOf(next)
  if (key === undefined || by !== pinned.id || typeof signature !== 'string') return undefined
  const text = `${KEY_ROTATION_PREFIX}${key.id} ${key.publicKey}`
  return isSignedBy(pinned, Buffer.from(text), Buffer.from(signature, 'base64url')) ? key : undefined
}
