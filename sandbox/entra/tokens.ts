// Claims of the tokens that Entra issues, and their signing ("ID token claims reference", "Access token claims reference").
import { createHash } from 'node:crypto'
import { SignJWT } from 'jose'
import type { JWTPayload } from 'jose'
import type { Person } from './directory.ts'
import type { SigningKey } from './signing-keys.ts'

export const TOKEN_LIFE_S = 3_600

/** Who signed in to what, when and how. */
export interface SignedIn {
  readonly person: Person
  readonly clientId: string
  readonly nonce: string | undefined
  readonly authenticatedAtMs: number
  /** `amr`: `pwd`, `mfa`. */
  readonly methods: readonly string[]
}

export interface Minting {
  readonly issuerOrigin: string
  readonly nowMs: number
  /** Unique token id, base64url. */
  readonly uti: string
}

export function idTokenClaims({ person, clientId, nonce, ...how }: SignedIn, minting: Minting): JWTPayload {
  return {
    aud: clientId,
    iss: issuerOf(minting.issuerOrigin, person.tenantId),
    ...times(minting.nowMs),
    auth_time: seconds(how.authenticatedAtMs),
    amr: [...how.methods],
    name: person.name,
    ...(nonce === undefined ? {} : { nonce }),
    oid: person.oid,
    preferred_username: person.userPrincipalName,
    sub: pairwiseSubject(person.oid, clientId),
    tid: person.tenantId,
    uti: minting.uti,
    ver: '2.0',
  }
}

/** Token for the userinfo endpoint of Graph: what comes along with an ID token when no other resource was asked for. */
export function delegatedClaims(
  { person, clientId }: SignedIn,
  scopes: readonly string[],
  minting: Minting,
): JWTPayload {
  return {
    aud: 'https://graph.microsoft.com',
    iss: issuerOf(minting.issuerOrigin, person.tenantId),
    ...times(minting.nowMs),
    appid: clientId,
    idtyp: 'user',
    oid: person.oid,
    scp: scopes.join(' '),
    sub: pairwiseSubject(person.oid, clientId),
    tid: person.tenantId,
    uti: minting.uti,
    ver: '2.0',
  }
}

/** @param roles  may be empty: a token without roles is issued all the same, and the resource refuses it */
export function appOnlyClaims(
  app: { tenantId: string; clientId: string; resource: string; roles: readonly string[] },
  minting: Minting,
): JWTPayload {
  return {
    aud: app.resource,
    iss: issuerOf(minting.issuerOrigin, app.tenantId),
    ...times(minting.nowMs),
    appid: app.clientId,
    appidacr: '2', // by certificate
    idtyp: 'app',
    ...(app.roles.length === 0 ? {} : { roles: [...app.roles] }),
    sub: pairwiseSubject(app.tenantId, app.clientId),
    tid: app.tenantId,
    uti: minting.uti,
    ver: '2.0',
  }
}

export function signToken(claims: JWTPayload, key: SigningKey): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ typ: 'JWT', alg: 'RS256', kid: key.kid }).sign(key.privateKey)
}

export function issuerOf(issuerOrigin: string, tenantId: string): string {
  return `${issuerOrigin}/${tenantId}/v2.0`
}

function times(nowMs: number) {
  const now = seconds(nowMs)
  return { iat: now, nbf: now, exp: now + TOKEN_LIFE_S }
}

function seconds(ms: number): number {
  return Math.floor(ms / 1000)
}

/** The same person is somebody else to each application. */
function pairwiseSubject(oid: string, clientId: string): string {
  return createHash('sha256').update(`${clientId} ${oid}`).digest('base64url')
}
