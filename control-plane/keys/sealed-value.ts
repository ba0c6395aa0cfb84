// One sealed value, as columns and files hold it (KM-1): says which key sealed it, and opens only in the place it was sealed for. Each value
// has a key of its own: HKDF-SHA-256 of the project key with 256 random bits as salt. So AES-GCM's nonce may be constant, however many
// values a project key seals. Pure: keys and salts come in.
//
//   1 octet   form: 1
//   16 octets id of the project key
//   32 octets salt
//   …         AES-256-GCM: ciphertext, then 16 octets tag; associated data: the octets before, then the place
import type { KeyObject } from 'node:crypto'
import { NONCE_BYTES, SALT_BYTES, TAG_BYTES, deriveKey, seal, unseal } from '../../common/seal.ts'

export const KEY_ID_BYTES = 16
const FORM = 1
const HEAD_BYTES = 1 + KEY_ID_BYTES + SALT_BYTES
/** How much longer a sealed value is than what it holds. */
export const SEALED_OVERHEAD_BYTES = HEAD_BYTES + TAG_BYTES
const INFO = 'causeway-sealed-value/1'
const NONCE = Buffer.alloc(NONCE_BYTES)

/** Where a value belongs. A value that somebody moves to another row, column, project or organisation doesn't open there. */
export interface Place {
  readonly organisation: string
  /** '' for what belongs to none. */
  readonly project: string
  /** `table.column`, or what else it is for. */
  readonly purpose: string
  /** Key of the row. */
  readonly context: string
}

/** @param keyId  hex of 16 octets @param salt  32 random octets, never used before */
export function sealValue(key: KeyObject, keyId: string, salt: Uint8Array, place: Place, plain: Uint8Array): Buffer {
  const head = Buffer.concat([Buffer.of(FORM), Buffer.from(keyId, 'hex'), salt])
  if (head.length !== HEAD_BYTES) throw new RangeError('a key id has 16 octets and a salt 32')
  return Buffer.concat([head, ...seal(deriveKey(key, salt, INFO), NONCE, associatedData(head, place), [plain])])
}

/** undefined when it was altered, was sealed for another place, or by another key than `key`. */
export function openValue(key: KeyObject, place: Place, sealed: Uint8Array): Buffer | undefined {
  if (sealedBy(sealed) === undefined) return undefined
  const head = sealed.subarray(0, HEAD_BYTES)
  const valueKey = deriveKey(key, head.subarray(1 + KEY_ID_BYTES), INFO)
  return unseal(valueKey, NONCE, associatedData(head, place), sealed.subarray(HEAD_BYTES))
}

/** Id of the key that is said to have sealed it; undefined when this is no sealed value. */
export function sealedBy(sealed: Uint8Array): string | undefined {
  if (sealed.length < SEALED_OVERHEAD_BYTES || sealed[0] !== FORM) return undefined
  return Buffer.from(sealed.subarray(1, 1 + KEY_ID_BYTES)).toString('hex')
}

/** Each part with its length before it: no two places have the same octets. */
function associatedData(head: Uint8Array, { organisation, project, purpose, context }: Place): Buffer {
  const parts: Uint8Array[] = [head]
  for (const text of [organisation, project, purpose, context]) {
    const bytes = Buffer.from(text)
    const length = Buffer.alloc(4)
    length.writeUInt32BE(bytes.length)
    parts.push(length, bytes)
  }
  return Buffer.concat(parts)
}
