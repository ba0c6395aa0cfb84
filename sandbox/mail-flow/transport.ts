// The way of one message through a tenant: loops, recipients, rules, then where each copy goes and with which bytes. Nothing is sent here.
import { createHash } from 'node:crypto'
import type { ExchangeObject } from '../tenants/objects.ts'
import { parseMessage, serialise } from './header.ts'
import type { Message } from './header.ts'
import { forwardersOf, loopReply, stampArrival, stampDeparture, stampForwarding } from './loops.ts'
import type { EnvelopedMessage, MailView, Origin } from './mail-view.ts'
import { domainOf, flagOf, listOf } from './object-properties.ts'
import { resolveRecipients } from './recipients.ts'
import type { DeliverableRecipient, RemoteRecipient } from './recipients.ts'
import type { Ending } from './rule-actions.ts'
import { isDomainPattern } from './remote-domains.ts'
import { applyRules } from './transport-rules.ts'
import type { Copy } from './transport-rules.ts'

export type Destination =
  | { readonly kind: 'mailbox'; readonly guid: string }
  | { readonly kind: 'connector'; readonly connector: ExchangeObject }
  | { readonly kind: 'internet' }

/** One copy, where it goes, or what becomes of it instead. */
export type Delivery = (Destination | Ending) & EnvelopedMessage

/** Counts external recipients in the view's limit; otherwise changes nothing. Every recipient is in a delivery, or the members of a group are. */
export function decideTransport(view: MailView, message: EnvelopedMessage, origin: Origin): readonly Delivery[] {
  const tenantId = view.book.tenant.id
  const received = parseMessage(message.content)
  const loop = loopReply(received, tenantId)
  if (loop !== undefined) return [{ ...message, kind: 'reject', reply: loop }]
  const arrived = origin === 'submission' ? received : stampArrival(received, tenantId)
  const resolved = resolveRecipients(view, message.recipients, forwardersOf(message.content, tenantId))
  const content = serialise(arrived)
  const refused = resolved.flatMap((each): Delivery[] =>
    each.kind === 'refused'
      ? [{ kind: 'reject', reply: each.reply, sender: message.sender, recipients: [each.presented], content }]
      : [],
  )
  const recipients = resolved.filter((each) => each.kind !== 'refused')
  const copies = applyRules(view, { origin, sender: message.sender, message: arrived, recipients })
  return [...refused, ...copies.flatMap((copy) => deliveriesOf(view, copy, message.sender))]
}

function deliveriesOf(view: MailView, copy: Copy, sender: string): readonly Delivery[] {
  const { ending } = copy
  if (ending !== undefined) {
    return [
      {
        ...ending,
        sender,
        recipients: copy.recipients.map(({ presented }) => presented),
        content: serialise(copy.message),
      },
    ]
  }
  const groups = Map.groupBy(copy.recipients, (each) => routeKey(view, copy, each))
  return [...groups.values()].flatMap((group): Delivery[] => {
    const [first] = group
    if (first === undefined) return []
    const connector = connectorOf(view, copy, first)
    if (connector === undefined && first.kind === 'mailbox') {
      const { presented, recipient } = first
      return [
        { kind: 'mailbox', guid: recipient.guid, sender, recipients: [presented], content: serialise(copy.message) },
      ]
    }
    return [leaving(view, { copy, group, first, connector, sender })]
  })
}

/** Recipients with the same one share a copy: same way, same sender, same fields. */
function routeKey(view: MailView, copy: Copy, each: DeliverableRecipient): string {
  const way = connectorOf(view, copy, each)?.guid ?? (each.kind === 'mailbox' ? each.recipient.guid : 'internet')
  return `${way} ${each.kind === 'remote' ? (each.forwardedBy ?? '') : ''}`
}

/** A rule's connector takes every recipient, those with a mailbox too. */
function connectorOf(view: MailView, copy: Copy, each: DeliverableRecipient): ExchangeObject | undefined {
  return copy.connector ?? (each.kind === 'remote' ? connectorFor(view, domainOf(each.external)) : undefined)
}

interface Leaving {
  readonly copy: Copy
  readonly group: readonly DeliverableRecipient[]
  readonly first: DeliverableRecipient
  readonly connector: ExchangeObject | undefined
  readonly sender: string
}

function leaving(view: MailView, { copy, group, first, connector, sender }: Leaving): Delivery {
  const isByRule = copy.connector !== undefined
  const recipients = group.map((each) => addressFor(view, each, isByRule))
  const count = recipients.filter((address) => isCounted(view, address, isByRule)).length
  const forwardedBy = first.kind === 'remote' ? first.forwardedBy : undefined
  const envelopeSender = forwardedBy === undefined ? sender : forwardedSender(view, sender)
  const tenantId = view.book.tenant.id
  const stamped = stampDeparture(forwarded(copy.message, forwardedBy, tenantId), tenantId)
  const enveloped = { sender: envelopeSender, recipients, content: serialise(stamped) }
  const tooMany = view.externals.take(count, domainOf(sender), view.nowMs)
  if (tooMany !== undefined) return { kind: 'reject', reply: tooMany, ...enveloped, sender }
  return connector === undefined ? { kind: 'internet', ...enveloped } : { kind: 'connector', connector, ...enveloped }
}

function addressFor({ behaviour }: MailView, each: DeliverableRecipient, isByRule: boolean): string {
  if (each.kind === 'mailbox') return each.presented
  return isByRule && behaviour.mailUserAddress === 'presented' ? each.presented : each.external
}

function isCounted(view: MailView, address: string, isByRule: boolean): boolean {
  return !view.book.isOwn(address, view.nowMs) || (isByRule && view.behaviour.countsRoutedToAcceptedDomain)
}

function forwarded(message: Message, forwardedBy: RemoteRecipient['forwardedBy'], tenantId: string): Message {
  return forwardedBy === undefined ? message : stampForwarding(message, forwardedBy, tenantId)
}

/** Bounces of forwarded mail come back to the tenant that forwarded it (Microsoft Learn, "Sender Rewriting Scheme"). */
function forwardedSender({ book, nowMs }: MailView, sender: string): string {
  if (sender === '' || book.isOwn(sender, nowMs)) return sender
  const { domains } = book.tenant.data
  const domain = (domains.find(({ isDefault }) => isDefault) ?? domains[0])?.id ?? ''
  const hash = createHash('sha256').update(sender.toLowerCase()).digest('base64url').replaceAll(/[-_]/g, 'x')
  return `bounces+SRS=${hash.slice(0, 5)}=${hash.slice(5, 7)}@${domain}`
}

/** Of the connectors that aren't for rules alone, the one whose domain fits best. */
function connectorFor({ book, nowMs }: MailView, domain: string): ExchangeObject | undefined {
  const fitting = book
    .settings('OutboundConnector', nowMs)
    .filter((each) => flagOf(each, 'Enabled') && !flagOf(each, 'IsTransportRuleScoped'))
    .flatMap((connector) => listOf(connector, 'RecipientDomains').map((pattern) => ({ connector, pattern })))
    .filter(({ pattern }) => isDomainPattern(pattern, domain))
  return fitting.toSorted((a, b) => b.pattern.length - a.pattern.length)[0]?.connector
}
