// Is this ID token what it says, for us, from that tenant, now, and of this sign-in? (AZ-1, microsoft-365.md §2.2; OpenID Connect Core §3.1.3.7)
// MSAL reads ID tokens without verifying them; this does it. Pure: key, clock and expectations come in.
import { timingSafeEqual } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { compactVerify, decodeJwt, decodeProtectedHeader, errors } from 'jose'
import type { JWTPayload } from 'jose'

export const TOKEN_FAULTS = [
  'malformed',
  'algorithm',
  'tenant',
  'untrusted-keys',
  'unknown-key',
  'signature',
  'version',
  'issuer',
  'audience',
  'expired',
  'not-yet-valid',
  'nonce',
  'identity',
  'authentication-time',
] as const
export type TokenFault = (typeof TOKEN_FAULTS)[number]

/** A person of Entra. Tenant and object id are who it is; the two names are for people to read, and decide nothing. */
export interface EntraPerson {
  /** `tid`, GUID in lower case */
  readonly tenantId: string
  /** `oid`, GUID in lower case */
  readonly objectId: string
  readonly displayName: string
  readonly userPrincipalName: string
  /** When the person last proved who he is (`auth_time`), ms since the epoch; 0 when Entra doesn't say, which is never fresh (AZ-6). */
  readonly authenticatedAt: number
  /** `amr`: `pwd`, `mfa`, …; empty when Entra doesn't say. */
  readonly methods: readonly string[]
}

/** What a token claims before anything is verified: enough to find the key, and for nothing else. */
export interface IdTokenHead {
  readonly tenantId: string
  readonly keyId: string
}

export interface Expected {
  readonly issuer: string
  /** Client id. */
  readonly audience: string
  readonly tenantId: string
  /** undefined for a refreshed token, which belongs to no request. */
  readonly nonce: string | undefined
  /** ms since the epoch */
  readonly now: number
  /** When given, the person has to have authenticated since. ms since the epoch */
  readonly authenticatedSince?: number
}

export type HeadResult = { kind: 'read'; head: IdTokenHead } | { kind: 'refused'; fault: TokenFault }
export type CheckResult = { kind: 'valid'; person: EntraPerson } | { kind: 'refused'; fault: TokenFault }

/** Entra signs with RS256; PS256 is the other one without a secret that both sides know. */
const ALGORITHMS = ['RS256', 'PS256']
const MAX_TOKEN_CHARACTERS = 16 * 1024
const SKEW_S = 300
/** Fresh authentication is good for five minutes, so the usual tolerance would make it ten. */
const FRESH_SKEW_MS = 60_000
const GUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const MAX_NAME_CHARACTERS = 256

export function readIdTokenHead(token: string): HeadResult {
  const refused = (fault: TokenFault): HeadResult => ({ kind: 'refused', fault })
  if (token.length > MAX_TOKEN_CHARACTERS) return refused('malformed')
  try {
    const { alg, kid } = decodeProtectedHeader(token)
    const { tid } = decodeJwt(token)
    if (alg === undefined || !ALGORITHMS.includes(alg)) return refused('algorithm')
    const tenantId = guidOf(tid)
    if (tenantId === undefined) return refused('tenant')
    return typeof kid === 'string' ? { kind: 'read', head: { tenantId, keyId: kid } } : refused('unknown-key')
  } catch {
    return refused('malformed') // not a JWT: both decoders throw for nothing else
  }
}

/** @param key  published by `expected.tenantId` under the token's key id. @throws for faults of ours only */
export async function checkIdToken(token: string, key: KeyObject, expected: Expected): Promise<CheckResult> {
  const claims = await verifiedClaims(token, key)
  if (typeof claims === 'string') return { kind: 'refused', fault: claims }
  const fault = findFault(claims, expected)
  if (fault !== undefined) return { kind: 'refused', fault }
  const person = readPerson(claims, expected)
  if (person === undefined) return { kind: 'refused', fault: 'identity' }
  const { authenticatedSince } = expected
  if (authenticatedSince !== undefined && person.authenticatedAt < authenticatedSince - FRESH_SKEW_MS) {
    return { kind: 'refused', fault: 'authentication-time' }
  }
  return { kind: 'valid', person }
}

async function verifiedClaims(token: string, key: KeyObject): Promise<JWTPayload | TokenFault> {
  try {
    await compactVerify(token, key, { algorithms: ALGORITHMS })
    return decodeJwt(token)
  } catch (error) {
    if (error instanceof errors.JOSEAlgNotAllowed) return 'algorithm'
    if (error instanceof errors.JWSSignatureVerificationFailed) return 'signature'
    if (error instanceof errors.JOSEError) return 'malformed' // a critical header we don't know is one of these
    throw error
  }
}

function findFault(claims: JWTPayload, expected: Expected): TokenFault | undefined {
  const { exp, nbf, iat, nonce } = claims
  const nowS = expected.now / 1000
  if (claims['ver'] !== '2.0') return 'version'
  if (guidOf(claims['tid']) !== expected.tenantId) return 'tenant'
  if (claims.iss !== expected.issuer) return 'issuer'
  if (claims.aud !== expected.audience) return 'audience' // a list as well: Entra gives one audience
  if (!isTime(exp) || exp + SKEW_S <= nowS) return 'expired'
  if (!isTime(nbf) || !isTime(iat) || nbf - SKEW_S > nowS || iat - SKEW_S > nowS) return 'not-yet-valid'
  if (expected.nonce !== undefined && !isSameText(nonce, expected.nonce)) return 'nonce'
  return undefined
}

function readPerson(claims: JWTPayload, { tenantId, now }: Expected): EntraPerson | undefined {
  const objectId = guidOf(claims['oid'])
  if (objectId === undefined) return undefined
  const authenticatedAt = claims['auth_time']
  const methods: readonly unknown[] = Array.isArray(claims['amr']) ? claims['amr'] : []
  return {
    tenantId,
    objectId,
    displayName: nameOf(claims['name']),
    userPrincipalName: nameOf(claims['preferred_username']),
    // Never later than now: a clock ahead of ours would make it fresh for longer.
    authenticatedAt: isTime(authenticatedAt) ? Math.min(authenticatedAt * 1000, now) : 0,
    methods: methods.filter((method) => typeof method === 'string'),
  }
}

function guidOf(value: unknown): string | undefined {
  const text = typeof value === 'string' ? value.toLowerCase() : ''
  return GUID.test(text) ? text : undefined
}

function nameOf(value: unknown): string {
  return typeof value === 'string' ? value.slice(0, MAX_NAME_CHARACTERS) : ''
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value > 0
}

function isSameText(given: unknown, wanted: string): boolean {
  if (typeof given !== 'string') return false
  const [a, b] = [Buffer.from(given), Buffer.from(wanted)]
  return a.length === b.length && timingSafeEqual(a, b)
}
