// Links that an answer handed out (next page, delta, redirect), checked before anything is sent to them: only the connection's own hosts, so that a
// forged link can't carry a token away or lead into the operator's network. (microsoft-365.md §1, host allow-list) Pure.
import type { ConnectionEndpoints, Endpoint } from './endpoints.ts'
import { MicrosoftError } from './microsoft-error.ts'

/** For what a link is: `download` takes no token. */
export type LinkPurpose = 'graph' | 'exchange' | 'download'

/** An address as Microsoft writes it, and where the request really goes. */
export interface Address {
  readonly url: URL
  readonly reachAt: string
  /** Whether the connection's token may go along. */
  readonly takesToken: boolean
}

export const MAX_HOPS = 5
const MAX_LINK_LENGTH = 16_384
/** Below which each answers; what is elsewhere on its host is no page of a collection. */
const ROOTS = { graph: ['/v1.0/', '/beta/'], exchange: ['/adminapi/'] }

/**
 * Read as text first, so that nothing which a URL parser would mend (credentials, escapes, letters beyond ASCII, backslashes, odd numbers) gets as far
 * as one. Exchange writes the port 443 out.
 */
const PLAIN_HTTPS = /^https:\/\/([a-z0-9.-]{1,253})(?::\d{1,5})?\/[!"$-[\]-~]*$/i

/** @throws MicrosoftError LINK_REFUSED */
export function checkLink(endpoints: ConnectionEndpoints, purpose: LinkPurpose, text: unknown): Address {
  const url = typeof text === 'string' ? parsePlainUrl(text) : undefined
  const address = url === undefined ? undefined : addressOf(endpoints, purpose, url)
  if (address === undefined) throw new MicrosoftError('LINK_REFUSED')
  return address
}

function parsePlainUrl(text: string): URL | undefined {
  const host = text.length > MAX_LINK_LENGTH ? undefined : PLAIN_HTTPS.exec(text)?.[1]
  if (host === undefined || !URL.canParse(text)) return undefined
  const url = new URL(text)
  return url.hostname === host.toLowerCase() ? url : undefined
}

function addressOf(endpoints: ConnectionEndpoints, purpose: LinkPurpose, url: URL): Address | undefined {
  const { graph, downloads } = endpoints
  if (purpose === 'download') {
    if (!downloads.some((pattern) => pattern.test(url.hostname))) return undefined
    // Only a sandbox hands out downloads of its own host, which is reached elsewhere.
    if (url.origin === graph.origin) return { url, reachAt: reach(graph, url), takesToken: false }
    return url.port === '' ? { url, reachAt: url.href, takesToken: false } : undefined
  }
  const endpoint = endpoints[purpose]
  const isPage = ROOTS[purpose].some((root) => url.pathname.toLowerCase().startsWith(root))
  return url.origin === endpoint.origin && isPage ? { url, reachAt: reach(endpoint, url), takesToken: true } : undefined
}

/** A request of our own making. @param path  with its query, from `/` */
export function ownAddress(endpoint: Endpoint, path: string): Address {
  const url = new URL(endpoint.origin + path)
  if (url.origin !== endpoint.origin) throw new Error('unreachable: a path that leaves its host')
  return { url, reachAt: reach(endpoint, url), takesToken: true }
}

const reach = ({ reachAt }: Endpoint, url: URL): string => `${reachAt}${url.pathname}${url.search}`
