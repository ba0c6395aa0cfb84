// Which servers a recipient's mail goes to. The route's name was decided at intake and is kept in the spool; what it means is configuration. (rewriting.md §13)
import type { RouteName } from '../message-record.ts'
import { mxDomain, tenantOf } from '../route-names.ts'
import type { SmartHost } from '../settings.ts'

/** Two with the same `key` are one next hop: they share connections and back-off. */
interface Hop {
  /** Tenant, host and what it must prove: a connection opened for one is never used for another (R85). */
  readonly key: string
  /** Name or address with its port, as limits count it and as log and reports name it: `mx.example:25`, `[::1]:25`. */
  readonly hostPort: string
  readonly port: number
}

/** One server, named by the configuration. */
export interface SmartHostHop extends Hop {
  readonly kind: 'smart-host'
  readonly host: string
  readonly tls: SmartHost['tls']
  /** Name that its certificate must have. */
  readonly tlsName: string
  /** File of the authorities that are believed; undefined: the public ones. */
  readonly trust: string | undefined
  /** Whose client certificate is shown, if that tenant has one. */
  readonly tenant: string | undefined
}

/** The mail exchangers of a domain: limits count the domain, whichever of its hosts a connection goes to. */
export interface MxHop extends Hop {
  readonly kind: 'mx'
  /** The domain. */
  readonly host: string
}

export type NextHop = SmartHostHop | MxHop

/** @param tenant  undefined for a route without tenants */
export function nextHopOf(route: SmartHost, tenant?: string): SmartHostHop {
  const { host, port, tls, tlsName = host, trust } = route
  const at = hostPort(host, port)
  const proof = tls === 'none' ? [] : [`tls ${tlsName}`, ...(trust === undefined ? [] : [`trust ${trust.file}`])]
  const key = [...(tenant === undefined ? [] : [`tenant ${tenant}`]), at, ...proof].join(' ')
  return { kind: 'smart-host', key, hostPort: at, host, port, tls, tlsName, trust: trust?.file, tenant }
}

export function mxHopOf(domain: string, port: number): MxHop {
  return { kind: 'mx', key: `mx ${domain}:${port}`, hostPort: `${domain}:${port}`, host: domain, port }
}

export function hostPort(host: string, port: number): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}

/**
 * Finds the next hop of a route; undefined when the configuration has none (any more).
 * @param mx  undefined: nothing is delivered by MX
 */
export function routeFinder(
  routes: Readonly<Record<RouteName, SmartHost>>,
  mx: { readonly port: number } | undefined,
): (route: RouteName) => NextHop | undefined {
  const hops = new Map(Object.entries(routes).map(([name, route]) => [name, nextHopOf(route, tenantOf(name))]))
  return (route) => {
    const domain = mxDomain(route)
    if (domain === undefined) return hops.get(route)
    return mx === undefined ? undefined : mxHopOf(domain, mx.port)
  }
}
