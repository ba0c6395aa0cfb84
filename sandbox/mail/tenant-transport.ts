// A tenant's transport at work: asks the decisions of mail-flow/ what becomes of a message, and does it. Mailboxes get theirs at once, what leaves goes
// into the queue, what can't be judged yet waits there too, and who wrote what can't be delivered is told.
import { initialDomainOf } from '../exchange/recipient-facts.ts'
import { rulesInEffect } from '../exchange/rule-propagation.ts'
import type { AddressBook } from '../mail-flow/address-book.ts'
import type { MailFlowBehaviour } from '../mail-flow/behaviour.ts'
import type { ExternalLimit } from '../mail-flow/external-limit.ts'
import { parseMessage, valuesOf } from '../mail-flow/header.ts'
import type { EnvelopedMessage, MailView, Origin } from '../mail-flow/mail-view.ts'
import { domainOf, flagOf, textOf } from '../mail-flow/object-properties.ts'
import { remoteDomainOf } from '../mail-flow/remote-domains.ts'
import { decideTransport } from '../mail-flow/transport.ts'
import type { Delivery } from '../mail-flow/transport.ts'
import type { MailHop, MailLog } from './mail-log.ts'
import type { Attempted, Failure, MailQueue, Way } from './mail-queue.ts'
import type { Mailboxes } from './mailboxes.ts'
import { nonDeliveryReport } from './non-delivery.ts'
import { asDelivered, asLeaving } from './trace-fields.ts'

export interface TenantMail {
  readonly book: AddressBook
  readonly externals: ExternalLimit
}

export interface TenantTransportDeps {
  /** By tenant id. */
  readonly tenants: ReadonlyMap<string, TenantMail>
  readonly behaviour: MailFlowBehaviour
  readonly nowMs: () => number
  readonly guid: () => string
  readonly mailboxes: Mailboxes
  readonly log: MailLog
  readonly queue: Pick<MailQueue, 'add'>
}

const MAX_FORWARDED_SENDERS = 10_000

export class TenantTransport {
  readonly #deps: TenantTransportDeps
  /** `tenant id address that stands for the sender of forwarded mail` → who that was. */
  readonly #originalSenders = new Map<string, string>()

  constructor(deps: TenantTransportDeps) {
    this.#deps = deps
  }

  accept(tenantId: string, message: EnvelopedMessage, origin: Origin): void {
    const { waiting, failures, reply } = this.decide(tenantId, message, origin)
    const rest = { tenantId, way: { kind: 'rules', origin } as const, message: { ...message, recipients: waiting } }
    if (waiting.length > 0) this.#deps.queue.add(rest, reply)
    if (failures.length > 0) this.fail(tenantId, message, failures)
  }

  /** Everything is done but what this returns. */
  decide(tenantId: string, message: EnvelopedMessage, origin: Origin): Attempted {
    const meant = message.recipients.map((address) => this.originalSender(tenantId, address) ?? address)
    const waiting: string[] = []
    const failures: Failure[] = []
    let why = ''
    for (const delivery of decideTransport(this.#view(tenantId), { ...message, recipients: meant }, origin)) {
      switch (delivery.kind) {
        case 'mailbox':
          this.#deliver(tenantId, delivery)
          break
        case 'connector':
        case 'internet':
          this.#leave(tenantId, delivery, message)
          break
        case 'drop':
          this.note('dropped', tenantId, delivery, { reply: `by the rule ${delivery.rule}` })
          break
        case 'reject':
          for (const recipient of delivery.recipients) failures.push({ recipient, reply: delivery.reply })
          break
        case 'defer':
          this.note('deferred', tenantId, delivery, { reply: delivery.reason })
          waiting.push(...delivery.recipients)
          why = delivery.reason
          break
        default:
          return delivery satisfies never
      }
    }
    return { waiting, failures, reply: why }
  }

  /** Notes each, and tells the sender, unless that is nobody, or his domain is to get no such reports. */
  fail(tenantId: string, message: EnvelopedMessage, failures: readonly Failure[]): void {
    for (const { recipient, reply } of failures)
      this.note('rejected', tenantId, { ...message, recipients: [recipient] }, { reply })
    const { nowMs, guid } = this.#deps
    const { book } = this.#tenant(tenantId)
    const domain = initialDomainOf(book.tenant)
    const report = nonDeliveryReport({ message, failures, domain, id: guid(), nowMs: nowMs() })
    if (report === undefined || !this.#takesReports(book, domainOf(message.sender))) return
    this.note('submitted', tenantId, report, { way: 'report' })
    this.accept(tenantId, report, 'submission')
  }

  /** Who wrote what a mailbox forwarded, from the address that stood for him. */
  originalSender(tenantId: string, address: string): string | undefined {
    return this.#originalSenders.get(`${tenantId} ${address.toLowerCase()}`)
  }

  note(
    what: MailHop['what'],
    tenantId: string,
    { sender, recipients, content }: EnvelopedMessage,
    more: Pick<MailHop, 'way' | 'reply'> = {},
  ): void {
    const [messageId = ''] = valuesOf(parseMessage(content), 'Message-ID')
    this.#deps.log.add({ atMs: this.#deps.nowMs(), tenantId, what, messageId, sender, recipients, ...more })
  }

  #deliver(tenantId: string, { guid, sender, recipients, content }: Delivery & { readonly kind: 'mailbox' }): void {
    const { mailboxes, nowMs } = this.#deps
    this.note('delivered', tenantId, { sender, recipients, content })
    const delivered = asDelivered(content, sender)
    for (const recipient of recipients)
      mailboxes.add({ tenantId, mailboxGuid: guid, recipient, sender, content: delivered, atMs: nowMs() })
  }

  #leave(
    tenantId: string,
    delivery: Delivery & { readonly kind: 'connector' | 'internet' },
    before: EnvelopedMessage,
  ): void {
    const { sender, recipients } = delivery
    if (sender !== before.sender) {
      if (this.#originalSenders.size >= MAX_FORWARDED_SENDERS) this.#originalSenders.clear()
      this.#originalSenders.set(`${tenantId} ${sender.toLowerCase()}`, before.sender)
    }
    const way: Way =
      delivery.kind === 'internet'
        ? { kind: 'internet' }
        : { kind: 'connector', guid: delivery.connector.guid, name: textOf(delivery.connector, 'Name') }
    const domain = initialDomainOf(this.#tenant(tenantId).book.tenant)
    const content = asLeaving(delivery.content, tenantId, domain)
    this.#deps.queue.add({ tenantId, way, message: { ...before, sender, recipients, content } })
  }

  #takesReports(book: AddressBook, domain: string): boolean {
    const nowMs = this.#deps.nowMs()
    const remote = remoteDomainOf(book, domain, nowMs)
    return remote === undefined || book.domainType(domain, nowMs) !== undefined || flagOf(remote, 'NDREnabled')
  }

  #view(tenantId: string): MailView {
    const { book, externals } = this.#tenant(tenantId)
    const nowMs = this.#deps.nowMs()
    return { book, externals, nowMs, behaviour: this.#deps.behaviour, rules: rulesInEffect(book.tenant, nowMs) }
  }

  #tenant(tenantId: string): TenantMail {
    const tenant = this.#deps.tenants.get(tenantId)
    if (tenant === undefined) throw new RangeError('there is no such tenant')
    return tenant
  }
}
