// The token endpoint: authorization code with verifier, refresh token, client credentials; the application proves itself each time.
import { required, tenantOfPath } from './authorize-request.ts'
import type { RegisteredApp, Tenant } from './directory.ts'
import { EntraError } from './entra-error.ts'
import type { EntraState } from './entra-state.ts'
import type { RefreshGrant } from './grants.ts'
import { mintHostile } from './hostile-tokens.ts'
import { TOKEN_LIFE_S, appOnlyClaims, delegatedClaims, idTokenClaims, signToken } from './tokens.ts'
import type { SignedIn } from './tokens.ts'

const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

/**
 * @param tenantName  as in the path
 * @returns body of the 200 answer
 * @throws EntraError
 */
export async function answerTokenRequest(
  state: EntraState,
  tenantName: string,
  form: URLSearchParams,
): Promise<Record<string, unknown>> {
  const tenant = tenantOfPath(state, tenantName)
  const grantType = required(form, 'grant_type')
  const app = state.directory.app(required(form, 'client_id'))
  if (tenant !== undefined) state.directory.requirePrincipal(tenant.id, app)
  await authenticateApp(state, tenantName, app, form)
  switch (grantType) {
    case 'authorization_code':
      return forCode(state, app, tenant, form)
    case 'refresh_token':
      return forRefreshToken(state, app, tenant, form)
    case 'client_credentials':
      return forItself(state, app, tenant, form)
    default:
      throw new EntraError(70003)
  }
}

async function authenticateApp(
  state: EntraState,
  tenantName: string,
  app: RegisteredApp,
  form: URLSearchParams,
): Promise<void> {
  if (form.get('client_assertion_type') !== ASSERTION_TYPE) throw new EntraError(7000218)
  const assertion = form.get('client_assertion')
  if (assertion === null) throw new EntraError(7000218)
  await state.assertions.verify(assertion, app, `${state.issuerOrigin}/${tenantName}/oauth2/v2.0/token`)
}

async function forCode(
  state: EntraState,
  app: RegisteredApp,
  tenant: Tenant | undefined,
  form: URLSearchParams,
): Promise<Record<string, unknown>> {
  const { signedIn, scopes } = state.grants.redeemCode(required(form, 'code'), {
    clientId: app.clientId,
    tenantId: tenant?.id,
    redirectUri: required(form, 'redirect_uri'),
    verifier: required(form, 'code_verifier'),
  })
  return delegatedAnswer(state, { signedIn, scopes })
}

async function forRefreshToken(
  state: EntraState,
  app: RegisteredApp,
  tenant: Tenant | undefined,
  form: URLSearchParams,
): Promise<Record<string, unknown>> {
  const asked = { clientId: app.clientId, tenantId: tenant?.id }
  const { signedIn, scopes } = state.grants.useRefreshToken(required(form, 'refresh_token'), asked)
  // A refreshed ID token belongs to no authorization request (OpenID Connect Core §12.2).
  return delegatedAnswer(state, { signedIn: { ...signedIn, nonce: undefined }, scopes })
}

async function delegatedAnswer(state: EntraState, grant: RefreshGrant): Promise<Record<string, unknown>> {
  const { signedIn, scopes } = grant
  const { person } = signedIn
  const keys = await state.keysOf({ id: person.tenantId })
  return {
    token_type: 'Bearer',
    scope: scopes.filter((scope) => scope !== 'offline_access').join(' '),
    expires_in: TOKEN_LIFE_S,
    ext_expires_in: TOKEN_LIFE_S,
    access_token: await signToken(delegatedClaims(signedIn, scopes, state.minting()), keys.signing),
    ...(scopes.includes('offline_access') ? { refresh_token: state.grants.issueRefreshToken(grant) } : {}),
    id_token: await idToken(state, signedIn),
    client_info: Buffer.from(JSON.stringify({ uid: person.oid, utid: person.tenantId })).toString('base64url'),
  }
}

async function idToken(state: EntraState, signedIn: SignedIn): Promise<string> {
  const { tenantId } = signedIn.person
  const claims = idTokenClaims(signedIn, state.minting())
  const own = (await state.keysOf({ id: tenantId })).signing
  const hostile = state.nextIdToken
  if (hostile === undefined) return signToken(claims, own)
  state.nextIdToken = undefined
  const other = state.directory.tenants.find((tenant) => tenant.id !== tenantId)
  if (other === undefined) throw new Error('a hostile token needs a second tenant in the seed')
  return mintHostile(hostile, claims, {
    issuerOrigin: state.issuerOrigin,
    own,
    other: { tenantId: other.id, key: (await state.keysOf(other)).signing },
    stranger: await state.strangerKey(),
  })
}

async function forItself(
  state: EntraState,
  app: RegisteredApp,
  tenant: Tenant | undefined,
  form: URLSearchParams,
): Promise<Record<string, unknown>> {
  if (tenant === undefined) throw new EntraError(9001023)
  state.directory.requireUnblocked(tenant.id, app)
  const [scope = '', ...more] = required(form, 'scope').split(' ')
  if (more.length > 0 || !scope.endsWith('/.default')) throw new EntraError(1002012)
  const resource = scope.slice(0, -'/.default'.length)
  const roles = state.directory.rolesOf(tenant.id, app, resource)
  const claims = appOnlyClaims({ tenantId: tenant.id, clientId: app.clientId, resource, roles }, state.minting())
  return {
    token_type: 'Bearer',
    expires_in: TOKEN_LIFE_S,
    ext_expires_in: TOKEN_LIFE_S,
    access_token: await signToken(claims, (await state.keysOf(tenant)).signing),
  }
}
