// What a parameter says as the value of a property: text of the right form, a word out of a list in its own writing, lists whole or as what is added
// and removed. By the type that Microsoft publishes for the parameter, and for some properties by a form of their own. Pure.
import { isIP } from 'node:net'
import { unfitValue } from './exchange-error.ts'
import { requireLength } from './write-rules.ts'

/** The text as it is kept; undefined: it has not the property's form. */
type Form = (text: string) => string | undefined

const DOMAIN = /^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}$/i
const ADDRESS = /^[^\s@]{1,64}@[^\s@]{1,255}$/

export const isAddress = (text: string): boolean => ADDRESS.test(text)
const isDomain = (text: string) => text.length <= 255 && DOMAIN.test(text)
const when =
  (isOfForm: (text: string) => boolean): Form =>
  (text) =>
    isOfForm(text) ? text : undefined
const oneOf =
  (...words: readonly string[]): Form =>
  (text) =>
    words.find((word) => word.toLowerCase() === text.toLowerCase())

const domain = when(isDomain)
const domainOrBelow = when((text) => isDomain(text.replace(/^\*\./, '')))
const domainPattern = when((text) => text === '*' || isDomain(text.replace(/^\*\./, '')))
const address = when(isAddress)
const headerName = when((text) => /^[\x21-\x39\x3b-\x7e]{1,64}$/.test(text))
const endpoint = when((text) => URL.parse(text)?.protocol === 'https:')
const scope = oneOf('InOrganization', 'NotInOrganization')
const recipientScope = oneOf('InOrganization', 'NotInOrganization', 'ExternalPartner', 'ExternalNonPartner')
const joining = oneOf('Open', 'Closed', 'ApprovalRequired')
const opportunistic = oneOf('None', 'Opportunistic', 'Mandatory')

/** `smtp:contoso.com;1`: an address space with its cost, which is 1 where none is given. */
function addressSpace(text: string): string | undefined {
  const [, pattern = '', cost = '1'] = /^(?:smtp:)?([^;]+?)(?:;(\d{1,3}))?$/i.exec(text) ?? []
  return domainPattern(pattern) === undefined ? undefined : `smtp:${pattern};${cost}`
}

/** By name, by IPv4 address, or by one in brackets. */
function smartHost(text: string): string | undefined {
  return isDomain(text) || isIP(text.replace(/^\[(.*)\]$/, '$1')) === 4 ? text : undefined
}

/** One IPv4 address, or a network of 1 to 256 of them (microsoft-365.md §15). */
function sendingNetwork(text: string): string | undefined {
  const [host = '', prefix = '32', ...more] = text.split('/')
  return isIP(host) === 4 && /^(?:2[4-9]|3[0-2])$/.test(prefix) && more.length === 0 ? text : undefined
}

/** `*.contoso.com`, or a certificate's issuer and subject: `<I>CN=…<S>CN=…`. */
function certificateName(text: string): string | undefined {
  return domainOrBelow(text) ?? (/^<I>.{1,200}<S>.{1,200}$/.test(text) ? text : undefined)
}

const FORMS: Readonly<Record<string, Form>> = {
  AllowedOOFType: oneOf('External', 'ExternalLegacy', 'InternalLegacy', 'None'),
  ApplyHtmlDisclaimerFallbackAction: oneOf('Wrap', 'Ignore', 'Reject'),
  ApplyHtmlDisclaimerLocation: oneOf('Append', 'Prepend'),
  ArcTrustedSealers: domain,
  AssociatedAcceptedDomains: domain,
  ConnectorSource: oneOf('Default', 'HybridWizard', 'Migrated'),
  ConnectorType: oneOf('Partner', 'OnPremises'),
  DomainName: domainPattern,
  DomainNames: domain,
  EFSkipIPs: when((text) => isIP(text.split(/[/-]/, 1)[0] ?? '') > 0),
  EFUsers: address,
  EmailAddresses: when((text) => /^(?:[a-z][\w-]{0,9}:)?\S/i.test(text)),
  ExceptIfFromScope: scope,
  ExceptIfHeaderContainsMessageHeader: headerName,
  ExceptIfSentToScope: recipientScope,
  FreeBusyAccessLevel: oneOf('None', 'AvailabilityOnly', 'LimitedDetails'),
  FromScope: scope,
  HeaderContainsMessageHeader: headerName,
  MailTipsAccessLevel: oneOf('None', 'Limited', 'All'),
  MemberDepartRestriction: oneOf('Open', 'Closed'),
  MemberJoinRestriction: joining,
  Mode: oneOf('Audit', 'AuditAndNotify', 'Enforce'),
  MtaStsMode: oneOf('None', 'Opportunistic'),
  OrganizationContact: address,
  PrimarySmtpAddress: address,
  RecipientDomains: domainPattern,
  RejectMessageEnhancedStatusCode: when((text) => /^5\.7\.(?:1|9\d\d)$/.test(text)),
  RemoveHeader: headerName,
  RuleErrorAction: oneOf('Ignore', 'Defer'),
  SendModerationNotifications: oneOf('Always', 'Internal', 'Never'),
  SenderAddressLocation: oneOf('Header', 'Envelope', 'HeaderOrEnvelope'),
  SenderDomains: addressSpace,
  SenderIPAddresses: sendingNetwork,
  SentToScope: recipientScope,
  SetHeaderName: headerName,
  SmartHosts: smartHost,
  SmtpDaneMode: opportunistic,
  TargetAutodiscoverEpr: endpoint,
  TargetOwaURL: endpoint,
  TargetSharingEpr: endpoint,
  TlsDomain: domainOrBelow,
  TlsSenderCertificateName: certificateName,
  TlsSettings: oneOf('EncryptionOnly', 'CertificateValidation', 'DomainValidation'),
  TrustedOrganizations: when((text) => text !== ''),
  Type: oneOf('Distribution', 'Security'),
  ValidationRecipients: address,
  WindowsEmailAddress: address,
}

/** Three-state: yes, no, and left to who sends. */
const MAY_BE_UNSAID: ReadonlySet<string> = new Set(['TNEFEnabled'])

/**
 * @param type  as published for the parameter: `Boolean`, `MultiValuedProperty`, `Word[]`
 * @param value  from JSON; null: what was there is taken away
 * @param before  of the object, for lists that are added to and removed from
 * @throws ExchangeError when it can't be converted, or isn't valid
 */
export function settingValue(property: string, type: string, value: unknown, before: unknown): unknown {
  const plain = type.replace(/^System\./, '')
  if (plain === 'SwitchParameter' || plain === 'Boolean') return flag(property, value)
  if (plain === 'Int32') return typeof value === 'number' ? value : unfit(property, plain)
  if (/(?:\[\]|Collection|^MultiValuedProperty)$/.test(plain)) return list(property, plain, value, before)
  if (value === null || value === '') return null
  if (typeof value !== 'string' && typeof value !== 'number') return unfit(property, plain)
  return plain === 'DateTime' ? time(property, String(value)) : formed(property, String(value))
}

function flag(property: string, value: unknown): boolean | null {
  if (typeof value === 'boolean') return value
  return value === null && MAY_BE_UNSAID.has(property) ? null : unfit(property, 'Boolean')
}

function time(property: string, text: string): string {
  const ms = Date.parse(text)
  return Number.isNaN(ms) ? unfit(property, 'DateTime') : new Date(ms).toISOString()
}

/** Whole, or `{ add, remove }` as a hashtable of PowerShell. One text alone may be several with commas between, unless words are meant. */
function list(property: string, type: string, value: unknown, before: unknown): readonly string[] {
  const read = (given: unknown): readonly string[] => {
    if (given === null || given === undefined || given === '') return []
    const isWords = /^(?:Word|Pattern)\[\]$/.test(type)
    const texts: readonly unknown[] = Array.isArray(given)
      ? given
      : typeof given === 'string' && !isWords
        ? given.split(',').map((text) => text.trim())
        : [given]
    return texts.map((text) => (typeof text === 'string' ? formed(property, text) : unfit(property, type)))
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return unique(read(value))
  const { add, remove } = Object.fromEntries(
    Object.entries(value).map(([name, part]: [string, unknown]) => [name.toLowerCase(), part]),
  )
  if (add === undefined && remove === undefined) return unfit(property, type)
  const leaving = new Set(read(remove).map((text) => text.toLowerCase()))
  const there = Array.isArray(before) ? before.filter((text) => typeof text === 'string') : []
  return unique([...there.filter((text) => !leaving.has(text.toLowerCase())), ...read(add)])
}

/** Case tells no two values apart; the first is kept. */
function unique(texts: readonly string[]): readonly string[] {
  const first = new Map<string, string>()
  for (const text of texts) if (!first.has(text.toLowerCase())) first.set(text.toLowerCase(), text)
  return [...first.values()]
}

function formed(property: string, text: string): string {
  requireLength(property, text)
  const form = FORMS[property]
  return (form === undefined ? text : form(text)) ?? unfit(property, `a value of ${property}`)
}

function unfit(property: string, type: string): never {
  throw unfitValue(property, `Cannot convert value to type "${type}".`)
}
