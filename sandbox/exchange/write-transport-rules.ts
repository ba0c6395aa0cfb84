// Mail flow rules: made, changed, put in order, switched on and off. Priorities are a gapless list from 0; whoever comes in or goes moves the others.
// (microsoft-365.md §15; coexistence.md §2.1 rows 9–13)
import { SETTING_DEFAULTS } from '../tenants/exchange-settings.ts'
import type { ExchangeObject } from '../tenants/objects.ts'
import type { Cmdlet, CmdletAnswer, CmdletCall } from './cmdlet.ts'
import { noRows } from './cmdlet.ts'
import { findSetting } from './configuration.ts'
import { invalidValue } from './exchange-error.ts'
import type { Properties } from './properties.ts'
import { identityProperties } from './recipient-properties.ts'
import { isMailGroup } from './recipient-facts.ts'
import { findRecipient } from './recipients.ts'
import { RULE_PARAMETERS, checkRule } from './rule-parameters.ts'
import { propagateRules } from './rule-propagation.ts'
import { isGroupProperty } from './rule-references.ts'
import { requireFreeName, requireHydrated, requireRoomForRule } from './write-rules.ts'
import { changed, givenProperties, identityIn, made, nameIn, nameOf, named, renamingOf } from './write-settings.ts'

const NOUN = 'TransportRule'

export const transportRuleCmdlets: readonly Cmdlet[] = [
  ruleCmdlet('New', ['Name', 'Priority', 'Enabled', ...RULE_PARAMETERS], (call) => {
    requireHydrated(call.tenant)
    const name = nameIn(call)
    requireFreeName(call.tenant, NOUN, name)
    requireRoomForRule(call.tenant)
    const there = inOrder(call)
    const priority = priorityIn(call, there.length) ?? there.length
    const properties = {
      ...named(name),
      ...SETTING_DEFAULTS.TransportRule,
      ...ruleProperties(call, 'New-TransportRule', {}),
      State: call.parameters.flag('Enabled') === false ? 'Disabled' : 'Enabled',
      Priority: priority,
    }
    checkRule(properties)
    renumber(call, there.slice(priority), priority + 1)
    return made(call, NOUN, properties)
  }),
  ruleCmdlet('Set', ['Identity', 'Name', 'Priority', ...RULE_PARAMETERS], (call) => {
    requireHydrated(call.tenant)
    const before = findSetting(call, NOUN, identityIn(call))
    const given = ruleProperties(call, 'Set-TransportRule', before.properties)
    const properties = { ...before.properties, ...given, ...renamingOf(call, before) }
    checkRule(properties)
    const others = inOrder(call).filter(({ guid }) => guid !== before.guid)
    const priority = priorityIn(call, others.length)
    if (priority === undefined) return changed(call, { ...before, properties })
    renumber(call, others.slice(0, priority), 0)
    renumber(call, others.slice(priority), priority + 1)
    return changed(call, { ...before, properties: { ...properties, Priority: priority } })
  }),
  ruleCmdlet('Remove', ['Identity'], (call) => {
    const { guid } = findSetting(call, NOUN, identityIn(call))
    call.tenant.removeExchangeObject(guid)
    renumber(call, inOrder(call), 0)
    return { rows: noRows, guid }
  }),
  ruleCmdlet('Enable', ['Identity', 'Mode'], (call) => {
    const mode = givenProperties(call, 'Enable-TransportRule', ['Mode'], {})
    return stateOf(call, { State: 'Enabled', ...mode })
  }),
  ruleCmdlet('Disable', ['Identity'], (call) => stateOf(call, { State: 'Disabled' })),
]

/** Whatever it does to the rules acts in mail flow after the tenant's delay. */
function ruleCmdlet(verb: string, heeds: readonly string[], act: (call: CmdletCall) => CmdletAnswer): Cmdlet {
  return {
    name: `${verb}-${NOUN}`,
    isWrite: true,
    heeds,
    run: (call) => {
      const { tenant, services, behaviour } = call
      const before = tenant.exchangeObjects(NOUN)
      const answer = act(call)
      propagateRules(tenant, before, { nowMs: services.clock.nowMs(), delayMs: behaviour.rulePropagationMs })
      return answer
    },
  }
}

function stateOf(call: CmdletCall, state: Properties): CmdletAnswer {
  const rule = findSetting(call, NOUN, identityIn(call))
  return changed(call, { ...rule, properties: { ...rule.properties, ...state } })
}

/** Groups and connectors that a rule names have to be there. */
function ruleProperties(call: CmdletCall, cmdlet: string, before: Properties): Record<string, unknown> {
  const given = givenProperties(call, cmdlet, RULE_PARAMETERS, before)
  for (const [property, value] of Object.entries(given)) {
    if (isGroupProperty(property) && Array.isArray(value))
      given[property] = value.map((name) => groupName(call, String(name)))
    if (property === 'RouteMessageOutboundConnector' && typeof value === 'string')
      given[property] = nameOf(findSetting(call, 'OutboundConnector', value))
  }
  return given
}

function groupName(call: CmdletCall, name: string): string {
  const group = findRecipient(call, name, (each) => isMailGroup(each) && call.isVisible(each.guid))
  if (call.behaviour.ruleGroups === 'as-given') return name
  const { PrimarySmtpAddress: address } = { ...identityProperties(group, call.tenant), ...group.properties }
  return typeof address === 'string' ? address : name
}

function inOrder({ tenant }: CmdletCall): readonly ExchangeObject[] {
  const priority = ({ properties }: ExchangeObject) => Number(properties['Priority'] ?? 0)
  return tenant.exchangeObjects(NOUN).toSorted((a, b) => priority(a) - priority(b))
}

function renumber({ tenant }: CmdletCall, rules: readonly ExchangeObject[], first: number): void {
  for (const [index, rule] of rules.entries()) {
    const Priority = first + index
    if (rule.properties['Priority'] !== Priority)
      tenant.putExchangeObject({ ...rule, properties: { ...rule.properties, Priority } })
  }
}

/** undefined: not given. @throws ExchangeError when it would leave a gap */
function priorityIn({ parameters }: CmdletCall, last: number): number | undefined {
  const priority = parameters.value('Priority')
  if (typeof priority !== 'number') return undefined
  if (priority < 0 || priority > last) throw invalidValue('Priority', `it has to be between 0 and ${last}.`)
  return priority
}
