// The one HTTP client for the login endpoint, MSAL's included (WS-5): that origin and no other, no redirects, a deadline, a size cap.
// The host is a constant of ours and its certificate is checked, so a forged DNS answer leads nowhere; with a sandbox it is an operator's choice.
import type { INetworkModule, NetworkRequestOptions, NetworkResponse } from '@azure/msal-node'
import type { LoginEndpoint } from './login-endpoint.ts'

export interface LoginLimits {
  /** For the whole exchange, body included. */
  readonly timeoutMs: number
  readonly maxBodyBytes: number
}

/** A key set is about 20 KiB, a token answer below 10. */
export const LOGIN_LIMITS: LoginLimits = { timeoutMs: 10_000, maxBodyBytes: 512 * 1024 }

const MAX_RETRY_AFTER_MS = 60 * 60_000
const TOO_MANY_REQUESTS = 429

/** No usable answer, for a reason that may pass. */
export class LoginUnavailable extends Error {
  override readonly name = 'LoginUnavailable'
  /** ms that the service asked us to wait */
  readonly retryAfterMs: number | undefined
  /** HTTP, where there was an answer with a head */
  readonly status: number | undefined

  constructor(
    message: string,
    options: { cause?: unknown; retryAfterMs?: number | undefined; status?: number | undefined } = {},
  ) {
    super(message, 'cause' in options ? { cause: options.cause } : {})
    this.retryAfterMs = options.retryAfterMs
    this.status = options.status
  }
}

export class LoginNetwork implements INetworkModule {
  readonly #endpoint: LoginEndpoint
  readonly #limits: LoginLimits

  constructor(endpoint: LoginEndpoint, limits: LoginLimits = LOGIN_LIMITS) {
    this.#endpoint = endpoint
    this.#limits = limits
  }

  /** @throws LoginUnavailable; Error for any other origin */
  sendGetRequestAsync<T>(url: string, options?: NetworkRequestOptions): Promise<NetworkResponse<T>> {
    return this.#send<T>(url, 'GET', options)
  }

  /** @throws LoginUnavailable; Error for any other origin */
  sendPostRequestAsync<T>(url: string, options?: NetworkRequestOptions): Promise<NetworkResponse<T>> {
    return this.#send<T>(url, 'POST', options)
  }

  async #send<T>(
    text: string,
    method: 'GET' | 'POST',
    options: NetworkRequestOptions = {},
  ): Promise<NetworkResponse<T>> {
    const url = new URL(text)
    if (url.origin !== this.#endpoint.origin) throw new Error(`the login client refuses other origins than its own`)
    const body = method === 'POST' ? { body: options.body ?? '' } : {}
    let response: Response
    let answer: string | undefined
    try {
      response = await fetch(`${this.#endpoint.reachAt}${url.pathname}${url.search}`, {
        method,
        headers: options.headers ?? {},
        ...body,
        redirect: 'manual',
        signal: AbortSignal.timeout(this.#limits.timeoutMs),
      })
      answer = await readCapped(response, this.#limits.maxBodyBytes)
    } catch (cause) {
      throw new LoginUnavailable('the login service did not answer', { cause })
    }
    const { status } = response
    if (answer === undefined) throw new LoginUnavailable('the login service answered too much')
    if (status >= 500 || status === TOO_MANY_REQUESTS || (status >= 300 && status < 400)) {
      throw new LoginUnavailable(`the login service answered ${status}`, {
        retryAfterMs: retryAfterMs(response),
        status,
      })
    }
    return { status, headers: Object.fromEntries(response.headers), body: parseObject(answer, status) as T }
  }
}

/** undefined when there is more than `maxBytes`, counted after decompression; the rest is not read. */
async function readCapped(response: Response, maxBytes: number): Promise<string | undefined> {
  if (response.body === null) return ''
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of response.body) {
    size += chunk.length
    if (size > maxBytes) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function parseObject(text: string, status: number): object {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new LoginUnavailable(`the login service answered ${status} without JSON`, { cause })
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  throw new LoginUnavailable(`the login service answered ${status} without a JSON object`)
}

/** In seconds only: Entra sends no dates there. */
function retryAfterMs(response: Response): number | undefined {
  const text = response.headers.get('retry-after')
  return text !== null && /^\d{1,9}$/.test(text) ? Math.min(Number(text) * 1000, MAX_RETRY_AFTER_MS) : undefined
}
