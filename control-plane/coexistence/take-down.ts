// What is ours and wanted no longer, in the order in which it goes: rules stop first, which alone restores native flow; what they name goes after them.
// Pure. (coexistence.md §2.2)
import { callOn, identityOf, setStep, stepOf } from './calls.ts'
import { isList, listMinus } from './equality.ts'
import { gateIf, isRouting, keyOf, rank } from './planning.ts'
import type { Found, LedgerObject, PlanOptions, Problem } from './planning.ts'
import { isSameValue } from './settable.ts'
import type { CallStep, Step } from './step.ts'
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
  const removals = REMOVE_ORDER.flatMap((noun) => gone.filter(({ object }) => object.noun === noun)).flatMap(
    ({ object, seen, known }): CallStep[] => {
      if (object.ownership === 'changed') return writeBack(object, seen, known)
      const drifted = driftOf(seen, known)
      if (drifted.length > 0 && !options.isDriftConfirmed) {
        problems.push({ kind: 'drift', tenant: object.tenant, noun: object.noun, key: object.key, properties: drifted })
        return []
      }
      const removal = callOn('Remove', object.noun, identityOf(seen))
      return [stepOf(object, seen, 'remove', removal, { before: seen.properties })]
    },
  )
  const cutsOff = removals.some((step) => ['OutboundConnector', 'InboundConnector'].includes(step.noun))
  return [...disables, ...gateIf(cutsOff, 'hold'), ...removals]
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
