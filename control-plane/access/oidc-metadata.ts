// Signing keys of a tenant, from its own metadata at the pinned origin. The set of the tenant, not the shared one: a key counts only for the
// tenant that publishes it. Headers of tokens (`jku`, `jwk`, `x5u`) are never looked at.
import { createPublicKey } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { tenantEndpoints } from './login-endpoint.ts'
import type { LoginEndpoint } from './login-endpoint.ts'
import type { LoginNetwork } from './login-network.ts'
import { LoginUnavailable } from './login-network.ts'

/** The metadata speaks for somebody else than the tenant at the pinned origin. Not temporary: nothing is believed until somebody has looked. */
export class UntrustedMetadata extends Error {
  override readonly name = 'UntrustedMetadata'
}

interface KeySet {
  readonly fetchedAt: number
  readonly keys: ReadonlyMap<string, KeyObject>
}

/** Entra advises to look daily; a key that was withdrawn in an emergency should not live that long with us. */
const MAX_AGE_MS = 60 * 60_000
/** An unknown key id fetches the set again, but tokens full of invented ones must not make us hammer Entra. */
const MIN_REFETCH_MS = 30_000
const MIN_RSA_BITS = 2048

export class OidcMetadata {
  readonly #endpoint: LoginEndpoint
  readonly #network: LoginNetwork
  readonly #now: () => number
  readonly #sets = new Map<string, KeySet>()
  readonly #fetching = new Map<string, Promise<KeySet>>()

  /** @param deps.now  ms since the epoch */
  constructor(deps: { endpoint: LoginEndpoint; network: LoginNetwork; now: () => number }) {
    this.#endpoint = deps.endpoint
    this.#network = deps.network
    this.#now = deps.now
  }

  /**
   * @param tenantId  GUID, lower case, of a tenant that may sign in: each costs a cache entry
   * @returns undefined when the tenant publishes no such key
   * @throws LoginUnavailable, UntrustedMetadata
   */
  async signingKey(tenantId: string, keyId: string): Promise<KeyObject | undefined> {
    const known = this.#sets.get(tenantId)
    const ageMs = known === undefined ? Infinity : this.#now() - known.fetchedAt
    const found = known?.keys.get(keyId)
    const isFresh = found === undefined ? ageMs < MIN_REFETCH_MS : ageMs < MAX_AGE_MS
    return isFresh ? found : (await this.#fetchOnce(tenantId)).keys.get(keyId)
  }

  /** Those who ask at once share one fetch. */
  #fetchOnce(tenantId: string): Promise<KeySet> {
    let fetching = this.#fetching.get(tenantId)
    if (fetching === undefined) {
      fetching = this.#fetch(tenantId).finally(() => this.#fetching.delete(tenantId))
      this.#fetching.set(tenantId, fetching)
    }
    return fetching
  }

  async #fetch(tenantId: string): Promise<KeySet> {
    const { issuer, metadata } = tenantEndpoints(this.#endpoint, tenantId)
    const keysUrl = readMetadata(await this.#get(metadata), issuer, this.#endpoint.origin)
    const set = { fetchedAt: this.#now(), keys: readKeySet(await this.#get(keysUrl), issuer) }
    this.#sets.set(tenantId, set)
    return set
  }

  async #get(url: string): Promise<Readonly<Record<string, unknown>>> {
    const { status, body } = await this.#network.sendGetRequestAsync<Readonly<Record<string, unknown>>>(url)
    if (status !== 200) throw new LoginUnavailable(`metadata answered ${status}`)
    return body
  }
}

/** @returns address of the key set. @throws UntrustedMetadata */
export function readMetadata(body: Readonly<Record<string, unknown>>, issuer: string, origin: string): string {
  const { issuer: claimed, jwks_uri: keysUrl } = body as { issuer?: unknown; jwks_uri?: unknown }
  if (claimed !== issuer) throw new UntrustedMetadata('the metadata is of another issuer')
  if (typeof keysUrl !== 'string' || !URL.canParse(keysUrl) || new URL(keysUrl).origin !== origin) {
    throw new UntrustedMetadata('the metadata names keys at another origin')
  }
  return keysUrl
}

/** The RSA signing keys by id; what can't be one is left out. @param issuer  a key that says it is of another one is left out as well */
export function readKeySet(body: Readonly<Record<string, unknown>>, issuer: string): ReadonlyMap<string, KeyObject> {
  const keys = new Map<string, KeyObject>()
  const listed: readonly unknown[] = Array.isArray(body['keys']) ? body['keys'] : []
  for (const jwk of listed) {
    const { kid, kty, use, n, e, issuer: of } = (jwk ?? {}) as Readonly<Record<string, unknown>>
    if (kty !== 'RSA' || (use !== undefined && use !== 'sig') || (of !== undefined && of !== issuer)) continue
    if (typeof kid !== 'string' || typeof n !== 'string' || typeof e !== 'string' || keys.has(kid)) continue
    const key = readRsaKey(n, e)
    if (key !== undefined) keys.set(kid, key)
  }
  return keys
}

function readRsaKey(n: string, e: string): KeyObject | undefined {
  try {
    const key = createPublicKey({ key: { kty: 'RSA', n, e }, format: 'jwk' })
    return (key.asymmetricKeyDetails?.modulusLength ?? 0) >= MIN_RSA_BITS ? key : undefined
  } catch {
    return undefined // numbers that make no key
  }
}
