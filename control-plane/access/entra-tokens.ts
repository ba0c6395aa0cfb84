// Asks Entra's token endpoint through MSAL and reads what came, refresh token included. Nothing here is verified yet: id-token.ts does that.
import { ConfidentialClientApplication } from '@azure/msal-node'
import type { AuthenticationResult, INetworkModule } from '@azure/msal-node'
import { clientAssertion } from './app-credential.ts'
import type { AppCredential } from './app-credential.ts'
import { tenantEndpoints } from './login-endpoint.ts'
import type { LoginEndpoint } from './login-endpoint.ts'
import { LoginUnavailable } from './login-network.ts'
import type { LoginNetwork } from './login-network.ts'
import { judgeTokenError } from './token-refusal.ts'
import type { TokenRefusal } from './token-refusal.ts'

export interface SignInApp {
  /** GUID, lower case */
  readonly clientId: string
  /** As registered, character by character. */
  readonly redirectUri: string
  /** GUID of the one tenant whose people sign in, or `organizations` for a multi-tenant registration. */
  readonly tenant: string
  readonly credential: AppCredential
}

export interface MsalDeps {
  readonly endpoint: LoginEndpoint
  readonly network: LoginNetwork
  readonly app: SignInApp
  /** ms since the epoch */
  readonly now: () => number
}

/** What an application proves itself with, and where. */
export interface MsalSetup extends Pick<MsalDeps, 'endpoint' | 'now'> {
  readonly app: Pick<SignInApp, 'clientId' | 'credential'>
}

export interface Tokens {
  readonly kind: 'tokens'
  readonly idToken: string
  readonly refreshToken: string
}

/** @param tenant  GUID or `organizations`: whose token endpoint. @throws for faults of ours only */
export async function askForTokens(
  tenant: string,
  deps: MsalDeps,
  ask: (msal: ConfidentialClientApplication) => Promise<AuthenticationResult | null>,
): Promise<Tokens | TokenRefusal> {
  const watch = watched(deps.network)
  const msal = msalFor(tenant, watch.network, deps)
  let result: AuthenticationResult | null
  try {
    result = await ask(msal)
  } catch (error) {
    const refusal = judgeTokenError(error, watch.outage())
    if (refusal === undefined) throw error
    return refusal
  }
  const refreshToken = refreshTokenIn(msal.getTokenCache().serialize())
  // Without one nobody would notice that the person was disabled: a registration that gives none can't be used (AZ-3).
  if (refreshToken === undefined) return { kind: 'misconfigured', error: 'no_refresh_token', entraCode: undefined }
  return { kind: 'tokens', idToken: result?.idToken ?? '', refreshToken }
}

/**
 * A new one for each request. MSAL keeps in its object the tokens of everybody it has seen, and answers from there how it likes; we want each
 * question asked, and nothing kept.
 */
export function msalFor(
  tenant: string,
  networkClient: INetworkModule,
  { endpoint, app, now }: MsalSetup,
): ConfidentialClientApplication {
  const at = tenantEndpoints(endpoint, tenant)
  return new ConfidentialClientApplication({
    auth: {
      clientId: app.clientId,
      authority: `${endpoint.origin}/${tenant}`,
      knownAuthorities: [new URL(endpoint.origin).host],
      // Given here, MSAL asks nobody where the endpoints are.
      authorityMetadata: JSON.stringify({
        issuer: at.issuer,
        authorization_endpoint: at.authorize,
        token_endpoint: at.token,
        end_session_endpoint: at.signOut,
        jwks_uri: at.keys,
      }),
      clientAssertion: () => clientAssertion(app.credential, app.clientId, at.token, now()),
    },
    system: { networkClient },
  })
}

/** MSAL drops what a network client throws; this remembers it. */
function watched(network: LoginNetwork): { network: INetworkModule; outage: () => LoginUnavailable | undefined } {
  let outage: LoginUnavailable | undefined
  const note = (error: unknown): never => {
    if (error instanceof LoginUnavailable) outage = error
    throw error
  }
  return {
    network: {
      sendGetRequestAsync: (url, options) => network.sendGetRequestAsync<never>(url, options).catch(note),
      sendPostRequestAsync: (url, options) => network.sendPostRequestAsync<never>(url, options).catch(note),
    },
    outage: () => outage,
  }
}

/** MSAL shows refresh tokens only in its serialised cache. */
function refreshTokenIn(cache: string): string | undefined {
  const { RefreshToken: entries = {} } = JSON.parse(cache) as { RefreshToken?: Record<string, { secret?: unknown }> }
  const [entry] = Object.values(entries)
  return typeof entry?.secret === 'string' && entry.secret !== '' ? entry.secret : undefined
}
