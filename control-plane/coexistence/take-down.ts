// What is ours and wanted no longer, in the order in which it goes: rules stop first, which alone restores native flow; what they name goes after them.
// Pure. (coexistence.md §2.2)
import { callOn, identityOf, setStep, stepOf } from './calls.ts'
import { isList, listMinus } from './equality.ts'
import { isNameOf } from './names.ts'
import { isRouting, keyOf, rank } from './planning.ts'
import type { Found, LedgerObject, PlanOptions, Problem } from './planning.ts'
import { isSameValue } from './settable.ts'
import type { CallStep, GateStep, Step } from './step.ts'
import type { DesiredObject, Noun, ObservedObject, Value } from './tenant-object.ts'

const REMOVE_ORDER: readonly Noun[] = [
  'TransportRule',
  'OutboundConnector',
  'RemoteDomain',
  'ArcConfig',
  'OrganizationRelationship',
  'InboundConnector',
  'DistributionGroup',
]
const DISABLE_ORDER = [20, 21, 22, 30, 40]

/** What is ours and wanted no longer: rules stop first, which alone restores native flow; what they name goes after them. (§2.2) */
export function takeDown(
  wanted: readonly Found[],
  observed: readonly ObservedObject[],
  ledger: readonly LedgerObject[],
  options: PlanOptions,
  problems: Problem[],
): Step[] {
  const kept = new Set(wanted.map(({ object }) => keyOf(object)))
  const gone = observed.flatMap((seen): { object: DesiredObject; seen: ObservedObject; known?: LedgerObject }[] => {
    const known = ledger.find((each) => each.tenant === seen.tenant && each.noun === seen.noun && isThat(each, seen))
    const key = known?.key ?? (seen.mark?.project === options.project ? seen.mark.key : undefined)
    if (key === undefined) return []
    const { tenant, noun, name } = seen
    const object = { tenant, noun, key, name, ownership: known?.ownership ?? 'created', properties: {} }
    return kept.has(keyOf(object)) ? [] : [{ object, seen, ...(known === undefined ? {} : { known }) }]
  })
  const disables = gone
    .filter(({ object, seen }) => isRouting(object.key) && seen.isEnabled === true)
    .toSorted((a, b) => rank(DISABLE_ORDER, a.object.key) - rank(DISABLE_ORDER, b.object.key))
    .map(({ object, seen }) =>
      stepOf(object, seen, 'disable', callOn('Disable', object.noun, seen.guid), {
        writes: { State: 'Disabled' },
        before: { State: 'Enabled' },
        undo: [callOn('Enable', object.noun, seen.guid)],
      }),
    )
  const removals: CallStep[] = []
  for (const noun of REMOVE_ORDER) {
    for (const { object, seen, known } of gone.filter((each) => each.object.noun === noun)) {
      if (object.ownership === 'changed') {
        removals.push(...writeBack(object, seen, known))
        continue
      }
      const problem = (kind: Problem['kind'], properties: readonly string[] = []) =>
        problems.push({ kind, tenant: object.tenant, noun, key: object.key, properties })
      const isCopy = known === undefined && !isNameOf(object.key, seen.name)
      const drifted = isCopy ? ['Name'] : driftOf(seen, known)
      if (drifted.length > 0 && !options.isDriftConfirmed) problem('drift', drifted)
      else if (observed.some((rule) => !isGoing(rule, removals) && isNamedBy(seen, rule))) problem('in-use')
      else
        removals.push(
          stepOf(object, seen, 'remove', callOn('Remove', noun, identityOf(seen)), { before: seen.properties }),
        )
    }
  }
  return [...disables, ...holdsOf(removals), ...removals]
}

/** Where a route ends and others go on, the hold is for its own mail: of all mail there would be no end. What relays hold still has its way in. */
function holdsOf(removals: readonly CallStep[]): GateStep[] {
  if (removals.some(({ noun }) => noun === 'InboundConnector')) return [{ kind: 'gate', gate: 'hold' }]
  return removals
    .filter(({ noun }) => noun === 'OutboundConnector')
    .map(({ tenant, key }) => ({ kind: 'gate', gate: 'hold', tenant, key }))
}

const isGoing = ({ tenant, noun, guid }: ObservedObject, removals: readonly CallStep[]): boolean =>
  removals.some((step) => step.tenant === tenant && step.noun === noun && step.guid === guid)

/** Never remove what a rule that stays still names: ours that somebody edited, or somebody's own. (§2.2) */
function isNamedBy(object: ObservedObject, rule: ObservedObject): boolean {
  if (rule.noun !== 'TransportRule' || rule.tenant !== object.tenant) return false
  const names = Object.entries(rule.properties).flatMap(([property, value]) => {
    if (object.noun === 'OutboundConnector' && property !== 'RouteMessageOutboundConnector') return []
    if (object.noun === 'DistributionGroup' && !/MemberOf\d?$/.test(property)) return []
    return typeof value === 'string' ? [value] : isList(value) ? value : []
  })
  return (
    ['OutboundConnector', 'DistributionGroup'].includes(object.noun) &&
    names.some((name) => [object.name.toLowerCase(), object.guid].includes(name.toLowerCase()))
  )
}

/** By its Guid; while that is unknown, by name, of objects that no mark can tell. */
function isThat(known: LedgerObject, seen: ObservedObject): boolean {
  if (known.guid !== undefined) return known.guid === seen.guid
  const meant = known.intended
  if (known.name !== seen.name || meant === undefined) return false
  return Object.entries(meant).every(
    ([name, value]) => name === 'State' || isSameValue(name, value, seen.properties[name]),
  )
}

function driftOf(seen: ObservedObject, known: LedgerObject | undefined): readonly string[] {
  return Object.keys(known?.written ?? {}).filter((name) => {
    if (name === 'State' || seen.properties[name] === undefined) return false
    const ours = [known?.written[name], known?.intended?.[name]]
    return !ours.some((value) => value !== undefined && isSameValue(name, value, seen.properties[name]))
  })
}

/** What others changed since stays: of lists only what we added is taken out. */
function writeBack(object: DesiredObject, seen: ObservedObject, known: LedgerObject | undefined): CallStep[] {
  const changed: Record<string, Value> = {}
  for (const [name, before] of Object.entries(known?.before ?? {})) {
    const now = seen.properties[name]
    const written = [known?.written[name], known?.intended?.[name]]
    const added = written.flatMap((value) => (isList(value) ? listMinus(value, isList(before) ? before : []) : []))
    if (isList(now) && added.length > 0) {
      const left = listMinus(now, added)
      if (left.length < now.length) changed[name] = left
    } else if (
      written.some((value) => value !== undefined && isSameValue(name, value, now)) &&
      !isSameValue(name, before, now)
    ) {
      changed[name] = before
    }
  }
  return Object.keys(changed).length === 0 ? [] : [setStep(object, seen, changed, {}, 'write-back')]
}
