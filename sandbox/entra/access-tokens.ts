// What a resource does with an access token it was sent: signature, issuer, audience and time, by the keys of the tenant it claims to be of.
import { decodeJwt, decodeProtectedHeader, errors, jwtVerify } from 'jose'
import type { JWTPayload } from 'jose'
import type { EntraState } from './entra-state.ts'
import { issuerOf } from './tokens.ts'

/** An application's own token; those of signed-in people are none. */
export interface AppToken {
  readonly tenantId: string
  readonly clientId: string
  readonly roles: readonly string[]
}

interface Verified extends AppToken {
  readonly audience: string
  /** ms since the epoch */
  readonly expiresAtMs: number
}

const MAX_REMEMBERED = 1_000

/** Remembers what it has verified: a client sends the same token for an hour. */
export class AccessTokens {
  readonly #state: EntraState
  readonly #verified = new Map<string, Verified>()

  constructor(state: EntraState) {
    this.#state = state
  }

  /** @param authorization  the header. @returns undefined for no token, one that is not good here and now, or a person's */
  async read(authorization: string | undefined, audience: string): Promise<AppToken | undefined> {
    const token = /^Bearer ([\w-]+\.[\w-]+\.[\w-]+)$/i.exec(authorization ?? '')?.[1]
    if (token === undefined) return undefined
    const verified = this.#verified.get(token) ?? (await this.#verify(token))
    if (verified === undefined || verified.audience !== audience) return undefined
    if (verified.expiresAtMs <= this.#state.nowMs()) return undefined
    const { tenantId, clientId, roles } = verified
    // As continuous access evaluation has it: a token of an application that was put out is worth nothing at once.
    if (!this.#state.directory.isLetIn(tenantId, clientId)) return undefined
    return { tenantId, clientId, roles }
  }

  async #verify(token: string): Promise<Verified | undefined> {
    const claims = await this.#claims(token)
    const { aud, appid, tid, roles = [], exp, idtyp } = claims ?? {}
    if (typeof aud !== 'string' || typeof appid !== 'string' || typeof tid !== 'string') return undefined
    if (idtyp !== 'app' || exp === undefined || !Array.isArray(roles)) return undefined
    const verified: Verified = {
      tenantId: tid,
      clientId: appid,
      roles: roles.filter((role) => typeof role === 'string'),
      audience: aud,
      expiresAtMs: exp * 1000,
    }
    for (const oldest of this.#verified.keys()) {
      if (this.#verified.size < MAX_REMEMBERED) break
      this.#verified.delete(oldest)
    }
    this.#verified.set(token, verified)
    return verified
  }

  async #claims(token: string): Promise<JWTPayload | undefined> {
    try {
      const { kid } = decodeProtectedHeader(token)
      const { tid } = decodeJwt(token)
      const tenant = this.#state.directory.tenants.find(({ id }) => id === tid)
      const key = tenant && (await this.#state.keysOf(tenant)).published(kid ?? '')
      if (tenant === undefined || key === undefined) return undefined
      const { payload } = await jwtVerify(token, key.publicKey, {
        algorithms: ['RS256'],
        issuer: issuerOf(this.#state.issuerOrigin, tenant.id),
        currentDate: new Date(this.#state.nowMs()),
      })
      return payload
    } catch (error) {
      if (error instanceof errors.JOSEError || error instanceof TypeError) return undefined // not a token, or not a good one
      throw error
    }
  }
}
