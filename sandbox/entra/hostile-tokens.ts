// ID tokens that no client may believe, made from a good one: the attack table of AZ-1. Each has exactly one thing wrong with it.
import { createHmac, createSecretKey } from 'node:crypto'
import { SignJWT } from 'jose'
import type { JWTHeaderParameters, JWTPayload } from 'jose'
import type { SigningKey } from './signing-keys.ts'

export const HOSTILE_TOKENS = [
  'wrong-issuer',
  'issuer-of-another-tenant',
  'wrong-audience',
  'audience-list',
  'unknown-tenant',
  'another-tenant-by-its-own-key',
  'no-tenant',
  'no-object-id',
  'wrong-nonce',
  'no-nonce',
  'expired',
  'no-expiry',
  'not-yet-valid',
  'issued-in-the-future',
  'old-version',
  'stale-authentication',
  'no-authentication-time',
  'another-person',
  'alg-none',
  'hs256-with-public-key',
  'rs512',
  'key-of-another-tenant',
  'unknown-key',
  'borrowed-key-id',
  'no-key-id',
  'key-in-header',
  'key-address-in-header',
  'broken-signature',
  'critical-header',
  'not-a-token',
] as const
export type HostileToken = (typeof HOSTILE_TOKENS)[number]

export interface HostileMaterial {
  readonly issuerOrigin: string
  readonly own: SigningKey
  readonly other: { readonly tenantId: string; readonly key: SigningKey }
  /** In no key set. */
  readonly stranger: SigningKey
}

const HOUR_S = 3_600
const NO_SUCH_ID = '99999999-9999-4999-8999-999999999999'

export async function mintHostile(kind: HostileToken, good: JWTPayload, material: HostileMaterial): Promise<string> {
  const { own, other, stranger, issuerOrigin } = material
  const iat = good.iat ?? 0
  const otherIssuer = `${issuerOrigin}/${other.tenantId}/v2.0`
  const changed = (claims: JWTPayload) => sign({ ...good, ...claims }, own)
  switch (kind) {
    case 'wrong-issuer':
      return changed({ iss: `https://login.attacker.example/${String(good['tid'])}/v2.0` })
    case 'issuer-of-another-tenant':
      return changed({ iss: otherIssuer })
    case 'wrong-audience':
      return changed({ aud: NO_SUCH_ID })
    case 'audience-list':
      return changed({ aud: [String(good.aud), NO_SUCH_ID] })
    case 'unknown-tenant':
      return changed({ tid: NO_SUCH_ID, iss: `${issuerOrigin}/${NO_SUCH_ID}/v2.0` })
    case 'another-tenant-by-its-own-key':
      return sign({ ...good, tid: other.tenantId, iss: otherIssuer }, other.key)
    case 'no-tenant':
      return sign(without(good, 'tid'), own)
    case 'no-object-id':
      return sign(without(good, 'oid'), own)
    case 'wrong-nonce':
      return changed({ nonce: 'bm90IHRoZSBub25jZSBvZiB0aGlzIGZsb3c' })
    case 'no-nonce':
      return sign(without(good, 'nonce'), own)
    case 'expired':
      return changed({ iat: iat - 2 * HOUR_S, nbf: iat - 2 * HOUR_S, exp: iat - HOUR_S })
    case 'no-expiry':
      return sign(without(good, 'exp'), own)
    case 'not-yet-valid':
      return changed({ nbf: iat + HOUR_S, exp: iat + 2 * HOUR_S })
    case 'issued-in-the-future':
      return changed({ iat: iat + HOUR_S, exp: iat + 2 * HOUR_S })
    case 'old-version':
      return changed({ ver: '1.0' })
    case 'stale-authentication':
      return changed({ auth_time: iat - HOUR_S })
    case 'no-authentication-time':
      return sign(without(good, 'auth_time'), own)
    case 'another-person':
      return changed({ oid: NO_SUCH_ID })
    case 'alg-none':
      return `${part({ alg: 'none', typ: 'JWT', kid: own.kid })}.${part(good)}.`
    case 'hs256-with-public-key':
      return macWithPublicKey(good, own)
    case 'rs512':
      return sign(good, own, { alg: 'RS512' })
    case 'key-of-another-tenant':
      return sign(good, other.key)
    case 'unknown-key':
      return sign(good, stranger)
    case 'borrowed-key-id':
      return sign(good, stranger, { kid: own.kid })
    case 'no-key-id':
      return sign(good, own, {}, 'without key id')
    case 'key-in-header':
      return sign(good, stranger, { jwk: stranger.publicKey.export({ format: 'jwk' }) })
    case 'key-address-in-header':
      return sign(good, stranger, { jku: 'https://attacker.example/keys' })
    case 'broken-signature':
      return breakSignature(await sign(good, own))
    case 'critical-header':
      return criticalHeader(good, own)
    case 'not-a-token':
      return 'e30.e30' // two parts, both `{}`
    default:
      return kind satisfies never
  }
}

async function sign(
  claims: JWTPayload,
  key: SigningKey,
  header: Partial<JWTHeaderParameters> = {},
  keyId?: 'without key id',
): Promise<string> {
  const kid = keyId === undefined ? { kid: key.kid } : {}
  return new SignJWT(claims).setProtectedHeader({ typ: 'JWT', alg: 'RS256', ...kid, ...header }).sign(key.privateKey)
}

function without(claims: JWTPayload, name: string): JWTPayload {
  return Object.fromEntries(Object.entries(claims).filter(([claim]) => claim !== name))
}

/** The oldest confusion of JWT libraries: the public key, known to all, taken for a shared secret. */
function macWithPublicKey(claims: JWTPayload, key: SigningKey): string {
  const secret = createSecretKey(Buffer.from(key.publicKey.export({ type: 'spki', format: 'pem' })))
  const signed = `${part({ alg: 'HS256', typ: 'JWT', kid: key.kid })}.${part(claims)}`
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`
}

/** An extension that the reader must understand or refuse (RFC 7515 §4.1.11). */
function criticalHeader(claims: JWTPayload, key: SigningKey): Promise<string> {
  return new SignJWT(claims)
    .setProtectedHeader({ typ: 'JWT', alg: 'RS256', kid: key.kid, crit: ['causeway'], causeway: true })
    .sign(key.privateKey, { crit: { causeway: true } })
}

function breakSignature(token: string): string {
  const [header = '', claims = '', signature = ''] = token.split('.')
  const bytes = Buffer.from(signature, 'base64url')
  bytes[0] = (bytes[0] ?? 0) ^ 1
  return `${header}.${claims}.${bytes.toString('base64url')}`
}

function part(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}
