// What an administrator does in two steps on two pages: adds a domain to the tenant, and shows that it is the tenant's. DNS is not asked.
import { plainDomain } from './plain-domain.ts'
import type { SimulatedTenant } from './tenant.ts'

const DOMAIN = /^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]$/

/** Once it is there, again is nothing. @throws RangeError when it is no domain, or another tenant's */
export function addVerifiedDomain(
  tenant: SimulatedTenant,
  name: string,
  {
    others,
    guid,
    nowMs,
  }: {
    readonly others: readonly SimulatedTenant[]
    readonly guid: () => string
    readonly nowMs: number
  },
): void {
  const domain = name.toLowerCase()
  if (domain.length > 253 || !DOMAIN.test(domain)) throw new RangeError('that is not the name of a domain')
  const isTaken = others.some(
    ({ id, data }) => id !== tenant.id && data.domains.some((each) => each.id.toLowerCase() === domain),
  )
  if (isTaken) throw new RangeError('the domain is in another tenant')
  const { domains } = tenant.data
  const had = domains.find(({ id }) => id === domain)
  if (had?.isVerified !== true) {
    tenant.data = { ...tenant.data, domains: [...domains.filter(({ id }) => id !== domain), plainDomain(domain)] }
  }
  const isAccepted = tenant
    .exchangeObjects('AcceptedDomain')
    .some(({ properties }) => String(properties['DomainName']).toLowerCase() === domain)
  if (isAccepted) return
  const at = new Date(nowMs).toISOString()
  tenant.putExchangeObject({
    guid: guid(),
    noun: 'AcceptedDomain',
    properties: {
      Identity: domain,
      Name: domain,
      DomainName: domain,
      DomainType: 'Authoritative',
      Default: false,
      InitialDomain: false,
      MatchSubDomains: false,
      AuthenticationType: null,
      WhenCreated: at,
      WhenChanged: at,
      IsValid: true,
    },
  })
}
