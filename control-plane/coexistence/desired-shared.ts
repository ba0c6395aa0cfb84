// What a tenant needs whichever role it has: the way in, trust in our seals, remote domains, free/busy. Some of it changes what was there before.
// (coexistence.md §2.1 rows 4, 4b, 4c, 7, 8)
import type { DesiredInput, TenantInput } from './desired.ts'
import { isList, listMinus } from './equality.ts'
import { nameOf, remoteDomainKey, remoteDomainName } from './names.ts'
import type { DesiredObject, ObservedObject, Properties } from './tenant-object.ts'

export function sharedObjects(input: DesiredInput, own: TenantInput, holdsMailboxes: boolean): DesiredObject[] {
  const { setting } = input
  const filters = holdsMailboxes && setting.enhancedFiltering !== 'off'
  const properties: Properties = {
    ConnectorType: 'OnPremises',
    SenderDomains: ['*'],
    RequireTls: true,
    RestrictDomainsToCertificate: true,
    TlsSenderCertificateName: own.certificateName,
    CloudServicesMailEnabled: holdsMailboxes && setting.route === 'return',
    Enabled: true,
    ...(filters ? { EFSkipLastIP: true } : {}),
    ...(filters && setting.enhancedFiltering === 'pilot' ? { EFUsers: own.pilots } : {}),
  }
  const name = nameOf(input.project8, 'in')
  return [
    { tenant: own.tenant, noun: 'InboundConnector', key: 'in', name, ownership: 'created', properties },
    ...arcObject(setting.arcSealingDomain, own),
  ]
}

/** The value list is replaced by Set-ArcConfig, so ours joins what is there. */
function arcObject(sealer: string | undefined, own: TenantInput): DesiredObject[] {
  if (sealer === undefined) return []
  const there = listOf(own.observed.find((each) => each.noun === 'ArcConfig')?.properties['ArcTrustedSealers'])
  const properties = { ArcTrustedSealers: union(there, [sealer]) }
  return [{ tenant: own.tenant, noun: 'ArcConfig', key: 'arc', name: 'Default', ownership: 'changed', properties }]
}

export function remoteDomainObjects(input: DesiredInput, own: TenantInput, other: TenantInput): DesiredObject[] {
  const format = {
    TNEFEnabled: false,
    AllowedOOFType: 'External',
    AutoForwardEnabled: true,
    AutoReplyEnabled: true,
    DeliveryReportEnabled: true,
    NDREnabled: true,
    MeetingForwardNotificationEnabled: true,
  }
  const objects = [...new Set(other.domains.map((domain) => domain.toLowerCase()))]
    .toSorted()
    .map((domain): DesiredObject => {
      const key = remoteDomainKey(domain)
      const name = remoteDomainName(input.project8, domain)
      const theirs = own.observed.find(
        (each) => each.noun === 'RemoteDomain' && each.name !== name && isText(each.properties['DomainName'], domain),
      )
      const common = { tenant: own.tenant, noun: 'RemoteDomain' as const, key }
      return theirs === undefined
        ? { ...common, name, ownership: 'created', properties: { DomainName: domain, ...format } }
        : { ...common, name: theirs.name, ownership: 'changed', properties: format }
    })
  if (!input.setting.turnsTnefOff) return objects
  const properties = { TNEFEnabled: false }
  return [
    ...objects,
    {
      tenant: own.tenant,
      noun: 'RemoteDomain',
      key: 'tnef-default',
      name: 'Default',
      ownership: 'changed',
      properties,
    },
  ]
}

export function freeBusyObject(
  { freeBusy, project8 }: DesiredInput,
  own: TenantInput,
  other: TenantInput,
): DesiredObject[] {
  if (freeBusy.state === 'off') return []
  const domains = [...new Set(other.domains.map((domain) => domain.toLowerCase()))].toSorted()
  const name = nameOf(project8, 'free-busy')
  const common = { tenant: own.tenant, noun: 'OrganizationRelationship' as const, key: 'free-busy' }
  // A domain can be in one relationship only: where somebody has one with this organisation, ours would be refused.
  const theirs = own.observed
    .filter((each) => each.noun === 'OrganizationRelationship' && each.name !== name && sharesDomain(each, domains))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
  const [first] = theirs
  if (first !== undefined) {
    const elsewhere = theirs.slice(1).flatMap((each) => listOf(each.properties['DomainNames']))
    const properties = { DomainNames: union(listOf(first.properties['DomainNames']), listMinus(domains, elsewhere)) }
    return [{ ...common, name: first.name, ownership: 'changed', properties }]
  }
  const properties: Properties = {
    DomainNames: domains,
    Enabled: true,
    FreeBusyAccessEnabled: true,
    FreeBusyAccessLevel: freeBusy.accessLevel,
    ...(freeBusy.accessScope === undefined ? {} : { FreeBusyAccessScope: freeBusy.accessScope }),
    TargetApplicationUri: 'outlook.com',
    TargetAutodiscoverEpr: 'https://autodiscover.outlook.com/autodiscover/autodiscover.svc/WSSecurity',
    TargetSharingEpr: 'https://outlook.office365.com/EWS/Exchange.asmx',
    MailTipsAccessEnabled: true,
    MailTipsAccessLevel: 'Limited',
  }
  return [{ ...common, name, ownership: 'created', properties }]
}

function sharesDomain(relationship: ObservedObject, domains: readonly string[]): boolean {
  const there = listOf(relationship.properties['DomainNames'])
  return listMinus(domains, there).length < domains.length
}

function union(there: readonly string[], ours: readonly string[]): readonly string[] {
  return [...there, ...listMinus(ours, there)]
}

function listOf(value: Properties[string] | undefined): readonly string[] {
  return isList(value) ? value : []
}

function isText(value: Properties[string] | undefined, domain: string): boolean {
  return typeof value === 'string' && value.toLowerCase() === domain
}
