// Requests that a browser makes for a page of another site (WS-2): a session's changes need a same-origin page that knows the session's token.
// API keys come in a header that no other site's page can set, and need none of this.
import { hash, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import type { Request } from 'express'
import type { SessionCaller } from '../access/caller.ts'
import { Problem } from './problem.ts'

/** @param publicUrl  where people reach the API @throws Problem 403 */
export function checkCrossSite(request: Request, session: SessionCaller, publicUrl: URL): void {
  const { headers } = request
  // Every browser sends one of the two with a request that changes something.
  if (headers.origin === undefined && headers['sec-fetch-site'] === undefined) throw new Problem('cross-site')
  refuseOtherSites(headers, publicUrl)
  const token = hash('sha256', request.get('x-csrf-token') ?? '', 'buffer')
  if (!timingSafeEqual(token, Buffer.from(session.csrfHash, 'hex'))) throw new Problem('cross-site')
}

/** For acts without a session: whoever says that he is the page of another site is refused; a script says nothing. @throws Problem 403 */
export function refuseOtherSites({ origin, host, 'sec-fetch-site': site }: IncomingHttpHeaders, publicUrl: URL): void {
  if (site !== undefined && site !== 'same-origin') throw new Problem('cross-site')
  if (origin !== undefined && !isOwnOrigin(origin, host, publicUrl)) throw new Problem('cross-site')
}

/**
 * The scheme is the public one, whatever we are reached by: TLS may end at a proxy, and a page that came over plain HTTP, which anybody on the way
 * can write, is not ours. The host is the public one or, for those who come by another name of ours, the one that was asked for.
 */
function isOwnOrigin(origin: string, host: string | undefined, { protocol, origin: own }: URL): boolean {
  const asked = originOf(`${protocol}//${host ?? ''}`)
  const said = originOf(origin)
  return said !== undefined && (said === own || said === asked)
}

/** undefined for what is none: "null" is what a page without an origin says. */
function originOf(text: string): string | undefined {
  return URL.canParse(text) ? new URL(text).origin : undefined
}
