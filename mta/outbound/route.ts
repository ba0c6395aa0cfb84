// Which server a recipient's mail goes to. The route's name was decided at intake and is kept in the spool; what it means is configuration. (rewriting.md §13)
import type { RouteName } from '../message-record.ts'
import type { SmartHost } from '../settings.ts'

/** Where connections are made to. Two with the same `key` are one next hop: they share connections and back-off. */
export interface NextHop {
  /** Tenant, client certificate and host: a connection opened for one is never used for another (R85). */
  readonly key: string
  /** Name or address with its port, as limits count it and as log and reports name it: `mx.example:25`, `[::1]:25`. */
  readonly hostPort: string
  readonly host: string
  readonly port: number
  readonly tls: SmartHost['tls']
}

/** A route without tenants has neither tenant nor certificate in its key. */
export function nextHopOf(route: SmartHost): NextHop {
  const hostPort = `${route.host.includes(':') ? `[${route.host}]` : route.host}:${route.port}`
  return { key: hostPort, hostPort, host: route.host, port: route.port, tls: route.tls }
}

/** The next hop of each configured route. */
export function nextHopsOf(routes: Readonly<Record<string, SmartHost>>): ReadonlyMap<RouteName, NextHop> {
  return new Map(Object.entries(routes).map(([name, route]) => [name, nextHopOf(route)]))
}
