// Proof of an application's identity at the token endpoint: a JWT signed with its certificate's key (RFC 7523; "Microsoft identity platform
// application authentication certificate credentials"). PS256 with `x5t#S256`, or RS256 with `x5t` where SHA-1 is still taken.
import { X509Certificate } from 'node:crypto'
import { decodeProtectedHeader, errors, jwtVerify } from 'jose'
import type { JWTPayload, ProtectedHeaderParameters } from 'jose'
import type { AppCertificate, RegisteredApp } from './directory.ts'
import { EntraError } from './entra-error.ts'

export interface AssertionRules {
  /** RS256 with `x5t`, which MSAL sends for a certificate known by its SHA-1 thumbprint. */
  readonly acceptsSha1Thumbprints: boolean
  /**
   * Whether an assertion is good for one request only. Entra lets it be used until it expires, and MSAL relies on that: given a certificate, it
   * sends the same assertion for ten minutes.
   */
  readonly refusesReplays: boolean
}

const SKEW_S = 300
const MAX_LIFE_S = 600

/** Remembers `jti` for as long as its assertion could come again. */
export class AssertionVerifier {
  readonly #rules: AssertionRules
  readonly #nowMs: () => number
  /** `client id, jti` → when it may be forgotten, ms since the epoch */
  readonly #used = new Map<string, number>()

  constructor(rules: AssertionRules, nowMs: () => number) {
    this.#rules = rules
    this.#nowMs = nowMs
  }

  /** @param audience  URL of the token endpoint asked. @throws EntraError saying what is wrong with it */
  async verify(assertion: string, app: RegisteredApp, audience: string): Promise<void> {
    const credential = this.#credentialOf(assertion, app)
    const claims = await this.#verifiedClaims(assertion, credential)
    if (claims.iss !== app.clientId || claims.sub !== app.clientId) throw new EntraError(700021)
    if (claims.aud !== audience) throw new EntraError(700023)
    if (typeof claims.jti !== 'string' || claims.jti === '') throw new EntraError(9002313)
    const { exp = 0, nbf } = claims
    if (nbf === undefined || exp - nbf > MAX_LIFE_S) throw new EntraError(700024)
    const { validFromDate, validToDate } = credential.certificate
    if (this.#nowMs() > validToDate.getTime() || this.#nowMs() < validFromDate.getTime()) throw new EntraError(7000222)
    if (this.#rules.refusesReplays) this.#useOnce(`${app.clientId} ${claims.jti}`, (exp + SKEW_S) * 1000)
  }

  #credentialOf(assertion: string, app: RegisteredApp): AppCertificate {
    let header: ProtectedHeaderParameters
    try {
      header = decodeProtectedHeader(assertion)
    } catch {
      throw new EntraError(9002313) // not a JWT at all
    }
    const found = app.credentials.find(({ sha256, sha1 }) =>
      header.alg === 'PS256'
        ? header['x5t#S256'] === sha256
        : header.alg === 'RS256' && this.#rules.acceptsSha1Thumbprints && header.x5t === sha1,
    )
    if (found === undefined) throw new EntraError(700027)
    const [leaf] = Array.isArray(header.x5c) ? header.x5c : []
    if (leaf !== undefined && !isSameCertificate(leaf, found.certificate)) throw new EntraError(700027)
    return found
  }

  async #verifiedClaims(assertion: string, { certificate }: AppCertificate): Promise<JWTPayload> {
    try {
      const { payload } = await jwtVerify(assertion, certificate.publicKey, {
        algorithms: ['PS256', 'RS256'],
        currentDate: new Date(this.#nowMs()),
        clockTolerance: SKEW_S,
        requiredClaims: ['exp'],
      })
      return payload
    } catch (error) {
      if (error instanceof errors.JWTExpired) throw new EntraError(700024)
      if (error instanceof errors.JWTClaimValidationFailed) throw new EntraError(700024)
      if (error instanceof errors.JOSEError) throw new EntraError(700027)
      throw error
    }
  }

  #useOnce(key: string, forgetAtMs: number): void {
    for (const [old, atMs] of this.#used) if (atMs < this.#nowMs()) this.#used.delete(old)
    if (this.#used.has(key)) throw new EntraError(50013)
    this.#used.set(key, forgetAtMs)
  }
}

function isSameCertificate(base64Der: string, certificate: X509Certificate): boolean {
  return Buffer.from(base64Der, 'base64').equals(certificate.raw)
}
