// The two cookies of a browser, and what is derived from them. (AZ-2) Pure but for the random bytes that come in.
//
// Always `__Host-` and Secure, in an evaluation over plain HTTP too: browsers (Chromium, Firefox) and curl from 7.79 on take and send Secure
// cookies at loopback addresses. Safari doesn't: there, and with older clients, set TLS_CERTIFICATE_FILE or use an API key.
import { createHmac, hash } from 'node:crypto'
import { readCookie, SESSION_COOKIE } from './authenticate.ts'

/** Binds a callback to the browser that began the sign-in. One for all its tabs, so that two sign-ins at once don't undo each other. */
const BINDING_COOKIE = '__Host-causeway-sign-in'
const SECRET_BYTES = 32
const SECRET = /^[A-Za-z0-9_-]{43}$/
const ATTRIBUTES = 'Path=/; Secure; HttpOnly; SameSite=Lax'

/** 256 bits. @param random  as `crypto.randomBytes` */
export const newCookieSecret = (random: (bytes: number) => Buffer): string => random(SECRET_BYTES).toString('base64url')

export const isCookieSecret = (text: string): boolean => SECRET.test(text)

/** Without Max-Age: it goes with the browser, and its end is the server's to say. */
export const sessionCookieText = (sessionId: string): string => `${SESSION_COOKIE}=${sessionId}; ${ATTRIBUTES}`

export const NO_SESSION_COOKIE_TEXT = `${SESSION_COOKIE}=; ${ATTRIBUTES}; Max-Age=0`

export const bindingCookieText = (binding: string, lifeMs: number): string =>
  `${BINDING_COOKIE}=${binding}; ${ATTRIBUTES}; Max-Age=${Math.ceil(lifeMs / 1000)}`

/** undefined for what we never set. */
export function bindingCookie(header: string | undefined): string | undefined {
  const value = readCookie(header, BINDING_COOKIE)
  return value !== undefined && isCookieSecret(value) ? value : undefined
}

/**
 * The token that changes need beside the cookie (WS-2). Only who has the session id can make it, and the id can't be told from it: so it need not
 * be kept, and a page that reads it learns nothing else.
 */
export const csrfTokenOf = (sessionId: string): string =>
  createHmac('sha256', sessionId).update('causeway-csrf/1').digest('base64url')

export const csrfHashOf = (sessionId: string): string => hash('sha256', csrfTokenOf(sessionId), 'hex')
