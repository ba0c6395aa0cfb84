// Makes the settings of a tenant that cmdlets read: organisation, accepted and remote domains, connectors, rules, relationships. Defaults are those
// of a new tenant; properties are named as the cmdlets answer them.
import type { Domain, ExchangeObject } from './objects.ts'
import { MADE_AT } from './place.ts'
import type { Place } from './place.ts'

export type Settings = Readonly<Record<string, unknown>>

/** What an object has of which its maker said nothing, beside its name. */
export const SETTING_DEFAULTS = {
  RemoteDomain: {
    IsInternal: false,
    TNEFEnabled: null,
    AllowedOOFType: 'External',
    AutoReplyEnabled: true,
    AutoForwardEnabled: true,
    DeliveryReportEnabled: true,
    NDREnabled: true,
    MeetingForwardNotificationEnabled: false,
    ContentType: 'MimeHtmlText',
    CharacterSet: 'iso-8859-1',
    TargetDeliveryDomain: false,
    TrustedMailInboundEnabled: false,
    TrustedMailOutboundEnabled: false,
  },
  InboundConnector: {
    Enabled: true,
    ConnectorType: 'Partner',
    ConnectorSource: 'Default',
    Comment: null,
    SenderDomains: ['smtp:*;1'],
    SenderIPAddresses: [],
    TrustedOrganizations: [],
    AssociatedAcceptedDomains: [],
    RequireTls: false,
    RestrictDomainsToIPAddresses: false,
    RestrictDomainsToCertificate: false,
    TlsSenderCertificateName: null,
    CloudServicesMailEnabled: false,
    TreatMessagesAsInternal: false,
    EFTestMode: false,
    EFSkipLastIP: false,
    EFSkipIPs: [],
    EFUsers: [],
  },
  OutboundConnector: {
    Enabled: true,
    UseMXRecord: true,
    ConnectorType: 'Partner',
    ConnectorSource: 'Default',
    Comment: null,
    RecipientDomains: [],
    SmartHosts: [],
    TlsDomain: null,
    TlsSettings: null,
    IsTransportRuleScoped: false,
    RouteAllMessagesViaOnPremises: false,
    CloudServicesMailEnabled: false,
    AllAcceptedDomains: false,
    SenderRewritingEnabled: false,
    TestMode: false,
    IsValidated: false,
    LastValidationTimestamp: null,
    ValidationRecipients: [],
    SmtpDaneMode: 'Opportunistic',
    MtaStsMode: 'Opportunistic',
  },
  TransportRule: {
    State: 'Enabled',
    Mode: 'Enforce',
    Comments: null,
    RuleVersion: '14.0.0.0',
    RuleErrorAction: 'Ignore',
    SenderAddressLocation: 'Header',
    StopRuleProcessing: false,
    FromScope: null,
    SentToScope: null,
    FromMemberOf: null,
    SentToMemberOf: null,
    RouteMessageOutboundConnector: null,
    SetHeaderName: null,
    SetHeaderValue: null,
    RemoveHeader: null,
  },
  // Nothing is shared, and nobody asked.
  OrganizationRelationship: {
    Enabled: true,
    ArchiveAccessEnabled: false,
    FreeBusyAccessEnabled: false,
    FreeBusyAccessLevel: 'None',
    FreeBusyAccessScope: null,
    MailTipsAccessEnabled: false,
    MailTipsAccessLevel: 'None',
    MailTipsAccessScope: null,
    MailboxMoveEnabled: false,
    MailboxMoveCapability: null,
    DeliveryReportEnabled: false,
    PhotosEnabled: false,
    TargetApplicationUri: null,
    TargetSharingEpr: null,
    TargetAutodiscoverEpr: null,
    TargetOwaURL: null,
    OrganizationContact: null,
  },
} as const satisfies Readonly<Record<string, Settings>>

export function setting(place: Place, noun: string, name: string, properties: Settings): ExchangeObject {
  return {
    guid: place.random.guid(),
    noun,
    properties: {
      Identity: name,
      Name: name,
      ...properties,
      WhenCreated: MADE_AT,
      WhenChanged: MADE_AT,
      IsValid: true,
    },
  }
}

export function organizationConfig(place: Place, differing: Settings): ExchangeObject {
  return setting(place, 'OrganizationConfig', `${place.label}.onmicrosoft.com`, {
    DisplayName: place.companyName,
    IsDehydrated: false,
    RejectDirectSend: false,
    DisablePlusAddressInRecipients: false,
    SendFromAliasEnabled: false,
    AutoExpandingArchiveEnabled: false,
    OAuth2ClientProfileEnabled: true,
    MailTipsExternalRecipientsTipsEnabled: false,
    ...differing,
  })
}

/** One for each verified domain. */
export function acceptedDomains(
  place: Place,
  domains: readonly Domain[],
  internalRelay: readonly string[],
): ExchangeObject[] {
  return domains
    .filter((domain) => domain.isVerified && domain.supportedServices.includes('Email'))
    .map(({ id, isDefault, isInitial }) =>
      setting(place, 'AcceptedDomain', id, {
        DomainName: id,
        DomainType: internalRelay.includes(id) ? 'InternalRelay' : 'Authoritative',
        Default: isDefault,
        InitialDomain: isInitial,
        MatchSubDomains: false,
        AuthenticationType: null,
      }),
    )
}

export function remoteDomain(place: Place, name: string, domainName: string, differing: Settings = {}): ExchangeObject {
  return setting(place, 'RemoteDomain', name, {
    ...SETTING_DEFAULTS.RemoteDomain,
    DomainName: domainName,
    ...differing,
  })
}

export function inboundConnector(place: Place, name: string, differing: Settings): ExchangeObject {
  return setting(place, 'InboundConnector', name, {
    ...SETTING_DEFAULTS.InboundConnector,
    RequireTls: true,
    ...differing,
  })
}

export function outboundConnector(place: Place, name: string, differing: Settings): ExchangeObject {
  return setting(place, 'OutboundConnector', name, {
    ...SETTING_DEFAULTS.OutboundConnector,
    TlsSettings: 'EncryptionOnly',
    IsValidated: true,
    LastValidationTimestamp: MADE_AT,
    ...differing,
  })
}

/** @param priority  gapless from 0 */
export function transportRule(place: Place, name: string, priority: number, differing: Settings): ExchangeObject {
  return setting(place, 'TransportRule', name, {
    Priority: priority,
    ...SETTING_DEFAULTS.TransportRule,
    ...differing,
  })
}

export function organizationRelationship(
  place: Place,
  name: string,
  domainNames: readonly string[],
  differing: Settings = {},
): ExchangeObject {
  return setting(place, 'OrganizationRelationship', name, {
    DomainNames: domainNames,
    ...SETTING_DEFAULTS.OrganizationRelationship,
    FreeBusyAccessEnabled: true,
    FreeBusyAccessLevel: 'LimitedDetails',
    TargetApplicationUri: 'outlook.com',
    TargetAutodiscoverEpr: 'https://autodiscover.outlook.com/autodiscover/autodiscover.svc/WSSecurity',
    ...differing,
  })
}

/** What every tenant has one of. */
export function singletons(place: Place, domains: readonly Domain[]): ExchangeObject[] {
  return [
    remoteDomain(place, 'Default', '*'),
    setting(place, 'ArcConfig', 'Default', { ArcTrustedSealers: '' }),
    setting(place, 'TransportConfig', 'Transport Settings', {
      MaxRecipientEnvelopeLimit: 'Unlimited',
      SmtpClientAuthenticationDisabled: true,
      ExternalPostmasterAddress: null,
      JournalingReportNdrTo: '<>',
    }),
    setting(place, 'HostedOutboundSpamFilterPolicy', 'Default', {
      IsDefault: true,
      Enabled: true,
      AutoForwardingMode: 'Automatic',
      RecipientLimitExternalPerHour: 0,
      RecipientLimitInternalPerHour: 0,
      RecipientLimitPerDay: 0,
      ActionWhenThresholdReached: 'BlockUserForToday',
    }),
    setting(place, 'SharingPolicy', 'Default Sharing Policy', {
      Domains: ['Anonymous:CalendarSharingFreeBusyReviewer', '*:CalendarSharingFreeBusySimple'],
      Enabled: true,
      Default: true,
    }),
    ...domains
      .filter((domain) => domain.isVerified)
      .map(({ id, isInitial }) =>
        setting(place, 'DkimSigningConfig', id, {
          Domain: id,
          Enabled: isInitial,
          Status: isInitial ? 'Valid' : 'CnameMissing',
          Selector1CNAME: `selector1-${id.replaceAll('.', '-')}._domainkey.${place.label}.onmicrosoft.com`,
          Selector2CNAME: `selector2-${id.replaceAll('.', '-')}._domainkey.${place.label}.onmicrosoft.com`,
          KeySize: null,
        }),
      ),
  ]
}
