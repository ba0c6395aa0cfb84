// Desired − observed = plan. The same for enable, disable, repair and retry: whatever is there already needs no step, so that a run that was
// interrupted anywhere goes on. Nothing that somebody changed is overwritten without confirmation. Pure. (coexistence.md §1, §2)
import type { TenantId } from '../ids.ts'
import { callOn, createSteps, identityOf, isOnlySet, markParameter, setStep, stepOf } from './calls.ts'
import { isList, listMinus, specHash } from './equality.ts'
import { isProbe, ruleNumber } from './names.ts'
import { isSameValue } from './settable.ts'
import type { CallStep, GateStep, Step } from './step.ts'
import type { DesiredObject, Noun, ObservedObject, Ownership, Properties, Value } from './tenant-object.ts'

/** What the ledger knows of an object of ours that is not settled as gone. */
export interface LedgerObject {
  readonly tenant: TenantId
  readonly noun: Noun
  readonly key: string
  readonly name: string
  readonly ownership: Ownership
  /** Undefined: its creation was intended, and how that ended is not known. */
  readonly guid?: string
  /** As we last wrote it, `State` of rules among it. */
  readonly written: Properties
  /** As we meant to, by a call whose answer was lost. */
  readonly intended?: Properties
  /** Of changed objects: what was there. */
  readonly before?: Properties
}

export interface Problem {
  /** `drift`: ours, changed by somebody · `conflict`: somebody else's object has our name · `limit`: the tenant takes no more */
  readonly kind: 'drift' | 'conflict' | 'limit'
  readonly tenant: TenantId
  readonly noun: Noun
  readonly key: string
  readonly properties: readonly string[]
}

export interface Plan {
  readonly steps: readonly Step[]
  readonly problems: readonly Problem[]
}

export interface PlanOptions {
  /** In marks. */
  readonly project: string
  readonly route: 'owner-tenant' | 'return'
  /** `connector-validation-<nonce>@<relay FQDN>`, by key of the outbound connector. */
  readonly validationRecipients: Readonly<Record<string, string>>
  /** Set as the time of a validation. */
  readonly now: Date
  /** Whether drift is overwritten: somebody has looked at it. */
  readonly isDriftConfirmed: boolean
}

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
const REMOVE_ORDER: readonly Noun[] = [
  'TransportRule',
  'OutboundConnector',
  'RemoteDomain',
  'ArcConfig',
  'OrganizationRelationship',
  'InboundConnector',
  'DistributionGroup',
]
const ENABLE_ORDER = [90, 40, 20, 21, 22, 30]
const DISABLE_ORDER = [20, 21, 22, 30, 40]

interface Found {
  readonly object: DesiredObject
  readonly observed: ObservedObject | undefined
  readonly ledger: LedgerObject | undefined
}

export function planChanges(
  desired: readonly DesiredObject[],
  observed: readonly ObservedObject[],
  ledger: readonly LedgerObject[],
  options: PlanOptions,
): Plan {
  const problems: Problem[] = []
  const found = desired.map((object) => find(object, observed, ledger, options.project))
  // Probes are there only while a routing rule has still to be enabled.
  const enabling = found.some(({ object, observed: seen }) => isRouting(object.key) && seen?.isEnabled !== true)
  const wanted = found.filter(({ object }) => enabling || !isProbe(object.key))
  const steps = build(wanted, observed, options, problems, enabling)
  return { steps: [...steps, ...takeDown(wanted, observed, ledger, options, problems)], problems }
}

const isRouting = (key: string): boolean => /^rule-[234]/.test(key)
const keyOf = ({ tenant, noun, key }: Pick<DesiredObject, 'tenant' | 'noun' | 'key'>) => `${tenant} ${noun} ${key}`

function find(
  object: DesiredObject,
  all: readonly ObservedObject[],
  ledger: readonly LedgerObject[],
  project: string,
): Found {
  const known = ledger.find((each) => keyOf(each) === keyOf(object))
  const same = all.filter((each) => each.tenant === object.tenant && each.noun === object.noun)
  const seen =
    same.find((each) => each.guid === known?.guid) ??
    same.find((each) => each.mark?.project === project && each.mark.key === object.key) ??
    same.find((each) => each.name.toLowerCase() === object.name.toLowerCase())
  return { object, observed: seen, ledger: known }
}

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

function build(
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
      if (object.ownership === 'changed') {
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
    } else {
      objects.push(...change(each, seen, options, problem))
    }
    if (object.noun === 'OutboundConnector' && seen?.properties['IsValidated'] !== true) {
      objects.push(...validate(each, options))
    }
    if (object.members !== undefined) {
      const there = seen?.members ?? []
      members.push(...listMinus(object.members, there).map((member) => memberStep(each, member, 'Add')))
      leavers.push(...listMinus(there, object.members).map((member) => memberStep(each, member, 'Remove')))
    }
    if (object.isEnabled === true && seen?.isEnabled !== true) {
      const disabledByOthers = each.ledger?.written['State'] === 'Enabled' && seen !== undefined
      if (disabledByOthers && !options.isDriftConfirmed && each.ledger?.intended?.['State'] !== 'Disabled') {
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
  const body = [...groups, ...before, ...members, ...others, ...order(wanted, observed, objects, options)]
  const routes = enabling && rest.some((step) => isRouting(step.key))
  return [
    ...gateIf(body.length + rest.length > 0, 'relays-ready'),
    ...body,
    ...probes,
    ...gateIf(routes, 'probes'),
    // Nothing may be routed while something is amiss: mail is never worse than before.
    ...(problems.length > 0 ? [] : rest),
    ...gateIf(routes && problems.length === 0, 'propagated'),
    ...leavers,
    ...gateIf(leavers.length > 0, 'table-after'),
  ]
}

const gateIf = (isNeeded: boolean, gate: GateStep['gate']): GateStep[] => (isNeeded ? [{ kind: 'gate', gate }] : [])

/** Rules in the order of their numbers, the rest as it is. */
const placeOf = (object: DesiredObject): number =>
  BUILD_ORDER.indexOf(object.noun) * 100 + (object.noun === 'TransportRule' ? (ruleNumber(object.key) ?? 10) : 0)

function rank(places: readonly number[], key: string): number {
  return places.indexOf(ruleNumber(key) ?? 0)
}

/** Ours come last; with route `return` first, because the tenant's own act when the message comes back. Cleaning is last always. (§2.1 row 9) */
const isFirst = (key: string, { route }: PlanOptions): boolean => route === 'return' && ruleNumber(key) !== 90

function priorityOf(
  object: DesiredObject,
  wanted: readonly Found[],
  planned: readonly Step[],
  count: number,
  options: PlanOptions,
): number | undefined {
  if (object.noun !== 'TransportRule') return undefined
  if (!isFirst(object.key, options)) return count
  const there = wanted.filter(
    ({ object: other, observed }) =>
      other.tenant === object.tenant &&
      other.noun === 'TransportRule' &&
      placeOf(other) < placeOf(object) &&
      (observed !== undefined || planned.some((step) => step.kind === 'call' && keyOf(step) === keyOf(other))),
  )
  return there.length
}

/** Moves ours to their place where the order is another; others' rules keep theirs among each other. */
function order(
  wanted: readonly Found[],
  observed: readonly ObservedObject[],
  planned: readonly Step[],
  options: PlanOptions,
): CallStep[] {
  const tenants = new Set(wanted.map(({ object }) => object.tenant))
  return [...tenants].flatMap((tenant) => {
    const ours = wanted.filter(({ object }) => object.tenant === tenant && ruleNumber(object.key) !== undefined)
    const probes = wanted.flatMap(({ object, observed: seen }) =>
      object.tenant === tenant && isProbe(object.key) ? [seen?.guid] : [],
    )
    const list = observed
      .filter((each) => each.tenant === tenant && each.noun === 'TransportRule')
      .toSorted((a, b) => (a.priority ?? 0) - (b.priority ?? 0))
      .map((each) => each.guid)
    const total = list.length
    for (const step of planned) {
      if (step.kind !== 'call' || step.tenant !== tenant || step.effect !== 'create') continue
      const at = step.parameters['Priority']
      if (typeof at === 'number') list.splice(at, 0, step.name)
      if (isProbe(step.key)) probes.push(step.name)
    }
    const current = list.filter((each) => !probes.includes(each))
    const places = ours
      .filter(({ object, observed: seen }) => list.includes(seen?.guid ?? object.name))
      .toSorted((a, b) => placeOf(a.object) - placeOf(b.object))
    const idOf = ({ object, observed: seen }: Found) => seen?.guid ?? object.name
    const first = places.filter(({ object }) => isFirst(object.key, options))
    const last = places.filter(({ object }) => !isFirst(object.key, options))
    const foreign = current.filter((id) => !places.some((each) => idOf(each) === id))
    const target = [...first.map(idOf), ...foreign, ...last.map(idOf)]
    if (total === 0 || target.every((id, index) => id === current[index])) return []
    const move = (each: Found, priority: number) =>
      stepOf(each.object, each.observed, 'set', callOn('Set', 'TransportRule', idOf(each), { Priority: priority }))
    return [...first.toReversed().map((each) => move(each, 0)), ...last.map((each) => move(each, list.length - 1))]
  })
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
    (name) => name !== 'IsValidated' && !isSameValue(name, object.properties[name], seen.properties[name]),
  )
  const drifted = differing.filter((name) => {
    const now = seen.properties[name]
    if (object.ownership === 'changed' && ledger?.written[name] === undefined) return false
    const ours = [ledger?.written[name], ledger?.intended?.[name]]
    if (ours.some((value) => value !== undefined && isSameValue(name, value, now))) return false
    return (
      ours.some((value) => value !== undefined) || !(isOnlySet(object.noun, name) && (adopted || ledger !== undefined))
    )
  })
  if (drifted.length > 0 && !isDriftConfirmed) {
    problem('drift', drifted)
    return []
  }
  const changed = Object.fromEntries(differing.map((name) => [name, object.properties[name] ?? null]))
  const isMarked = object.ownership === 'changed' || seen.mark === undefined || seen.mark.specHash === hash
  const mark = isMarked ? {} : markParameter(project, object)
  if (object.noun === 'DistributionGroup') {
    const notes = callOn('Set', object.noun, seen.guid, mark)
    return [
      ...(differing.length > 0 ? [setStep(object, seen, changed)] : []),
      ...(isMarked ? [] : [stepOf(object, seen, 'set', { ...notes, cmdlet: 'Set-Group' })]),
    ]
  }
  return differing.length > 0 || !isMarked ? [setStep(object, seen, changed, mark)] : []
}

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

/** What is ours and wanted no longer: rules stop first, which alone restores native flow; what they name goes after them. (§2.2) */
function takeDown(
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
