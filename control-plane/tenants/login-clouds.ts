// Entra's endpoints and keys of each cloud, made when they are first asked for: the cloud is a tenant's, never the installation's.
import { loginEndpoint } from '../access/login-endpoint.ts'
import type { LoginEndpoint } from '../access/login-endpoint.ts'
import { LoginNetwork } from '../access/login-network.ts'
import { OidcMetadata } from '../access/oidc-metadata.ts'
import type { Cloud } from '../microsoft/clouds.ts'
import type { Mode } from '../settings.ts'

export interface LoginCloud {
  readonly endpoint: LoginEndpoint
  readonly network: LoginNetwork
  readonly metadata: OidcMetadata
}

export class LoginClouds {
  readonly #clouds = new Map<Cloud, LoginCloud>()
  readonly #deps: { readonly mode: Mode; readonly sandboxUrl: URL | undefined; readonly now: () => number }

  constructor(deps: { readonly mode: Mode; readonly sandboxUrl: URL | undefined; readonly now: () => number }) {
    this.#deps = deps
  }

  of(cloud: Cloud): LoginCloud {
    const known = this.#clouds.get(cloud)
    if (known !== undefined) return known
    const { mode, sandboxUrl, now } = this.#deps
    const endpoint = loginEndpoint(cloud, mode, sandboxUrl)
    const network = new LoginNetwork(endpoint)
    const made = { endpoint, network, metadata: new OidcMetadata({ endpoint, network, now }) }
    this.#clouds.set(cloud, made)
    return made
  }
}
