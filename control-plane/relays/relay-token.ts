// The token of a relay's request (RC-1): EdDSA by the key it enrolled with, at most 60 s, for this installation, about itself. That it is used once
// is the store's to see. Pure but for the signature's work.
import { createPublicKey } from 'node:crypto'
import { decodeJwt, errors, jwtVerify } from 'jose'
import { MAX_TOKEN_LIFE_S } from '../../common/relay-contract.ts'
import { parseId } from '../ids.ts'
import type { RelayId } from '../ids.ts'

/** How far a relay's clock may be off. */
export const CLOCK_SKEW_S = 10
const MAX_TOKEN_LENGTH = 2_048
const JTI = /^[\x21-\x7e]{1,128}$/

export interface RelayToken {
  readonly jti: string
  /** Until then, skew included, the same token could be taken again. */
  readonly expiresAt: Date
}

export type TokenVerdict =
  | { readonly kind: 'valid'; readonly token: RelayToken }
  /** @param reason  for the audit; whoever sent it is told nothing */
  | { readonly kind: 'refused'; readonly reason: string }

/** Who a token says it is of, unverified; undefined when it is none. */
export function claimedRelay(authorization: string | undefined): { relay: RelayId; jwt: string } | undefined {
  const jwt = /^Bearer ([A-Za-z0-9_.-]+)$/i.exec(authorization ?? '')?.[1]
  if (jwt === undefined || jwt.length > MAX_TOKEN_LENGTH) return undefined
  try {
    const relay = parseId('relay', String(decodeJwt(jwt).sub))
    return relay && { relay, jwt }
  } catch {
    return undefined // no token at all
  }
}

/**
 * @param signingKey  SPKI DER in base64url
 * @param now  ms since the epoch
 */
export async function judgeToken(
  jwt: string,
  { relay, signingKey, installation }: { relay: RelayId; signingKey: string; installation: string },
  now: number,
): Promise<TokenVerdict> {
  const key = createPublicKey({ key: Buffer.from(signingKey, 'base64url'), format: 'der', type: 'spki' })
  try {
    const { payload } = await jwtVerify(jwt, key, {
      algorithms: ['EdDSA'],
      issuer: relay,
      subject: relay,
      audience: installation,
      requiredClaims: ['exp', 'iat', 'jti'],
      clockTolerance: CLOCK_SKEW_S,
      maxTokenAge: MAX_TOKEN_LIFE_S,
      currentDate: new Date(now),
    })
    const { exp = 0, iat = 0, jti, aud } = payload
    if (aud !== installation) return refused('aud') // a list: also for somebody else
    if (exp - iat > MAX_TOKEN_LIFE_S || exp <= iat) return refused('life')
    if (typeof jti !== 'string' || !JTI.test(jti)) return refused('jti')
    return { kind: 'valid', token: { jti, expiresAt: new Date((exp + CLOCK_SKEW_S) * 1000) } }
  } catch (error) {
    if (!(error instanceof errors.JOSEError)) throw error
    return refused(
      error instanceof errors.JWTClaimValidationFailed || error instanceof errors.JWTExpired ? error.claim : error.code,
    )
  }
}

const refused = (reason: string): TokenVerdict => ({ kind: 'refused', reason })
