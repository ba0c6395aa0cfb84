// The tenants of the project as the relay judges by them: whose a domain is. Exact names after normalisation, never suffixes. (SP-5, PS-6) Pure.
import { normaliseDomain } from '../rewrite-rules/index.ts'
import type { TenantSettings } from './settings-routes.ts'

export class Tenants {
  readonly #owners: ReadonlyMap<string, string>
  readonly #tenantIds: ReadonlySet<string>

  constructor(tenants: readonly Pick<TenantSettings, 'id' | 'tenantId' | 'acceptedDomains'>[]) {
    this.#owners = new Map(tenants.flatMap(({ id, acceptedDomains }) => acceptedDomains.map((domain) => [domain, id])))
    this.#tenantIds = new Set(tenants.flatMap(({ tenantId }) => (tenantId === undefined ? [] : [tenantId])))
  }

  /** The tenant that accepts mail for a domain, in any spelling; undefined for all others, and for what is no domain. */
  ownerOf(domain: string): string | undefined {
    const normal = normaliseDomain(domain)
    return normal === undefined ? undefined : this.#owners.get(normal)
  }

  /** The tenant of an address's domain. */
  ownerOfAddress(address: string): string | undefined {
    const at = address.lastIndexOf('@')
    return at === -1 ? undefined : this.ownerOf(address.slice(at + 1))
  }

  /** Whether an Entra tenant id is that of a tenant here. */
  hasTenantId(id: string): boolean {
    return this.#tenantIds.has(id.trim().toLowerCase())
  }
}
