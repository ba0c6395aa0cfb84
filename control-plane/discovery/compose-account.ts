// One account from what each source knows of it. Pure, and the same from the same parts whatever came first.
import type { AccountKind, AccountSnapshot, GroupFacts, MailboxFacts } from '../directory/account.ts'
import type { DirectoryPart } from './directory-object.ts'
import type { ExchangePart, StatisticsPart } from './exchange-part.ts'
import type { DriveUsage, MailboxUsage } from './usage-report.ts'

export interface AccountParts {
  readonly directory?: DirectoryPart
  readonly owners?: { readonly ids: readonly string[] }
  readonly exchange?: ExchangePart
  readonly 'mailbox-report'?: MailboxUsage
  readonly 'drive-report'?: DriveUsage
  readonly statistics?: StatisticsPart
}

const MAILBOX_KINDS: Readonly<Record<string, AccountKind>> = {
  SharedMailbox: 'shared-mailbox',
  RoomMailbox: 'room',
  EquipmentMailbox: 'equipment',
  MailUser: 'mail-user',
}

/** @param members  of a group, as last read. @returns undefined: nobody knows it any more */
export function composeAccount(objectId: string, parts: AccountParts, members: number): AccountSnapshot | undefined {
  const { directory, exchange } = parts
  if (directory === undefined) {
    // Exchange alone knows dynamic distribution groups; of anything else the directory has the word whether it is there.
    return exchange?.recipientTypeDetails === 'DynamicDistributionGroup' ? dynamicGroup(objectId, exchange) : undefined
  }
  const { displayName, userPrincipalName, mail, mailNickname, isEnabled, isSynced, attributes, licences } = directory
  const addresses = union(exchange?.addresses ?? [], directory.addresses)
  const isHidden = directory.isHidden === true || exchange?.isHidden === true
  const mailbox = mailboxOf(parts)
  return {
    objectId,
    kind: kindOf(directory, exchange),
    displayName,
    ...(userPrincipalName === undefined ? {} : { userPrincipalName }),
    ...(mail === undefined ? {} : { mail }),
    ...(mailNickname === undefined ? {} : { mailNickname }),
    addresses,
    x500: union(exchange?.x500 ?? [], directory.x500),
    otherAddresses: union(exchange?.otherAddresses ?? [], directory.otherAddresses),
    ...(isEnabled === undefined ? {} : { isEnabled }),
    isSynced,
    ...(isHidden ? { isHidden } : {}),
    attributes,
    licences,
    ...(directory.group === undefined ? {} : { group: groupOf(directory, parts, members) }),
    ...(mailbox === undefined ? {} : { mailbox }),
    ...(parts['drive-report'] === undefined ? {} : { drive: parts['drive-report'] }),
  }
}

function kindOf({ type, isGuest, group }: DirectoryPart, exchange: ExchangePart | undefined): AccountKind {
  if (type === 'contact') return 'contact'
  if (group !== undefined) {
    if (group.isUnified) return 'microsoft-365-group'
    if (!group.isMailEnabled) return 'security-group'
    return group.isSecurityEnabled ? 'mail-enabled-security-group' : 'distribution-list'
  }
  if (isGuest === true) return 'guest'
  return (exchange && MAILBOX_KINDS[exchange.recipientTypeDetails]) ?? 'user'
}

function groupOf({ group }: DirectoryPart, { owners }: AccountParts, members: number): GroupFacts {
  return {
    members,
    ...(owners === undefined ? {} : { owners: owners.ids.length }),
    ...(group?.membershipRule === undefined ? {} : { membershipRule: group.membershipRule }),
    ...(group?.visibility === undefined ? {} : { visibility: group.visibility }),
  }
}

/** Its own statistics count for more than the report, which is days old. */
function mailboxOf({ exchange, 'mailbox-report': report, statistics }: AccountParts): MailboxFacts | undefined {
  if (exchange !== undefined && exchange.mailbox === undefined) return undefined
  if (exchange === undefined && report === undefined && statistics === undefined) return undefined
  return { ...exchange?.mailbox, ...report, ...statistics }
}

function dynamicGroup(objectId: string, exchange: ExchangePart): AccountSnapshot {
  const { displayName, mailNickname, addresses, x500, otherAddresses, isHidden, membershipRule } = exchange
  return {
    objectId,
    kind: 'dynamic-distribution-list',
    displayName,
    ...(mailNickname === undefined ? {} : { mailNickname }),
    addresses,
    x500,
    otherAddresses,
    isSynced: false,
    ...(isHidden ? { isHidden } : {}),
    attributes: {},
    licences: [],
    // Who is in it is found out anew with each message.
    group: { members: 0, ...(membershipRule === undefined ? {} : { membershipRule }) },
  }
}

/** In the order of the first list; what stands in both, in whatever case, once. */
function union(first: readonly string[], second: readonly string[]): string[] {
  const seen = new Map<string, string>()
  for (const text of [...first, ...second]) {
    const key = text.toLowerCase()
    if (!seen.has(key)) seen.set(key, text)
  }
  return [...seen.values()]
}
