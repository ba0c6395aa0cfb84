// Sealing: AES-256-GCM (SP 800-38D) for bytes, HKDF-SHA-256 (RFC 5869) for a key per message, AES-KW (RFC 3394) for keys under keys.
// Pure: nonces, salts and keys come in. Whoever seals sees to it that no nonce repeats under a key (SF-2, KM-6).
import { createCipheriv, createDecipheriv, createSecretKey, hkdfSync } from 'node:crypto'
import type { KeyObject } from 'node:crypto'

export const KEY_BYTES = 32
export const SALT_BYTES = 32
export const NONCE_BYTES = 12
export const TAG_BYTES = 16
/** A 256-bit key wrapped by AES-KW. */
export const WRAPPED_KEY_BYTES = 40

const KEY_WRAP_IV = Buffer.from('A6A6A6A6A6A6A6A6', 'hex') // RFC 3394 §2.2.3.1
const UINT32 = 2 ** 32

/** @throws RangeError unless `bytes` is 32 bytes long */
export function keyFromBytes(bytes: Uint8Array): KeyObject {
  if (bytes.length !== KEY_BYTES) throw new RangeError(`a key is ${KEY_BYTES} bytes, not ${bytes.length}`)
  // A KeyObject rather than bytes wherever a key is used: setting up a cipher from bytes costs three times as much.
  return createSecretKey(bytes)
}

/** HKDF-SHA-256 with 32 bytes out; `info` says what the key is for, so that keys for two purposes are never the same. */
export function deriveKey(key: KeyObject, salt: Uint8Array, info: string | Uint8Array): KeyObject {
  return createSecretKey(new Uint8Array(hkdfSync('sha256', key, salt, info, KEY_BYTES)))
}

export function wrapKey(wrapping: KeyObject, key: KeyObject): Buffer {
  const cipher = createCipheriv('id-aes256-wrap', wrapping, KEY_WRAP_IV)
  return Buffer.concat([cipher.update(key.export()), cipher.final()])
}

/** undefined when `wrapped` was not made by `wrapping`, or was altered. */
export function unwrapKey(wrapping: KeyObject, wrapped: Uint8Array): KeyObject | undefined {
  if (wrapped.length !== WRAPPED_KEY_BYTES) return undefined
  const decipher = createDecipheriv('id-aes256-wrap', wrapping, KEY_WRAP_IV)
  try {
    return createSecretKey(Buffer.concat([decipher.update(wrapped), decipher.final()]))
  } catch {
    return undefined // the only fault there is: the integrity check of RFC 3394 §2.2.3
  }
}

/** 96-bit nonce of two counters: `high` below 2^32, `low` below 2^53. */
export function counterNonce(high: number, low: number): Buffer {
  const nonce = Buffer.allocUnsafe(NONCE_BYTES)
  nonce.writeUInt32BE(high, 0)
  nonce.writeUInt32BE(Math.floor(low / UINT32), 4)
  nonce.writeUInt32BE(low % UINT32, 8)
  return nonce
}

/** One sealed text made piece by piece, so that large ones are never whole in memory. */
export class Sealer {
  readonly #cipher

  constructor(key: KeyObject, nonce: Uint8Array, associated: Uint8Array) {
    this.#cipher = createCipheriv('aes-256-gcm', key, nonce)
    this.#cipher.setAAD(associated)
  }

  update(plain: Uint8Array): Buffer {
    return this.#cipher.update(plain)
  }

  /** The tag that ends the sealed text. */
  end(): Buffer {
    this.#cipher.final()
    return this.#cipher.getAuthTag()
  }
}

/** Ciphertext of the pieces in order, then the tag: `TAG_BYTES` longer than they are. */
export function seal(
  key: KeyObject,
  nonce: Uint8Array,
  associated: Uint8Array,
  pieces: readonly Uint8Array[],
): Buffer[] {
  const sealer = new Sealer(key, nonce, associated)
  const sealed = pieces.map((piece) => sealer.update(piece))
  sealed.push(sealer.end())
  return sealed
}

/** The plaintext; undefined when key, nonce, associated data or any byte of `sealed` is not what was sealed. */
export function unseal(
  key: KeyObject,
  nonce: Uint8Array,
  associated: Uint8Array,
  sealed: Uint8Array,
): Buffer | undefined {
  if (sealed.length < TAG_BYTES) return undefined
  const textBytes = sealed.length - TAG_BYTES
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES })
  decipher.setAAD(associated)
  decipher.setAuthTag(sealed.subarray(textBytes))
  const plain = decipher.update(sealed.subarray(0, textBytes))
  try {
    decipher.final()
  } catch {
    return undefined // the only fault there is: the tag doesn't fit
  }
  return plain
}

/** Decrypts without judging: for showing an operator what a damaged text may have been, never for delivery. */
export function unsealUnverified(key: KeyObject, nonce: Uint8Array, sealed: Uint8Array): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES })
  return decipher.update(sealed.subarray(0, Math.max(0, sealed.length - TAG_BYTES)))
}
