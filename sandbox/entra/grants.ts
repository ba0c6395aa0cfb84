// What the token endpoint may turn into tokens: authorization codes, good once and for ten minutes, and refresh tokens. Both are opaque.
import { createHash, timingSafeEqual } from 'node:crypto'
import type { Directory } from './directory.ts'
import { EntraError } from './entra-error.ts'
import type { SignedIn } from './tokens.ts'

const CODE_LIFE_MS = 10 * 60_000
const REFRESH_LIFE_MS = 90 * 24 * 60 * 60_000 // "Refresh tokens in the Microsoft identity platform"

export interface CodeGrant {
  readonly signedIn: SignedIn
  readonly scopes: readonly string[]
  readonly redirectUri: string
  /** PKCE, S256 (RFC 7636). */
  readonly challenge: string
}

export interface RefreshGrant {
  readonly signedIn: SignedIn
  readonly scopes: readonly string[]
}

interface Issued<T> {
  readonly grant: T
  readonly issuedAtMs: number
  /** The person's session generation when it was issued. */
  readonly generation: number
  isSpent: boolean
}

export class Grants {
  readonly #codes = new Map<string, Issued<CodeGrant>>()
  readonly #refreshTokens = new Map<string, Issued<RefreshGrant>>()
  readonly #directory: Directory
  readonly #nowMs: () => number
  readonly #random: (bytes: number) => Buffer

  constructor(directory: Directory, nowMs: () => number, random: (bytes: number) => Buffer) {
    this.#directory = directory
    this.#nowMs = nowMs
    this.#random = random
  }

  issueCode(grant: CodeGrant): string {
    const code = `1.${this.#random(48).toString('base64url')}`
    this.#codes.set(code, this.#issued(grant))
    return code
  }

  issueRefreshToken(grant: RefreshGrant): string {
    const token = `1.${this.#random(64).toString('base64url')}`
    this.#refreshTokens.set(token, this.#issued(grant))
    return token
  }

  /** Spends the code, also when the rest of the request turns out wrong. @param tenantId  undefined: asked for no tenant in particular. @throws EntraError */
  redeemCode(
    code: string,
    asked: { clientId: string; tenantId: string | undefined; redirectUri: string; verifier: string },
  ): CodeGrant {
    const issued = this.#codes.get(code)
    if (issued === undefined || issued.grant.signedIn.clientId !== asked.clientId) throw new EntraError(70000)
    if (issued.isSpent) throw new EntraError(54005)
    issued.isSpent = true
    const { grant, issuedAtMs } = issued
    if (this.#nowMs() - issuedAtMs > CODE_LIFE_MS) throw new EntraError(70008)
    if (asked.tenantId !== undefined && asked.tenantId !== grant.signedIn.person.tenantId) throw new EntraError(700005)
    if (asked.redirectUri !== grant.redirectUri) throw new EntraError(500112)
    if (!isVerifierOf(grant.challenge, asked.verifier)) throw new EntraError(501481)
    this.#requireUsable(issued)
    return grant
  }

  /** The token stays good: Entra gives a new one with each answer and leaves the old one alone. @throws EntraError */
  useRefreshToken(token: string, asked: { clientId: string; tenantId: string | undefined }): RefreshGrant {
    const issued = this.#refreshTokens.get(token)
    if (issued === undefined || issued.grant.signedIn.clientId !== asked.clientId) throw new EntraError(70000)
    const { grant, issuedAtMs } = issued
    if (asked.tenantId !== undefined && asked.tenantId !== grant.signedIn.person.tenantId) throw new EntraError(70000)
    if (this.#nowMs() - issuedAtMs > REFRESH_LIFE_MS) throw new EntraError(70008)
    this.#requireUsable(issued)
    return grant
  }

  #issued<T extends RefreshGrant>(grant: T): Issued<T> {
    const { tenantId, oid } = grant.signedIn.person
    const generation = this.#directory.person(tenantId, oid).sessionGeneration
    return { grant, issuedAtMs: this.#nowMs(), generation, isSpent: false }
  }

  #requireUsable({ grant, generation }: Issued<RefreshGrant>): void {
    const { tenantId, oid } = grant.signedIn.person
    const person = this.#directory.person(tenantId, oid)
    if (!person.isEnabled) throw new EntraError(50057)
    if (generation !== person.sessionGeneration) throw new EntraError(50173)
  }
}

function isVerifierOf(challenge: string, verifier: string): boolean {
  const given = Buffer.from(createHash('sha256').update(verifier).digest('base64url'))
  const wanted = Buffer.from(challenge)
  return given.length === wanted.length && timingSafeEqual(given, wanted)
}
