// Where one connection's requests go: the services of its cloud, or a sandbox in place of all of them (evaluation only). Origins are what links and
// tokens are checked against; where they are reached is a second thing. Pure.
import { loginEndpoint } from '../access/login-endpoint.ts'
import type { LoginEndpoint } from '../access/login-endpoint.ts'
import type { Mode } from '../settings.ts'
import { CLOUD_HOSTS, CLOUDS } from './clouds.ts'
import type { Cloud } from './clouds.ts'

/** `origin` as links name it, `reachAt` where it listens. */
export type Endpoint = LoginEndpoint

export interface ConnectionEndpoints {
  readonly login: Endpoint
  readonly graph: Endpoint
  readonly exchange: Endpoint
  /** Hosts of opaque download URLs. */
  readonly downloads: readonly RegExp[]
  /** Resource ids: `<audience>/.default` is the scope of its token. */
  readonly audiences: { readonly graph: string; readonly exchange: string }
}

/** Where a sandbox listens; undefined: Microsoft's own. */
export interface SandboxUrls {
  readonly entra: URL | undefined
  readonly graph: URL | undefined
  readonly exchange: URL | undefined
}

/** What simulated services that speak plain HTTP call themselves. */
const SANDBOX_ORIGINS = { graph: 'https://graph.sandbox.test', exchange: 'https://outlook.sandbox.test' }

/** @throws Error for a sandbox in production, or for one that stands in for some of the services only: tokens of one are not for the other */
export function connectionEndpoints(cloud: Cloud, mode: Mode, sandbox: SandboxUrls): ConnectionEndpoints {
  const login = loginEndpoint(cloud, mode, sandbox.entra)
  const own = CLOUD_HOSTS[cloud]
  const { graph, exchange } = sandbox
  if (sandbox.entra === undefined && graph === undefined && exchange === undefined) {
    const [graphOrigin, exchangeOrigin] = [`https://${own.graph}`, `https://${own.exchange}`]
    return {
      login,
      graph: { origin: graphOrigin, reachAt: graphOrigin },
      exchange: { origin: exchangeOrigin, reachAt: exchangeOrigin },
      downloads: own.downloads,
      audiences: { graph: graphOrigin, exchange: exchangeOrigin },
    }
  }
  if (mode !== 'evaluation') throw new Error('a simulated Microsoft 365 is for evaluation only')
  if (sandbox.entra === undefined || graph === undefined || exchange === undefined)
    throw new Error('a simulated Microsoft 365 has to be simulated whole: Entra, Graph and Exchange')
  const global = CLOUD_HOSTS.global
  const simulated = {
    graph: sandboxEndpoint(graph, SANDBOX_ORIGINS.graph),
    exchange: sandboxEndpoint(exchange, SANDBOX_ORIGINS.exchange),
  }
  return {
    login,
    ...simulated,
    // It hands its own downloads out.
    downloads: [wholeHost(new URL(simulated.graph.origin).hostname)],
    audiences: { graph: `https://${global.graph}`, exchange: `https://${global.exchange}` },
  }
}

function sandboxEndpoint(url: URL, plainOrigin: string): Endpoint {
  const reachAt = url.origin
  const isReal = CLOUDS.some((cloud) => [CLOUD_HOSTS[cloud].graph, CLOUD_HOSTS[cloud].exchange].includes(url.hostname))
  if (isReal) throw new Error('a simulated service has an address of its own')
  return { origin: url.protocol === 'https:' ? reachAt : plainOrigin, reachAt }
}

const wholeHost = (host: string): RegExp => new RegExp(`^${host.replaceAll('.', '\\.')}$`)
