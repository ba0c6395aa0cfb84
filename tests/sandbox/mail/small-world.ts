// Two small tenants with mail between them, the outside, and a relay that belongs to nobody yet; and what tests do with all that.
import { randomUUID } from 'node:crypto'
import type { X509Certificate } from 'node:crypto'
import { SandboxClock } from '../../../sandbox/clock.ts'
import type { KeyedCertificate } from '../../../sandbox/internet/authority.ts'
import { dnsLookup } from '../../../sandbox/internet/dns-lookup.ts'
import { mailServer } from '../../../sandbox/internet/mail-server.ts'
import type { ReceivedMail, SmtpRefusal } from '../../../sandbox/internet/mail-server.ts'
import { sendToHosts } from '../../../sandbox/internet/send-mail.ts'
import type { SendOutcome } from '../../../sandbox/internet/send-mail.ts'
import { startMailWorld } from '../../../sandbox/mail/mail-world.ts'
import type { MailOptions, MailWorld } from '../../../sandbox/mail/mail-world.ts'
import type { MailboxArrival } from '../../../sandbox/mail/mailboxes.ts'
import type { ExchangeObject } from '../../../sandbox/tenants/objects.ts'
import { SimulatedTenant } from '../../../sandbox/tenants/tenant.ts'
import { addVerifiedDomain } from '../../../sandbox/tenants/verified-domain.ts'
import { inbound, setting, smallBook } from '../mail-flow/small-tenant.ts'

export const CONTOSO = 'tenant-contoso'
export const FABRIKAM = 'tenant-fabrikam'
export const RELAY_NAME = { [CONTOSO]: 'c1.relay.contoso.com', [FABRIKAM]: 'f1.relay.fabrikam.com' } as const
export const DAY_MS = 86_400_000

export interface SmallWorld extends MailWorld {
  readonly clock: SandboxClock
  readonly contoso: SimulatedTenant
  readonly fabrikam: SimulatedTenant
}

/** Contoso with alice, bob and a mail user `dora` who is at Fabrikam; Fabrikam with alice, too, who is a mail user for Contoso's alice, and dora. */
export async function startSmallWorld(
  options: MailOptions & { readonly directory?: string } = {},
): Promise<SmallWorld> {
  const contoso = smallBook({
    id: CONTOSO,
    domains: ['contoso.com', 'contoso.onmicrosoft.com'],
    mailboxes: {
      alice: {},
      bob: {},
      forwards: { ForwardingSmtpAddress: 'smtp:olga@example.net' },
    },
    mailUsers: { dora: 'dora@fabrikam.com' },
    groups: { presented: ['alice'] },
    settings: [
      setting('HostedOutboundSpamFilterPolicy', 'Default', { AutoForwardingMode: 'On' }),
      setting('RemoteDomain', 'Default', { DomainName: '*', NDREnabled: true }),
      setting('RemoteDomain', 'Quiet', { DomainName: 'quiet.example', NDREnabled: false }),
    ],
  }).tenant
  const fabrikam = smallBook({
    id: FABRIKAM,
    domains: ['fabrikam.com', 'fabrikam.onmicrosoft.com'],
    mailboxes: { dora: {} },
    mailUsers: { alice: 'alice@contoso.com' },
  }).tenant
  const tenants = new Map([
    [CONTOSO, contoso],
    [FABRIKAM, fabrikam],
  ])
  for (const tenant of tenants.values()) {
    addVerifiedDomain(tenant, RELAY_NAME[tenant.id as keyof typeof RELAY_NAME], {
      others: [...tenants.values()],
      guid: randomUUID,
      nowMs: Date.now(),
    })
  }
  const clock = new SandboxClock(Date.now)
  const world = await startMailWorld({ ...options, tenants, clock, guid: randomUUID })
  world.outside.addMailbox('olga@example.net')
  world.outside.addMailbox('otto@example.net')
  return { ...world, clock, contoso, fabrikam }
}

export function letter(from: string, to: string, subject: string, more: readonly string[] = []): Buffer {
  const fields = [
    `From: <${from}>`,
    `To: <${to}>`,
    `Subject: ${subject}`,
    `Message-ID: <${subject}@${from.split('@')[1]}>`,
  ]
  return Buffer.from([...fields, ...more, '', 'Hello', '..dots', ''].join('\r\n'))
}

/** From a mailbox of Contoso or Fabrikam. */
export async function write(
  world: MailWorld,
  tenantId: string,
  {
    from,
    to,
    subject,
    more = [],
  }: {
    readonly from: string
    readonly to: readonly string[]
    readonly subject: string
    readonly more?: readonly string[]
  },
): Promise<void> {
  const content = letter(from, to[0] ?? '', subject, more)
  await world.submit(tenantId, { sender: from, recipients: to, content })
}

export function inMailbox(world: MailWorld, subject: string): Promise<MailboxArrival> {
  return world.mailboxes.waitFor(subject, ({ content }) => content.includes(`\nSubject: ${subject}\r`))
}

/** The report on a message. */
export function reportIn(world: MailWorld, subject: string): Promise<MailboxArrival> {
  return inMailbox(world, `Undeliverable: ${subject}`)
}

export function outsideMail(world: MailWorld, subject: string) {
  return world.outside.mails.waitFor(subject, ({ content }) => content.includes(`\nSubject: ${subject}\r`))
}

export function ruleOf(name: string, properties: Readonly<Record<string, unknown>>, priority = 0): ExchangeObject {
  const defaults = {
    State: 'Enabled',
    Mode: 'Enforce',
    RuleErrorAction: 'Defer',
    SenderAddressLocation: 'HeaderOrEnvelope',
  }
  return setting('TransportRule', name, { ...defaults, Priority: priority, ...properties })
}

/** To the relay with a proof of where it comes from, unless it has been there. (coexistence.md §2.1 row 9) */
export function routingRule(
  name: string,
  { connector, token, mark }: { readonly connector: string; readonly token: string; readonly mark: string },
  properties: Readonly<Record<string, unknown>>,
): ExchangeObject {
  return ruleOf(name, {
    RouteMessageOutboundConnector: connector,
    SetHeaderName: 'X-Causeway-Project',
    SetHeaderValue: token,
    ExceptIfHeaderContainsMessageHeader: 'X-Causeway-Trace',
    ExceptIfHeaderContainsWords: [mark],
    StopRuleProcessing: true,
    ...properties,
  })
}

/** Both tenants take mail as their own from who shows their certificate. */
export function letRelayIn({ contoso, fabrikam }: SmallWorld): void {
  contoso.putExchangeObject(inbound('In', RELAY_NAME[CONTOSO]))
  fabrikam.putExchangeObject(inbound('In', RELAY_NAME[FABRIKAM]))
}

export function outboundTo(
  name: string,
  host: string,
  properties: Readonly<Record<string, unknown>> = {},
): ExchangeObject {
  return setting('OutboundConnector', name, {
    Enabled: true,
    ConnectorType: 'OnPremises',
    IsTransportRuleScoped: true,
    UseMXRecord: false,
    SmartHosts: [host],
    TlsSettings: 'DomainValidation',
    TlsDomain: host,
    ...properties,
  })
}

export interface TestRelay {
  readonly host: string
  readonly port: number
  /** What it has taken, with who brought it. */
  readonly taken: ReceivedMail[]
  readonly certificates: X509Certificate[]
  /** Asked at each RCPT. */
  refusal: (recipient: string) => SmtpRefusal | undefined
  /** Called with each message that it takes. */
  onMail: (mail: ReceivedMail) => Promise<void>
  close(): Promise<void>
}

/** @param certificateName  default its own name */
export async function startTestRelay(world: MailWorld, host: string, certificateName = host): Promise<TestRelay> {
  const now = Date.now()
  const relay = {
    host,
    port: 0,
    taken: [] as ReceivedMail[],
    certificates: [] as X509Certificate[],
    refusal: (): SmtpRefusal | undefined => undefined,
    onMail: (): Promise<void> => Promise.resolve(),
  } as Omit<TestRelay, 'close'> & { port: number }
  const server = mailServer({
    hostName: host,
    banner: 'relay',
    maxBytes: 1_000_000,
    certificate: await world.authority.issue([certificateName], { notBefore: now - DAY_MS, notAfter: now + DAY_MS }),
    clientAuthority: world.authority.certificate,
    refusal: (recipient) => relay.refusal(recipient),
    onMail: async (mail) => {
      relay.taken.push(mail)
      if (mail.certificate !== undefined) relay.certificates.push(mail.certificate)
      await relay.onMail(mail)
    },
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const bound = server.server.address()
  relay.port = typeof bound === 'object' && bound !== null ? bound.port : 0
  world.setHost(host, relay.port)
  return Object.assign(relay, { close: () => new Promise<void>((resolve) => server.close(resolve)) })
}

/** To the front door, as a server that shows this certificate, if any. */
export async function bring(
  world: MailWorld,
  mail: { readonly from: string; readonly to: readonly string[]; readonly content: Buffer },
  certificate?: KeyedCertificate,
): Promise<SendOutcome[]> {
  const shown = certificate === undefined ? {} : { cert: certificate.certificate, key: certificate.privateKey }
  return sendToHosts(['contoso-com.mail.protection.outlook.com'], mail, {
    lookup: dnsLookup(world.dns),
    portOf: () => world.frontDoor.port,
    helo: 'relay.test',
    tls: { isDemanded: true, options: { ...shown, ca: world.authority.certificate, rejectUnauthorized: true } },
  })
}
