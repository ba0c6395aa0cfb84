// What in a tenant's mail flow is in the way of ours: connectors, rules, remote domains, relationships. Pure. (coexistence.md §1.6, §2.1)
import type { ConnectorFacts, ExchangeFacts } from '../directory/tenant-facts.ts'
import type { Said } from './finding.ts'
import type { FindingCode } from './finding-kinds.ts'
import { covers, domainsOfOthers, patternName, remoteDomainOf } from './project-view.ts'
import type { ProjectView, TenantView } from './project-view.ts'

/** Exchange Online: mail flow rules of a tenant. */
const MAX_RULES = 300
const MANY_RULES = 250
/** Of both roles together, with probes (coexistence.md §2.1, rows 9–12). */
const OUR_RULES = 6
const MANY_CONNECTORS = 10
const MAX_NAMED = 20
/** What coexistence makes is not in its own way (coexistence.md §2). */
const isOurs = ({ name }: { readonly name: string }): boolean => name.startsWith('Causeway-')

export function judgeMailFlow(own: TenantView, project: ProjectView): Said[] {
  const exchange = own.facts?.exchange
  if (exchange === undefined) return []
  const others = [...domainsOfOthers(project, own.id)]
  return [
    ...judgeConnectors('inbound-connector-in-the-way', exchange.inboundConnectors, others),
    ...judgeConnectors('outbound-connector-in-the-way', exchange.outboundConnectors, others),
    ...judgeConnectorCount(exchange),
    ...judgeRules(exchange),
    ...judgeRemoteDomains(exchange, others),
    ...judgeRelationships(exchange, others),
  ]
}

const named = (code: FindingCode, names: readonly string[]): Said[] =>
  names.length === 0 ? [] : [{ code, details: { count: names.length, names: names.toSorted().slice(0, MAX_NAMED) } }]

function judgeConnectors(code: FindingCode, connectors: readonly ConnectorFacts[], others: readonly string[]): Said[] {
  const inTheWay = connectors.filter(
    (connector) =>
      connector.isEnabled &&
      !isOurs(connector) &&
      connector.domains.some(
        (pattern) => patternName(pattern) === '*' || others.some((domain) => covers(pattern, domain)),
      ),
  )
  return named(
    code,
    inTheWay.map(({ name }) => name),
  )
}

function judgeConnectorCount({ inboundConnectors, outboundConnectors }: ExchangeFacts): Said[] {
  const inbound = inboundConnectors.length
  const outbound = outboundConnectors.length
  return Math.max(inbound, outbound) < MANY_CONNECTORS
    ? []
    : [{ code: 'connectors-many', details: { inbound, outbound } }]
}

function judgeRules({ transportRules }: ExchangeFacts): Said[] {
  const theirs = transportRules.filter((rule) => !isOurs(rule))
  const enabled = theirs.filter(({ state }) => state === 'Enabled')
  const said = [
    ...named(
      'rules-stop-processing',
      enabled.filter(({ stopsProcessing }) => stopsProcessing).map(({ name }) => name),
    ),
    ...named(
      'rules-route-to-connector',
      enabled.filter(({ routesToConnector }) => routesToConnector).map(({ name }) => name),
    ),
  ]
  const rules = theirs.length
  if (rules + OUR_RULES > MAX_RULES) said.push({ code: 'rules-no-room', details: { rules } })
  else if (rules > MANY_RULES) said.push({ code: 'rules-near-limit', details: { rules } })
  return said
}

function judgeRemoteDomains(exchange: ExchangeFacts, others: readonly string[]): Said[] {
  const everybody = exchange.remoteDomains.find(({ domainName }) => patternName(domainName) === '*')
  const blocked = new Set(
    others.flatMap((domain) => {
      const remote = remoteDomainOf(exchange, domain)
      return remote?.autoForwardEnabled === false ? [remote.name] : []
    }),
  )
  return [
    ...(everybody !== undefined && everybody.tnefEnabled !== false
      ? [
          {
            code: 'remote-domain-tnef' as const,
            details: { setting: everybody.tnefEnabled === true ? 'on' : 'as the sender chooses' },
          },
        ]
      : []),
    ...named('remote-domain-blocks-forwarding', [...blocked]),
  ]
}

function judgeRelationships({ organizationRelationships }: ExchangeFacts, others: readonly string[]): Said[] {
  const known = new Set(others)
  const names = organizationRelationships
    .filter((one) => !isOurs(one) && one.domainNames.some((domain) => known.has(domain.toLowerCase())))
    .map(({ name }) => name)
  return named('organization-relationship-exists', names)
}
