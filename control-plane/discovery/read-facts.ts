// Reads what concerns a tenant as a whole. (microsoft-365.md §4, §15)
import type {
  ConnectorFacts,
  DomainFacts,
  ExchangeFacts,
  LicenceFacts,
  TenantFacts,
} from '../directory/tenant-facts.ts'
import type { ExchangeClient, GraphClient } from '../microsoft/clients.ts'
import { listOf, optional, textOf } from './directory-object.ts'
import type { ExchangeRow } from './exchange-part.ts'

type Row = Readonly<Record<string, unknown>>
type Options = { readonly signal: AbortSignal }

const MAX_ROWS = 10_000

export async function readTenantFacts(
  graph: GraphClient,
  exchange: ExchangeClient | undefined,
  options: Options,
): Promise<TenantFacts> {
  const [organisation = {}] = await allOf(graph, '/organization', 'GET /organization', {
    ...options,
    query: { $select: 'id,displayName,countryLetterCode,onPremisesSyncEnabled' },
  })
  const domains = await allOf(graph, '/domains', 'GET /domains', options)
  const licences = await allOf(graph, '/subscribedSkus', 'GET /subscribedSkus', options)
  const reports = await graph.get<Row>('/admin/reportSettings', { operation: 'GET /admin/reportSettings', ...options })
  return {
    displayName: textOf(organisation['displayName']) ?? '',
    ...optional('countryLetterCode', textOf(organisation['countryLetterCode'])),
    isSyncedFromOnPremises: organisation['onPremisesSyncEnabled'] === true,
    domains: domains.map(domainOf),
    licences: licences.map(licenceOf),
    ...(typeof reports['displayConcealedNames'] === 'boolean'
      ? { reportsConcealNames: reports['displayConcealedNames'] }
      : {}),
    ...(exchange === undefined ? {} : { exchange: await exchangeFacts(exchange, options) }),
  }
}

async function allOf(
  graph: GraphClient,
  path: string,
  operation: string,
  options: Options & { readonly query?: Readonly<Record<string, string>> },
): Promise<Row[]> {
  const rows: Row[] = []
  let page = await graph.page<Row>({ path }, { operation, ...options })
  rows.push(...page.items)
  while (page.next !== undefined && rows.length < MAX_ROWS) {
    page = await graph.page<Row>({ link: page.next }, { operation, signal: options.signal })
    rows.push(...page.items)
  }
  return rows
}

const texts = (value: unknown): string[] =>
  listOf(value)
    .map(textOf)
    .filter((text) => text !== undefined)

function domainOf(row: Row): DomainFacts {
  return {
    name: (textOf(row['id']) ?? '').toLowerCase(),
    isVerified: row['isVerified'] === true,
    isDefault: row['isDefault'] === true,
    isInitial: row['isInitial'] === true,
    authenticationType: textOf(row['authenticationType']) ?? '',
    supportedServices: texts(row['supportedServices']),
  }
}

function licenceOf(row: Row): LicenceFacts {
  const prepaid = (row['prepaidUnits'] ?? {}) as Row
  return {
    skuId: textOf(row['skuId']) ?? '',
    skuPartNumber: textOf(row['skuPartNumber']) ?? '',
    enabled: typeof prepaid['enabled'] === 'number' ? prepaid['enabled'] : 0,
    consumed: typeof row['consumedUnits'] === 'number' ? row['consumedUnits'] : 0,
    capabilityStatus: textOf(row['capabilityStatus']) ?? '',
    servicePlans: listOf(row['servicePlans'])
      .map((plan) => textOf((plan as Row | null)?.['servicePlanName']))
      .filter((name) => name !== undefined),
  }
}

async function exchangeFacts(exchange: ExchangeClient, options: Options): Promise<ExchangeFacts> {
  const read = async (cmdlet: string, select: readonly string[]): Promise<ExchangeRow[]> => {
    const rows: ExchangeRow[] = []
    for await (const page of exchange.read<ExchangeRow>(cmdlet, {}, { select, ...options })) {
      rows.push(...page)
      if (rows.length >= MAX_ROWS) break
    }
    return rows
  }
  const [config = {}] = await read('Get-OrganizationConfig', [
    'IsDehydrated',
    'RejectDirectSend',
    'DisablePlusAddressInRecipients',
    'SendFromAliasEnabled',
  ])
  const acceptedDomains = await read('Get-AcceptedDomain', ['DomainName', 'DomainType', 'Default'])
  const inbound = await read('Get-InboundConnector', ['Name', 'Enabled', 'ConnectorType', 'SenderDomains'])
  const outbound = await read('Get-OutboundConnector', ['Name', 'Enabled', 'ConnectorType', 'RecipientDomains'])
  const rules = await read('Get-TransportRule', [
    'Name',
    'State',
    'Priority',
    'StopRuleProcessing',
    'RouteMessageOutboundConnector',
  ])
  const remote = await read('Get-RemoteDomain', ['Name', 'DomainName', 'AutoForwardEnabled', 'TNEFEnabled'])
  const relationships = await read('Get-OrganizationRelationship', ['Name', 'DomainNames'])
  return {
    isDehydrated: config['IsDehydrated'] === true,
    ...flag('rejectDirectSend', config['RejectDirectSend']),
    ...flag('disablePlusAddressInRecipients', config['DisablePlusAddressInRecipients']),
    ...flag('sendFromAliasEnabled', config['SendFromAliasEnabled']),
    acceptedDomains: acceptedDomains.map((row) => ({
      name: (textOf(row['DomainName']) ?? '').toLowerCase(),
      domainType: textOf(row['DomainType']) ?? '',
      isDefault: row['Default'] === true,
    })),
    inboundConnectors: inbound.map((row) => connectorOf(row, 'SenderDomains')),
    outboundConnectors: outbound.map((row) => connectorOf(row, 'RecipientDomains')),
    transportRules: rules.map((row) => ({
      name: textOf(row['Name']) ?? '',
      state: textOf(row['State']) ?? '',
      priority: typeof row['Priority'] === 'number' ? row['Priority'] : 0,
      stopsProcessing: row['StopRuleProcessing'] === true,
      routesToConnector: textOf(row['RouteMessageOutboundConnector']) !== undefined,
    })),
    remoteDomains: remote.map((row) => ({
      name: textOf(row['Name']) ?? '',
      domainName: textOf(row['DomainName']) ?? '',
      autoForwardEnabled: row['AutoForwardEnabled'] === true,
      ...flag('tnefEnabled', row['TNEFEnabled']),
    })),
    organizationRelationships: relationships.map((row) => ({
      name: textOf(row['Name']) ?? '',
      domainNames: texts(row['DomainNames']),
    })),
  }
}

const connectorOf = (row: ExchangeRow, domains: string): ConnectorFacts => ({
  name: textOf(row['Name']) ?? '',
  isEnabled: row['Enabled'] === true,
  connectorType: textOf(row['ConnectorType']) ?? '',
  domains: texts(row[domains]),
})

const flag = <K extends string>(name: K, value: unknown): { readonly [P in K]?: boolean } =>
  typeof value === 'boolean' ? optional(name, value) : {}
