// Names of routes, as the spool keeps them with each recipient: decided at intake, given a meaning by the configuration. (rewriting.md §13)
import type { RouteName } from './message-record.ts'
import type { Settings, SmartHost } from './settings.ts'

const TENANT = 'tenant:'
const MX = 'mx:'

/** To the smart host of a tenant. */
export function tenantRoute(id: string): RouteName {
  return TENANT + id
}

/** To the mail exchangers of a domain. @param domain  lower case, A-labels */
export function mxRoute(domain: string): RouteName {
  return MX + domain
}

/** The domain of a route to mail exchangers. */
export function mxDomain(route: RouteName): string | undefined {
  return route.startsWith(MX) ? route.slice(MX.length) : undefined
}

/** The route as metrics and events name it: whose domain the recipient is of is told elsewhere, and labels are few. */
export function routeLabel(route: RouteName): string {
  return mxDomain(route) === undefined ? route : 'mx'
}

/** The tenant of a route to one. */
export function tenantOf(route: RouteName): string | undefined {
  return route.startsWith(TENANT) ? route.slice(TENANT.length) : undefined
}

/** The routes that lead to one server each. */
export function smartHosts({
  routes,
  tenants,
}: Pick<Settings, 'routes' | 'tenants'>): Readonly<Record<RouteName, SmartHost>> {
  return routes ?? Object.fromEntries((tenants ?? []).map(({ id, smartHost }) => [tenantRoute(id), smartHost]))
}
