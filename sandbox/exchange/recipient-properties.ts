// What each cmdlet tells of a recipient: defaults of what Exchange always answers, and over them what the recipient holds. `Get-Recipient` tells
// less than the cmdlets of one kind: what is not in its list is not answered, whatever the recipient holds.
import type { Recipient } from '../tenants/objects.ts'
import type { SimulatedTenant } from '../tenants/tenant.ts'
import type { Properties } from './properties.ts'
import { RECIPIENT_TYPES, entraProperty, initialDomainOf, nameOf } from './recipient-facts.ts'

const NO_GUID = '00000000-0000-0000-0000-000000000000'
const GB = 2 ** 30
const MB = 2 ** 20

const CUSTOM_ATTRIBUTES = Object.fromEntries(
  Array.from({ length: 15 }, (_, index) => [`CustomAttribute${index + 1}`, '']),
)

/** Of whatever is a recipient, in the cmdlets of one kind. */
const OF_ALL: Properties = {
  ...CUSTOM_ATTRIBUTES,
  AcceptMessagesOnlyFromSendersOrMembers: [],
  BypassModerationFromSendersOrMembers: [],
  EmailAddressPolicyEnabled: false,
  ExchangeVersion: '0.20 (15.0.0.0)',
  GrantSendOnBehalfTo: [],
  HiddenFromAddressListsEnabled: false,
  IsDirSynced: false,
  IsValid: true,
  MailTip: null,
  MaxReceiveSize: 'Unlimited',
  MaxSendSize: 'Unlimited',
  ModeratedBy: [],
  ModerationEnabled: false,
  PoliciesExcluded: [],
  PoliciesIncluded: [],
  RejectMessagesFromSendersOrMembers: [],
  RequireSenderAuthenticationEnabled: false,
  SimpleDisplayName: '',
}

export const MAILBOX: Properties = {
  ...OF_ALL,
  AccountDisabled: false,
  AddressBookPolicy: null,
  ArchiveGuid: NO_GUID,
  ArchiveName: [],
  ArchiveQuota: 100 * GB,
  ArchiveState: 'None',
  ArchiveStatus: 'None',
  ArchiveWarningQuota: 90 * GB,
  AuditEnabled: true,
  AuditLogAgeLimit: '90.00:00:00',
  AutoExpandingArchiveEnabled: false,
  ComplianceTagHoldApplied: false,
  DelayHoldApplied: false,
  DelayReleaseHoldApplied: false,
  DeliverToMailboxAndForward: false,
  ElcProcessingDisabled: false,
  EndDateForRetentionHold: null,
  ExchangeGuid: NO_GUID,
  ForwardingAddress: null,
  ForwardingSmtpAddress: null,
  InPlaceHolds: [],
  IsInactiveMailbox: false,
  IsLinked: false,
  IsMailboxEnabled: true,
  IsResource: false,
  IsShared: false,
  IssueWarningQuota: 98 * GB,
  Languages: [],
  LitigationHoldDate: null,
  LitigationHoldDuration: 'Unlimited',
  LitigationHoldEnabled: false,
  LitigationHoldOwner: '',
  MailboxMoveStatus: 'None',
  MailboxRegion: null,
  MaxReceiveSize: 36 * MB,
  MaxSendSize: 35 * MB,
  MessageCopyForSendOnBehalfEnabled: false,
  MessageCopyForSentAsEnabled: false,
  ProhibitSendQuota: 99 * GB,
  ProhibitSendReceiveQuota: 100 * GB,
  RecipientLimits: '500',
  RecoverableItemsQuota: 30 * GB,
  RecoverableItemsWarningQuota: 20 * GB,
  RemoteRecipientType: 'None',
  ResourceCapacity: null,
  ResourceCustom: [],
  ResourceType: null,
  RetainDeletedItemsFor: '14.00:00:00',
  RetentionHoldEnabled: false,
  RetentionPolicy: 'Default MRM Policy',
  SKUAssigned: null,
  SingleItemRecoveryEnabled: true,
  StartDateForRetentionHold: null,
  UsageLocation: null,
  WhenSoftDeleted: null,
}

export const MAIL_USER: Properties = {
  ...OF_ALL,
  AccountDisabled: false,
  ArchiveGuid: NO_GUID,
  ArchiveStatus: 'None',
  DeliverToMailboxAndForward: false,
  ExchangeGuid: NO_GUID,
  ForwardingAddress: null,
  LitigationHoldEnabled: false,
  MessageBodyFormat: 'Html',
  MessageFormat: 'Mime',
  OtherMail: [],
  RecoverableItemsQuota: 30 * GB,
  SKUAssigned: null,
  UseMapiRichTextFormat: 'UseDefaultSettings',
}

export const MAIL_CONTACT: Properties = {
  ...OF_ALL,
  MacAttachmentFormat: 'BinHex',
  MessageBodyFormat: 'Html',
  MessageFormat: 'Mime',
  UseMapiRichTextFormat: 'UseDefaultSettings',
  UsePreferMessageFormat: false,
}

export const GROUP: Properties = {
  ...OF_ALL,
  Description: [],
  GroupType: 'Universal',
  HiddenGroupMembershipEnabled: false,
  ManagedBy: [],
  MemberDepartRestriction: 'Open',
  MemberJoinRestriction: 'Closed',
  ReportToManagerEnabled: false,
  ReportToOriginatorEnabled: true,
  RequireSenderAuthenticationEnabled: true,
  SendOofMessageToOriginatorEnabled: false,
}

export const DYNAMIC_GROUP: Properties = {
  ...OF_ALL,
  IncludedRecipients: null,
  ManagedBy: [],
  RecipientContainer: null,
  RecipientFilter: '',
  RecipientFilterType: 'Custom',
  ReportToManagerEnabled: false,
  ReportToOriginatorEnabled: true,
  SendOofMessageToOriginatorEnabled: false,
}

/** Of `Get-Recipient` and of members of a group: these and no others. */
export const RECIPIENT: Properties = {
  ...CUSTOM_ATTRIBUTES,
  ArchiveGuid: NO_GUID,
  ArchiveState: 'None',
  ArchiveStatus: 'None',
  City: '',
  Company: '',
  CountryOrRegion: '',
  Department: '',
  EmailAddressPolicyEnabled: false,
  ExchangeGuid: NO_GUID,
  ExchangeVersion: '0.20 (15.0.0.0)',
  ExternalEmailAddress: null,
  FirstName: '',
  HiddenFromAddressListsEnabled: false,
  IsDirSynced: false,
  IsValid: true,
  LastName: '',
  LitigationHoldEnabled: false,
  ManagedBy: [],
  Manager: null,
  Office: '',
  Phone: '',
  PoliciesIncluded: [],
  ResourceType: null,
  SKUAssigned: null,
  Title: '',
  UsageLocation: null,
  WhenMailboxCreated: null,
  WhenSoftDeleted: null,
}

const ENTRA_NAMES: Readonly<Record<string, string>> = {
  City: 'city',
  Company: 'companyName',
  CountryOrRegion: 'country',
  Department: 'department',
  FirstName: 'givenName',
  LastName: 'surname',
  Office: 'officeLocation',
  Phone: 'mobilePhone',
  Title: 'jobTitle',
}

/** What names and places a recipient, in every cmdlet. What the recipient holds itself wins over what Entra holds. */
export function identityProperties(recipient: Recipient, tenant: SimulatedTenant): Record<string, unknown> {
  const { guid, recipientTypeDetails, externalDirectoryObjectId, properties } = recipient
  const name = nameOf(recipient, tenant)
  const domain = initialDomainOf(tenant)
  const addresses = properties['EmailAddresses'] ?? entraProperty(recipient, tenant, 'proxyAddresses') ?? []
  const primary = properties['PrimarySmtpAddress'] ?? primaryOf(addresses)
  const whenCreated = properties['WhenCreated'] ?? entraProperty(recipient, tenant, 'createdDateTime') ?? null
  return {
    Alias: entraProperty(recipient, tenant, 'mailNickname') ?? name,
    DisplayName: entraProperty(recipient, tenant, 'displayName') ?? name,
    DistinguishedName: `CN=${name},OU=${domain},OU=Microsoft Exchange Hosted Organizations,DC=SANDBOX,DC=PROD,DC=OUTLOOK,DC=COM`,
    EmailAddresses: addresses,
    ExchangeObjectId: externalDirectoryObjectId ?? guid,
    ExternalDirectoryObjectId: externalDirectoryObjectId ?? '',
    Guid: guid,
    Id: properties['Identity'] ?? name,
    Identity: name,
    LegacyExchangeDN: `/o=ExchangeLabs/ou=Exchange Administrative Group (FYDIBOHF23SPDLT)/cn=Recipients/cn=${guid.replaceAll('-', '')}`,
    Name: name,
    OrganizationalUnit: `sandbox.prod.outlook.com/Microsoft Exchange Hosted Organizations/${domain}`,
    OrganizationId: `SANDBOX.PROD.OUTLOOK.COM/Microsoft Exchange Hosted Organizations/${domain}`,
    PrimarySmtpAddress: primary,
    RecipientType: RECIPIENT_TYPES[recipientTypeDetails],
    RecipientTypeDetails: recipientTypeDetails,
    WhenChanged: properties['WhenChanged'] ?? whenCreated,
    WhenChangedUTC: properties['WhenChanged'] ?? whenCreated,
    WhenCreated: whenCreated,
    WhenCreatedUTC: whenCreated,
    WindowsEmailAddress: primary,
  }
}

/** Who signs in, besides. */
export function signInProperties(recipient: Recipient, tenant: SimulatedTenant): Record<string, unknown> {
  const name = recipient.properties['UserPrincipalName'] ?? entraProperty(recipient, tenant, 'userPrincipalName') ?? ''
  return { UserPrincipalName: name, MicrosoftOnlineServicesID: name, WindowsLiveID: name }
}

/** Only what `Get-Recipient` lists; from Entra where Exchange holds nothing. */
export function listedProperties(recipient: Recipient, tenant: SimulatedTenant): Record<string, unknown> {
  const identity = identityProperties(recipient, tenant)
  const listed: Record<string, unknown> = {}
  for (const name in identity) listed[name] = recipient.properties[name] ?? identity[name]
  for (const name in RECIPIENT) {
    const entraName = ENTRA_NAMES[name]
    const value =
      recipient.properties[name] ?? (entraName === undefined ? undefined : entraProperty(recipient, tenant, entraName))
    listed[name] = value ?? RECIPIENT[name]
  }
  return listed
}

function primaryOf(addresses: unknown): string {
  const all: readonly unknown[] = Array.isArray(addresses) ? addresses : []
  const primary = all.find((address) => typeof address === 'string' && address.startsWith('SMTP:'))
  return typeof primary === 'string' ? primary.slice(5) : ''
}
