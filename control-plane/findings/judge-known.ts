// What is said of tenants anyway and concerns coexistence, judged by what was seen of Exchange just now. Pure. (coexistence.md §1.6, §1.8, §2.1 row 0)
import type { ObservedObject, Value } from '../coexistence/tenant-object.ts'
import type { ConnectorFacts, ExchangeFacts } from '../directory/tenant-facts.ts'
import type { FindingCode } from './finding-kinds.ts'
import { judgeDomains } from './judge-domains.ts'
import { judgeMailFlow } from './judge-mail-flow.ts'
import { judgeTenant } from './judge-tenant.ts'
import { textOf } from './preflight.ts'
import type { Preflight, PreflightFinding } from './preflight.ts'

/** Others say nothing of mail between the tenants. */
const CONCERNING: ReadonlySet<FindingCode> = new Set<FindingCode>([
  'tenant-not-connected',
  'tenant-paused',
  'permission-missing',
  'tenant-not-discovered',
  'discovery-failed',
  'discovery-old',
  'exchange-not-asked',
  'exchange-role-missing',
  'certificate-expires-soon',
  'certificate-expired',
  'different-clouds',
  'tenant-dehydrated',
  'reject-direct-send',
  'plus-addressing-off',
  'send-from-alias',
  'inbound-connector-in-the-way',
  'outbound-connector-in-the-way',
  'connectors-many',
  'rules-stop-processing',
  'rules-route-to-connector',
  'rules-near-limit',
  'rules-no-room',
  'remote-domain-tnef',
  'organization-relationship-exists',
  'domain-relayed',
  'mapped-domain-outside',
])

export function judgeKnown({ view, tenants, setting }: Preflight): PreflightFinding[] {
  const isSaid = ({ code }: { readonly code: FindingCode }): boolean =>
    CONCERNING.has(code) && !(code === 'remote-domain-tnef' && setting.turnsTnefOff)
  return view.tenants.flatMap((known) => {
    const observed = tenants.find(({ id }) => id === known.id)?.observed ?? []
    const { facts } = known
    const own =
      facts?.exchange === undefined || observed.length === 0
        ? known
        : { ...known, facts: { ...facts, exchange: { ...facts.exchange, ...seen(observed) } } }
    return [
      ...[...judgeTenant(own, view), ...judgeMailFlow(own, view)]
        .filter(isSaid)
        .map(({ code, details = {} }) => ({ code, tenant: own.id, details })),
      ...judgeDomains(own, view)
        .filter(isSaid)
        .map(({ code, domain, details = {} }) => ({ code, tenant: own.id, domain, details })),
    ]
  })
}

type Seen = Pick<
  ExchangeFacts,
  'inboundConnectors' | 'outboundConnectors' | 'transportRules' | 'remoteDomains' | 'organizationRelationships'
>

/** What was seen of a tenant, in the form in which a discovery keeps it. */
function seen(observed: readonly ObservedObject[]): Seen {
  const of = (noun: ObservedObject['noun']) => observed.filter((each) => each.noun === noun)
  return {
    inboundConnectors: of('InboundConnector').map((each) => connectorOf(each, 'SenderDomains')),
    outboundConnectors: of('OutboundConnector').map((each) => connectorOf(each, 'RecipientDomains')),
    transportRules: of('TransportRule').map(({ name, isEnabled, priority = 0, properties }) => ({
      name,
      state: isEnabled === true ? 'Enabled' : 'Disabled',
      priority,
      stopsProcessing: properties['StopRuleProcessing'] === true,
      routesToConnector: textOf(properties['RouteMessageOutboundConnector']) !== '',
    })),
    remoteDomains: of('RemoteDomain').map(({ name, properties }) => ({
      name,
      domainName: textOf(properties['DomainName']),
      autoForwardEnabled: properties['AutoForwardEnabled'] === true,
      ...(typeof properties['TNEFEnabled'] === 'boolean' ? { tnefEnabled: properties['TNEFEnabled'] } : {}),
    })),
    organizationRelationships: of('OrganizationRelationship').map(({ name, properties }) => ({
      name,
      domainNames: textsOf(properties['DomainNames']),
    })),
  }
}

const connectorOf = ({ name, properties }: ObservedObject, domains: string): ConnectorFacts => ({
  name,
  isEnabled: properties['Enabled'] === true,
  connectorType: textOf(properties['ConnectorType']),
  domains: textsOf(properties[domains]),
})

const textsOf = (value: Value | undefined): readonly string[] =>
  Array.isArray(value) ? value.filter((each): each is string => typeof each === 'string') : []
