// The settings of a tenant, each by the Get cmdlet of its noun: accepted and remote domains, connectors, transport rules, relationships, policies.
import type { ExchangeObject } from '../tenants/objects.ts'
import type { Cmdlet, CmdletCall, Rows } from './cmdlet.ts'
import { rowsOf } from './cmdlet.ts'
import { absentObject } from './exchange-error.ts'
import { PropertyWriter } from './properties.ts'

interface ConfigurationCmdlet {
  readonly noun: string
  /** Default: Identity and ResultSize. */
  readonly heeds?: readonly string[]
  /** Properties that an Identity may name it by, beside Identity, Name and Guid. */
  readonly keys?: readonly string[]
  readonly isMeant?: (call: CmdletCall, object: ExchangeObject) => boolean
  readonly compare?: (left: ExchangeObject, right: ExchangeObject) => number
}

const numberOf = ({ properties }: ExchangeObject, name: string): number => {
  const value = properties[name]
  return typeof value === 'number' ? value : 0
}

const isOfState: ConfigurationCmdlet['isMeant'] = ({ parameters }, { properties }) => {
  const state = parameters.text('State')
  return state === undefined || String(properties['State']).toLowerCase() === state.toLowerCase()
}

const CONFIGURATION: readonly ConfigurationCmdlet[] = [
  { noun: 'AcceptedDomain', keys: ['DomainName'] },
  { noun: 'ArcConfig', heeds: [] },
  { noun: 'DkimSigningConfig', heeds: ['Identity'], keys: ['Domain'] },
  { noun: 'HostedOutboundSpamFilterPolicy', heeds: ['Identity'] },
  { noun: 'HostedOutboundSpamFilterRule', heeds: ['Identity', 'State'], isMeant: isOfState },
  { noun: 'InboundConnector' },
  { noun: 'OrganizationConfig', heeds: [] },
  { noun: 'OrganizationRelationship', heeds: ['Identity'] },
  {
    noun: 'OutboundConnector',
    heeds: ['Identity', 'ResultSize', 'IncludeTestModeConnectors', 'IsTransportRuleScoped'],
    isMeant: ({ parameters }, { properties }) => {
      const scoped = parameters.flag('IsTransportRuleScoped')
      return (
        (properties['TestMode'] !== true || parameters.isOn('IncludeTestModeConnectors')) &&
        (scoped === undefined || (properties['IsTransportRuleScoped'] === true) === scoped)
      )
    },
  },
  { noun: 'RemoteDomain', keys: ['DomainName'] },
  { noun: 'SharingPolicy', heeds: ['Identity'] },
  { noun: 'TransportConfig', heeds: [] },
  {
    noun: 'TransportRule',
    heeds: ['Identity', 'ResultSize', 'State', 'ExcludeConditionActionDetails'],
    isMeant: isOfState,
    compare: (left, right) => numberOf(left, 'Priority') - numberOf(right, 'Priority'),
  },
]

export const configurationCmdlets: readonly Cmdlet[] = CONFIGURATION.map((cmdlet) => ({
  name: `Get-${cmdlet.noun}`,
  isWrite: false,
  heeds: cmdlet.heeds ?? ['Identity', 'ResultSize'],
  run: (call) => {
    const { noun, keys = [], isMeant = () => true, compare } = cmdlet
    const seen = call.tenant.exchangeObjects(noun).filter((each) => call.isVisible(each.guid))
    const identity = cmdlet.heeds?.length === 0 ? undefined : call.parameters.text('Identity')
    const found = identity === undefined ? seen : seen.filter((each) => isNamed(each, identity, keys))
    if (identity !== undefined && found.length === 0) throw absentObject(identity, call.behaviour.absentStatus)
    const meant = found.filter((each) => isMeant(call, each))
    return { rows: settingRows(call, compare === undefined ? meant : meant.toSorted(compare)) }
  },
}))

/** As its Get cmdlet tells of it. */
export function settingRows(call: CmdletCall, objects: readonly ExchangeObject[]): Rows {
  const writer = new PropertyWriter(call.select, call.behaviour.sizes)
  return rowsOf(objects, ({ guid, properties }) =>
    writer.write({ Identity: properties['Name'] ?? guid, Id: properties['Name'] ?? guid, IsValid: true }, properties, {
      Guid: guid,
      ExchangeObjectId: guid,
    }),
  )
}

/** What an Identity names, among what can be seen. @throws ExchangeError when there is none */
export function findSetting(call: CmdletCall, noun: string, identity: string): ExchangeObject {
  const keys = CONFIGURATION.find((each) => each.noun === noun)?.keys ?? []
  const found = call.tenant
    .exchangeObjects(noun)
    .find((each) => call.isVisible(each.guid) && isNamed(each, identity, keys))
  if (found === undefined) throw absentObject(identity, call.behaviour.absentStatus)
  return found
}

function isNamed({ guid, properties }: ExchangeObject, identity: string, keys: readonly string[]): boolean {
  const names = [guid, ...['Identity', 'Name', ...keys].map((key) => properties[key])]
  return names.some((name) => typeof name === 'string' && name.toLowerCase() === identity.trim().toLowerCase())
}
