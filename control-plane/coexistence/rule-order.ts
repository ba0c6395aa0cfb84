// Where our rules stand among all rules of a tenant: priorities are a gapless list, and inserting one moves the others. Pure. (coexistence.md §2.1 row 9)
import { callOn, stepOf } from './calls.ts'
import { isProbe, ruleNumber } from './names.ts'
import { keyOf } from './planning.ts'
import type { Found, PlanOptions } from './planning.ts'
import type { CallStep, Step } from './step.ts'
import type { DesiredObject, ObservedObject } from './tenant-object.ts'

/** Ours among each other: probes first. */
export const rulePlace = ({ key }: Pick<DesiredObject, 'key'>): number => ruleNumber(key) ?? 10

/** Ours come last; with route `return` first, because the tenant's own act when the message comes back. Cleaning is last always. (§2.1 row 9) */
const isFirst = (key: string, { route }: PlanOptions): boolean => route === 'return' && ruleNumber(key) !== 90

export function priorityOf(
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
      rulePlace(other) < rulePlace(object) &&
      (observed !== undefined || planned.some((step) => step.kind === 'call' && keyOf(step) === keyOf(other))),
  )
  return there.length
}

/** Moves ours to their place where the order is another; others' rules keep theirs among each other. */
export function moveRules(
  wanted: readonly Found[],
  observed: readonly ObservedObject[],
  planned: readonly Step[],
  options: PlanOptions,
): CallStep[] {
  const tenants = new Set(wanted.map(({ object }) => object.tenant))
  return [...tenants].flatMap((tenant) => {
    const ours = wanted.filter(({ object }) => object.tenant === tenant && ruleNumber(object.key) !== undefined)
    // Those of the plan, those that go, and those of other projects, which have their own: they have no place.
    const placeless: (string | undefined)[] = wanted.flatMap(({ object, observed: seen }) =>
      object.tenant === tenant && isProbe(object.key) ? [seen?.guid] : [],
    )
    for (const { guid, mark } of observed)
      if (mark !== undefined && (isProbe(mark.key) || mark.project !== options.project)) placeless.push(guid)
    const list = observed
      .filter((each) => each.tenant === tenant && each.noun === 'TransportRule')
      .toSorted((a, b) => (a.priority ?? 0) - (b.priority ?? 0))
      .map((each) => each.guid)
    const total = list.length
    for (const step of planned) {
      if (step.kind !== 'call' || step.tenant !== tenant || step.effect !== 'create') continue
      const at = step.parameters['Priority']
      if (typeof at === 'number') list.splice(at, 0, step.name)
      if (isProbe(step.key)) placeless.push(step.name)
    }
    const current = list.filter((each) => !placeless.includes(each))
    const places = ours
      .filter(({ object, observed: seen }) => list.includes(seen?.guid ?? object.name))
      .toSorted((a, b) => rulePlace(a.object) - rulePlace(b.object))
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
