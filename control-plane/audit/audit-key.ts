// Keys that sign checkpoints: Ed25519, one at a time, each signed by the one before, so that a reader who trusts any of them can follow to the
// newest. The first signs itself; its id names the installation in every checkpoint. Pure but for making a key pair. (AU-3, KM-2)
import { createPublicKey, generateKeyPairSync, hash, sign, verify } from 'node:crypto'
import type { KeyObject } from 'node:crypto'

export const PUBLIC_KEY_BYTES = 32
export const SIGNATURE_BYTES = 64

/** Public half, with its place among the installation's keys. */
export interface AuditKey {
  /** From 1, dense. */
  readonly ordinal: number
  /** Hex SHA-256 of the public key: short enough to be compared by people. */
  readonly id: string
  /** 32 octets (RFC 8032). */
  readonly publicKey: Buffer
  /** RFC 3339, ms */
  readonly createdAt: string
  /** By the key before; of the first by itself. */
  readonly signature: Buffer
}

/** Who can sign. */
export interface Signer {
  /** All keys there ever were, the oldest first; `privateKey` belongs to the last. */
  readonly keys: readonly AuditKey[]
  readonly privateKey: KeyObject
}

export const auditKeyId = (publicKey: Uint8Array): string => hash('sha256', publicKey, 'hex')

/** @param before  undefined for the installation's first key */
export function makeAuditKey(before: Signer | undefined, createdAt: string): { key: AuditKey; privateKey: KeyObject } {
  const pair = generateKeyPairSync('ed25519')
  const publicKey = rawPublicKey(pair.publicKey)
  const unsigned = { ordinal: (before?.keys.length ?? 0) + 1, id: auditKeyId(publicKey), publicKey, createdAt }
  const previous = before?.keys.at(-1)
  const signature = sign(null, keyText(unsigned, previous), before?.privateKey ?? pair.privateKey)
  return { key: { ...unsigned, signature }, privateKey: pair.privateKey }
}

/** Why `key` can't come after `previous`; undefined when it can. */
export function auditKeyFault(key: AuditKey, previous: AuditKey | undefined): string | undefined {
  if (key.ordinal !== (previous?.ordinal ?? 0) + 1) return 'is not the next key'
  if (key.publicKey.length !== PUBLIC_KEY_BYTES) return 'is no Ed25519 key'
  if (auditKeyId(key.publicKey) !== key.id) return 'has another id than its public key gives'
  const signer = verifyingKey((previous ?? key).publicKey)
  if (!verify(null, keyText(key, previous), signer, key.signature))
    return previous === undefined ? 'is not signed by itself' : 'is not signed by the key before'
  return undefined
}

/** What the key before signs. */
function keyText(key: Omit<AuditKey, 'signature'>, previous: AuditKey | undefined): Buffer {
  const { ordinal, publicKey, createdAt } = key
  return Buffer.from(
    `causeway-audit-key/1\n${ordinal}\n${publicKey.toString('base64')}\n${createdAt}\n${previous?.id ?? '-'}\n`,
  )
}

/** @param publicKey  32 octets; any 32 are taken: those that are no point of the curve verify nothing */
export function verifyingKey(publicKey: Uint8Array): KeyObject {
  const x = Buffer.from(publicKey).toString('base64url')
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' })
}

function rawPublicKey(key: KeyObject): Buffer {
  return Buffer.from(String(key.export({ format: 'jwk' })['x']), 'base64url')
}
