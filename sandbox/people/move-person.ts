// One person's move from tenant to tenant, as account migration leaves the directories of both when it is done: the mailbox is where it was going,
// where it was a mail user points at it. Pure: old objects in, new ones out.
import type { AddressBook } from '../mail-flow/address-book.ts'
import { domainOf, listOf, textOf, withoutPrefix } from '../mail-flow/object-properties.ts'
import { initialDomainOf } from '../exchange/recipient-facts.ts'
import type { DirectoryObject, Licence, Recipient } from '../tenants/objects.ts'

export interface PersonPlace {
  readonly book: AddressBook
  readonly recipient: Recipient
}

export interface MovedPerson {
  readonly source: MovedObjects
  readonly target: MovedObjects
  /** Where mail for the source's mail user goes from now on. */
  readonly routingAddress: string
}

export interface MovedObjects {
  readonly recipient: Recipient
  readonly object: DirectoryObject | undefined
}

const NO_GUID = '00000000-0000-0000-0000-000000000000'
/** What a mail user keeps of a mailbox. */
const KEPT =
  /^(?:Identity|Id|Name|Alias|DisplayName|DistinguishedName|PrimarySmtpAddress|WindowsEmailAddress|EmailAddresses|LegacyExchangeDN|HiddenFromAddressListsEnabled|IsDirSynced|WhenCreated|UserPrincipalName|CustomAttribute\d+|GrantSendOnBehalfTo)$/
const ONLY_MAIL_USERS = ['ExternalEmailAddress', 'MessageFormat', 'MessageBodyFormat', 'UseMapiRichTextFormat']

/** @throws RangeError: what is there can't be moved so */
export function movedPerson(source: PersonPlace, target: PersonPlace, nowMs: number, guid: () => string): MovedPerson {
  const { recipientTypeDetails: from } = source.recipient
  const { recipientTypeDetails: to } = target.recipient
  if (!from.endsWith('Mailbox') || from === 'GroupMailbox') throw new RangeError('who moves has no mailbox')
  if (to !== 'MailUser' && !(to.endsWith('Mailbox') && to !== 'GroupMailbox'))
    throw new RangeError('who moves is neither mail user nor mailbox in the other tenant')
  const arrived = arriving(source, target, nowMs, guid)
  const routingAddress = routingAddressOf(target, arrived)
  return { source: leaving(source, routingAddress, nowMs), target: arrived, routingAddress }
}

function arriving(source: PersonPlace, target: PersonPlace, nowMs: number, guid: () => string): MovedObjects {
  const { book, recipient } = target
  const before = Object.fromEntries(
    Object.entries(recipient.properties).filter(([name]) => !ONLY_MAIL_USERS.includes(name)),
  )
  const isNew = recipient.recipientTypeDetails === 'MailUser'
  const addresses = addressesOfMailbox(target, textOf(source.recipient, 'LegacyExchangeDN'), nowMs)
  const primary = withoutPrefix(addresses.find((address) => address.startsWith('SMTP:')) ?? '')
  const exchangeGuid = textOf(recipient, 'ExchangeGuid')
  const made: Record<string, unknown> = {
    ExchangeGuid: exchangeGuid === '' || exchangeGuid === NO_GUID ? guid() : exchangeGuid,
    ForwardingAddress: null,
    ForwardingSmtpAddress: null,
    IsMailboxEnabled: true,
    RecipientType: 'UserMailbox',
    WhenMailboxCreated: timeText(nowMs),
  }
  const { statistics } = source.recipient
  return {
    recipient: {
      ...recipient,
      recipientTypeDetails: isNew ? source.recipient.recipientTypeDetails : recipient.recipientTypeDetails,
      properties: {
        ...before,
        ...(isNew ? made : {}),
        EmailAddresses: addresses,
        PrimarySmtpAddress: primary,
        WindowsEmailAddress: primary,
        WhenChanged: timeText(nowMs),
      },
      ...(isNew && statistics !== undefined ? { statistics } : {}),
    },
    object: withDirectory(target, (properties) => ({
      ...properties,
      mail: primary,
      proxyAddresses: addresses,
      assignedLicenses: licensed(book.tenant.data.licences, properties['assignedLicenses'], isPersonal(source)),
    })),
  }
}

function leaving({ book, recipient }: PersonPlace, routingAddress: string, nowMs: number): MovedObjects {
  const { statistics: _, ...rest } = recipient
  const kept = Object.entries(recipient.properties).filter(([name]) => KEPT.test(name))
  return {
    recipient: {
      ...rest,
      recipientTypeDetails: 'MailUser',
      properties: {
        ...Object.fromEntries(kept),
        ArchiveGuid: NO_GUID,
        DeliverToMailboxAndForward: false,
        ExchangeGuid: NO_GUID,
        ExternalEmailAddress: `SMTP:${routingAddress}`,
        ForwardingAddress: null,
        RecipientType: 'MailUser',
        WhenChanged: timeText(nowMs),
      },
    },
    object: withDirectory({ book, recipient }, (properties) => ({
      ...properties,
      // With the plan, Exchange would make a mailbox again.
      assignedLicenses: withoutExchange(book.tenant.data.licences, properties['assignedLicenses']),
    })),
  }
}

/** The one in the tenant's initial domain, which no move of a domain takes away. */
function routingAddressOf({ book }: PersonPlace, { recipient }: MovedObjects): string {
  const initial = initialDomainOf(book.tenant)
  const addresses = listOf(recipient, 'EmailAddresses')
    .filter((address) => /^smtp:/i.test(address))
    .map(withoutPrefix)
  const routing = addresses.find((address) => domainOf(address) === initial)
  if (routing === undefined) throw new RangeError('who moves has no address for routing in the other tenant')
  return routing
}

/** A mailbox has no SMTP address in a domain that isn't the tenant's own: the licence takes them away. */
function addressesOfMailbox(target: PersonPlace, legacyName: string, nowMs: number): readonly string[] {
  const { book, recipient } = target
  const initial = initialDomainOf(book.tenant)
  const isSmtp = (address: string) => /^smtp:/i.test(address)
  const before = book.addressesOf(recipient)
  const own = before.filter((address) => isSmtp(address) && book.isOwn(withoutPrefix(address), nowMs))
  const alias = textOf(recipient, 'Alias') || withoutPrefix(own[0] ?? recipient.guid).replace(/@.*$/s, '')
  const routing = own.some((address) => domainOf(address) === initial) ? [] : [`smtp:${alias}@${initial}`]
  const smtp = [...own, ...routing]
  const primary = smtp.find((address) => address.startsWith('SMTP:')) ?? smtp[0]
  const others = before.filter((address) => !isSmtp(address))
  const legacy = `X500:${legacyName}`
  return [
    ...smtp.map((address) => `${address === primary ? 'SMTP' : 'smtp'}:${withoutPrefix(address)}`),
    ...others,
    ...(legacyName === '' || others.some((each) => each.toLowerCase() === legacy.toLowerCase()) ? [] : [legacy]),
  ]
}

function withDirectory(
  { book, recipient }: PersonPlace,
  change: (properties: DirectoryObject['properties']) => Record<string, unknown>,
): DirectoryObject | undefined {
  const object = book.tenant.object(recipient.externalDirectoryObjectId ?? '')
  return object === undefined ? undefined : { ...object, properties: change(object.properties) }
}

interface Assigned {
  readonly skuId: string
  readonly disabledPlans: readonly string[]
}

function assignedIn(value: unknown): readonly Assigned[] {
  return Array.isArray(value) ? (value as readonly Assigned[]) : []
}

/** Rooms and shared mailboxes need none. */
function isPersonal({ recipient }: PersonPlace): boolean {
  return recipient.recipientTypeDetails === 'UserMailbox'
}

const isExchange = ({ servicePlanName }: Licence['servicePlans'][number]) => servicePlanName.startsWith('EXCHANGE_')

function exchangePlansOf(licences: readonly Licence[], skuId: string): readonly string[] {
  const licence = licences.find((each) => each.skuId === skuId)
  return (licence?.servicePlans ?? []).filter(isExchange).map(({ servicePlanId }) => servicePlanId)
}

function licensed(licences: readonly Licence[], value: unknown, needsOne: boolean): readonly Assigned[] {
  const enabled = assignedIn(value).map(({ skuId, disabledPlans }) => {
    const plans = exchangePlansOf(licences, skuId)
    return { skuId, disabledPlans: disabledPlans.filter((plan) => !plans.includes(plan)) }
  })
  const hasOne = enabled.some(({ skuId }) => exchangePlansOf(licences, skuId).length > 0)
  const first = licences.find(({ servicePlans }) => servicePlans.some(isExchange))
  return hasOne || !needsOne || first === undefined ? enabled : [...enabled, { skuId: first.skuId, disabledPlans: [] }]
}

function withoutExchange(licences: readonly Licence[], value: unknown): readonly Assigned[] {
  return assignedIn(value).map(({ skuId, disabledPlans }) => ({
    skuId,
    disabledPlans: [...new Set([...disabledPlans, ...exchangePlansOf(licences, skuId)])],
  }))
}

/** As Exchange writes it. */
function timeText(atMs: number): string {
  return new Date(atMs).toISOString().replace(/\.\d+Z$/, 'Z')
}
