// What differs between two observations of a tenant, as data: the proof that coexistence left everything as it found it, or what others changed
// meanwhile. Pure. (coexistence.md §2.2)
import { isSameValue } from './settable.ts'
import type { ObservedObject, Value } from './tenant-object.ts'

export interface ChangedProperty {
  /** As the noun's cmdlets call it; `Name`, `State` and `Members` as well. */
  readonly name: string
  readonly before: Value
  readonly after: Value
}

export interface ChangedObject {
  readonly before: ObservedObject
  readonly after: ObservedObject
  readonly properties: readonly ChangedProperty[]
}

export interface TenantDifference {
  readonly isEqual: boolean
  readonly added: readonly ObservedObject[]
  readonly removed: readonly ObservedObject[]
  readonly changed: readonly ChangedObject[]
  /** Guids of the rules that are in both, first to act first; undefined: the order is the same. */
  readonly ruleOrder: { readonly before: readonly string[]; readonly after: readonly string[] } | undefined
}

/** Objects are the same by noun and Guid. */
export function equalTenants(before: readonly ObservedObject[], after: readonly ObservedObject[]): TenantDifference {
  const [old, now] = [byIdentity(before), byIdentity(after)]
  const added = after.filter((object) => !old.has(identityOf(object)))
  const removed = before.filter((object) => !now.has(identityOf(object)))
  const changed: ChangedObject[] = []
  for (const [identity, object] of old) {
    const other = now.get(identity)
    const properties = other === undefined ? [] : changesOf(object, other)
    if (other !== undefined && properties.length > 0) changed.push({ before: object, after: other, properties })
  }
  const [oldOrder, newOrder] = [orderOf(old, now), orderOf(now, old)]
  const ruleOrder = oldOrder.join() === newOrder.join() ? undefined : { before: oldOrder, after: newOrder }
  const isEqual = added.length + removed.length + changed.length === 0 && ruleOrder === undefined
  return { isEqual, added, removed, changed, ruleOrder }
}

type ByIdentity = ReadonlyMap<string, ObservedObject>

const identityOf = ({ noun, guid }: ObservedObject): string => `${noun} ${guid.toLowerCase()}`
const byIdentity = (objects: readonly ObservedObject[]): ByIdentity =>
  new Map(objects.map((object) => [identityOf(object), object]))

function changesOf(before: ObservedObject, after: ObservedObject): ChangedProperty[] {
  const [old, now] = [allOf(before), allOf(after)]
  return [...new Set([...Object.keys(old), ...Object.keys(now)])]
    .toSorted()
    .filter((name) => !isSameValue(name, old[name], now[name]))
    .map((name) => ({ name, before: old[name] ?? null, after: now[name] ?? null }))
}

function allOf({ name, properties, isEnabled, members }: ObservedObject): Record<string, Value | undefined> {
  return {
    ...properties,
    Name: name,
    State: isEnabled === undefined ? undefined : isEnabled ? 'Enabled' : 'Disabled',
    Members: members,
  }
}

function orderOf(objects: ByIdentity, others: ByIdentity): string[] {
  return [...objects]
    .filter(([identity, { noun }]) => noun === 'TransportRule' && others.has(identity))
    .map(([, object]) => object)
    .toSorted((a, b) => (a.priority ?? 0) - (b.priority ?? 0))
    .map(({ guid }) => guid.toLowerCase())
}
