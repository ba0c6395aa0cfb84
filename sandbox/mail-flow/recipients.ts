// Who gets a message: groups opened, mailboxes forwarded, mail users and contacts at their address elsewhere, the rest by the tenant's accepted
// domains. Nested and cyclic groups and forwards end because nobody is looked at twice.
import type { Recipient } from '../tenants/objects.ts'
import { isElsewhere } from './address-book.ts'
import type { MailView } from './mail-view.ts'
import { domainOf, flagOf, textOf, withoutPrefix } from './object-properties.ts'

interface Addressed {
  /** As it stood in the envelope, or the primary address of a group's member. */
  readonly presented: string
  /** What was written to: differs from `presented` for members of groups and where a mailbox forwards to. */
  readonly original: string
}

export interface MailboxRecipient extends Addressed {
  readonly kind: 'mailbox'
  readonly recipient: Recipient
}

export interface RemoteRecipient extends Addressed {
  readonly kind: 'remote'
  /** Where the mail goes in the end. */
  readonly external: string
  /** A mail user or contact. */
  readonly recipient: Recipient | undefined
  /** GUID of the mailbox that forwards it there. */
  readonly forwardedBy: string | undefined
}

export type DeliverableRecipient = MailboxRecipient | RemoteRecipient

export interface RefusedRecipient {
  readonly kind: 'refused'
  readonly presented: string
  readonly reply: string
}

const UNKNOWN = '550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup'
const NO_FORWARDING =
  '550 5.7.520 Access denied, Your organization does not allow external forwarding. Please contact your administrator for further assistance'
const FORWARDING_LOOP = '554 5.4.14 Hop count exceeded - possible mail loop'

/** Its filter would have to be read; mail that vanished would say nothing of it. */
const NOT_OPENED = '550 5.3.5 The sandbox opens no dynamic distribution groups'

interface Open {
  readonly address: string
  readonly original: string
  readonly forwardedBy?: string
}

/** @param forwarders  GUIDs of mailboxes that have forwarded this message before */
export function resolveRecipients(
  view: MailView,
  addresses: readonly string[],
  forwarders: ReadonlySet<string>,
): readonly (DeliverableRecipient | RefusedRecipient)[] {
  const resolved: (DeliverableRecipient | RefusedRecipient)[] = []
  const seen = new Set<string>()
  const open: Open[] = addresses.map((address) => ({ address, original: address }))
  // Grows while it is read; ends, for each address and each recipient is taken once.
  for (const each of open) {
    const recipient = view.book.find(each.address, view.nowMs)
    const key = recipient?.guid ?? each.address.toLowerCase()
    if (seen.has(key)) continue
    seen.add(key)
    if (recipient === undefined) resolved.push(withoutObject(view, each))
    else if (isElsewhere(recipient)) resolved.push(elsewhere(view, each, recipient))
    else if (recipient.recipientTypeDetails === 'DynamicDistributionGroup')
      resolved.push({ kind: 'refused', presented: each.address, reply: NOT_OPENED })
    else if (isGroup(recipient))
      for (const member of membersOf(view, recipient)) open.push({ ...each, address: member })
    else resolved.push(...mailbox(view, each, recipient, { open, forwarders }))
  }
  return resolved
}

function withoutObject(view: MailView, { address, original, forwardedBy }: Open): RemoteRecipient | RefusedRecipient {
  if (view.book.domainType(domainOf(address), view.nowMs) === 'Authoritative')
    return { kind: 'refused', presented: address, reply: UNKNOWN }
  return remote(view, { presented: address, original, external: address, recipient: undefined, forwardedBy })
}

function elsewhere(
  view: MailView,
  { address, original, forwardedBy }: Open,
  recipient: Recipient,
): RemoteRecipient | RefusedRecipient {
  const external = withoutPrefix(textOf(recipient, 'ExternalEmailAddress'))
  if (external === '') return { kind: 'refused', presented: address, reply: UNKNOWN }
  return remote(view, { presented: address, original, external, recipient, forwardedBy })
}

/** Mail forwarded outwards leaves only where the outbound policy says On: Automatic is off since 2020. */
function remote(view: MailView, to: Omit<RemoteRecipient, 'kind'>): RemoteRecipient | RefusedRecipient {
  const isAllowed = () =>
    view.book
      .settings('HostedOutboundSpamFilterPolicy', view.nowMs)
      .some((policy) => textOf(policy, 'AutoForwardingMode') === 'On')
  return to.forwardedBy !== undefined && !view.book.isOwn(to.external, view.nowMs) && !isAllowed()
    ? { kind: 'refused', presented: to.presented, reply: NO_FORWARDING }
    : { kind: 'remote', ...to }
}

function mailbox(
  view: MailView,
  { address, original }: Open,
  recipient: Recipient,
  { open, forwarders }: { readonly open: Open[]; readonly forwarders: ReadonlySet<string> },
): readonly (MailboxRecipient | RefusedRecipient)[] {
  const own: MailboxRecipient = { kind: 'mailbox', presented: address, original, recipient }
  const target = forwardingAddress(view, recipient)
  if (target === undefined) return [own]
  const kept = flagOf(recipient, 'DeliverToMailboxAndForward') ? [own] : []
  if (forwarders.has(recipient.guid))
    return kept.length > 0 ? kept : [{ kind: 'refused', presented: address, reply: FORWARDING_LOOP }]
  open.push({ address: target, original: address, forwardedBy: recipient.guid })
  return kept
}

/** ForwardingAddress, a recipient of the tenant, wins over ForwardingSmtpAddress. */
function forwardingAddress(view: MailView, recipient: Recipient): string | undefined {
  const inside = textOf(recipient, 'ForwardingAddress')
  const named = inside === '' ? undefined : view.book.named(inside, view.nowMs)
  if (named !== undefined) return view.book.primaryOf(named)
  return withoutPrefix(textOf(recipient, 'ForwardingSmtpAddress')) || undefined
}

function isGroup({ recipientTypeDetails }: Recipient): boolean {
  return recipientTypeDetails.startsWith('MailUniversal') || recipientTypeDetails === 'GroupMailbox'
}

/** By primary address. */
function membersOf({ book, nowMs }: MailView, group: Recipient): readonly string[] {
  const members = book.tenant.object(group.externalDirectoryObjectId ?? '')?.members ?? []
  return members.flatMap((id) => {
    const recipient = book.tenant.recipientOf(id)
    return recipient !== undefined && book.tenant.isVisible(recipient.guid, nowMs) ? [book.primaryOf(recipient)] : []
  })
}
