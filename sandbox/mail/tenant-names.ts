// What the simulated internet knows of the tenants: for each domain that takes mail MX, SPF and DMARC, and where Exchange Online's own hosts are.
import type { Zones } from '../internet/zones.ts'
import type { SimulatedTenant } from '../tenants/tenant.ts'
import { EXCHANGE_NAME, frontDoorHost, SENDING_HOST, SPF_NAME } from './exchange-hosts.ts'

export interface TenantNamesOptions {
  readonly zones: Zones
  /** By host. */
  readonly ports: Map<string, number>
  readonly frontDoor: { readonly address: string; readonly port: number }
  /** What Exchange sends from. */
  readonly sendingAddress: string
}

/** What somebody else has put there meanwhile stays. */
export function publishTenants(options: TenantNamesOptions, tenants: Iterable<SimulatedTenant>): void {
  const { zones, sendingAddress } = options
  publishHost(options, EXCHANGE_NAME)
  zones.set(SENDING_HOST, 'A', sendingAddress)
  zones.set(SENDING_HOST, 'TXT', `v=spf1 include:${SPF_NAME} -all`)
  zones.set(SPF_NAME, 'TXT', `v=spf1 ip4:${sendingAddress} -all`)
  for (const { data } of tenants) {
    for (const domain of data.domains) {
      if (domain.isVerified && domain.supportedServices.includes('Email')) publishDomain(options, domain.id)
    }
  }
}

function publishDomain(options: TenantNamesOptions, domain: string): void {
  const { zones } = options
  const host = frontDoorHost(domain)
  publishHost(options, host)
  const isFree = (name: string, type: string) => zones.find(name)?.some((record) => record.type === type) !== true
  if (isFree(domain, 'MX')) zones.set(domain, 'MX', { preference: 0, exchange: host })
  if (isFree(domain, 'TXT')) zones.set(domain, 'TXT', `v=spf1 include:${SPF_NAME} -all`)
  if (isFree(`_dmarc.${domain}`, 'TXT')) zones.set(`_dmarc.${domain}`, 'TXT', 'v=DMARC1; p=reject')
}

function publishHost({ zones, ports, frontDoor }: TenantNamesOptions, host: string): void {
  zones.set(host, 'A', frontDoor.address)
  ports.set(host, frontDoor.port)
}
