// RS256 keys of one tenant, rotated as Entra rotates them: a new key stands in the key set before anything is signed with it, and the old one
// stays there until whatever it signed has expired.
import { createHash, generateKeyPair } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { promisify } from 'node:util'

const generate = promisify(generateKeyPair)

export interface SigningKey {
  readonly kid: string
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
}

export async function newSigningKey(): Promise<SigningKey> {
  const pair = await generate('rsa', { modulusLength: 2048 })
  const spki = pair.publicKey.export({ type: 'spki', format: 'der' })
  return { ...pair, kid: createHash('sha256').update(spki).digest('base64url').slice(0, 27) }
}

export class TenantKeys {
  /** Oldest first. */
  #published: readonly SigningKey[]
  #signing: SigningKey

  constructor(first: SigningKey) {
    this.#published = [first]
    this.#signing = first
  }

  get signing(): SigningKey {
    return this.#signing
  }

  /** In the key set now. */
  published(kid: string): SigningKey | undefined {
    return this.#published.find((key) => key.kid === kid)
  }

  /** Stands in the key set from now on; signs nothing yet. */
  async publishNext(): Promise<SigningKey> {
    const next = await newSigningKey()
    this.#published = [...this.#published, next]
    return next
  }

  /** Signs with the newest published key from now on. */
  useNewest(): void {
    this.#signing = this.#published.at(-1) ?? this.#signing
  }

  /** Takes every key out of the set but the one in use. */
  dropOld(): void {
    this.#published = [this.#signing]
  }

  /** JWKS members (RFC 7517), with the issuer whose tokens each key may sign. */
  publicJwks(issuer: string): readonly Record<string, unknown>[] {
    return this.#published.map(({ kid, publicKey }) => ({
      ...publicKey.export({ format: 'jwk' }),
      kid,
      use: 'sig',
      cloud_instance_name: 'microsoftonline.com',
      issuer,
    }))
  }
}
