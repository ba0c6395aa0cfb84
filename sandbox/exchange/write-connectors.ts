// Connectors: what Exchange takes mail by, and what it sends it by. (microsoft-365.md §15; coexistence.md §2.1 rows 4, 4b, 5, 5b)
import { SETTING_DEFAULTS } from '../tenants/exchange-settings.ts'
import { inUse, invalidValue } from './exchange-error.ts'
import type { Properties } from './properties.ts'
import { renameConnectorInRules, rulesNamingConnector } from './rule-references.ts'
import { nameOf, settingCmdlets } from './write-settings.ts'

export const connectorCmdlets = [
  ...settingCmdlets({
    noun: 'InboundConnector',
    defaults: SETTING_DEFAULTS.InboundConnector,
    parameters: {
      both: `AssociatedAcceptedDomains CloudServicesMailEnabled Comment ConnectorSource ConnectorType EFSkipIPs EFSkipLastIP
        EFUsers Enabled RequireTls RestrictDomainsToCertificate RestrictDomainsToIPAddresses SenderDomains
        SenderIPAddresses TlsSenderCertificateName TreatMessagesAsInternal TrustedOrganizations`,
    },
    check: (_call, after) => {
      requireSome(after, 'SenderDomains', 'a connector is for the mail of at least one domain.')
      checkInternal(after)
    },
  }),
  ...settingCmdlets({
    noun: 'OutboundConnector',
    defaults: SETTING_DEFAULTS.OutboundConnector,
    parameters: {
      both: `AllAcceptedDomains CloudServicesMailEnabled Comment ConnectorSource ConnectorType Enabled IsTransportRuleScoped
        MtaStsMode RecipientDomains RouteAllMessagesViaOnPremises SenderRewritingEnabled SmartHosts SmtpDaneMode TestMode
        TlsDomain TlsSettings UseMXRecord`,
      onlySet: 'IsValidated LastValidationTimestamp ValidationRecipients',
    },
    check: (_call, after) => {
      if (after['UseMXRecord'] !== true) requireSome(after, 'SmartHosts', 'it is required if UseMXRecord is $false.')
      if (after['TlsSettings'] === 'DomainValidation' && after['TlsDomain'] === null)
        throw invalidValue('TlsDomain', 'it is required if TlsSettings is DomainValidation.')
    },
    renamed: ({ tenant }, from, to) => renameConnectorInRules(tenant, from, to),
    checkRemoval: ({ tenant }, connector) => {
      const rules = rulesNamingConnector(tenant, connector)
      if (rules.length > 0) throw inUse(nameOf(connector), `the rules ${rules.map(nameOf).join(', ')}`)
    },
  }),
]

function checkInternal(after: Properties): void {
  if (after['TreatMessagesAsInternal'] !== true) return
  if (after['CloudServicesMailEnabled'] === true)
    throw invalidValue('TreatMessagesAsInternal', "it can't be $true if CloudServicesMailEnabled is $true.")
  if (after['ConnectorType'] !== 'OnPremises')
    throw invalidValue('TreatMessagesAsInternal', 'it can be $true on connectors of type OnPremises only.')
}

function requireSome(after: Properties, property: string, why: string): void {
  const value = after[property]
  if (!Array.isArray(value) || value.length === 0) throw invalidValue(property, why)
}
