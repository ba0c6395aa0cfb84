// Requests to the control plane: its certificate verified, no redirects, answers bounded, everything within a time. What answers is not believed
// beyond that. (RC-1)
import { Agent as HttpAgent, request as httpRequest } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'

export interface Answer {
  readonly status: number
  /** At most `MAX_ANSWER_BYTES`. */
  readonly text: string
  /** The server's clock, ms since the epoch; undefined when it doesn't say. */
  readonly serverTime: number | undefined
}

export interface ControlPlaneClient {
  /** @throws when there is no whole answer in time */
  post(path: string, body: string, token: string | undefined, signal?: AbortSignal): Promise<Answer>
  /** Resolves with the head of an answer, whose body has no end of its own. @throws when none comes in time */
  open(path: string, token: string, signal: AbortSignal): Promise<IncomingMessage>
  /** Ends what is kept open for the next request. */
  close(): void
}

const TIMEOUT_MS = 30_000
const HEAD_TIMEOUT_MS = 15_000
const MAX_ANSWER_BYTES = 256 * 1024
const MAX_HEADER_BYTES = 16 * 1024

export interface ClientTls {
  /** PEM of the authorities that are believed; undefined: the public ones. */
  readonly trust?: readonly string[] | undefined
  /** PEM; shown to who asks for it. */
  readonly certificate?: { readonly chain: string; readonly key: string } | undefined
}

export function createControlPlaneClient(url: string, { trust, certificate }: ClientTls = {}): ControlPlaneClient {
  const isSecure = url.startsWith('https:')
  const agent = isSecure
    ? new HttpsAgent({
        keepAlive: true,
        maxSockets: 4,
        minVersion: 'TLSv1.2',
        ...(trust && { ca: [...trust] }),
        ...(certificate && { cert: certificate.chain, key: certificate.key }),
      })
    : new HttpAgent({ keepAlive: true, maxSockets: 4 })
  const request = isSecure ? httpsRequest : httpRequest

  const send = (
    method: 'GET' | 'POST',
    path: string,
    { token, body, signal }: { token: string | undefined; body?: string; signal: AbortSignal },
  ): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      const sent = request(url + path, {
        method,
        agent,
        signal,
        maxHeaderSize: MAX_HEADER_BYTES,
        headers: {
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...(body === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
        },
      })
      sent.on('response', resolve).on('error', reject)
      sent.end(body)
    })

  return {
    async post(path, body, token, stop) {
      const late = AbortSignal.timeout(TIMEOUT_MS)
      const signal = stop === undefined ? late : AbortSignal.any([late, stop])
      const response = await send('POST', path, { token, body, signal })
      return { status: response.statusCode ?? 0, text: await textOf(response), serverTime: serverTimeOf(response) }
    },
    async open(path, token, signal) {
      const late = new AbortController()
      const timer = setTimeout(() => late.abort(new Error('no answer in time')), HEAD_TIMEOUT_MS)
      try {
        return await send('GET', path, { token, signal: AbortSignal.any([signal, late.signal]) })
      } finally {
        clearTimeout(timer)
      }
    },
    close: () => agent.destroy(),
  }
}

export function serverTimeOf({ headers }: IncomingMessage): number | undefined {
  const at = Date.parse(headers.date ?? '')
  return Number.isNaN(at) ? undefined : at
}

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > MAX_ANSWER_BYTES) {
      response.destroy()
      throw new Error('the answer is too long')
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}
