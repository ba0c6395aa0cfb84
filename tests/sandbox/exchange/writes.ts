// Rows of calls that write, each with what Exchange says to it; and the tenant that they are tried on. The published contract judges every call.
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import type { DirectoryObject, ExchangeObject } from '../../../sandbox/tenants/objects.ts'
import { exceptionOf, guid, mailbox, startExchange } from './exchange-server.ts'
import type { ExchangeServer } from './exchange-server.ts'

export type Attempt = readonly [
  cmdlet: string,
  parameters: Record<string, unknown>,
  /** undefined: it is done, and says nothing. */
  exception: string | undefined,
  why: string,
]

export const CERTIFICATE_NAME = 't1.relay.contoso.com'
export const INBOUND = {
  Name: 'In',
  SenderDomains: ['*'],
  ConnectorType: 'OnPremises',
  TlsSenderCertificateName: CERTIFICATE_NAME,
}
export const OUTBOUND = {
  Name: 'Out',
  ConnectorType: 'OnPremises',
  IsTransportRuleScoped: true,
  UseMXRecord: false,
  SmartHosts: ['out.relay.example'],
  TlsSettings: 'DomainValidation',
  TlsDomain: 'out.relay.example',
}

/** An organisation with the settings that every one has, and two mailboxes; ends with a look at what the contract said. */
export async function startOrganisation(
  t: TestContext,
  { isDehydrated = false }: { readonly isDehydrated?: boolean } = {},
): Promise<ExchangeServer> {
  const exchange = await startExchange(t, {
    objects: [person(1, 'adele'), person(2, 'bob')],
    recipients: [mailbox(1, 'adele'), mailbox(2, 'bob')],
    exchangeObjects: [
      setting(1, 'OrganizationConfig', { Name: 'contoso.onmicrosoft.com', IsDehydrated: isDehydrated }),
      setting(2, 'ArcConfig', { Name: 'Default', Identity: 'Default', ArcTrustedSealers: '' }),
      setting(3, 'RemoteDomain', { Name: 'Default', Identity: 'Default', DomainName: '*', AllowedOOFType: 'External' }),
    ],
  })
  t.after(() => assert.deepEqual(exchange.services.record.violations, [], 'the published contract was broken'))
  return exchange
}

export async function attempt(exchange: ExchangeServer, attempts: readonly Attempt[]): Promise<void> {
  for (const [cmdlet, parameters, exception, why] of attempts) {
    const answer = await exchange.call(cmdlet, parameters)
    assert.equal(exceptionOf(answer), exception, `${cmdlet}, ${why}: ${answer.text.slice(0, 300)}`)
    const isAbsent = exception === 'ManagementObjectNotFoundException'
    assert.equal(answer.status, exception === undefined ? 200 : isAbsent ? 404 : 400, why)
    if (exception === undefined && !cmdlet.startsWith('New-')) assert.deepEqual(answer.body.value, [], why)
  }
}

/** The only row of an answer, without annotations. */
export async function readOne(
  exchange: ExchangeServer,
  cmdlet: string,
  parameters: Record<string, unknown> = {},
): Promise<Record<string, unknown>> {
  const { status, body } = await exchange.call(cmdlet, parameters)
  assert.equal(status, 200, JSON.stringify(body))
  const [row, ...more] = body.value ?? []
  assert.ok(row !== undefined && more.length === 0, 'one row')
  return Object.fromEntries(Object.entries(row).filter(([name]) => !name.includes('@')))
}

/** Of a row, these. */
export function only(row: Readonly<Record<string, unknown>>, names: string): Record<string, unknown> {
  return Object.fromEntries(names.split(' ').map((name) => [name, row[name]]))
}

function setting(number: number, noun: string, properties: ExchangeObject['properties']): ExchangeObject {
  return { guid: guid('6', number), noun, properties }
}

function person(number: number, name: string): DirectoryObject {
  return { id: guid('2', number), kind: 'user', properties: { displayName: name }, members: [], owners: [] }
}
