// The sign-in as an installation's settings say it (AZ-1). Reads the application's certificate and key once, at the start.
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { API_BASE } from '../http/openapi.ts'
import type { EntraSettings, Mode } from '../settings.ts'
import { readAppCredential } from './app-credential.ts'
import type { SignInDeps, TokenSealer } from './entra-sign-in.ts'
import { loginEndpoint } from './login-endpoint.ts'
import { LoginNetwork } from './login-network.ts'
import { OidcMetadata } from './oidc-metadata.ts'

export interface SetupDeps {
  readonly mode: Mode
  readonly publicUrl: URL
  readonly sealer: TokenSealer
  /** ms since the epoch */
  readonly now: () => number
}

/** @throws Error for a certificate or key that can't be used, without anything of the key in it */
export async function setUpSignIn(
  entra: EntraSettings,
  { mode, publicUrl, sealer, now }: SetupDeps,
): Promise<SignInDeps> {
  const endpoint = loginEndpoint(entra.cloud, mode, entra.sandboxUrl)
  const network = new LoginNetwork(endpoint)
  const tenants = new Set([entra.tenantId, ...entra.signInTenants].map((id) => id.toLowerCase()))
  const [certificate, privateKey] = await Promise.all([
    readFile(entra.certificateFile, 'utf8'),
    readFile(entra.keyFile, 'utf8'),
  ])
  return {
    endpoint,
    network,
    metadata: new OidcMetadata({ endpoint, network, now }),
    app: {
      clientId: entra.clientId.toLowerCase(),
      redirectUri: callbackUrl(publicUrl),
      tenant: tenants.size > 1 ? 'organizations' : entra.tenantId.toLowerCase(),
      credential: readAppCredential({ certificate, privateKey }),
    },
    maySignIn: (tenantId) => tenants.has(tenantId),
    sealer,
    now,
    random: randomBytes,
  }
}

/** To be registered with the application, character by character; beside it `publicUrl`, for signing out. */
export const callbackUrl = (publicUrl: URL): string => new URL(`${API_BASE}/session/callback`, publicUrl).href
