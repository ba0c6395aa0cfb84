// Sign-in with Entra ID: MSAL speaks the protocol (code flow, PKCE), our own checks decide who it was (AZ-1), and the refresh token, kept sealed
// on the server, tells whether Entra still knows him (AZ-3). HTTP, cookies and sessions are the caller's.
import { askForTokens, msalFor } from './entra-tokens.ts'
import type { MsalDeps, Tokens } from './entra-tokens.ts'
import { checkIdToken, readIdTokenHead } from './id-token.ts'
import type { CheckResult, EntraPerson, Expected, TokenFault } from './id-token.ts'
import { forBrowser, tenantEndpoints } from './login-endpoint.ts'
import { LoginUnavailable } from './login-network.ts'
import { UntrustedMetadata } from './oidc-metadata.ts'
import type { OidcMetadata } from './oidc-metadata.ts'
import { newSignInFlow, pkceChallenge, readCallback } from './sign-in-flow.ts'
import type { Callback, SignInFlow } from './sign-in-flow.ts'
import type { TokenRefusal } from './token-refusal.ts'

export interface SignInDeps extends MsalDeps {
  readonly metadata: OidcMetadata
  /** Asked with a GUID in lower case, at sign-in and at each later check. */
  readonly maySignIn: (tenantId: string) => boolean | Promise<boolean>
  readonly sealer: TokenSealer
  /** As `crypto.randomBytes`. */
  readonly random: (bytes: number) => Buffer
}

/** Seals by a key of the installation. */
export interface TokenSealer {
  /** @param context  whose it is: opens only under the very same */
  seal(plain: Uint8Array, context: string): Uint8Array | Promise<Uint8Array>
  /** undefined when it was not sealed so. */
  unseal(sealed: Uint8Array, context: string): Uint8Array | undefined | Promise<Uint8Array | undefined>
}

export interface BeginOptions {
  /** The person has to prove anew who he is, whoever is signed in at Entra (AZ-6). */
  readonly isFresh?: boolean
  /** User principal name to offer. */
  readonly loginHint?: string
}

export type SignInResult =
  | { readonly kind: 'signed-in'; readonly person: EntraPerson; readonly refreshSealed: Uint8Array }
  | Exclude<Callback, { kind: 'code' | 'service-unavailable' }>
  | TokenRefusal

export type StillEnabled =
  /** Keep `refreshSealed` in place of the one before. */
  | { readonly kind: 'enabled'; readonly person: EntraPerson; readonly refreshSealed: Uint8Array }
  /** Disabled, revoked, blocked by a policy, or of a tenant that may not sign in any more: end the session. */
  | { readonly kind: 'ended'; readonly entraCode: number | undefined }
  | Exclude<TokenRefusal, { kind: 'grant-refused' }>

/** Ask again when the last `enabled` is so old… */
export const RECHECK_AFTER_MS = 5 * 60_000
/** …and allow nothing on the strength of one that is older than this, whatever the reason (AZ-3): an outage of Entra gives five minutes. */
export const MAX_UNCHECKED_MS = 10 * 60_000

/** `offline_access` is what the refresh token comes by. */
const SCOPES = ['openid', 'profile', 'email', 'offline_access']

/** @returns where to send the browser, and the secret that its callback must match: see SignInFlow for what to do with it */
export async function beginSignIn(options: BeginOptions, deps: SignInDeps): Promise<{ url: string; flow: SignInFlow }> {
  const isFresh = options.isFresh ?? false
  const flow = newSignInFlow(isFresh, deps.random, deps.now())
  const url = await msalFor(deps.app.tenant, deps.network, deps).getAuthCodeUrl({
    scopes: SCOPES,
    redirectUri: deps.app.redirectUri,
    responseMode: 'query', // a form posted from another site carries no SameSite=Lax cookie (microsoft-365.md §2.2)
    state: flow.state,
    nonce: flow.nonce,
    codeChallenge: pkceChallenge(flow),
    codeChallengeMethod: 'S256',
    ...promptFor(isFresh, options.loginHint),
  })
  return { url: forBrowser(deps.endpoint, url), flow }
}

/** MSAL leaves the hint out where accounts are to be chosen from. */
function promptFor(isFresh: boolean, loginHint: string | undefined): { prompt?: string; loginHint?: string } {
  if (loginHint === undefined) return { prompt: isFresh ? 'login' : 'select_account' }
  return isFresh ? { prompt: 'login', loginHint } : { loginHint }
}

/**
 * @param flow  of this browser, already taken away from wherever it was kept; undefined when there is none
 * @param query  of the callback's URL
 * @throws for faults of ours only: everything a browser, Entra or an outage can do is a result
 */
export async function finishSignIn(
  flow: SignInFlow | undefined,
  query: URLSearchParams,
  deps: SignInDeps,
): Promise<SignInResult> {
  const callback = readCallback(flow, query, deps.now())
  if (flow === undefined) return { kind: 'forged-state' }
  if (callback.kind === 'service-unavailable') {
    return { ...callback, retryAfterMs: undefined, cause: new LoginUnavailable('Entra says so in its redirect') }
  }
  if (callback.kind !== 'code') return callback
  const { redirectUri, tenant } = deps.app
  const tokens = await askForTokens(tenant, deps, (msal) =>
    msal.acquireTokenByCode({
      code: callback.code,
      codeVerifier: flow.codeVerifier,
      nonce: flow.nonce,
      redirectUri,
      scopes: SCOPES,
    }),
  )
  if (tokens.kind !== 'tokens') return tokens
  const checked = await checkTokens(tokens.idToken, deps, {
    nonce: flow.nonce,
    ...(flow.isFresh ? { authenticatedSince: flow.startedAt } : {}),
  })
  if (checked.kind !== 'valid') return checked
  return { kind: 'signed-in', person: checked.person, refreshSealed: await sealFor(checked.person, tokens, deps) }
}

/** Asks Entra whether it would still sign this person in. */
export async function stillEnabled(
  identity: Pick<EntraPerson, 'tenantId' | 'objectId'>,
  refreshSealed: Uint8Array,
  deps: SignInDeps,
): Promise<StillEnabled> {
  const opened = await deps.sealer.unseal(refreshSealed, sealContext(identity))
  if (opened === undefined || !(await deps.maySignIn(identity.tenantId))) return { kind: 'ended', entraCode: undefined }
  const refreshToken = Buffer.from(opened).toString('utf8')
  const tokens = await askForTokens(identity.tenantId, deps, (msal) =>
    msal.acquireTokenByRefreshToken({ refreshToken, scopes: SCOPES, forceCache: true }),
  )
  if (tokens.kind === 'grant-refused') return { kind: 'ended', entraCode: tokens.entraCode }
  if (tokens.kind !== 'tokens') return tokens
  const checked = await checkTokens(tokens.idToken, deps, { nonce: undefined })
  if (checked.kind !== 'valid') return checked
  const { person } = checked
  if (person.tenantId !== identity.tenantId || person.objectId !== identity.objectId) {
    return { kind: 'bad-token', fault: 'identity' }
  }
  return { kind: 'enabled', person, refreshSealed: await sealFor(person, tokens, deps) }
}

/** Where a browser ends its session at Entra too. @param returnTo  one of the registered addresses */
export function signOutUrl(returnTo: string, { endpoint, app }: Pick<SignInDeps, 'endpoint' | 'app'>): string {
  const url = new URL(tenantEndpoints(endpoint, app.tenant).signOut)
  url.searchParams.set('post_logout_redirect_uri', returnTo)
  return forBrowser(endpoint, url.href)
}

async function checkTokens(
  idToken: string,
  deps: SignInDeps,
  expected: Pick<Expected, 'nonce' | 'authenticatedSince'>,
): Promise<
  { kind: 'valid'; person: EntraPerson } | Extract<TokenRefusal, { kind: 'bad-token' | 'service-unavailable' }>
> {
  const bad = (fault: TokenFault) => ({ kind: 'bad-token', fault }) as const
  const read = readIdTokenHead(idToken)
  if (read.kind === 'refused') return bad(read.fault)
  const { tenantId, keyId } = read.head
  const { clientId, tenant } = deps.app
  if ((tenant !== 'organizations' && tenant !== tenantId) || !(await deps.maySignIn(tenantId))) return bad('tenant')
  let checked: CheckResult
  try {
    const key = await deps.metadata.signingKey(tenantId, keyId)
    if (key === undefined) return bad('unknown-key')
    const { issuer } = tenantEndpoints(deps.endpoint, tenantId)
    checked = await checkIdToken(idToken, key, { ...expected, issuer, tenantId, audience: clientId, now: deps.now() })
  } catch (error) {
    if (error instanceof UntrustedMetadata) return bad('untrusted-keys')
    if (!(error instanceof LoginUnavailable)) throw error
    return { kind: 'service-unavailable', retryAfterMs: error.retryAfterMs, cause: error }
  }
  return checked.kind === 'valid' ? checked : bad(checked.fault)
}

async function sealFor(person: EntraPerson, { refreshToken }: Tokens, { sealer }: SignInDeps): Promise<Uint8Array> {
  return sealer.seal(Buffer.from(refreshToken, 'utf8'), sealContext(person))
}

/** A token moved into somebody else's session doesn't open. */
function sealContext({ tenantId, objectId }: Pick<EntraPerson, 'tenantId' | 'objectId'>): string {
  return `entra-refresh-token/1 ${tenantId}/${objectId}`
}
