// The one way out to addresses that somebody else chose: webhooks, the mail server of notifications. The name is resolved once, every address of
// it checked, and the connection made to the checked one; redirects are answers like any other; everything has a limit. (WS-5)
import { lookup } from 'node:dns/promises'
import { request as requestHttp } from 'node:http'
import type { IncomingMessage, RequestOptions } from 'node:http'
import { request as requestHttps } from 'node:https'
import { isIP } from 'node:net'
import type { LookupFunction } from 'node:net'
import type { AddressRules } from './outbound-address.ts'

export interface OutboundDeps {
  readonly rules: AddressRules
  /** All addresses of a name. Default: the system's resolver. */
  readonly resolve?: (host: string) => Promise<readonly string[]>
  /** PEM; instead of the system's roots. */
  readonly ca?: string
}

export interface OutboundRequest {
  readonly method: 'GET' | 'POST'
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly body?: Uint8Array
  /** From the name to the end of the answer. */
  readonly timeoutMs: number
  readonly maxAnswerBytes: number
}

export interface OutboundAnswer {
  readonly status: number
  readonly body: Buffer
}

/** A code, fit for a log and for whoever set the URL; what lies behind it is the cause. */
export const OUTBOUND_FAULTS = ['url', 'dns', 'address', 'connect', 'tls', 'timeout', 'too-large', 'protocol'] as const
export type OutboundFault = (typeof OUTBOUND_FAULTS)[number]

export class OutboundError extends Error {
  override readonly name = 'OutboundError'
  readonly fault: OutboundFault

  constructor(fault: OutboundFault, options?: { cause?: unknown }) {
    super(`outbound request failed: ${fault}`, options)
    this.fault = fault
  }
}

const MAX_URL_LENGTH = 2_000

/**
 * What is wrong with a URL before any name is resolved; undefined: nothing. https only, http where the host is a listed address: there is no name
 * that could lead elsewhere.
 */
export function judgeUrl(text: string, rules: AddressRules): string | undefined {
  if (text.length > MAX_URL_LENGTH) return `longer than ${MAX_URL_LENGTH} characters`
  if (!URL.canParse(text)) return 'not a URL'
  const url = new URL(text)
  const host = hostOf(url)
  if (url.username !== '' || url.password !== '') return 'holds a user name or password'
  if (url.hash !== '') return 'has a fragment'
  if (isIP(host) !== 0 && !rules.allows(host)) return 'the address is private'
  if (isIP(host) === 0 && /(^|\.)localhost\.?$/.test(host)) return 'the host is this machine'
  if (url.protocol === 'https:') return undefined
  return url.protocol === 'http:' && rules.lists(host) ? undefined : 'must be https'
}

/** The address to connect to. @throws OutboundError when there is none, or any of the name's is not allowed */
export async function pinAddress(host: string, { rules, resolve = resolveAll }: OutboundDeps): Promise<string> {
  if (isIP(host) !== 0) {
    if (!rules.allows(host)) throw new OutboundError('address')
    return host
  }
  const addresses = await resolve(host).catch((cause: unknown) => {
    throw new OutboundError('dns', { cause })
  })
  const [first] = addresses
  if (first === undefined) throw new OutboundError('dns')
  // One bad address spoils the name: otherwise chance would decide, and whoever set the name could try until it does.
  if (!addresses.every((address) => rules.allows(address))) throw new OutboundError('address')
  return first
}

/** @throws OutboundError; never for a status */
export async function sendOutbound(request: OutboundRequest, deps: OutboundDeps): Promise<OutboundAnswer> {
  if (judgeUrl(request.url.href, deps.rules) !== undefined) throw new OutboundError('url')
  const deadline = AbortSignal.timeout(request.timeoutMs)
  const address = await beforeDeadline(pinAddress(hostOf(request.url), deps), deadline)
  const answer = await connect(request, address, deps, deadline)
  const chunks: Buffer[] = []
  let size = 0
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      size += chunk.length
      if (size > request.maxAnswerBytes) throw new OutboundError('too-large')
      chunks.push(chunk)
    }
  } catch (error) {
    throw asOutboundError(error, deadline)
  } finally {
    answer.destroy()
  }
  return { status: answer.statusCode ?? 0, body: Buffer.concat(chunks) }
}

function connect(
  { method, url, headers, body, maxAnswerBytes }: OutboundRequest,
  address: string,
  { ca }: OutboundDeps,
  deadline: AbortSignal,
): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  const host = hostOf(url)
  const options: RequestOptions & { ca?: string; minVersion: 'TLSv1.2'; servername?: string } = {
    method,
    headers: { ...headers, ...(body === undefined ? {} : { 'Content-Length': String(body.length) }) },
    agent: false, // a pooled connection would have been checked for another request
    lookup: pinned(address),
    signal: deadline,
    maxHeaderSize: Math.min(maxAnswerBytes, 16_384),
    minVersion: 'TLSv1.2',
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...(ca === undefined ? {} : { ca }),
  }
  const outgoing = (url.protocol === 'https:' ? requestHttps : requestHttp)(url, options)
  outgoing.on('response', resolve)
  outgoing.on('error', (error) => reject(asOutboundError(error, deadline)))
  outgoing.end(body)
  return promise
}

/** Whatever the name says by now: it was checked with this address. */
function pinned(address: string): LookupFunction {
  const family = isIP(address)
  return (_host, options, callback) => {
    if (options.all === true) callback(null, [{ address, family }])
    else callback(null, address, family)
  }
}

async function beforeDeadline<T>(work: Promise<T>, deadline: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>()
  const late = () => reject(new OutboundError('timeout'))
  deadline.addEventListener('abort', late, { once: true })
  work.catch(() => {}) // when it comes too late, nobody waits for it any more
  try {
    return await Promise.race([work, promise])
  } finally {
    deadline.removeEventListener('abort', late)
  }
}

export function asOutboundError(error: unknown, deadline?: AbortSignal): OutboundError {
  if (error instanceof OutboundError) return error
  if (deadline?.aborted === true) return new OutboundError('timeout', { cause: error })
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  if (/^(ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|EPROTO|HOSTNAME_MISMATCH)/.test(code))
    return new OutboundError('tls', { cause: error })
  if (/^(ECONNREFUSED|ECONNRESET|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|EPIPE|EADDRNOTAVAIL)$/.test(code))
    return new OutboundError('connect', { cause: error })
  return new OutboundError('protocol', { cause: error })
}

const resolveAll = async (host: string): Promise<string[]> =>
  (await lookup(host, { all: true, order: 'verbatim' })).map(({ address }) => address)

/** Without the brackets of an IPv6 address. */
const hostOf = ({ hostname }: URL): string => hostname.replace(/^\[|\]$/g, '')
