// The keys of a simulated Key Vault: real RSA keys with versions, soft deletion and purging as the vault does them. In memory only.
// (Microsoft Learn: "Azure Key Vault soft-delete overview", "Key Vault REST API reference, keys")
import { constants, generateKeyPair, privateDecrypt, publicEncrypt, randomBytes } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { promisify } from 'node:util'

const generate = promisify(generateKeyPair)
const RETENTION_MS = 90 * 86_400_000
const OAEP_HASHES: Record<string, string> = { 'RSA-OAEP': 'sha1', 'RSA-OAEP-256': 'sha256' }

export type RecoveryLevel = 'Recoverable+Purgeable' | 'Recoverable'

export interface VaultKeyVersion {
  readonly version: string
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
  readonly operations: readonly string[]
  readonly createdMs: number
  readonly bits: number
  isEnabled: boolean
  updatedMs: number
  expiresMs?: number
}

/** `versions` ascend by age. */
export interface VaultKey {
  readonly name: string
  readonly versions: VaultKeyVersion[]
  readonly type: 'RSA' | 'RSA-HSM'
}

export interface DeletedVaultKey {
  readonly key: VaultKey
  readonly deletedMs: number
  readonly purgeMs: number
  /** How many questions it still takes until the vault has got round to it. */
  pollsUntilDeleted: number
  pollsUntilPurged?: number
}

/** What the vault answers with instead of doing it. */
export class VaultFault extends Error {
  readonly status: number
  readonly code: string
  readonly innerCode: string | undefined

  constructor(status: number, code: string, message: string, innerCode?: string) {
    super(message)
    this.status = status
    this.code = code
    this.innerCode = innerCode
  }
}

export class VaultKeys {
  readonly #keys = new Map<string, VaultKey>()
  readonly #deleted = new Map<string, DeletedVaultKey>()
  readonly #now: () => number
  readonly recoveryLevel: RecoveryLevel
  /** Polls that deleting and purging take. */
  pollsToDelete = 0

  constructor(now: () => number, recoveryLevel: RecoveryLevel) {
    this.#now = now
    this.recoveryLevel = recoveryLevel
  }

  /** Names in the vault are case-insensitive. */
  find(name: string): VaultKey {
    const key = this.#keys.get(name.toLowerCase())
    if (key === undefined) throw notFound(name)
    return key
  }

  findVersion(name: string, version: string): VaultKeyVersion {
    const key = this.find(name)
    const found = version === '' ? key.versions.at(-1) : key.versions.find((each) => each.version === version)
    if (found === undefined) throw notFound(`${name}/${version}`)
    return found
  }

  async create(name: string, type: string, bits: number, operations: readonly string[]): Promise<VaultKey> {
    if (type !== 'RSA' && type !== 'RSA-HSM')
      throw new VaultFault(400, 'BadParameter', `Property kty has invalid value: ${type}`)
    if (![2048, 3072, 4096].includes(bits))
      throw new VaultFault(400, 'BadParameter', 'Property key_size has invalid value')
    const id = name.toLowerCase()
    if (this.#deleted.has(id)) {
      throw new VaultFault(
        409,
        'Conflict',
        `Key ${name} is currently in a deleted but recoverable state`,
        'ObjectIsDeletedButRecoverable',
      )
    }
    const { privateKey, publicKey } = await generate('rsa', { modulusLength: bits })
    const key = this.#keys.get(id) ?? { name, versions: [], type }
    const createdMs = this.#now()
    const version = randomBytes(16).toString('hex')
    key.versions.push({
      version,
      privateKey,
      publicKey,
      operations,
      bits,
      createdMs,
      updatedMs: createdMs,
      isEnabled: true,
    })
    this.#keys.set(id, key)
    return key
  }

  /** A version like the newest. */
  async rotate(name: string): Promise<VaultKey> {
    const { bits, operations } = this.findVersion(name, '')
    return this.create(name, this.find(name).type, bits, operations)
  }

  wrap(name: string, version: string, algorithm: string, plain: Uint8Array): Buffer {
    const key = this.#usable(name, version, 'wrapKey')
    return publicEncrypt({ key: key.publicKey, ...oaep(algorithm) }, plain)
  }

  unwrap(name: string, version: string, algorithm: string, wrapped: Uint8Array): Buffer {
    const key = this.#usable(name, version, 'unwrapKey')
    const padding = oaep(algorithm)
    try {
      return privateDecrypt({ key: key.privateKey, ...padding }, wrapped)
    } catch {
      throw new VaultFault(400, 'BadParameter', 'The parameter is incorrect.')
    }
  }

  delete(name: string): DeletedVaultKey {
    const id = name.toLowerCase()
    const key = this.find(name)
    this.#keys.delete(id)
    const deletedMs = this.#now()
    const deleted = { key, deletedMs, purgeMs: deletedMs + RETENTION_MS, pollsUntilDeleted: this.pollsToDelete }
    this.#deleted.set(id, deleted)
    return deleted
  }

  findDeleted(name: string): DeletedVaultKey {
    const id = name.toLowerCase()
    const deleted = this.#deleted.get(id)
    if (deleted === undefined || deleted.pollsUntilDeleted-- > 0) throw notFound(name)
    if (deleted.pollsUntilPurged !== undefined && deleted.pollsUntilPurged-- <= 0) {
      this.#deleted.delete(id)
      throw notFound(name)
    }
    return deleted
  }

  purge(name: string): void {
    const deleted = this.findDeleted(name)
    if (this.recoveryLevel === 'Recoverable') {
      throw new VaultFault(
        403,
        'Forbidden',
        'Operation "purge" is not allowed because purge protection is enabled for this vault',
        'ForbiddenByPolicy',
      )
    }
    deleted.pollsUntilPurged = this.pollsToDelete
  }

  recover(name: string): VaultKey {
    const { key, pollsUntilPurged } = this.findDeleted(name)
    if (pollsUntilPurged !== undefined)
      throw new VaultFault(409, 'Conflict', `Key ${name} is being purged`, 'ObjectIsBeingDeleted')
    this.#deleted.delete(name.toLowerCase())
    this.#keys.set(name.toLowerCase(), key)
    return key
  }

  update(name: string, version: string, change: { isEnabled?: boolean; expiresMs?: number }): VaultKeyVersion {
    const found = this.findVersion(name, version)
    Object.assign(found, change, { updatedMs: this.#now() })
    return found
  }

  #usable(name: string, version: string, operation: string): VaultKeyVersion {
    const found = this.findVersion(name, version)
    if (!found.isEnabled) {
      throw new VaultFault(403, 'Forbidden', `Operation ${operation} is not allowed on a disabled key.`, 'KeyDisabled')
    }
    if (!found.operations.includes(operation))
      throw new VaultFault(403, 'Forbidden', `Operation ${operation} is not permitted on this key.`)
    return found
  }
}

function oaep(algorithm: string): { padding: number; oaepHash: string } {
  const oaepHash = OAEP_HASHES[algorithm]
  if (oaepHash === undefined) throw new VaultFault(400, 'BadParameter', `Property alg has invalid value: ${algorithm}`)
  return { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash }
}

const notFound = (name: string) =>
  new VaultFault(404, 'KeyNotFound', `A key with (name/id) ${name} was not found in this key vault.`)
