// Tokens of our application for itself, one for each connection and service, asked for through MSAL with the connection's certificate. In memory only;
// renewed five minutes early; nobody reads what is in them. MSAL keeps nothing: each request has an object of its own, so that its habit of refusing for
// a minute what it was once refused (microsoft-365.md §2.1, traps) can't make us wait longer than the service asked.
import type { INetworkModule } from '@azure/msal-node'
import { readAppCredential } from '../access/app-credential.ts'
import type { AppCredential } from '../access/app-credential.ts'
import { msalFor } from '../access/entra-tokens.ts'
import { LoginNetwork, LoginUnavailable } from '../access/login-network.ts'
import type { Connection, ConnectionPlace } from './clients.ts'
import type { Endpoint } from './endpoints.ts'
import { MicrosoftError } from './microsoft-error.ts'
import { judgeTokenRefusal, readTokenRefusal } from './token-error.ts'

/** Of the errors below. */
export const TOKEN_OPERATION = 'POST /oauth2/v2.0/token'
const RENEW_EARLY_MS = 5 * 60_000
/** A token that ends sooner is no good for a call that waits for its turn. */
const USABLE_MS = 60_000
const MAX_LIFE_MS = 24 * 3_600_000
const MAX_TOKEN_LENGTH = 65_536
const TOO_MANY_REQUESTS = 429

export interface TokenPlace {
  readonly connection: Connection
  readonly login: Endpoint
  readonly audience: string
}

/** @param error  undefined: it was given */
type OnAsked = (place: ConnectionPlace, error: MicrosoftError | undefined, tookMs: number) => void

interface Held {
  token?: string
  expiresAtMs: number
  /** Everybody who needs it meanwhile waits for the same request. */
  asking?: Promise<string>
  /** Until then the login service wants to be left alone. */
  restsUntilMs: number
}

export class AppTokens {
  readonly #now: () => number
  readonly #held = new Map<string, Held>()
  readonly #networks = new Map<string, LoginNetwork>()
  readonly #onAsked: OnAsked

  /** @param now  ms since the epoch @param onAsked  told of each token that was asked for */
  constructor(now: () => number, onAsked: OnAsked = () => {}) {
    this.#now = now
    this.#onAsked = onAsked
  }

  /** @throws MicrosoftError */
  async tokenFor(place: TokenPlace): Promise<string> {
    const key = keyOf(place)
    const held = this.#held.get(key) ?? { expiresAtMs: 0, restsUntilMs: 0 }
    this.#held.set(key, held)
    const now = this.#now()
    const usable = held.expiresAtMs - now > USABLE_MS ? held.token : undefined
    if (usable !== undefined && held.expiresAtMs - now > RENEW_EARLY_MS) return usable
    if (held.restsUntilMs > now) {
      if (usable !== undefined) return usable
      throw new MicrosoftError('THROTTLED', {
        status: TOO_MANY_REQUESTS,
        waitMs: held.restsUntilMs - now,
        operation: TOKEN_OPERATION,
      })
    }
    held.asking ??= this.#ask(place, held).finally(() => {
      delete held.asking
    })
    try {
      return await held.asking
    } catch (error) {
      // It could not be renewed yet; the old one is still good.
      if (usable !== undefined && error instanceof MicrosoftError && error.recovery === 'retry') return usable
      throw error
    }
  }

  /** It was refused. @param token  only this one: somebody may have got a new one meanwhile */
  drop(place: TokenPlace, token: string): void {
    const held = this.#held.get(keyOf(place))
    if (held?.token !== token) return
    delete held.token
    held.expiresAtMs = 0
  }

  forget(place: ConnectionPlace): void {
    const prefix = placeKey(place)
    for (const key of this.#held.keys()) if (key.startsWith(prefix)) this.#held.delete(key)
  }

  async #ask(place: TokenPlace, held: Held): Promise<string> {
    const askedMs = this.#now()
    try {
      const { token, expiresIn } = await this.#askTwiceForSkew(place)
      this.#onAsked(place.connection, undefined, this.#now() - askedMs)
      held.token = token
      held.expiresAtMs = this.#now() + lifeMs(expiresIn)
      return token
    } catch (error) {
      if (error instanceof MicrosoftError) {
        this.#onAsked(place.connection, error, this.#now() - askedMs)
        if (error.code === 'THROTTLED') held.restsUntilMs = this.#now() + (error.waitMs ?? 0)
      }
      throw error
    }
  }

  /** A clock that was just put right gives a good assertion the second time; it is made anew for each request. */
  async #askTwiceForSkew(place: TokenPlace): Promise<{ token: string; expiresIn: unknown }> {
    const credential = credentialOf(place.connection)
    try {
      return await this.#askOnce(place, credential)
    } catch (error) {
      if (!(error instanceof MicrosoftError) || error.code !== 'CLOCK_SKEW') throw error
      return await this.#askOnce(place, credential)
    }
  }

  async #askOnce({ connection, login, audience }: TokenPlace, credential: AppCredential) {
    const watch = watched(this.#networkOf(login))
    const app = { clientId: connection.clientId, credential }
    const msal = msalFor(connection.entraTenantId, watch.network, { endpoint: login, app, now: this.#now })
    let token: string | undefined
    try {
      const result = await msal.acquireTokenByClientCredential({ scopes: [`${audience}/.default`], skipCache: true })
      token = result?.accessToken
    } catch (cause) {
      throw this.#errorOf(watch.seen(), credential, cause)
    }
    const { answer } = watch.seen()
    if (token === undefined || token.length > MAX_TOKEN_LENGTH || !/^[!-~]+$/.test(token))
      throw new MicrosoftError('TRANSIENT', {
        status: answer?.status,
        serviceCode: 'no-token',
        operation: TOKEN_OPERATION,
      })
    return { token, expiresIn: answer?.body['expires_in'] }
  }

  #errorOf({ outage, answer }: SeenAtLogin, { certificate }: AppCredential, cause: unknown): MicrosoftError {
    if (outage !== undefined) {
      const { status, retryAfterMs: waitMs } = outage
      return new MicrosoftError(status === TOO_MANY_REQUESTS ? 'THROTTLED' : 'TRANSIENT', {
        status,
        waitMs: waitMs ?? (status === TOO_MANY_REQUESTS ? 15_000 : undefined),
        operation: TOKEN_OPERATION,
        cause: outage,
      })
    }
    // MSAL's error quotes Entra's text, which may name the tenant and more: what we understood of the answer is all that is kept.
    if (answer === undefined || answer.status < 400)
      return new MicrosoftError('TRANSIENT', {
        status: answer?.status,
        serviceCode: 'no-token',
        operation: TOKEN_OPERATION,
        cause,
      })
    const refusal = readTokenRefusal(answer.status, answer.body)
    const code = judgeTokenRefusal(refusal)
    const isOutOfDate = certificate.validToDate.getTime() < this.#now()
    return new MicrosoftError(code === 'AUTH_TOKEN' && isOutOfDate ? 'CREDENTIAL_EXPIRED' : code, {
      status: answer.status,
      serviceCode: refusal.entraCode === undefined ? refusal.error : `AADSTS${refusal.entraCode}`,
      operation: TOKEN_OPERATION,
    })
  }

  #networkOf(login: Endpoint): LoginNetwork {
    const key = `${login.origin} ${login.reachAt}`
    const network = this.#networks.get(key) ?? new LoginNetwork(login)
    this.#networks.set(key, network)
    return network
  }
}

interface SeenAtLogin {
  readonly outage: LoginUnavailable | undefined
  readonly answer: { readonly status: number; readonly body: Readonly<Record<string, unknown>> } | undefined
}

/** MSAL hands on neither what a network client throws nor the body of a refusal; this remembers both. */
function watched(network: LoginNetwork): { network: INetworkModule; seen: () => SeenAtLogin } {
  let seen: SeenAtLogin = { outage: undefined, answer: undefined }
  return {
    network: {
      sendGetRequestAsync: () => Promise.reject(new Error('unreachable: the metadata is given')),
      async sendPostRequestAsync<T>(url: string, options?: Parameters<LoginNetwork['sendPostRequestAsync']>[1]) {
        try {
          const answer = await network.sendPostRequestAsync<T>(url, options)
          seen = { outage: undefined, answer: { status: answer.status, body: answer.body as Record<string, unknown> } }
          return answer
        } catch (error) {
          if (error instanceof LoginUnavailable) seen = { outage: error, answer: undefined }
          throw error
        }
      },
    },
    seen: () => seen,
  }
}

function credentialOf({ certificate, privateKey }: Connection): AppCredential {
  try {
    return readAppCredential({ certificate, privateKey })
  } catch (cause) {
    throw new MicrosoftError('AUTH_TOKEN', { serviceCode: 'unusable-credential', operation: TOKEN_OPERATION, cause })
  }
}

/** Seconds, as a number or as text. Without it a token is good for this once. */
function lifeMs(expiresIn: unknown): number {
  const seconds = typeof expiresIn === 'number' || typeof expiresIn === 'string' ? Number(expiresIn) : Number.NaN
  return Number.isFinite(seconds) && seconds > 0 ? Math.min(seconds * 1_000, MAX_LIFE_MS) : 0
}

const placeKey = ({ organisation, project, tenant }: ConnectionPlace): string => `${organisation} ${project} ${tenant} `

/** With the certificate: a new one is tried as soon as it is there. */
function keyOf({ connection, login, audience }: TokenPlace): string {
  const { clientId, entraTenantId, certificate } = connection
  return `${placeKey(connection)}${login.origin} ${entraTenantId} ${clientId} ${audience} ${certificate}`
}
