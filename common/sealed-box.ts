// Bytes sealed to one receiver's X25519 key, so that nobody on the way reads them (RC-2): an ephemeral key for each box, ECDH, HKDF-SHA-256,
// AES-256-GCM. The ephemeral key gives each box a key of its own, so the nonce may be constant.
import { createPublicKey, diffieHellman, generateKeyPairSync, hkdfSync } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { KEY_BYTES, NONCE_BYTES, keyFromBytes, seal, unseal } from './seal.ts'

const INFO = 'causeway-sealed-box/1'
const NONCE = Buffer.alloc(NONCE_BYTES)
/** SPKI DER of an X25519 key is these octets (RFC 8410 §4), then the 32 of the point. */
const SPKI_HEAD = Buffer.from('302a300506032b656e032100', 'hex')
const POINT_BYTES = 32

/** @param context  what the box is for: opens only under the very same. @returns point of the ephemeral key, then the sealed text */
export function sealBox(receiver: KeyObject, context: string, plain: Uint8Array): Buffer {
  const ephemeral = generateKeyPairSync('x25519')
  const point = ephemeral.publicKey.export({ type: 'spki', format: 'der' }).subarray(SPKI_HEAD.length)
  const key = boxKey(ephemeral.privateKey, receiver, point, receiver)
  return Buffer.concat([point, ...seal(key, NONCE, Buffer.from(context), [plain])])
}

/** undefined when it was not sealed to this key under this context, or was altered. */
export function openBox(receiver: KeyObject, context: string, box: Uint8Array): Buffer | undefined {
  const point = box.subarray(0, POINT_BYTES)
  if (point.length < POINT_BYTES) return undefined
  let key: KeyObject
  try {
    const sender = createPublicKey({ key: Buffer.concat([SPKI_HEAD, point]), type: 'spki', format: 'der' })
    key = boxKey(receiver, sender, point, createPublicKey(receiver))
  } catch {
    return undefined // a point of small order: no key comes of it
  }
  return unseal(key, NONCE, Buffer.from(context), box.subarray(POINT_BYTES))
}

function boxKey(ours: KeyObject, theirs: KeyObject, ephemeralPoint: Uint8Array, receiver: KeyObject): KeyObject {
  const shared = diffieHellman({ privateKey: ours, publicKey: theirs })
  const receiverKey = receiver.export({ type: 'spki', format: 'der' })
  const salt = Buffer.concat([ephemeralPoint, receiverKey])
  return keyFromBytes(new Uint8Array(hkdfSync('sha256', shared, salt, INFO, KEY_BYTES)))
}
