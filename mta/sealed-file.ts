// Small files of the relay that hold secrets: sealed with a key derived from the spool's root key, replaced in one step. (KM-1, SF-7)
import { randomBytes } from 'node:crypto'
import { deriveKey, keyFromBytes, NONCE_BYTES, SALT_BYTES, seal, unseal } from '../common/seal.ts'

/** A fresh salt for each text gives it a key of its own, so the nonce may be constant. */
const NONCE = Buffer.alloc(NONCE_BYTES)

/** @param purpose  opens only under the very same */
export function sealText(rootKey: Uint8Array, purpose: string, text: string): Buffer {
  const salt = randomBytes(SALT_BYTES)
  const key = deriveKey(keyFromBytes(rootKey), salt, purpose)
  return Buffer.concat([salt, ...seal(key, NONCE, Buffer.from(purpose), [Buffer.from(text)])])
}

/** undefined when it was not sealed with this key for this purpose, or was altered. */
export function openText(rootKey: Uint8Array, purpose: string, sealed: Uint8Array): string | undefined {
  if (sealed.length < SALT_BYTES) return undefined
  const key = deriveKey(keyFromBytes(rootKey), sealed.subarray(0, SALT_BYTES), purpose)
  return unseal(key, NONCE, Buffer.from(purpose), sealed.subarray(SALT_BYTES))?.toString()
}
