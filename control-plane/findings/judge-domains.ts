// What is to be said of a tenant's domains, and of domains that the mapping table uses. Pure. (microsoft-365.md §18, control-plane.md §3.3)
import { normaliseDomain } from '../../rewrite-rules/index.ts'
import type { Details } from './finding.ts'
import type { FindingCode } from './finding-kinds.ts'
import type { ProjectView, TenantView } from './project-view.ts'

export interface SaidOfDomain {
  readonly code: FindingCode
  readonly domain: string
  readonly details?: Details
}

export function judgeDomains(own: TenantView, project: ProjectView): SaidOfDomain[] {
  const { facts } = own
  const said: SaidOfDomain[] = []
  const elsewhere = new Set(
    project.tenants.flatMap((other) =>
      other.id === own.id ? [] : (other.facts?.domains ?? []).map(({ name }) => name),
    ),
  )
  for (const { name, isVerified, authenticationType, supportedServices } of facts?.domains ?? []) {
    const domain = normaliseDomain(name) ?? name.slice(0, 255)
    if (!isVerified) said.push({ code: 'domain-unverified', domain })
    if (isVerified && authenticationType === 'Federated') said.push({ code: 'domain-federated', domain })
    if (isVerified && !supportedServices.includes('Email')) said.push({ code: 'domain-without-mail', domain })
    if (elsewhere.has(name))
      said.push({ code: 'domain-in-two-tenants', domain, details: { isVerifiedHere: isVerified } })
  }
  for (const { name, domainType } of facts?.exchange?.acceptedDomains ?? []) {
    if (domainType !== 'Authoritative' && domainType !== '')
      said.push({
        code: 'domain-relayed',
        domain: normaliseDomain(name) ?? name.slice(0, 255),
        details: { type: domainType },
      })
  }
  if (own.id === project.target?.id) said.push(...judgeMapped(project))
  return said
}

/** Of the target, where presented addresses belong. While a tenant has not been read, nobody knows what is outside. */
function judgeMapped({ tenants, owners, mappedDomains }: ProjectView): SaidOfDomain[] {
  if (tenants.some(({ facts }) => facts === undefined)) return []
  return [...mappedDomains]
    .filter(([domain]) => !owners.has(domain))
    .map(([domain, addresses]) => ({
      code: 'mapped-domain-outside' as const,
      domain: domain.slice(0, 255),
      details: { addresses },
    }))
    .toSorted((a, b) => (a.domain < b.domain ? -1 : 1))
}
