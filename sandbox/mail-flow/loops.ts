// Exchange's memory of where a message has been, kept in its header: counted on arrival, added to when it leaves (coexistence.md §3). The fields go
// through gateways unchanged; the limits are Exchange's where known.
import type { MailView } from './mail-view.ts'
import { parseMessage, prependField, removeField, setField, valuesOf } from './header.ts'
import type { Message } from './header.ts'

/** MaxHopCount of Exchange's receive connectors; that of Exchange Online is unpublished. */
const HOP_LIMIT = 60
/** Times that one tenant takes a message: of X-LD-Processed known, of X-EOPTenantAttributedMessage not. */
const TENANT_LIMIT = 3
/** Redirects, forwards and automatic replies in the cloud. */
const REDIRECT_LIMIT = 1

const PROCESSED = 'X-LD-Processed'
const ATTRIBUTED = 'X-EOPAttributedMessage'
const TENANT_ATTRIBUTED = 'X-EOPTenantAttributedMessage'
const RULES_LOOP = 'X-MS-Exchange-Transport-Rules-Loop'
const FORWARDING_LOOP = 'X-MS-Exchange-ForwardingLoop'

const TOO_MANY_HOPS = '554 5.4.14 Hop count exceeded - possible mail loop'
const TOO_MANY_REDIRECTS = '550 5.7.128 Message redirected or forwarded more than the limit'

/** The reply to a message that goes round in circles; undefined: it doesn't. */
export function loopReply(message: Message, tenantId: string): string | undefined {
  if (valuesOf(message, 'Received').length > HOP_LIMIT) return TOO_MANY_HOPS
  const times = valuesOf(message, PROCESSED).filter((value) =>
    value.toLowerCase().startsWith(`${tenantId.toLowerCase()},`),
  )
  if (times.length >= TENANT_LIMIT) return `${TOO_MANY_HOPS} ATTR1`
  return tenantAttributions(message, tenantId) >= TENANT_LIMIT ? `${TOO_MANY_HOPS} ATTR34` : undefined
}

/** As it comes in from outside. */
export function stampArrival(message: Message, tenantId: string): Message {
  const others = valuesOf(message, TENANT_ATTRIBUTED).filter((value) => !value.startsWith(`${tenantId}:`))
  const own = `${tenantId}:${tenantAttributions(message, tenantId) + 1}`
  const stamped = setField(message, ATTRIBUTED, String(counted(message, ATTRIBUTED) + 1))
  // All lists and counts stand in fields of their own, so that every gateway's folding leaves them as they are.
  return [...others, own].reduce(
    (each, value) => prependField(each, TENANT_ATTRIBUTED, value),
    removeField(stamped, TENANT_ATTRIBUTED),
  )
}

/** As it leaves the tenant. */
export function stampDeparture(message: Message, tenantId: string): Message {
  return prependField(message, PROCESSED, `${tenantId},ExtAddr`)
}

/** What a rule's routing adds, by switch (c); or why it may not. */
export function stampRouting({ behaviour }: MailView, message: Message): Message | { readonly reply: string } {
  if (!behaviour.routingCountsAsRedirect) return message
  const before = counted(message, RULES_LOOP)
  return before >= REDIRECT_LIMIT ? { reply: TOO_MANY_REDIRECTS } : setField(message, RULES_LOOP, String(before + 1))
}

export function stampForwarding(message: Message, mailboxGuid: string, tenantId: string): Message {
  return prependField(message, FORWARDING_LOOP, `${mailboxGuid};${tenantId}`)
}

/** GUIDs of this tenant's mailboxes that have forwarded it. */
export function forwardersOf(content: Uint8Array, tenantId: string): ReadonlySet<string> {
  const values = valuesOf(parseMessage(content), FORWARDING_LOOP).map((value) => value.split(';'))
  return new Set(values.filter(([, tenant]) => tenant === tenantId).flatMap(([guid]) => guid ?? []))
}

function tenantAttributions(message: Message, tenantId: string): number {
  const value = valuesOf(message, TENANT_ATTRIBUTED).find((each) => each.startsWith(`${tenantId}:`))
  return numberIn(value?.slice(tenantId.length + 1))
}

function counted(message: Message, name: string): number {
  return numberIn(valuesOf(message, name)[0])
}

/** Anybody may have written it. */
function numberIn(text: string | undefined): number {
  return text !== undefined && /^\d{1,6}$/.test(text) ? Number(text) : 0
}
