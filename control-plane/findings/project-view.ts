// What judging knows of a project's tenants beside their accounts. Pure.
import { normaliseDomain } from '../../rewrite-rules/index.ts'
import type { ExchangeFacts, LicenceFacts, TenantFacts } from '../directory/tenant-facts.ts'
import type { GapCode } from '../discovery/discovery.ts'
import type { TenantId } from '../ids.ts'
import type { Consent } from '../tenants/consent.ts'
import type { Tenant } from '../tenants/tenant.ts'

export interface KnownTenant {
  readonly tenant: Pick<Tenant, 'id' | 'side' | 'label' | 'cloud'>
  /** As last read. */
  readonly facts: TenantFacts | undefined
  readonly consent: Pick<Consent, 'state' | 'missing' | 'problem'> | undefined
  /** The newest that went to its end. */
  readonly completed: { readonly finishedAt: Date; readonly gaps: readonly GapCode[] } | undefined
  /** Whether a later one did not. */
  readonly hasFailedSince: boolean
  /** Of the certificate in use, where the connection has its own. */
  readonly certificateExpiresAt: Date | undefined
}

export interface TenantView extends KnownTenant {
  readonly id: TenantId
  /** Verified ones, A-labels. */
  readonly domains: ReadonlySet<string>
  readonly initialDomain: string | undefined
  readonly defaultDomain: string | undefined
  /** Whether Exchange was looked at, so that what is not there is not there. */
  readonly seesExchange: boolean
  /** The same of the usage reports. */
  readonly seesSizes: boolean
  /** SKU ids. */
  readonly mailLicences: ReadonlySet<string>
  readonly driveLicences: ReadonlySet<string>
}

export interface ProjectView {
  /** By label. */
  readonly tenants: readonly TenantView[]
  readonly target: TenantView | undefined
  readonly byId: ReadonlyMap<TenantId, TenantView>
  /** Verified domain → whose it is. */
  readonly owners: ReadonlyMap<string, TenantId>
  /** Domains of addresses in the mapping table, with how many are in each. */
  readonly mappedDomains: ReadonlyMap<string, number>
  /** ms since the epoch */
  readonly now: number
}

export function viewProject(
  known: readonly KnownTenant[],
  mappedDomains: ReadonlyMap<string, number>,
  now: number,
): ProjectView {
  const tenants = known.map(viewTenant).toSorted((a, b) => (a.tenant.label < b.tenant.label ? -1 : 1))
  return {
    tenants,
    target: tenants.find(({ tenant }) => tenant.side === 'target'),
    byId: new Map(tenants.map((tenant) => [tenant.id, tenant])),
    owners: new Map(tenants.flatMap(({ id, domains }) => [...domains].map((domain) => [domain, id] as const))),
    mappedDomains,
    now,
  }
}

const EXCHANGE_GAPS: readonly GapCode[] = ['exchange-not-asked', 'exchange-role-missing']
const SIZE_GAPS: readonly GapCode[] = ['report-names-concealed', 'report-unavailable']
/** Every one with a mailbox; not `EXCHANGE_S_FOUNDATION`, which has none. */
const MAIL_PLAN = /^EXCHANGE_(?:S_(?:STANDARD|ENTERPRISE|DESKLESS|ESSENTIALS)|B_STANDARD|L_STANDARD)/
const DRIVE_PLAN = /^(?:SHAREPOINT(?:STANDARD|ENTERPRISE|DESKLESS|LITE)|ONEDRIVE)/

function viewTenant(known: KnownTenant): TenantView {
  const { tenant, facts, completed } = known
  const { domains = [], licences = [] } = facts ?? {}
  const verified = domains.filter(({ isVerified }) => isVerified)
  const misses = (gaps: readonly GapCode[]) =>
    completed === undefined || completed.gaps.some((gap) => gaps.includes(gap))
  return {
    ...known,
    id: tenant.id,
    domains: new Set(verified.map(({ name }) => normaliseDomain(name) ?? name)),
    initialDomain: verified.find(({ isInitial }) => isInitial)?.name,
    defaultDomain: verified.find(({ isDefault }) => isDefault)?.name,
    seesExchange: facts?.exchange !== undefined && !misses(EXCHANGE_GAPS),
    seesSizes: facts !== undefined && facts.reportsConcealNames !== true && !misses(SIZE_GAPS),
    mailLicences: licencesWith(licences, MAIL_PLAN),
    driveLicences: licencesWith(licences, DRIVE_PLAN),
  }
}

const licencesWith = (licences: readonly LicenceFacts[], plan: RegExp): ReadonlySet<string> =>
  new Set(licences.filter(({ servicePlans }) => servicePlans.some((name) => plan.test(name))).map(({ skuId }) => skuId))

/** Verified domains of the project's other tenants. */
export function domainsOfOthers({ tenants }: ProjectView, id: TenantId): ReadonlySet<string> {
  return new Set(tenants.flatMap((other) => (other.id === id ? [] : [...other.domains])))
}

/** Whether a pattern of a connector or remote domain (`*`, `*.contoso.com`, `contoso.com`, `smtp:contoso.com;1`) covers a domain. */
export function covers(pattern: string, domain: string): boolean {
  const name = patternName(pattern)
  if (name === '*') return true
  return name.startsWith('*.') ? domain === name.slice(2) || domain.endsWith(name.slice(1)) : domain === name
}

/** Without the prefix and cost that connectors put around it, in lower case. */
export const patternName = (pattern: string): string =>
  pattern
    .toLowerCase()
    .replace(/^smtp:/, '')
    .replace(/;\d+$/, '')
    .trim()

/** The remote domain that rules mail to a domain: the most specific one that covers it. */
export function remoteDomainOf(
  { remoteDomains }: ExchangeFacts,
  domain: string,
): ExchangeFacts['remoteDomains'][number] | undefined {
  return remoteDomains
    .filter(({ domainName }) => covers(domainName, domain))
    .toSorted((a, b) => specificity(b.domainName) - specificity(a.domainName))[0]
}

const specificity = (pattern: string): number => {
  const name = patternName(pattern)
  return name === '*' ? 0 : name.startsWith('*.') ? name.length : 10_000 + name.length
}

/** Domain of an address as it is compared; undefined: it has none. */
export function domainOf(address: string): string | undefined {
  const at = address.lastIndexOf('@')
  return at < 0 ? undefined : normaliseDomain(address.slice(at + 1))
}
