// Named keys in Azure Key Vault (KM-1): RSA keys that never leave it, wrapping with RSA-OAEP-256, which standard vaults, premium vaults and
// managed HSMs all have (A256KW is the managed HSM's alone).
// Every project has a key of its own in the vault, beside the installation's: so deleting and purging that one key makes the project
// unreadable in every backup of the database (KM-3). Under a single root key nothing short of destroying all projects would.
// OAEP binds no context, so a hash of it is wrapped along. Nor does it prove who wrapped: somebody who can write to the database could
// put in a key of his own for what is written from then on; what was sealed before stays closed to him.
// SSRF: one host, https, no redirects, no proxy from the environment; the SDK checks that the challenge's resource is the vault's domain.
import { createHash, timingSafeEqual } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { Agent } from 'node:https'
import type { LookupFunction } from 'node:net'
import { KeyClient } from '@azure/keyvault-keys'
import type { KeyVaultKey } from '@azure/keyvault-keys'
import type { TokenCredential } from '@azure/identity'
import { KEY_BYTES, keyFromBytes } from '../../common/seal.ts'
import { judgeVaultError, vaultStatus } from './key-vault-error.ts'
import { INSTALLATION_KEY, KeyServiceUnavailable, KeyUnusable, checkedKeyName } from './key-provider.ts'
import type { Destruction, KeyName, KeyProvider, KeyServiceHealth, WrappedKey } from './key-provider.ts'

const ALGORITHM = 'RSA-OAEP-256'
const RSA_BITS = 3072
const VERSION = /^[0-9a-zA-Z]{1,64}$/
/** Domains of Key Vault and of managed HSM in Microsoft's clouds (Microsoft Learn: "Azure Key Vault authentication"). */
const VAULT_DOMAINS = [
  'vault.azure.net',
  'managedhsm.azure.net',
  'vault.usgovcloudapi.net',
  'managedhsm.usgovcloudapi.net',
  'vault.azure.cn',
  'managedhsm.azure.cn',
]
const DEADLINE_MS = 10_000
const FIRST_WAIT_MS = 200
const ATTEMPTS = 3
const POLLS_UNTIL_GONE = 25

export interface KeyVaultOptions {
  /** `https://NAME.vault.azure.net`, nothing after the host. */
  readonly vaultUrl: string
  readonly credential: TokenCredential
  /** Before each key's name, where installations share a vault; lower-case letters, digits, `-`. */
  readonly prefix?: string
  /** Keys are made in the vault's HSM: for premium vaults; a managed HSM always does. */
  readonly isHardware?: boolean
  /** For one operation with its repetitions. */
  readonly deadlineMs?: number
  /** Authorities other than the public ones, and where the vault's name leads. */
  readonly tls?: { readonly ca?: string; readonly lookup?: LookupFunction }
}

export interface KeyVaultDeps {
  /** ms since the epoch */
  readonly now: () => number
  readonly wait: (ms: number, signal: AbortSignal) => Promise<void>
}

/** @throws TypeError in words when the address is not one of a vault */
export function keyVaultProvider(options: KeyVaultOptions, deps: KeyVaultDeps): KeyProvider {
  return new KeyVaultProvider(options, deps)
}

/** @returns `https://host[:port]` */
export function parseVaultUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol !== 'https:') throw new TypeError('a key vault has an https address')
  if (url.username !== '' || url.password !== '' || url.pathname !== '/' || url.search !== '' || url.hash !== '') {
    throw new TypeError('the address of a key vault ends with its host')
  }
  if (!VAULT_DOMAINS.some((domain) => url.hostname.endsWith(`.${domain}`))) {
    throw new TypeError(`a key vault is in one of ${VAULT_DOMAINS.join(', ')}`)
  }
  return url.origin
}

class KeyVaultProvider implements KeyProvider {
  readonly id: string
  readonly #origin: string
  readonly #prefix: string
  readonly #isHardware: boolean
  readonly #deadlineMs: number
  readonly #agent: Agent
  readonly #client: KeyClient
  readonly #deps: KeyVaultDeps

  constructor(options: KeyVaultOptions, deps: KeyVaultDeps) {
    this.#origin = parseVaultUrl(options.vaultUrl)
    this.#prefix = checkedKeyName(options.prefix ?? 'causeway')
    this.id = `azure-key-vault:${new URL(this.#origin).host}/${this.#prefix}`
    this.#isHardware = options.isHardware ?? this.#origin.includes('.managedhsm.') // managed HSMs make no other
    this.#deadlineMs = options.deadlineMs ?? DEADLINE_MS
    this.#deps = deps
    this.#agent = new Agent({ keepAlive: true, maxSockets: 8, minVersion: 'TLSv1.2', ...options.tls })
    this.#client = new KeyClient(this.#origin, options.credential, {
      agent: this.#agent,
      redirectOptions: { handleRedirects: false, maxRetries: 0 },
      retryOptions: { maxRetries: 0 }, // ours are below: they know the deadline
    })
  }

  async create(key: KeyName): Promise<void> {
    await this.#try(key, async (abortSignal, name) => {
      try {
        this.#checked(await this.#client.getKey(name, { abortSignal }), key)
        return
      } catch (error) {
        if (vaultStatus(error) !== 404) throw error
      }
      const made = await this.#client.createRsaKey(name, {
        keySize: RSA_BITS,
        keyOps: ['wrapKey', 'unwrapKey'],
        hsm: this.#isHardware,
        abortSignal,
      })
      this.#checked(made, key)
    })
  }

  async wrap(key: KeyName, secret: KeyObject, context: string): Promise<WrappedKey> {
    return this.#try(key, async (abortSignal, name) => {
      const version = this.#checked(await this.#client.getKey(name, { abortSignal }), key)
      const plain = Buffer.concat([secret.export(), hashOf(context)])
      const client = this.#client.getCryptographyClient(name, { keyVersion: version })
      const { result } = await client.wrapKey(ALGORITHM, plain, { abortSignal })
      plain.fill(0)
      return { provider: this.id, key, version, bytes: result }
    })
  }

  async unwrap({ provider, key, version, bytes }: WrappedKey, context: string): Promise<KeyObject> {
    if (provider !== this.id) throw new KeyUnusable(`wrapped by ${provider}, and this key vault is ${this.id}`)
    return this.#try(key, async (abortSignal, name) => {
      const keyVersion = checkedVersion(version)
      this.#checked(await this.#client.getKey(name, { version: keyVersion, abortSignal }), key, keyVersion)
      const client = this.#client.getCryptographyClient(name, { keyVersion })
      const { result } = await client.unwrapKey(ALGORITHM, bytes, { abortSignal })
      const plain = Buffer.from(result)
      if (plain.length !== KEY_BYTES * 2 || !timingSafeEqual(plain.subarray(KEY_BYTES), hashOf(context))) {
        throw new KeyUnusable(`what is wrapped by ${key} is of another place`)
      }
      const secret = keyFromBytes(plain.subarray(0, KEY_BYTES))
      plain.fill(0)
      return secret
    })
  }

  async rotate(key: KeyName): Promise<string> {
    return this.#try(key, async (abortSignal, name) => {
      return this.#checked(await this.#client.rotateKey(name, { abortSignal }), key)
    })
  }

  /** Key Vault deletes keys, not versions: of a version it can only be said that it is disabled. */
  async destroy(key: KeyName, version?: string): Promise<Destruction> {
    if (version === undefined) return this.#try(key, (abortSignal, name) => this.#deleteAndPurge(name, abortSignal))
    return this.#try(key, async (abortSignal, name) => {
      await this.#client.updateKeyProperties(name, checkedVersion(version), {
        enabled: false,
        abortSignal,
      })
      return { kind: 'disabled' }
    })
  }

  async health(): Promise<KeyServiceHealth> {
    try {
      await this.#try(INSTALLATION_KEY, async (abortSignal, name) => {
        await this.#client.getKey(name, { abortSignal }).catch((error: unknown) => {
          if (vaultStatus(error) !== 404) throw error
        })
      })
      return { isReady: true }
    } catch (error) {
      return { isReady: false, reason: error instanceof Error ? error.message : String(error) }
    }
  }

  close(): void {
    this.#agent.destroy()
  }

  async #deleteAndPurge(name: string, abortSignal: AbortSignal): Promise<Destruction> {
    const isDeleting = await this.#client.beginDeleteKey(name, { abortSignal }).then(
      () => true,
      (error: unknown) => {
        if (vaultStatus(error) === 404) return false
        if (vaultStatus(error) === 409) return true // somebody, perhaps we before a crash, began it already
        throw error
      },
    )
    // Deleting takes the vault some seconds, during which the key is neither here nor among the deleted. An earlier attempt may have begun it:
    // that it is gone for good is believed only after a while.
    let deleted = await answered(this.#client.getDeletedKey(name, { abortSignal }))
    for (let poll = 0; deleted === undefined && (isDeleting || poll < POLLS_UNTIL_GONE); poll++) {
      await this.#deps.wait(FIRST_WAIT_MS, abortSignal)
      deleted = await answered(this.#client.getDeletedKey(name, { abortSignal }))
    }
    if (deleted === undefined) return { kind: 'destroyed' }
    const { recoveryLevel = '', scheduledPurgeDate } = deleted.properties
    const isPurged = recoveryLevel.includes('Purgeable') && (await this.#purge(name, abortSignal))
    if (!isPurged) {
      if (scheduledPurgeDate === undefined) throw new KeyServiceUnavailable('the key vault does not say when it purges')
      return { kind: 'scheduled', purgeAt: scheduledPurgeDate }
    }
    while ((await answered(this.#client.getDeletedKey(name, { abortSignal }))) !== undefined) {
      await this.#deps.wait(FIRST_WAIT_MS, abortSignal)
    }
    return { kind: 'destroyed' }
  }

  /** @returns false where the vault doesn't let us: purge protection, which nobody can shorten, or a role without `purge` */
  async #purge(name: string, abortSignal: AbortSignal): Promise<boolean> {
    try {
      await this.#client.purgeDeletedKey(name, { abortSignal })
    } catch (error) {
      if (vaultStatus(error) === 403) return false
      if (vaultStatus(error) !== 404 && vaultStatus(error) !== 409) throw error // those: it is on its way already
    }
    return true
  }

  /** The version, once it is certain that the vault speaks of the key that was asked for. */
  #checked({ id = '', properties }: KeyVaultKey, key: KeyName, wanted?: string): string {
    const version = properties.version ?? ''
    const expected = `${this.#origin}/keys/${this.#nameOf(key)}/${wanted ?? checkedVersion(version)}`
    if (id.toLowerCase() !== expected.toLowerCase())
      throw new KeyUnusable(`the key vault answers with another key than ${key}`)
    if (properties.enabled === false) throw new KeyUnusable(`${key} is disabled in the key vault`)
    // The SDK refuses these by itself, with an error that looks like any other.
    if (properties.expiresOn !== undefined && properties.expiresOn.getTime() <= this.#deps.now()) {
      throw new KeyUnusable(`${key} is past the expiry that somebody set in the key vault`)
    }
    return version
  }

  #nameOf(key: KeyName): string {
    return `${this.#prefix}-${checkedKeyName(key)}`
  }

  /** Again while the vault is busy or away, as long as the deadline and its Retry-After allow. */
  async #try<T>(key: KeyName, work: (abortSignal: AbortSignal, name: string) => Promise<T>): Promise<T> {
    const name = this.#nameOf(key)
    const deadline = this.#deps.now() + this.#deadlineMs
    const signal = AbortSignal.timeout(this.#deadlineMs)
    for (let attempt = 1; ; attempt++) {
      try {
        return await work(signal, name)
      } catch (error) {
        const judged = judgeVaultError(error, key, this.#deps.now())
        if (!(judged instanceof KeyServiceUnavailable) || attempt === ATTEMPTS || signal.aborted) throw judged
        const waitMs = judged.retryAfterMs ?? FIRST_WAIT_MS * 2 ** (attempt - 1)
        if (this.#deps.now() + waitMs >= deadline) throw judged
        await this.#deps.wait(waitMs, signal).catch(() => {
          throw judged // the deadline came first
        })
      }
    }
  }
}

/** undefined where the vault says that there is no such key (404). */
async function answered<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call
  } catch (error) {
    if (vaultStatus(error) === 404) return undefined
    throw error
  }
}

function checkedVersion(version: string): string {
  if (!VERSION.test(version)) throw new KeyUnusable('not a version of a key in a key vault')
  return version
}

const hashOf = (context: string): Buffer => createHash('sha256').update(context).digest()
