// Where people sign in, by cloud (microsoft-365.md §1). The origin is pinned: issuers, keys and tokens are believed only when they are of it.
import { CLOUDS, CLOUD_HOSTS } from '../microsoft/clouds.ts'
import type { Cloud } from '../microsoft/clouds.ts'

const loginOrigin = (cloud: Cloud): string => `https://${CLOUD_HOSTS[cloud].login}`

export interface LoginEndpoint {
  /** As issuers and metadata write it. */
  readonly origin: string
  /** Where requests and browsers really go: the same, but for a sandbox. */
  readonly reachAt: string
}

/** What a simulated Entra that speaks plain HTTP calls itself (sandbox/README.md); one with TLS calls itself as it is reached. */
const SANDBOX_ORIGIN = 'https://login.sandbox.test'

/**
 * @param sandboxUrl  of a simulated Entra
 * @throws Error for one in production: anybody who can reach it may sign in as anybody
 */
export function loginEndpoint(
  cloud: Cloud,
  mode: 'production' | 'evaluation',
  sandboxUrl: URL | undefined,
): LoginEndpoint {
  if (sandboxUrl === undefined) return { origin: loginOrigin(cloud), reachAt: loginOrigin(cloud) }
  if (mode !== 'evaluation') throw new Error('a simulated Entra is for evaluation only')
  const reachAt = sandboxUrl.origin
  // Its tokens must mean nothing to an installation that trusts Microsoft, and Microsoft's nothing to one that trusts it.
  if (CLOUDS.some((each) => loginOrigin(each) === reachAt))
    throw new Error('a simulated Entra has an origin of its own')
  return { origin: sandboxUrl.protocol === 'https:' ? reachAt : SANDBOX_ORIGIN, reachAt }
}

/** Endpoints of one tenant at the pinned origin. @param tenant  GUID or `organizations` */
export function tenantEndpoints({ origin }: LoginEndpoint, tenant: string) {
  const base = `${origin}/${tenant}`
  return {
    issuer: `${base}/v2.0`,
    metadata: `${base}/v2.0/.well-known/openid-configuration`,
    keys: `${base}/discovery/v2.0/keys`,
    authorize: `${base}/oauth2/v2.0/authorize`,
    token: `${base}/oauth2/v2.0/token`,
    signOut: `${base}/oauth2/v2.0/logout`,
  }
}

/** The address to which a browser is sent. @param url  at the pinned origin */
export function forBrowser({ origin, reachAt }: LoginEndpoint, url: string): string {
  if (new URL(url).origin !== origin) throw new Error('unreachable: not an address of the login endpoint')
  return reachAt + url.slice(origin.length)
}
