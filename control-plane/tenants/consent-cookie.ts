// Binds the answers of Entra to the browser that opened the link. Its own cookie: a consent may be given by somebody who never signs in here.
import { readCookie } from '../access/authenticate.ts'
import { isCookieSecret } from '../access/session-cookie.ts'

const COOKIE = '__Host-causeway-consent'

export const consentCookieText = (binding: string, lifeMs: number): string =>
  `${COOKIE}=${binding}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=${Math.ceil(lifeMs / 1000)}`

/** undefined for what we never set. */
export function consentCookie(header: string | undefined): string | undefined {
  const value = readCookie(header, COOKIE)
  return value !== undefined && isCookieSecret(value) ? value : undefined
}
