// Requests that a browser makes for a page of another site (WS-2): a session's changes need a same-origin page that knows the session's token.
// API keys come in a header that no other site's page can set, and need none of this.
import { hash, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import type { Request } from 'express'
import type { SessionCaller } from '../access/caller.ts'
import { Problem } from './problem.ts'

/** @throws Problem 403 */
export function checkCrossSite(request: Request, session: SessionCaller): void {
  const { headers } = request
  // Every browser sends one of the two with a request that changes something.
  if (headers.origin === undefined && headers['sec-fetch-site'] === undefined) throw new Problem('cross-site')
  refuseOtherSites(headers)
  const token = hash('sha256', request.get('x-csrf-token') ?? '', 'buffer')
  if (!timingSafeEqual(token, Buffer.from(session.csrfHash, 'hex'))) throw new Problem('cross-site')
}

/** For acts without a session: whoever says that he is the page of another site is refused; a script says nothing. @throws Problem 403 */
export function refuseOtherSites({ origin, host, 'sec-fetch-site': site }: IncomingHttpHeaders): void {
  if (site !== undefined && site !== 'same-origin') throw new Problem('cross-site')
  if (origin !== undefined && !isOwnOrigin(origin, host)) throw new Problem('cross-site')
}

function isOwnOrigin(origin: string, host: string | undefined): boolean {
  try {
    return new URL(origin).host === host
  } catch {
    return false // "null": a page without an origin
  }
}
