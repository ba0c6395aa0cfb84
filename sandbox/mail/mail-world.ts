// Mail as it flows through the simulated Microsoft 365 and around it, over SMTP, TLS and DNS on loopback: Exchange Online's front door, its mailboxes
// and queues, an authority that all believe, name servers, and the outside world. What becomes of a message is decided in mail-flow/.
import { join } from 'node:path'
import { createSecureContext } from 'node:tls'
import type { SandboxClock } from '../clock.ts'
import { CertificateAuthority } from '../internet/authority.ts'
import { dnsLookup } from '../internet/dns-lookup.ts'
import { DnsServer } from '../internet/dns-server.ts'
import { OutsideMail } from '../internet/outside-mail.ts'
import type { DkimSigner } from '../internet/outside-mail.ts'
import { Zones } from '../internet/zones.ts'
import type { ZoneType } from '../internet/zones.ts'
import { AddressBook } from '../mail-flow/address-book.ts'
import { defaultMailFlowBehaviour } from '../mail-flow/behaviour.ts'
import type { MailFlowBehaviour } from '../mail-flow/behaviour.ts'
import { ExternalLimit } from '../mail-flow/external-limit.ts'
import type { EnvelopedMessage } from '../mail-flow/mail-view.ts'
import { flagOf } from '../mail-flow/object-properties.ts'
import type { ValidationTask } from '../services.ts'
import { KeptFile } from '../tenants/kept-file.ts'
import type { ExchangeObject } from '../tenants/objects.ts'
import type { SimulatedTenant } from '../tenants/tenant.ts'
import { validateConnector } from './connector-validation.ts'
import { EXCHANGE_NAME, SENDING_HOST } from './exchange-hosts.ts'
import { openFrontDoor } from './front-door.ts'
import { MailLog } from './mail-log.ts'
import type { MailHop } from './mail-log.ts'
import { MailQueue } from './mail-queue.ts'
import type { Attempted, QueuedMail, RetryTimes } from './mail-queue.ts'
import { Mailboxes } from './mailboxes.ts'
import type { MailboxArrival } from './mailboxes.ts'
import { OperatorNames } from './operator-names.ts'
import type { KeptNames } from './operator-names.ts'
import { attemptedOf, overConnector, overInternet, replyOf, unsendable } from './tenant-delivery.ts'
import { publishTenants } from './tenant-names.ts'
import { makeSigningKey, TenantSigning } from './tenant-signing.ts'
import type { SigningKey } from './tenant-signing.ts'
import { TenantTransport } from './tenant-transport.ts'
import type { TenantMail } from './tenant-transport.ts'
import { asSubmitted } from './trace-fields.ts'

export interface MailOptions {
  /** Default: any that are free. */
  readonly ports?: { readonly frontDoor?: number; readonly outside?: number; readonly dns?: number }
  readonly retry?: Partial<RetryTimes>
}

export interface MailWorldOptions extends MailOptions {
  readonly tenants: ReadonlyMap<string, SimulatedTenant>
  readonly clock: SandboxClock
  readonly guid: () => string
  /** The authority, and what administrators put into DNS, are kept in here. */
  readonly directory?: string | undefined
}

export interface MailWorld {
  readonly authority: CertificateAuthority
  readonly dns: DnsServer
  readonly zones: Zones
  /** `example.net` and its mail server `mx.example.net`. */
  readonly outside: OutsideMail
  /** With which the outside signs. */
  readonly outsideSigner: DkimSigner
  /** Where `<domain with hyphens>.mail.protection.outlook.com` is, of every domain of every tenant. */
  readonly frontDoor: { readonly address: string; readonly port: number }
  /** What Exchange sends from. */
  readonly sendingAddress: string
  readonly mailboxes: Mailboxes
  /** Changed in place. */
  readonly behaviour: MailFlowBehaviour
  /** A host of the internet that listens elsewhere on this machine, at this port in place of 25. */
  setHost(host: string, port: number): void
  /** Beside what the name holds of this type. @throws RangeError when no name server would take it */
  putRecord(name: string, type: ZoneType, data: string): void
  /** @param data  undefined: all of this type */
  removeRecord(name: string, type: ZoneType, data?: string): void
  /**
   * From a mailbox of the tenant: settled once its transport has it.
   * @throws RangeError when there is no such tenant, or the sender is none of its recipients
   */
  submit(tenantId: string, message: EnvelopedMessage): Promise<void>
  /** @returns ends it */
  onDelivered(listener: (arrival: MailboxArrival) => void): () => void
  /** Guid of the mailbox of this address. */
  mailboxOf(tenantId: string, address: string): string | undefined
  queued(): readonly QueuedMail[]
  /** What waits is tried now. */
  retryQueued(): void
  /** Of the last 24 hours (TERRL). */
  externals(tenantId: string): { readonly total: number; readonly limit: number }
  validateConnector(
    tenantId: string,
    connector: ExchangeObject,
    recipients: readonly string[],
  ): Promise<readonly ValidationTask[]>
  log(): readonly MailHop[]
  close(): Promise<void>
}

const DAY_MS = 86_400_000
const CERTIFICATE_DAYS = 825
const OUTSIDE = { domain: 'example.net', host: 'mx.example.net', selector: 's1' } as const
const ADDRESS = '127.0.0.1'
/** SPF tells senders apart by their addresses: where the machine has all of 127.0.0.0/8, everybody has one of their own. */
const [SENDING_ADDRESS, OUTSIDE_ADDRESS] =
  process.platform === 'linux' ? ['127.0.0.25', '127.0.0.35'] : [ADDRESS, ADDRESS]
const SUBMITTING_HOST = 'DB5PR01MB0001.eurprd01.prod.exchangelabs.com'

/** @throws when an address or what was kept can't be used */
export async function startMailWorld(options: MailWorldOptions): Promise<MailWorld> {
  const { tenants, clock, guid, directory, ports: wanted = {} } = options
  await using stack = new AsyncDisposableStack()
  const now = Date.now()
  const terms = { notBefore: now - DAY_MS, notAfter: now + CERTIFICATE_DAYS * DAY_MS }
  const authority = await (directory === undefined
    ? CertificateAuthority.create(now)
    : CertificateAuthority.open(join(directory, 'authority'), now))
  const certificate = await authority.issue([EXCHANGE_NAME, `*.${EXCHANGE_NAME}`], terms)
  const tenantKeys = [...tenants.keys()].map(async (id): Promise<[string, SigningKey]> => [id, await makeSigningKey()])
  const [outsideKey, ...keys] = await Promise.all([makeSigningKey(), ...tenantKeys])

  const zones = new Zones()
  const ports = new Map<string, number>()
  const dns = await DnsServer.start({ zones, ttlS: 0, ...(wanted.dns === undefined ? {} : { port: wanted.dns }) })
  stack.defer(() => dns.close())
  const lookup = dnsLookup(dns)
  const portOf = (host: string) => ports.get(host.toLowerCase())
  const outside = await OutsideMail.start({
    hostName: OUTSIDE.host,
    domains: [OUTSIDE.domain],
    certificate: await authority.issue([OUTSIDE.host], terms),
    dns,
    portOf,
    now: Date.now,
    address: OUTSIDE_ADDRESS,
    ...(wanted.outside === undefined ? {} : { port: wanted.outside }),
  })
  stack.defer(() => outside.close())
  publishOutside(zones, outsideKey.record)
  ports.set(OUTSIDE.host, outside.port)

  const behaviour = defaultMailFlowBehaviour()
  const mailboxes = new Mailboxes()
  const log = new MailLog()
  const tenantMail = new Map<string, TenantMail>(
    [...tenants].map(([id, tenant]) => [id, { book: new AddressBook(tenant), externals: new ExternalLimit(tenant) }]),
  )
  const bookOf = (tenantId: string) => {
    const mail = tenantMail.get(tenantId)
    if (mail === undefined) throw new RangeError('there is no such tenant')
    return mail
  }
  const signing = new TenantSigning(zones, new Map(keys))
  const ending = new AbortController()
  const delivery = {
    sending: { lookup, portOf, helo: SENDING_HOST, localAddress: SENDING_ADDRESS },
    tls: {
      context: createSecureContext({
        cert: certificate.certificate,
        key: certificate.privateKey,
        ca: authority.certificate,
      }),
    },
  }
  const queue = new MailQueue({
    times: options.retry,
    attempt: (mail, signal) => attempt(mail, signal),
    onFailed: ({ tenantId, message }, failures) => transport.fail(tenantId, message, failures),
  })
  stack.defer(() => queue.close())
  const transport = new TenantTransport({
    tenants: tenantMail,
    behaviour,
    nowMs: clock.nowMs,
    guid,
    mailboxes,
    log,
    queue,
  })

  const frontDoor = await openFrontDoor({
    address: ADDRESS,
    port: wanted.frontDoor ?? 0,
    authority,
    certificate,
    lookup,
    books: [...tenantMail.values()].map(({ book }) => book),
    behaviour,
    nowMs: clock.nowMs,
    originalSender: (tenantId, address) => transport.originalSender(tenantId, address),
    onRefused: ({ sender, recipient, reply }) => {
      const hop = { atMs: clock.nowMs(), tenantId: undefined, messageId: '', sender, recipients: [recipient], reply }
      log.add({ ...hop, what: 'refused' })
    },
    onAccepted: ({ tenantId, origin, message, connector }) => {
      transport.note('received', tenantId, message, { way: connector ?? 'internet' })
      transport.accept(tenantId, message, origin)
    },
  })
  stack.defer(() => frontDoor.close())
  publishTenants({ zones, ports, frontDoor, sendingAddress: SENDING_ADDRESS }, tenants.values())
  const file = directory === undefined ? undefined : new KeptFile<KeptNames>(join(directory, 'dns.json'))
  const names = new OperatorNames(zones, ports, file)
  stack.defer(() => file?.flush())
  stack.defer(() => ending.abort())
  stack.defer(() => mailboxes.close())

  async function attempt(mail: QueuedMail, signal: AbortSignal): Promise<Attempted> {
    const { tenantId, way, message } = mail
    if (way.kind === 'rules') return transport.decide(tenantId, message, way.origin)
    const { book } = bookOf(tenantId)
    const hopeless = unsendable(message)
    if (hopeless !== undefined) return hopeless
    if (way.kind === 'internet') {
      const content = await signing.sign(book, message.content, clock.nowMs())
      return told(mail, await overInternet(delivery, { ...message, content }, signal))
    }
    const connector = book.tenant.exchangeObject(way.guid)
    if (connector === undefined || !flagOf(connector, 'Enabled')) {
      const reply = `450 4.7.320 The connector ${way.name} is gone or off`
      return { waiting: message.recipients, failures: [], reply }
    }
    return told(mail, await overConnector(delivery, connector, message, signal))
  }

  function told({ tenantId, way, message }: QueuedMail, outcomes: Awaited<ReturnType<typeof overInternet>>): Attempted {
    const name = way.kind === 'connector' ? way.name : way.kind
    for (const [kind, group] of Map.groupBy(outcomes, (each) => each.kind)) {
      const [first] = group
      if (kind === 'refused' || first === undefined) continue
      const what = kind === 'accepted' ? 'sent' : 'deferred'
      const recipients = group.map(({ recipient }) => recipient)
      transport.note(what, tenantId, { ...message, recipients }, { way: name, reply: replyOf(first) })
    }
    return attemptedOf(outcomes)
  }

  const running = stack.move()
  return {
    authority,
    dns,
    zones,
    outside,
    outsideSigner: { domain: OUTSIDE.domain, selector: OUTSIDE.selector, privateKey: outsideKey.privateKey },
    frontDoor,
    sendingAddress: SENDING_ADDRESS,
    mailboxes,
    behaviour,
    setHost: (host, port) => names.setHost(host, port),
    putRecord: (name, type, data) => names.putRecord(name, type, data),
    removeRecord: (name, type, data) => names.removeRecord(name, type, data),
    submit: (tenantId, message) =>
      Promise.try(() => {
        const { book } = bookOf(tenantId)
        if (message.sender !== '' && book.find(message.sender, clock.nowMs()) === undefined)
          throw new RangeError('the sender is not a recipient of the tenant')
        const content = asSubmitted(message.content, SUBMITTING_HOST, guid(), clock.nowMs())
        const submitted = { ...message, content }
        transport.note('submitted', tenantId, submitted)
        transport.accept(tenantId, submitted, 'submission')
      }),
    // Later, so that whoever answers a message does so when it has arrived everywhere.
    onDelivered: (listener) => mailboxes.onArrival((arrival) => setImmediate(listener, arrival)),
    mailboxOf: (tenantId, address) => bookOf(tenantId).book.find(address, clock.nowMs())?.guid,
    queued: () => queue.list(),
    retryQueued: () => queue.retry(),
    externals: (tenantId) => {
      const { externals } = bookOf(tenantId)
      return { total: externals.total(clock.nowMs()), limit: externals.limit }
    },
    validateConnector: (tenantId, connector, recipients) => {
      const { tenant } = bookOf(tenantId).book
      const about = { tenant, connector, recipients, id: guid(), nowMs: clock.nowMs() }
      return validateConnector(delivery, about, ending.signal)
    },
    log: () => log.list(),
    close: () => running.disposeAsync(),
  }
}

function publishOutside(zones: Zones, dkimRecord: string): void {
  const { domain, host, selector } = OUTSIDE
  zones.set(domain, 'MX', { preference: 10, exchange: host })
  zones.set(host, 'A', OUTSIDE_ADDRESS)
  zones.set(host, 'TXT', `v=spf1 ip4:${OUTSIDE_ADDRESS} -all`)
  zones.set(domain, 'TXT', `v=spf1 ip4:${OUTSIDE_ADDRESS} -all`)
  zones.set(`_dmarc.${domain}`, 'TXT', 'v=DMARC1; p=reject')
  zones.set(`${selector}._domainkey.${domain}`, 'TXT', dkimRecord)
}
