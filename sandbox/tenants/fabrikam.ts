// Fabrikam, the target: its domains, groups and Exchange settings. Its people stand in fabrikam-people.ts.
import { assemble } from './assemble.ts'
import { FABRIKAM, LEE } from './constants.ts'
import {
  acceptedDomains,
  inboundConnector,
  organizationConfig,
  organizationRelationship,
  remoteDomain,
  singletons,
  transportRule,
} from './exchange-settings.ts'
import { FABRIKAM_PEOPLE } from './fabrikam-people.ts'
import { dynamicDistributionGroup } from './group.ts'
import type { ContactRecipe, GroupRecipe } from './group.ts'
import { plainDomain } from './plain-domain.ts'
import type { Domain, ExchangeObject, TenantData } from './objects.ts'
import type { Place } from './place.ts'
import { SeededRandom } from './seeded-random.ts'

const DOMAINS: readonly Domain[] = [
  plainDomain('fabrikam.onmicrosoft.com', { isInitial: true }),
  plainDomain('fabrikam.com', { isDefault: true }),
  plainDomain('corp.fabrikam.com'),
  plainDomain('lab.fabrikam.com'),
  // Somebody here tried to take it before it was released there.
  plainDomain('corp.contoso.com', { isVerified: false, supportedServices: [] }),
]

const GROUPS: readonly GroupRecipe[] = [
  { kind: 'microsoft-365', name: 'Marketing', local: 'marketing', owners: ['lee'], members: ['lee', 'maria.rossi'] },
  {
    kind: 'microsoft-365',
    name: 'Integration',
    local: 'integration',
    visibility: 'Private',
    owners: ['lee'],
    members: ['alice.smith', 'bob', 'adele-guest'],
  },
  {
    kind: 'microsoft-365',
    name: 'Engineers',
    local: 'engineers',
    members: ['omar.haddad'],
    rule: 'user.department -eq "Engineering"',
  },
  { kind: 'security', name: 'VPN users', local: 'vpn-users', members: ['lee', 'bob'] },
  { kind: 'security', name: 'Licensed', local: 'licensed', members: ['sam'], rule: 'user.accountEnabled -eq true' },
  { kind: 'mail-enabled-security', name: 'Board', local: 'board', owners: ['lee'], members: ['lee', '#vpn-users'] },
  { kind: 'distribution-list', name: 'All of Fabrikam', local: 'all', owners: ['lee'], members: ['*'] },
  { kind: 'distribution-list', name: 'Newsletter', local: 'newsletter', members: ['#all', '@dana'] },
]

const CONTACTS: readonly ContactRecipe[] = [
  { name: 'Dana Outside', local: 'dana', external: 'dana.contact@example.net' },
  // Somebody of Contoso: an address in common.
  { name: 'Miles O’Brien (Contoso)', local: 'miles', external: "miles.o'brien@contoso.com" },
]

export function fabrikam(seed: number): TenantData {
  const place: Place = {
    label: 'fabrikam',
    domain: 'fabrikam.com',
    companyName: 'Fabrikam',
    city: 'Seattle',
    country: 'United States',
    usageLocation: 'US',
    random: new SeededRandom(seed + 1),
  }
  return assemble(
    place,
    {
      id: FABRIKAM,
      displayName: 'Fabrikam',
      countryLetterCode: 'US',
      isSyncedFromOnPremises: true,
      cloud: 'global',
      domains: DOMAINS,
      reportsConcealNames: false,
      administrators: [LEE.oid],
    },
    {
      people: FABRIKAM_PEOPLE,
      groups: GROUPS,
      contacts: CONTACTS,
      managers: [
        ['alice.smith', 'lee'],
        ['bob', 'alice.smith'],
      ],
      recipients: [
        dynamicDistributionGroup(place, {
          name: 'Rooms',
          local: 'rooms',
          filter: "RecipientTypeDetails -eq 'RoomMailbox'",
        }),
      ],
      exchangeObjects: exchangeObjects(place),
      licences: [
        { sku: 'E3', free: 4 },
        { sku: 'E5', free: 0 },
        { sku: 'F3', free: 10 },
        { sku: 'Exchange Plan 1', free: 0 },
      ],
    },
  )
}

function exchangeObjects(place: Place): readonly ExchangeObject[] {
  return [
    // Never customised: writes want Enable-OrganizationCustomization first.
    organizationConfig(place, { IsDehydrated: true, DisablePlusAddressInRecipients: true }),
    ...acceptedDomains(place, DOMAINS, []),
    ...singletons(place, DOMAINS),
    remoteDomain(place, 'Contoso', 'contoso.com', {
      AllowedOOFType: 'InternalLegacy',
      IsInternal: true,
      AutoForwardEnabled: false,
    }),
    inboundConnector(place, 'From the filter', {
      RestrictDomainsToIPAddresses: true,
      SenderIPAddresses: ['198.51.100.0/24'],
      Comment: 'Mail comes through the filter',
      EFSkipLastIP: true,
    }),
    transportRule(place, 'No executables', 0, {
      AttachmentExtensionMatchesWords: ['exe', 'scr'],
      RejectMessageEnhancedStatusCode: '5.7.1',
      StopRuleProcessing: true,
    }),
    // One domain can be in one relationship only: ours has to be added to this.
    organizationRelationship(place, 'Contoso (old)', ['contoso.com'], {
      Enabled: false,
      FreeBusyAccessLevel: 'AvailabilityOnly',
    }),
  ]
}
