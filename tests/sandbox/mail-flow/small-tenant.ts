// A tenant of a few recipients for the decisions of mail flow, without the thousand things that a seeded one has.
import { AddressBook } from '../../../sandbox/mail-flow/address-book.ts'
import { defaultMailFlowBehaviour } from '../../../sandbox/mail-flow/behaviour.ts'
import { ExternalLimit } from '../../../sandbox/mail-flow/external-limit.ts'
import type { MailView } from '../../../sandbox/mail-flow/mail-view.ts'
import type { DirectoryObject, ExchangeObject, Recipient } from '../../../sandbox/tenants/objects.ts'
import { SimulatedTenant } from '../../../sandbox/tenants/tenant.ts'

export const NOW_MS = Date.UTC(2026, 10, 29)

type Properties = Readonly<Record<string, unknown>>

interface Contents {
  readonly id?: string
  readonly domains?: readonly string[]
  readonly licences?: number
  /** Local parts in the first domain, or addresses. */
  readonly mailboxes?: Readonly<Record<string, Properties>>
  /** Presented address → ExternalEmailAddress. */
  readonly mailUsers?: Readonly<Record<string, string>>
  readonly contacts?: readonly string[]
  /** Name → members by name. */
  readonly groups?: Readonly<Record<string, readonly string[]>>
  readonly settings?: readonly ExchangeObject[]
}

export function setting(noun: string, name: string, properties: Properties): ExchangeObject {
  return { guid: `${noun}/${name}`, noun, properties: { Name: name, Identity: name, ...properties } }
}

export function rule(name: string, properties: Properties): ExchangeObject {
  const defaults = {
    State: 'Enabled',
    Mode: 'Enforce',
    RuleErrorAction: 'Ignore',
    SenderAddressLocation: 'Header',
    SetHeaderName: null,
  }
  return setting('TransportRule', name, { ...defaults, ...properties })
}

export const ruleConnector = (name: string, properties: Properties = {}): ExchangeObject =>
  setting('OutboundConnector', name, { Enabled: true, IsTransportRuleScoped: true, ...properties })

export const inbound = (name: string, certificate: string, properties: Properties = {}): ExchangeObject =>
  setting('InboundConnector', name, {
    Enabled: true,
    ConnectorType: 'OnPremises',
    SenderDomains: ['smtp:*;1'],
    TlsSenderCertificateName: certificate,
    ...properties,
  })

export function smallBook(contents: Contents): AddressBook {
  const { id = 'tenant-one', domains = ['contoso.com'], licences = 100, groups = {} } = contents
  const main = domains[0] ?? ''
  const full = (name: string) => (name.includes('@') ? name : `${name}@${main}`)
  const recipients: Recipient[] = []
  const objects: DirectoryObject[] = []
  const add = (address: string, recipientTypeDetails: Recipient['recipientTypeDetails'], properties: Properties) => {
    const guid = `guid-${address}`
    const EmailAddresses = [`SMTP:${address}`, ...((properties['Proxies'] ?? []) as string[])]
    recipients.push({
      guid,
      recipientTypeDetails,
      externalDirectoryObjectId: address,
      properties: { PrimarySmtpAddress: address, EmailAddresses, ...properties },
    })
    const members = (groups[address.split('@')[0] ?? ''] ?? []).map(full)
    const kind =
      recipientTypeDetails === 'MailContact' ? 'orgContact' : recipientTypeDetails.endsWith('Group') ? 'group' : 'user'
    objects.push({ id: address, kind, properties: {}, members, owners: [] })
  }
  for (const [name, properties] of Object.entries(contents.mailboxes ?? {})) add(full(name), 'UserMailbox', properties)
  for (const [name, external] of Object.entries(contents.mailUsers ?? {}))
    add(full(name), 'MailUser', { ExternalEmailAddress: `SMTP:${external}` })
  for (const address of contents.contacts ?? [])
    add(address, 'MailContact', { ExternalEmailAddress: `SMTP:${address}` })
  for (const name of Object.keys(groups))
    add(full(name), name.startsWith('dynamic') ? 'DynamicDistributionGroup' : 'MailUniversalSecurityGroup', {
      Name: name,
    })
  const accepted = domains.map((domain) =>
    setting('AcceptedDomain', domain, {
      DomainName: domain,
      DomainType: domain.startsWith('relay.') ? 'InternalRelay' : 'Authoritative',
    }),
  )
  const tenant = new SimulatedTenant({
    id,
    displayName: main,
    countryLetterCode: 'NO',
    isSyncedFromOnPremises: false,
    cloud: 'global',
    domains: domains.map((domain, place) => ({
      id: domain,
      isVerified: true,
      isDefault: place === 0,
      isInitial: domain.endsWith('.onmicrosoft.com'),
      authenticationType: 'Managed',
      supportedServices: ['Email'],
    })),
    licences: [{ skuId: 'sku', skuPartNumber: 'E3', enabled: licences, servicePlans: [] }],
    objects,
    recipients,
    exchangeObjects: [...accepted, ...(contents.settings ?? [])],
    drives: {},
    reportsConcealNames: false,
    administrators: [],
  })
  return new AddressBook(tenant)
}

export function viewOf(contents: Contents, differing: Partial<Omit<MailView, 'book'>> = {}): MailView {
  const book = smallBook(contents)
  return {
    book,
    rules: [],
    behaviour: defaultMailFlowBehaviour(),
    externals: new ExternalLimit(book.tenant),
    nowMs: NOW_MS,
    ...differing,
  }
}

/** Fields and a body, lines ended by CRLF. */
export function mail(fields: readonly string[], body: readonly string[] = ['Hello']): Uint8Array {
  return Buffer.from([...fields, '', ...body, ''].join('\r\n'))
}
