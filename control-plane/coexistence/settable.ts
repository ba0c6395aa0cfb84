// Which properties of a noun somebody can set, and how what Get- answers of them is read: what two observations of a tenant are compared by. From the
// parameters of Set- for Exchange Online; a test holds the lists against Microsoft's reference. Pure. (coexistence.md §2.2)
import { isProofToken } from './tenant-object.ts'
import type { Noun, Properties, Value } from './tenant-object.ts'

interface SettableNames {
  readonly single: ReadonlySet<string>
  /** Answered as lists. */
  readonly list: ReadonlySet<string>
}

const names = (single: string, list: string): SettableNames => ({ single: setOf(single), list: setOf(list) })
const setOf = (text: string): ReadonlySet<string> => new Set(text.split(/\s+/).filter((name) => name !== ''))

/**
 * Without what says how to call (Confirm, Force, WhatIf …), and without name and priority, which an observation has apart. With what only New- and
 * Set-Group set: a remote domain's DomainName, a group's Notes.
 */
export const SETTABLE: Readonly<Record<Noun, SettableNames>> = {
  DistributionGroup: names(
    `Alias BccBlocked BypassNestedModerationEnabled CustomAttribute1 CustomAttribute10 CustomAttribute11
      CustomAttribute12 CustomAttribute13 CustomAttribute14 CustomAttribute15 CustomAttribute2 CustomAttribute3
      CustomAttribute4 CustomAttribute5 CustomAttribute6 CustomAttribute7 CustomAttribute8 CustomAttribute9 DisplayName
      HiddenFromAddressListsEnabled HiddenGroupMembershipEnabled MailTip MemberDepartRestriction MemberJoinRestriction
      ModerationEnabled Notes PrimarySmtpAddress ReportToManagerEnabled ReportToOriginatorEnabled
      RequireSenderAuthenticationEnabled SendModerationNotifications SendOofMessageToOriginatorEnabled SimpleDisplayName
      WindowsEmailAddress`,
    `AcceptMessagesOnlyFrom AcceptMessagesOnlyFromDLMembers AcceptMessagesOnlyFromSendersOrMembers
      BypassModerationFromSendersOrMembers Description EmailAddresses ExtensionCustomAttribute1 ExtensionCustomAttribute2
      ExtensionCustomAttribute3 ExtensionCustomAttribute4 ExtensionCustomAttribute5 GrantSendOnBehalfTo
      MailTipTranslations ManagedBy ModeratedBy RejectMessagesFrom RejectMessagesFromDLMembers
      RejectMessagesFromSendersOrMembers`,
  ),
  InboundConnector: names(
    `CloudServicesMailEnabled Comment ConnectorSource ConnectorType EFSkipLastIP EFTestMode Enabled RequireTls
      RestrictDomainsToCertificate RestrictDomainsToIPAddresses TlsSenderCertificateName TreatMessagesAsInternal`,
    `AssociatedAcceptedDomains EFSkipIPs EFSkipMailGateway EFUsers ScanAndDropRecipients SenderDomains SenderIPAddresses
      TrustedOrganizations`,
  ),
  OutboundConnector: names(
    `AllAcceptedDomains CloudServicesMailEnabled Comment ConnectorSource ConnectorType Enabled IsTransportRuleScoped
      IsValidated LastValidationTimestamp MtaStsMode RouteAllMessagesViaOnPremises SenderRewritingEnabled SmtpDaneMode
      TestMode TlsDomain TlsSettings UseMXRecord`,
    'RecipientDomains SmartHosts ValidationRecipients',
  ),
  ArcConfig: names('', 'ArcTrustedSealers'),
  RemoteDomain: names(
    `AllowedOOFType AutoForwardEnabled AutoReplyEnabled ByteEncoderTypeFor7BitCharsets CharacterSet ContentType
      DeliveryReportEnabled DisplaySenderName DomainName IsInternal LineWrapSize MeetingForwardNotificationEnabled
      NDRDiagnosticInfoEnabled NDREnabled NonMimeCharacterSet PreferredInternetCodePageForShiftJis RequiredCharsetCoverage
      TNEFEnabled TargetDeliveryDomain TrustedMailInboundEnabled TrustedMailOutboundEnabled UseSimpleDisplayName`,
    '',
  ),
  OrganizationRelationship: names(
    `ArchiveAccessEnabled DeliveryReportEnabled Enabled FreeBusyAccessEnabled FreeBusyAccessLevel FreeBusyAccessScope
      MailTipsAccessEnabled MailTipsAccessLevel MailTipsAccessScope MailboxMoveCapability MailboxMoveEnabled
      OAuthApplicationId OrganizationContact PhotosEnabled TargetApplicationUri TargetAutodiscoverEpr TargetOwaURL
      TargetSharingEpr`,
    'DomainNames MailboxMovePublishedScopes',
  ),
  TransportRule: names(
    `ADComparisonAttribute ADComparisonOperator ActivationDate AddManagerAsRecipientType ApplyClassification
      ApplyHtmlDisclaimerFallbackAction ApplyHtmlDisclaimerLocation ApplyHtmlDisclaimerText ApplyOME
      ApplyRightsProtectionCustomizationTemplate ApplyRightsProtectionTemplate AttachmentHasExecutableContent
      AttachmentIsPasswordProtected AttachmentIsUnsupported AttachmentProcessingLimitExceeded AttachmentSizeOver Comments
      DeleteMessage Disconnect ExceptIfADComparisonAttribute ExceptIfADComparisonOperator
      ExceptIfAttachmentHasExecutableContent ExceptIfAttachmentIsPasswordProtected ExceptIfAttachmentIsUnsupported
      ExceptIfAttachmentProcessingLimitExceeded ExceptIfAttachmentSizeOver ExceptIfFromScope ExceptIfHasClassification
      ExceptIfHasNoClassification ExceptIfHasSenderOverride ExceptIfHeaderContainsMessageHeader
      ExceptIfHeaderMatchesMessageHeader ExceptIfManagerForEvaluatedUser ExceptIfMessageSizeOver
      ExceptIfMessageTypeMatches ExceptIfSCLOver ExceptIfSenderManagementRelationship ExceptIfSentToScope
      ExceptIfWithImportance ExpiryDate FromScope GenerateIncidentReport GenerateNotification HasClassification
      HasNoClassification HasSenderOverride HeaderContainsMessageHeader HeaderMatchesMessageHeader LogEventText
      ManagerForEvaluatedUser MessageSizeOver MessageTypeMatches Mode ModerateMessageByManager NotifySender PrependSubject
      Quarantine RecipientAddressType RejectMessageEnhancedStatusCode RejectMessageReasonText RemoveHeader RemoveOME
      RemoveOMEv2 RemoveRMSAttachmentEncryption RouteMessageOutboundConnector RouteMessageOutboundRequireTls
      RuleErrorAction RuleSubType SCLOver SenderAddressLocation SenderManagementRelationship SentToScope SetAuditSeverity
      SetHeaderName SetHeaderValue SetSCL SmtpRejectMessageRejectStatusCode SmtpRejectMessageRejectText StopRuleProcessing
      WithImportance`,
    `AddToRecipients AnyOfCcHeader AnyOfCcHeaderMemberOf AnyOfRecipientAddressContainsWords
      AnyOfRecipientAddressMatchesPatterns AnyOfToCcHeader AnyOfToCcHeaderMemberOf AnyOfToHeader AnyOfToHeaderMemberOf
      AttachmentContainsWords AttachmentExtensionMatchesWords AttachmentMatchesPatterns AttachmentNameMatchesPatterns
      AttachmentPropertyContainsWords BetweenMemberOf1 BetweenMemberOf2 BlindCopyTo ContentCharacterSetContainsWords
      CopyTo ExceptIfAnyOfCcHeader ExceptIfAnyOfCcHeaderMemberOf ExceptIfAnyOfRecipientAddressContainsWords
      ExceptIfAnyOfRecipientAddressMatchesPatterns ExceptIfAnyOfToCcHeader ExceptIfAnyOfToCcHeaderMemberOf
      ExceptIfAnyOfToHeader ExceptIfAnyOfToHeaderMemberOf ExceptIfAttachmentContainsWords
      ExceptIfAttachmentExtensionMatchesWords ExceptIfAttachmentMatchesPatterns ExceptIfAttachmentNameMatchesPatterns
      ExceptIfAttachmentPropertyContainsWords ExceptIfBetweenMemberOf1 ExceptIfBetweenMemberOf2
      ExceptIfContentCharacterSetContainsWords ExceptIfFrom ExceptIfFromAddressContainsWords
      ExceptIfFromAddressMatchesPatterns ExceptIfFromMemberOf ExceptIfHeaderContainsWords ExceptIfHeaderMatchesPatterns
      ExceptIfManagerAddresses ExceptIfMessageContainsDataClassifications ExceptIfRecipientADAttributeContainsWords
      ExceptIfRecipientADAttributeMatchesPatterns ExceptIfRecipientAddressContainsWords
      ExceptIfRecipientAddressMatchesPatterns ExceptIfRecipientDomainIs ExceptIfRecipientInSenderList
      ExceptIfSenderADAttributeContainsWords ExceptIfSenderADAttributeMatchesPatterns ExceptIfSenderDomainIs
      ExceptIfSenderInRecipientList ExceptIfSenderIpRanges ExceptIfSentTo ExceptIfSentToMemberOf
      ExceptIfSubjectContainsWords ExceptIfSubjectMatchesPatterns ExceptIfSubjectOrBodyContainsWords
      ExceptIfSubjectOrBodyMatchesPatterns From FromAddressContainsWords FromAddressMatchesPatterns FromMemberOf
      HeaderContainsWords HeaderMatchesPatterns IncidentReportContent ManagerAddresses MessageContainsDataClassifications
      ModerateMessageByUser RecipientADAttributeContainsWords RecipientADAttributeMatchesPatterns
      RecipientAddressContainsWords RecipientAddressMatchesPatterns RecipientDomainIs RecipientInSenderList
      RedirectMessageTo SenderADAttributeContainsWords SenderADAttributeMatchesPatterns SenderDomainIs
      SenderInRecipientList SenderIpRanges SentTo SentToMemberOf SubjectContainsWords SubjectMatchesPatterns
      SubjectOrBodyContainsWords SubjectOrBodyMatchesPatterns`,
  ),
}

/** Names of domains, hosts and recipients: the same in any case. */
const IS_CASELESS =
  /(?:Domains?|DomainNames?|DomainIs|Addresses|SmartHosts|Sealers|CertificateName|MemberOf\d?|EFUsers)$/
const IS_DOMAIN_LIST = /^(?:Sender|Recipient)Domains$/

/** Every settable property that the answer has. Nothing, an empty text and an empty list are the same: null. Annotations are left. */
export function readProperties(noun: Noun, row: Readonly<Record<string, unknown>>): Properties {
  const { single, list } = SETTABLE[noun]
  const properties: Record<string, Value> = {}
  for (const name of single) if (Object.hasOwn(row, name)) properties[name] = readSingle(row[name])
  for (const name of list) if (Object.hasOwn(row, name)) properties[name] = readList(name, row[name])
  return properties
}

function readSingle(value: unknown): Value {
  if (value === null || value === undefined || value === '') return null
  if (typeof value === 'number' || typeof value === 'boolean') return value
  return textOf(value)
}

function readList(name: string, value: unknown): Value {
  const items = (Array.isArray(value) ? value : [value]).filter(
    (item) => item !== null && item !== undefined && item !== '',
  )
  const texts = items.map((item) => (IS_DOMAIN_LIST.test(name) ? domainOf(textOf(item)) : textOf(item)))
  return texts.length === 0 ? null : texts
}

/** `smtp:*;1` is `*`: address space and cost, of which 1 is the usual one. */
const domainOf = (text: string): string => text.replace(/^smtp:/i, '').replace(/;1$/, '')

/** The database takes neither NUL nor halves of characters. */
function textOf(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(inOrder(value))
  return text.toWellFormed().replaceAll('\0', '\uFFFD')
}

/** Objects with their members in the order of their names, so that the same is written the same. */
function inOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inOrder)
  if (typeof value !== 'object' || value === null) return value
  const members = Object.entries(value).filter(([name]) => !name.includes('@'))
  return Object.fromEntries(
    members.toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([name, part]) => [name, inOrder(part)]),
  )
}

/** Lists as sets, names without their case, tokens by their digests. Absent is null. */
export function isSameValue(name: string, left: Value | undefined, right: Value | undefined): boolean {
  return comparable(name, left) === comparable(name, right)
}

function comparable(name: string, value: Value | undefined): string {
  if (value === undefined || value === null || value === '') return 'null'
  if (isProofToken(value)) return `proof ${value.sha256}`
  const fold = (text: string) => (IS_CASELESS.test(name) ? text.toLowerCase() : text)
  if (typeof value === 'string') return JSON.stringify(fold(value))
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  return value.length === 0 ? 'null' : JSON.stringify([...new Set(value.map(fold))].toSorted())
}
