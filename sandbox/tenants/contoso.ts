// Contoso, the source: its domains and Exchange settings, with one at least of every kind.
import { assemble } from './assemble.ts'
import { ADELE, CONTOSO } from './constants.ts'
import { CONTOSO_CONTACTS, CONTOSO_GROUPS } from './contoso-groups.ts'
import { CONTOSO_PEOPLE } from './contoso-people.ts'
import {
  acceptedDomains,
  inboundConnector,
  organizationConfig,
  organizationRelationship,
  outboundConnector,
  remoteDomain,
  setting,
  singletons,
  transportRule,
} from './exchange-settings.ts'
import { dynamicDistributionGroup } from './group.ts'
import type { Domain, ExchangeObject, TenantData } from './objects.ts'
import type { Place } from './place.ts'
import { plainDomain } from './plain-domain.ts'
import { SeededRandom } from './seeded-random.ts'

const DOMAINS: readonly Domain[] = [
  plainDomain('contoso.onmicrosoft.com', { isInitial: true }),
  plainDomain('contoso.com', { isDefault: true }),
  plainDomain('corp.contoso.com'),
  plainDomain('sts.contoso.com', { authenticationType: 'Federated' }),
  plainDomain('xn--mnchen-3ya.contoso.com'),
  plainDomain('new.contoso.com', { isVerified: false, supportedServices: [] }),
]

export function contoso(seed: number): TenantData {
  const place: Place = {
    label: 'contoso',
    domain: 'contoso.com',
    companyName: 'Contoso',
    city: 'Munich',
    country: 'Germany',
    usageLocation: 'DE',
    random: new SeededRandom(seed),
  }
  return assemble(
    place,
    {
      id: CONTOSO,
      displayName: 'Contoso',
      countryLetterCode: 'DE',
      isSyncedFromOnPremises: true,
      cloud: 'global',
      domains: DOMAINS,
      reportsConcealNames: false,
      administrators: [ADELE.oid],
    },
    {
      people: CONTOSO_PEOPLE,
      groups: CONTOSO_GROUPS,
      contacts: CONTOSO_CONTACTS,
      managers: [
        ['alice', 'adele'],
        ['bob', 'alice'],
        ['carol', 'bob'],
        ['erika', 'laura'],
        ['laura', 'erika'],
      ],
      recipients: [
        dynamicDistributionGroup(place, {
          name: 'Everybody with a mailbox',
          local: 'everybody',
          filter: "RecipientTypeDetails -eq 'UserMailbox'",
        }),
      ],
      exchangeObjects: exchangeObjects(place),
      licences: [
        { sku: 'E3', free: 3 },
        { sku: 'E5', free: 1 },
        { sku: 'F3', free: 0 },
      ],
    },
  )
}

function exchangeObjects(place: Place): readonly ExchangeObject[] {
  return [
    organizationConfig(place, { RejectDirectSend: true, SendFromAliasEnabled: true }),
    ...acceptedDomains(place, DOMAINS, ['corp.contoso.com']),
    ...singletons(place, DOMAINS),
    remoteDomain(place, 'Example partner', 'example.net', { AutoForwardEnabled: false, TNEFEnabled: true }),
    inboundConnector(place, 'From on-premises', {
      ConnectorType: 'OnPremises',
      ConnectorSource: 'HybridWizard',
      RestrictDomainsToCertificate: true,
      TlsSenderCertificateName: '*.corp.contoso.com',
      CloudServicesMailEnabled: true,
    }),
    inboundConnector(place, 'From the scanner', {
      SenderIPAddresses: ['192.0.2.10'],
      RestrictDomainsToIPAddresses: true,
      Enabled: false,
    }),
    outboundConnector(place, 'To on-premises', {
      ConnectorType: 'OnPremises',
      ConnectorSource: 'HybridWizard',
      RecipientDomains: ['corp.contoso.com'],
      UseMXRecord: false,
      SmartHosts: ['mail.corp.contoso.com'],
      TlsSettings: 'DomainValidation',
      TlsDomain: 'mail.corp.contoso.com',
      CloudServicesMailEnabled: true,
    }),
    outboundConnector(place, 'Encryption gateway', {
      IsTransportRuleScoped: true,
      UseMXRecord: false,
      SmartHosts: ['[192.0.2.25]'],
    }),
    transportRule(place, 'Disclaimer', 0, {
      FromScope: 'InOrganization',
      SentToScope: 'NotInOrganization',
      ApplyHtmlDisclaimerText: '<p>Confidential</p>',
      ApplyHtmlDisclaimerLocation: 'Append',
    }),
    transportRule(place, 'Encrypt on request', 1, {
      SubjectContainsWords: ['[encrypt]'],
      SentToScope: 'NotInOrganization',
      RouteMessageOutboundConnector: 'Encryption gateway',
      StopRuleProcessing: true,
    }),
    transportRule(place, 'Old block list', 2, {
      State: 'Disabled',
      SenderDomainIs: ['spam.example'],
      DeleteMessage: true,
    }),
    organizationRelationship(place, 'Wingtip Toys', ['wingtiptoys.example', 'wingtiptoys.onmicrosoft.com']),
    setting(place, 'JournalRule', 'Journal of Finance', {
      Recipient: 'finance@contoso.com',
      JournalEmailAddress: 'journal@archive.example',
      Scope: 'Global',
      Enabled: true,
    }),
  ]
}
