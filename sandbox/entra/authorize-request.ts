// Reads a request to the authorization endpoint (RFC 6749 §4.1.1, RFC 7636, OpenID Connect Core §3.1.2.1) as strictly as the sign-in needs it:
// code flow only, PKCE with S256 always.
import { SHARED_PATHS } from './directory.ts'
import type { RegisteredApp, Tenant } from './directory.ts'
import { EntraError } from './entra-error.ts'
import type { EntraState } from './entra-state.ts'
import type { ReplyAddress } from './reply.ts'

export interface AuthorizeRequest {
  readonly app: RegisteredApp
  /** undefined: people of any tenant. */
  readonly tenant: Tenant | undefined
  readonly reply: ReplyAddress
  readonly scopes: readonly string[]
  readonly nonce: string | undefined
  readonly challenge: string
  readonly prompts: readonly string[]
  readonly loginHint: string | undefined
}

const PROMPTS = ['login', 'none', 'consent', 'select_account']
const S256_CHALLENGE = /^[\w-]{43}$/

/** Tenant of a path; undefined for the shared ones. @throws EntraError 90002 */
export function tenantOfPath(state: EntraState, name: string): Tenant | undefined {
  return SHARED_PATHS.includes(name) ? undefined : state.directory.tenant(name)
}

/**
 * Where the answer goes. What is wrong here is told to the person, never to the address: it may be an attacker's.
 * @throws EntraError
 */
export function readReplyAddress(
  state: EntraState,
  query: URLSearchParams,
): { app: RegisteredApp; reply: ReplyAddress } {
  const app = state.directory.app(required(query, 'client_id'))
  const redirectUri = required(query, 'redirect_uri')
  if (!app.redirectUris.includes(redirectUri)) throw new EntraError(50011)
  const mode = query.get('response_mode') ?? 'query'
  if (mode !== 'query' && mode !== 'form_post') throw new EntraError(90023)
  return { app, reply: { redirectUri, mode, state: query.get('state') ?? undefined } }
}

/** The rest; what is wrong here goes to the reply address. @throws EntraError */
export function readAuthorizeRequest(
  tenant: Tenant | undefined,
  query: URLSearchParams,
  { app, reply }: { app: RegisteredApp; reply: ReplyAddress },
): AuthorizeRequest {
  if (required(query, 'response_type') !== 'code') throw new EntraError(700054)
  const scopes = required(query, 'scope')
    .split(' ')
    .filter((scope) => scope !== '')
  if (!scopes.includes('openid')) throw new EntraError(90023)
  const challenge = query.get('code_challenge') ?? ''
  if (query.get('code_challenge_method') !== 'S256' || !S256_CHALLENGE.test(challenge)) throw new EntraError(9002325)
  const prompts = query.get('prompt')?.split(' ') ?? []
  if (prompts.some((prompt) => !PROMPTS.includes(prompt)) || (prompts.includes('none') && prompts.length > 1)) {
    throw new EntraError(90023)
  }
  const loginHint = query.get('login_hint') ?? undefined
  return { app, tenant, reply, scopes, nonce: query.get('nonce') ?? undefined, challenge, prompts, loginHint }
}

/** @throws EntraError 90014; 9002313 when it is there twice */
export function required(form: URLSearchParams, name: string): string {
  const values = form.getAll(name)
  if (values.length > 1) throw new EntraError(9002313)
  const [value] = values
  if (value === undefined || value === '') throw new EntraError(90014)
  return value
}
