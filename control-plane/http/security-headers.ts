// Headers of every answer, errors included (WS-1).
import { randomBytes } from 'node:crypto'
import type { RequestHandler } from 'express'
import helmet from 'helmet'

const YEAR_S = 365 * 24 * 3600

/** @param isPlain  served over http on loopback (evaluation): nothing may be told to be https only */
export function securityHeaders(isPlain: boolean): RequestHandler {
  const set = helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'none'"],
        scriptSrc: ["'self'"],
        styleSrc: ["'self'", (_request, response) => `'nonce-${nonceOf(response as unknown as NonceHolder)}'`],
        imgSrc: ["'self'", 'data:'],
        connectSrc: ["'self'"],
        frameAncestors: ["'none'"],
        baseUri: ["'none'"],
        formAction: ["'self'"],
      },
    },
    strictTransportSecurity: isPlain ? false : { maxAge: YEAR_S, includeSubDomains: false },
    referrerPolicy: { policy: 'no-referrer' },
    crossOriginOpenerPolicy: { policy: 'same-origin' },
    crossOriginResourcePolicy: { policy: 'same-origin' },
    crossOriginEmbedderPolicy: false,
    xFrameOptions: { action: 'deny' },
  })
  return (request, response, next) => {
    ;(response.locals as NonceHolder['locals']).styleNonce = randomBytes(16).toString('base64')
    response.set('Cache-Control', 'no-store')
    set(request, response, next)
  }
}

interface NonceHolder {
  readonly locals: { styleNonce?: string }
}

/** For inline styles of a page. */
export function nonceOf(response: NonceHolder): string {
  return response.locals.styleNonce ?? ''
}
