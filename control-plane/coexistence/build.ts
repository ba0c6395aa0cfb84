// What has to be made, filled, changed and enabled, in the order in which mail is never worse than before: leavers, groups, the way in, the way out, rules that do
// nothing yet, probes, and last the rules themselves. Pure. (coexistence.md §1.3, §2.1)
import type { TenantId } from '../ids.ts'
import { callOn, createSteps, isOnlySet, markParameter, setStep, stepOf } from './calls.ts'
import { isList, listMinus, specHash } from './equality.ts'
import { isProbe } from './names.ts'
import { gateIf, isLeftOff, isRouting, rank } from './planning.ts'
import type { Found, LedgerObject, PlanOptions, Problem } from './planning.ts'
import { moveRules, priorityOf, rulePlace } from './rule-order.ts'
import { isSameValue } from './settable.ts'
import type { CallStep, Step } from './step.ts'
import type { DesiredObject, Noun, ObservedObject, Properties, Value } from './tenant-object.ts'

const MAX_RULES = 300
const MAX_RELATIONSHIP_DOMAINS = 238
const BUILD_ORDER: readonly Noun[] = [
  'DistributionGroup',
  'InboundConnector',
  'ArcConfig',
  'OutboundConnector',
  'RemoteDomain',
  'OrganizationRelationship',
  'TransportRule',
]
const ENABLE_ORDER = [90, 40, 20, 21, 22, 30]

export function build(
  wanted: readonly Found[],
  observed: readonly ObservedObject[],
  options: PlanOptions,
  problems: Problem[],
  enabling: boolean,
): Step[] {
  const objects: Step[] = []
  const members: CallStep[] = []
  const leavers: CallStep[] = []
  const enables: CallStep[] = []
  const rules = new Map<TenantId, number>()
  for (const each of observed)
    if (each.noun === 'TransportRule') rules.set(each.tenant, (rules.get(each.tenant) ?? 0) + 1)
  const ordered = BUILD_ORDER.flatMap((noun) => wanted.filter(({ object }) => object.noun === noun))
  for (const each of ordered.toSorted((a, b) => placeOf(a.object) - placeOf(b.object))) {
    const { object, observed: seen } = each
    const problem = (kind: Problem['kind'], properties: readonly string[] = []) =>
      problems.push({ kind, tenant: object.tenant, noun: object.noun, key: object.key, properties })
    if (!isOurs(each, options.project)) {
      problem('conflict')
      continue
    }
    const domains = object.properties['DomainNames']
    if (isList(domains) && domains.length > MAX_RELATIONSHIP_DOMAINS) {
      problem('limit', ['DomainNames'])
      continue
    }
    if (seen === undefined) {
      if (object.ownership === 'changed' || isLeftOff(each, options.isDriftConfirmed)) {
        problem('drift')
        continue
      }
      const count = rules.get(object.tenant) ?? 0
      if (object.noun === 'TransportRule' && count >= MAX_RULES) {
        problem('limit')
        continue
      }
      if (object.noun === 'TransportRule') rules.set(object.tenant, count + 1)
      objects.push(...createSteps(options.project, object, priorityOf(object, wanted, objects, count, options)))
    }
    const changes = seen === undefined ? [] : change(each, seen, options, problem)
    objects.push(...changes)
    const isValid = seen?.properties['IsValidated'] === true && changes.every((step) => !leadsElsewhere(step.writes))
    if (object.noun === 'OutboundConnector' && !isValid) objects.push(...validate(each, options))
    if (object.members !== undefined) {
      const there = seen?.members ?? []
      members.push(...listMinus(object.members, there).map((member) => memberStep(each, member, 'Add')))
      leavers.push(...listMinus(there, object.members).map((member) => memberStep(each, member, 'Remove')))
    }
    if (object.isEnabled === true && seen?.isEnabled !== true) {
      if (seen !== undefined && isLeftOff(each, options.isDriftConfirmed)) {
        problem('drift', ['State'])
      } else enables.push(enableStep(each))
    }
  }
  const probes = enables.filter((step) => isProbe(step.key))
  const rest = enables
    .filter((step) => !isProbe(step.key))
    .toSorted((a, b) => rank(ENABLE_ORDER, a.key) - rank(ENABLE_ORDER, b.key))
  const groups = objects.filter((step) => step.kind === 'call' && step.noun === 'DistributionGroup')
  const others = objects.filter((step) => !groups.includes(step))
  const before = gateIf(members.length > 0, 'table-before')
  const body = [...groups, ...before, ...members, ...others, ...moveRules(wanted, observed, objects, options)]
  const routes = enabling && rest.some((step) => isRouting(step.key))
  return [
    // Relays know who leaves until he has left, and only then whoever comes (§1.4).
    ...leavers,
    ...gateIf(leavers.length > 0, 'table-after'),
    ...gateIf([...body, ...rest].some(concernsMail), 'relays-ready'),
    ...body,
    ...probes,
    ...gateIf(routes, 'probes'),
    // Nothing may be routed while something is amiss: mail is never worse than before.
    ...(problems.length > 0 ? [] : rest),
    ...gateIf(routes && problems.length === 0, 'propagated'),
  ]
}

/** Free/busy needs no relay. */
const concernsMail = (step: Step): boolean => step.kind === 'call' && step.noun !== 'OrganizationRelationship'

/** Rules in the order of their numbers, the rest as it is. */
const placeOf = (object: DesiredObject): number =>
  BUILD_ORDER.indexOf(object.noun) * 100 + (object.noun === 'TransportRule' ? rulePlace(object) : 0)

function isOurs({ object, observed, ledger }: Found, project: string): boolean {
  if (object.ownership === 'changed' || observed === undefined || observed.guid === ledger?.guid) return true
  if (observed.mark !== undefined) return observed.mark.project === project && observed.mark.key === object.key
  // Nouns without comments: its creation was meant, and it is as it was meant.
  const meant = ledger?.guid === undefined ? ledger?.intended : undefined
  return (
    meant !== undefined &&
    !['DistributionGroup', 'InboundConnector', 'OutboundConnector', 'TransportRule'].includes(object.noun) &&
    Object.entries(meant).every(([name, value]) => isSameValue(name, value, observed.properties[name]))
  )
}

function change(
  { object, ledger }: Found,
  seen: ObservedObject,
  { project, isDriftConfirmed }: PlanOptions,
  problem: (kind: Problem['kind'], properties: readonly string[]) => void,
): CallStep[] {
  const hash = specHash(object.name, object.properties)
  const adopted = ledger?.guid === undefined && seen.mark?.specHash === hash
  const names = [...new Set([...Object.keys(object.properties), ...dropped(object, ledger)])]
  const differing = names.filter(
    (name) => name !== 'IsValidated' && !isSameValue(name, wantedOf(name, object, ledger), seen.properties[name]),
  )
  const drifted = differing.filter((name) => {
    const now = seen.properties[name]
    if (object.ownership === 'changed' && ledger?.written[name] === undefined) return false
    const ours = [ledger?.written[name], ledger?.intended?.[name]]
    if (ours.some((value) => value !== undefined && isSameValue(name, value, now))) return false
    if (ours.some((value) => value !== undefined)) return true
    // Wanted from now on: nobody has set it.
    if (ledger !== undefined && isSameValue(name, null, now)) return false
    return !(isOnlySet(object.noun, name) && (adopted || ledger !== undefined))
  })
  if (drifted.length > 0 && !isDriftConfirmed) {
    problem('drift', drifted)
    return []
  }
  const differs = Object.fromEntries(differing.map((name) => [name, wantedOf(name, object, ledger)]))
  // Where it leads to now nobody has tried: said in the same call, so that a run which is interrupted here knows.
  const changed = leadsElsewhere(differs) ? { ...differs, IsValidated: false } : differs
  const isMarked = object.ownership === 'changed' || seen.mark === undefined || seen.mark.specHash === hash
  const mark = isMarked ? {} : markParameter(project, object, seen)
  if (object.noun === 'DistributionGroup') {
    const notes = callOn('Set', object.noun, seen.guid, mark)
    return [
      ...(differing.length > 0 ? [setStep(object, seen, changed)] : []),
      ...(isMarked ? [] : [stepOf(object, seen, 'set', { ...notes, cmdlet: 'Set-Group' })]),
    ]
  }
  return differing.length > 0 || !isMarked ? [setStep(object, seen, changed, mark)] : []
}

/** Of what we want no longer: a switch is off, as no cmdlet takes nothing for one; the rest is nothing. */
function wantedOf(name: string, { properties }: DesiredObject, ledger: LedgerObject | undefined): Value {
  const ours = [ledger?.written[name], ledger?.intended?.[name]]
  return properties[name] ?? (ours.some((value) => typeof value === 'boolean') ? false : null)
}

const leadsElsewhere = (changed: Properties): boolean => 'SmartHosts' in changed

/** Properties of a created object that we wrote and want no longer. */
function dropped(object: DesiredObject, ledger: LedgerObject | undefined): readonly string[] {
  if (object.ownership === 'changed') return []
  return Object.keys({ ...ledger?.written, ...ledger?.intended }).filter(
    (name) => name !== 'State' && !(name in object.properties),
  )
}

function validate({ object, observed }: Found, { validationRecipients, now }: PlanOptions): Step[] {
  const identity = observed?.guid ?? object.name
  const recipients = [validationRecipients[object.key] ?? ''].filter((each) => each !== '')
  const after: Readonly<Record<string, Value>> = { IsValidated: true, LastValidationTimestamp: now.toISOString() }
  return [
    stepOf(object, observed, 'validate', callOn('Validate', object.noun, identity, { Recipients: recipients })),
    { kind: 'gate', gate: 'validated', tenant: object.tenant, key: object.key },
    stepOf(object, observed, 'set', callOn('Set', object.noun, identity, after), { writes: { IsValidated: true } }),
  ]
}

function memberStep({ object, observed }: Found, member: string, verb: 'Add' | 'Remove'): CallStep {
  const identity = observed?.guid ?? object.name
  const call = (as: string) => {
    const { cmdlet, parameters } = callOn(as, object.noun, identity, { Member: member })
    return { cmdlet: `${cmdlet}Member`, parameters }
  }
  const effect = verb === 'Add' ? 'add-member' : 'remove-member'
  return stepOf(object, observed, effect, call(verb), { undo: [call(verb === 'Add' ? 'Remove' : 'Add')] })
}

function enableStep({ object, observed }: Found): CallStep {
  const identity = observed?.guid ?? object.name
  return stepOf(object, observed, 'enable', callOn('Enable', object.noun, identity), {
    writes: { State: 'Enabled' },
    before: { State: 'Disabled' },
    undo: [callOn('Disable', object.noun, identity)],
  })
}
