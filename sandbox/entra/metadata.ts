// What anyone may read of a tenant: OpenID metadata and the key set. Templates as in contracts/entra.json (MSAL's AuthorityMetadata).
import { SHARED_PATHS } from './directory.ts'
import type { EntraState } from './entra-state.ts'
import { issuerOf } from './tokens.ts'

/** @param name  as in the path: GUID, domain, `common` or `organizations`. @throws EntraError 90002 */
export function openIdConfiguration(state: EntraState, name: string): Record<string, unknown> {
  const { issuerOrigin } = state
  // For a domain Entra answers with the GUID everywhere; for the shared paths the issuer is a template.
  const path = SHARED_PATHS.includes(name) ? name : state.directory.tenant(name).id
  const base = `${issuerOrigin}/${path}`
  return {
    token_endpoint: `${base}/oauth2/v2.0/token`,
    token_endpoint_auth_methods_supported: ['client_secret_post', 'private_key_jwt'],
    jwks_uri: state.keysElsewhere ?? `${base}/discovery/v2.0/keys`,
    response_modes_supported: ['query', 'form_post'],
    subject_types_supported: ['pairwise'],
    id_token_signing_alg_values_supported: ['RS256'],
    response_types_supported: ['code'],
    scopes_supported: ['openid', 'profile', 'email', 'offline_access'],
    issuer: issuerOf(issuerOrigin, SHARED_PATHS.includes(name) ? '{tenantid}' : path),
    authorization_endpoint: `${base}/oauth2/v2.0/authorize`,
    http_logout_supported: true,
    end_session_endpoint: `${base}/oauth2/v2.0/logout`,
    claims_supported: [
      'sub',
      'iss',
      'aud',
      'exp',
      'iat',
      'auth_time',
      'nonce',
      'preferred_username',
      'name',
      'tid',
      'ver',
    ],
    tenant_region_scope: null,
    cloud_instance_name: 'microsoftonline.com',
  }
}

/** @throws EntraError 90002 */
export async function keySet(state: EntraState, name: string): Promise<Record<string, unknown>> {
  const { directory, issuerOrigin } = state
  const tenants = SHARED_PATHS.includes(name) ? directory.tenants : [directory.tenant(name)]
  const sets = await Promise.all(
    tenants.map(async (tenant) => (await state.keysOf(tenant)).publicJwks(issuerOf(issuerOrigin, tenant.id))),
  )
  return { keys: sets.flat() }
}
