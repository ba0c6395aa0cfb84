// What is to be said of one account, given what is known of its tenant. Pure; relations to others: judge-relations.ts.
import { parseAddrSpec } from '../../rewrite-rules/index.ts'
import { GROUP_KINDS } from '../directory/account.ts'
import type { AccountKind, AccountSnapshot, MailboxFacts } from '../directory/account.ts'
import { MAX_TEXT } from '../discovery/directory-object.ts'
import type { Details, Said } from './finding.ts'
import type { FindingCode } from './finding-kinds.ts'
import { judgeGroup } from './judge-group.ts'
import { judgeName } from './judge-name.ts'
import { domainOf, remoteDomainOf } from './project-view.ts'
import type { ProjectView, TenantView } from './project-view.ts'

const GB = 1024 ** 3
const TB = 1024 ** 4
/** Exchange Online limits: proxy addresses of a recipient. */
const MAX_ADDRESSES = 400
const MANY_ITEMS = 1_000_000
/** Default quota of Recoverable Items without a hold. */
const LARGE_RECOVERABLE = 30 * GB
const MANY_FILES = 300_000

/** Kinds that may have an Exchange mailbox of their own. */
const MAILBOX_KINDS: readonly AccountKind[] = ['user', 'shared-mailbox', 'room', 'equipment']
/** `recipientTypeDetails` that mailbox tasks take. */
const MIGRATED_TYPES = new Set(['UserMailbox', 'SharedMailbox', 'RoomMailbox', 'EquipmentMailbox', 'GroupMailbox'])

export const isGroup = ({ kind }: Pick<AccountSnapshot, 'kind'>): boolean => GROUP_KINDS.includes(kind)

/** Whether it counts as a person or resource that sends mail. */
export const isMailboxOwner = ({ kind, mailbox, licences }: AccountSnapshot, { mailLicences }: TenantView): boolean =>
  MAILBOX_KINDS.includes(kind) && (mailbox !== undefined || licences.some((id) => mailLicences.has(id)))

export function judgeAccount(account: AccountSnapshot, own: TenantView, project: ProjectView): Said[] {
  const said: Said[] = judgeName(account.displayName).map((code) => ({ code }))
  if (hasCutValue(account)) said.push({ code: 'value-cut' })
  said.push(...judgeAddresses(account, own))
  if (isGroup(account)) return [...said, ...judgeGroup(account, project)]
  if (account.kind === 'guest') {
    said.push({ code: 'guest-account' })
    if (account.attributes['externalUserState'] === 'PendingAcceptance') said.push({ code: 'guest-pending' })
    return said
  }
  if (account.isSynced) said.push({ code: 'synced-account' })
  if (account.isHidden === true) said.push({ code: 'hidden-account' })
  if (account.kind === 'user') said.push(...judgePerson(account, own))
  if (account.mailbox !== undefined) said.push(...judgeMailbox(account, account.mailbox, own))
  if (account.mailbox !== undefined) said.push(...judgeForwarding(account.mailbox, own, project))
  if (account.drive !== undefined) said.push(...judgeDrive(account.drive))
  return said
}

function hasCutValue({
  displayName,
  userPrincipalName = '',
  mail = '',
  addresses,
  attributes,
}: AccountSnapshot): boolean {
  const isLong = (text: string) => text.length >= MAX_TEXT
  return (
    [displayName, userPrincipalName, mail].some(isLong) ||
    addresses.some(isLong) ||
    Object.values(attributes).some(isLong)
  )
}

function judgeAddresses(account: AccountSnapshot, { domains, initialDomain, seesExchange }: TenantView): Said[] {
  const { addresses, mailbox, kind, x500 } = account
  const said: Said[] = []
  const counted = (code: FindingCode, test: (address: string) => boolean) => {
    const count = addresses.filter(test).length
    if (count > 0) said.push({ code, details: { addresses: count } })
  }
  const localOf = (address: string) => address.slice(0, Math.max(0, address.lastIndexOf('@')))
  counted('address-invalid', (address) => parseAddrSpec(address) === undefined)
  counted('address-not-ascii', (address) => /[^\0-\x7f]/.test(localOf(address)) && parseAddrSpec(address) !== undefined)
  counted('address-plus', (address) => localOf(address).includes('+'))
  if (addresses.length > MAX_ADDRESSES)
    said.push({ code: 'addresses-too-many', details: { addresses: addresses.length } })
  if (mailbox === undefined || !(MAILBOX_KINDS.includes(kind) || kind === 'microsoft-365-group')) return said
  if (addresses.length === 0) said.push({ code: 'address-missing' })
  if (domains.size > 0)
    counted('address-outside-domains', (address) => {
      const domain = domainOf(address)
      return domain !== undefined && !domains.has(domain)
    })
  const [primary] = addresses
  if (primary !== undefined && initialDomain !== undefined && domainOf(primary) === initialDomain) {
    const isOnly = addresses.every((address) => domainOf(address) === initialDomain)
    said.push({ code: 'onmicrosoft-sender', details: { hasOtherAddress: !isOnly } })
  }
  if (seesExchange && x500.length === 0) said.push({ code: 'x500-missing' })
  return said
}

function judgePerson(account: AccountSnapshot, own: TenantView): Said[] {
  const { mailbox, licences, isEnabled, attributes, drive } = account
  const isActive = isEnabled !== false
  const hasMailLicence = licences.some((id) => own.mailLicences.has(id))
  const isUserMailbox = mailbox !== undefined && (mailbox.recipientTypeDetails ?? 'UserMailbox') === 'UserMailbox'
  const said: Said[] = []
  if (isUserMailbox && !hasMailLicence && own.facts !== undefined) said.push({ code: 'mailbox-without-licence' })
  if (mailbox === undefined && own.seesExchange && hasMailLicence) said.push({ code: 'licensed-without-mailbox' })
  if (mailbox === undefined && own.seesExchange && !hasMailLicence && isActive) said.push({ code: 'no-mailbox' })
  if (mailbox !== undefined && !isActive) said.push({ code: 'disabled-with-mailbox' })
  if (isActive && own.seesSizes && drive === undefined && licences.some((id) => own.driveLicences.has(id)))
    said.push({ code: 'no-drive' })
  if (isActive && attributes['usageLocation'] === undefined) said.push({ code: 'usage-location-missing' })
  const location = attributes['preferredDataLocation']
  if (location !== undefined) said.push({ code: 'data-location-set', details: { location: location.slice(0, 20) } })
  return said
}

function judgeMailbox({ kind }: AccountSnapshot, mailbox: MailboxFacts, { seesExchange }: TenantView): Said[] {
  const { recipientTypeDetails, usedBytes = 0, items = 0, deletedItemBytes = 0, archiveBytes = 0 } = mailbox
  const said: Said[] = []
  const say = (code: FindingCode, isSo: boolean | undefined, details?: Details) => {
    if (isSo === true) said.push(details === undefined ? { code } : { code, details })
  }
  say(
    'unsupported-mailbox-type',
    seesExchange && MAILBOX_KINDS.includes(kind) && !MIGRATED_TYPES.has(recipientTypeDetails ?? 'UserMailbox'),
    { type: (recipientTypeDetails ?? '').slice(0, 100) },
  )
  say('litigation-hold', mailbox.litigationHold)
  say('retention-hold', mailbox.retentionHold)
  say('archive', mailbox.hasArchive === true && mailbox.autoExpandingArchive !== true)
  say('auto-expanding-archive', mailbox.hasArchive === true && mailbox.autoExpandingArchive === true)
  say('archive-over-100-gb', archiveBytes > 100 * GB, { bytes: archiveBytes })
  say('mailbox-over-100-gb', usedBytes > 100 * GB, { bytes: usedBytes })
  say('mailbox-over-50-gb', usedBytes > 50 * GB && usedBytes <= 100 * GB, { bytes: usedBytes })
  say('mailbox-many-items', items > MANY_ITEMS, { items })
  say('recoverable-items-large', deletedItemBytes >= LARGE_RECOVERABLE, { bytes: deletedItemBytes })
  return said
}

function judgeForwarding(
  { forwardingSmtpAddress, forwardingAddress }: MailboxFacts,
  own: TenantView,
  project: ProjectView,
): Said[] {
  const domain = forwardingSmtpAddress === undefined ? undefined : domainOf(forwardingSmtpAddress)
  const isSet = forwardingSmtpAddress !== undefined || forwardingAddress !== undefined
  if (!isSet) return []
  // `ForwardingAddress` wins where both are set, and is always a recipient of the tenant.
  if (forwardingAddress !== undefined || domain === undefined || project.owners.get(domain) === own.id)
    return [{ code: 'forwarding-set' }]
  const isBlocked =
    own.facts?.exchange !== undefined && remoteDomainOf(own.facts.exchange, domain)?.autoForwardEnabled === false
  return [
    project.owners.has(domain) ? { code: 'forwarding-set' } : { code: 'forwarding-outside', details: { domain } },
    ...(isBlocked ? [{ code: 'forwarding-blocked' as const, details: { domain } }] : []),
  ]
}

function judgeDrive({ usedBytes, files }: NonNullable<AccountSnapshot['drive']>): Said[] {
  return [
    ...(usedBytes > 5 * TB ? [{ code: 'drive-over-5-tb' as const, details: { bytes: usedBytes } }] : []),
    ...(usedBytes > TB && usedBytes <= 5 * TB
      ? [{ code: 'drive-over-1-tb' as const, details: { bytes: usedBytes } }]
      : []),
    ...(files > MANY_FILES ? [{ code: 'drive-many-files' as const, details: { files } }] : []),
  ]
}
