// Mailboxes and other recipients as cmdlets answer them, read into the part of an account that Exchange knows. Pure. (microsoft-365.md §4, §14)
import { splitProxyAddresses } from '../directory/account.ts'
import type { MailboxFacts } from '../directory/account.ts'
import { listOf, optional, textOf } from './directory-object.ts'

export type ExchangeRow = Readonly<Record<string, unknown>>

export interface ExchangePart {
  /** `UserMailbox`, `MailUser`, `DynamicDistributionGroup` … */
  readonly recipientTypeDetails: string
  /** Of recipients that the directory does not know. */
  readonly displayName: string
  readonly mailNickname?: string
  readonly addresses: readonly string[]
  readonly x500: readonly string[]
  readonly otherAddresses: readonly string[]
  readonly isHidden: boolean
  readonly membershipRule?: string
  /** undefined: no mailbox. */
  readonly mailbox?: Omit<MailboxFacts, 'usedBytes' | 'items' | 'deletedItemBytes' | 'archiveBytes'>
}

export const MAILBOX_SELECT = [
  'Guid',
  'ExternalDirectoryObjectId',
  'DisplayName',
  'Alias',
  'RecipientTypeDetails',
  'ExchangeGuid',
  'ArchiveGuid',
  'ArchiveStatus',
  'AutoExpandingArchiveEnabled',
  'LitigationHoldEnabled',
  'RetentionHoldEnabled',
  'SingleItemRecoveryEnabled',
  'ForwardingSmtpAddress',
  'ForwardingAddress',
  'DeliverToMailboxAndForward',
  'LegacyExchangeDN',
  'EmailAddresses',
  'HiddenFromAddressListsEnabled',
  'MaxReceiveSize',
  'GrantSendOnBehalfTo',
] as const

export const RECIPIENT_SELECT = [
  'Guid',
  'ExternalDirectoryObjectId',
  'DisplayName',
  'Alias',
  'RecipientTypeDetails',
  'LegacyExchangeDN',
  'EmailAddresses',
  'HiddenFromAddressListsEnabled',
] as const

export const DYNAMIC_GROUP_SELECT = [...RECIPIENT_SELECT, 'RecipientFilter'] as const

const NO_GUID = '00000000-0000-0000-0000-000000000000'

/** Object id of the directory, else Exchange's own; undefined: the row names neither. */
export function objectIdOf(row: ExchangeRow): string | undefined {
  const id = textOf(row['ExternalDirectoryObjectId']) ?? textOf(row['Guid'])
  return id?.toLowerCase()
}

export function readRecipient(row: ExchangeRow, isMailbox: boolean): ExchangePart {
  const proxies = listOf(row['EmailAddresses'])
    .map(textOf)
    .filter((text) => text !== undefined)
    .slice(0, 1_000)
  const { addresses, x500, otherAddresses } = splitProxyAddresses(proxies)
  const legacy = textOf(row['LegacyExchangeDN'])
  return {
    recipientTypeDetails: textOf(row['RecipientTypeDetails']) ?? '',
    displayName: textOf(row['DisplayName']) ?? '',
    ...optional('mailNickname', textOf(row['Alias'])),
    addresses,
    x500: [...new Set([...(legacy === undefined ? [] : [legacy]), ...x500])],
    otherAddresses,
    isHidden: row['HiddenFromAddressListsEnabled'] === true,
    ...optional('membershipRule', textOf(row['RecipientFilter'])),
    ...(isMailbox ? { mailbox: mailboxOf(row) } : {}),
  }
}

function mailboxOf(row: ExchangeRow): NonNullable<ExchangePart['mailbox']> {
  const archiveGuid = guidOf(row['ArchiveGuid'])
  const sendOnBehalf = listOf(row['GrantSendOnBehalfTo'])
    .map(textOf)
    .filter((text) => text !== undefined)
    .slice(0, 1_000)
  return {
    ...optional('recipientTypeDetails', textOf(row['RecipientTypeDetails'])),
    ...optional('exchangeGuid', guidOf(row['ExchangeGuid'])),
    ...optional('archiveGuid', archiveGuid),
    hasArchive: archiveGuid !== undefined || row['ArchiveStatus'] === 'Active',
    ...flag('autoExpandingArchive', row['AutoExpandingArchiveEnabled']),
    ...flag('litigationHold', row['LitigationHoldEnabled']),
    ...flag('retentionHold', row['RetentionHoldEnabled']),
    ...flag('singleItemRecovery', row['SingleItemRecoveryEnabled']),
    ...optional('forwardingSmtpAddress', textOf(row['ForwardingSmtpAddress'])?.replace(/^smtp:/i, '')),
    ...optional('forwardingAddress', textOf(row['ForwardingAddress'])),
    ...flag('deliverToMailboxAndForward', row['DeliverToMailboxAndForward']),
    ...optional('maxReceiveSize', parseSize(row['MaxReceiveSize'])),
    ...(sendOnBehalf.length === 0 ? {} : { grantSendOnBehalfTo: sendOnBehalf }),
  }
}

const flag = <K extends string>(name: K, value: unknown): { readonly [P in K]?: boolean } =>
  typeof value === 'boolean' ? optional(name, value) : {}

function guidOf(value: unknown): string | undefined {
  const text = textOf(value)?.toLowerCase()
  return text === NO_GUID ? undefined : text
}

/**
 * Octets of a size as Exchange writes it: `1.5 GB (1,610,612,736 bytes)`. The text before is localised, and so may be the grouping and the word: only
 * the digits inside the brackets count.
 * @returns undefined for `Unlimited` and what is no size
 */
export function parseSize(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isSafeInteger(value) && value >= 0 ? value : undefined
  if (typeof value !== 'string' || value.length > 200) return undefined
  const inside = /\(([^()]*)\)/.exec(value)?.[1] ?? (/^\d+$/.test(value.trim()) ? value : undefined)
  const digits = inside?.replaceAll(/\D/g, '')
  if (digits === undefined || digits === '' || digits.length > 15) return undefined
  return Number(digits)
}

export interface StatisticsPart {
  readonly usedBytes?: number
  readonly items?: number
  readonly deletedItemBytes?: number
  readonly archiveBytes?: number
}

export function readStatistics(row: ExchangeRow, archive: ExchangeRow | undefined): StatisticsPart {
  return {
    ...optional('usedBytes', parseSize(row['TotalItemSize'])),
    ...optional('items', parseCount(row['ItemCount'])),
    ...optional('deletedItemBytes', parseSize(row['TotalDeletedItemSize'])),
    ...(archive === undefined ? {} : optional('archiveBytes', parseSize(archive['TotalItemSize']))),
  }
}

export function parseCount(value: unknown): number | undefined {
  const text = typeof value === 'number' ? String(value) : typeof value === 'string' ? value.trim() : ''
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined
}
