// Fetches the policy of a domain from the one place where it may be: over HTTPS, from an address that was checked, without following anything
// anywhere. (RFC 8461 §3.3, WS-5)
import { request } from 'node:https'
import type { IncomingMessage } from 'node:http'
import { TLS_OPTIONS } from '../credentials.ts'
import type { MayConnect } from './address-rules.ts'
import type { Dns } from './dns-client.ts'
import { parseStsPolicy } from './mta-sts-policy.ts'
import type { StsPolicy } from './mta-sts-policy.ts'
import { findAddresses } from './resolve.ts'
import { checkName } from './start-tls.ts'
import type { TlsFailure } from './tls-failure.ts'

export type Fetched = { readonly policy: StsPolicy } | { readonly failure: TlsFailure; readonly text: string }
/** Never throws. @param domain  lower case, A-labels */
export type FetchPolicy = (domain: string) => Promise<Fetched>

export interface FetchDeps {
  readonly dns: Dns
  readonly mayConnect: MayConnect
  /** In [0, 1) */
  readonly random: () => number
  /** PEM of the authorities that are believed; undefined: the public ones. */
  readonly trust: () => readonly string[] | undefined
  readonly port?: number
  readonly timeoutMs?: number
}

const HTTPS_PORT = 443
/** RFC 8461 §3.3: a minute; DL-7: 64 KiB. */
const TIMEOUT_MS = 60_000
const MOST_BYTES = 64 * 1024

export function policyFetcher(deps: FetchDeps): FetchPolicy {
  return async (domain) => {
    const host = `mta-sts.${domain}`
    const found = await findAddresses(host, deps)
    if (found.kind !== 'addresses')
      return unfetched(found.kind === 'none' ? 'no address' : 'the address is not to be found out')
    const [address] = found.addresses
    if (address === undefined) return unfetched('no public address')
    return await fetchFrom(host, address, deps)
  }
}

function fetchFrom(host: string, address: string, { trust, port, timeoutMs }: FetchDeps): Promise<Fetched> {
  return new Promise((resolve) => {
    const authorities = trust()
    const asked = request({
      ...TLS_OPTIONS,
      // The address itself: no second look-up could give another (WS-5).
      host: address,
      port: port ?? HTTPS_PORT,
      servername: host,
      path: '/.well-known/mta-sts.txt',
      headers: { host, accept: 'text/plain' },
      agent: false,
      checkServerIdentity: checkName,
      maxHeaderSize: 16 * 1024,
      ...(authorities === undefined ? {} : { ca: [...authorities] }),
    })
    const end = (fetched: Fetched): void => {
      clearTimeout(timer)
      asked.destroy()
      resolve(fetched)
    }
    const timer = setTimeout(() => end(unfetched('timed out')), timeoutMs ?? TIMEOUT_MS)
    asked.on('error', (error) => end(failureOf(error)))
    asked.on('close', () => end(unfetched('the policy host hung up')))
    asked.on('response', (response) => void readPolicy(response).then(end, (error: Error) => end(failureOf(error))))
    asked.end()
  })
}

async function readPolicy(response: IncomingMessage): Promise<Fetched> {
  // RFC 8461 §3.3: redirects are not followed, and neither is anything but 200 a policy.
  if (response.statusCode !== 200) return unfetched(`status ${response.statusCode ?? 0}`)
  const type = (response.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase()
  if (type !== 'text/plain') return invalid('not text/plain')
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > MOST_BYTES) return invalid('over 64 KiB')
    chunks.push(chunk)
  }
  const policy = parseStsPolicy(Buffer.concat(chunks).toString('utf8'))
  return policy === undefined ? invalid('no policy') : { policy }
}

function failureOf(error: Error): Fetched {
  const code = 'code' in error ? String(error.code) : error.name
  const isCertificate = code.includes('CERT') || code.includes('ISSUER') || code === 'ERR_TLS_CERT_ALTNAME_INVALID'
  return isCertificate ? { failure: 'sts-webpki-invalid', text: code } : unfetched(code)
}

function unfetched(text: string): Fetched {
  return { failure: 'sts-policy-fetch-error', text }
}

function invalid(text: string): Fetched {
  return { failure: 'sts-policy-invalid', text }
}
