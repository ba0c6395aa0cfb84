// Which version of each mail flow rule acts: a change is told by cmdlets at once, and acts after a delay (coexistence.md §2.1 row 13). Kept in memory:
// after a restart all changes act.
import { isDeepStrictEqual } from 'node:util'
import type { ExchangeObject } from '../tenants/objects.ts'
import type { SimulatedTenant } from '../tenants/tenant.ts'

/** undefined: there is no such rule. */
type Version = ExchangeObject | undefined

interface Propagation {
  /** What acts before the first change does. */
  readonly acting: Version
  /** In order of time. */
  readonly changes: readonly { readonly atMs: number; readonly version: Version }[]
}

/** By tenant, of the rules with changes under way, by Guid. */
const underWay = new WeakMap<SimulatedTenant, Map<string, Propagation>>()

/** In order of priority; disabled ones too, which do nothing. */
export function rulesInEffect(tenant: SimulatedTenant, nowMs: number): readonly ExchangeObject[] {
  const rules = new Map(tenant.exchangeObjects('TransportRule').map((rule) => [rule.guid, rule]))
  for (const [guid, propagation] of underWay.get(tenant) ?? []) {
    if (propagation.changes.every(({ atMs }) => atMs <= nowMs)) continue
    const version = versionAt(propagation, nowMs)
    if (version === undefined) rules.delete(guid)
    else rules.set(guid, version)
  }
  return [...rules.values()].toSorted((a, b) => priorityOf(a) - priorityOf(b))
}

/** @param before  all rules before the change; it has been made in the tenant */
export function propagateRules(
  tenant: SimulatedTenant,
  before: readonly ExchangeObject[],
  { nowMs, delayMs }: { readonly nowMs: number; readonly delayMs: number },
): void {
  const was = new Map(before.map((rule) => [rule.guid, rule]))
  const is = new Map(tenant.exchangeObjects('TransportRule').map((rule) => [rule.guid, rule]))
  const propagations = underWay.get(tenant) ?? new Map<string, Propagation>()
  underWay.set(tenant, propagations)
  for (const guid of new Set([...was.keys(), ...is.keys()])) {
    const [old, version] = [was.get(guid), is.get(guid)]
    if (isDeepStrictEqual(old, version)) continue
    const earlier = propagations.get(guid) ?? { acting: old, changes: [] }
    const acting = versionAt(earlier, nowMs)
    const atMs = nowMs + delayMs
    // What would have come later than this change is overtaken by it.
    const pending = earlier.changes.filter((change) => change.atMs > nowMs && change.atMs < atMs)
    propagations.set(guid, { acting, changes: [...pending, { atMs, version }] })
  }
  for (const [guid, { changes }] of propagations)
    if (changes.every(({ atMs }) => atMs <= nowMs)) propagations.delete(guid)
}

function versionAt({ acting, changes }: Propagation, nowMs: number): Version {
  const last = changes.findLast(({ atMs }) => atMs <= nowMs)
  return last === undefined ? acting : last.version
}

function priorityOf({ properties }: ExchangeObject): number {
  const { Priority: priority } = properties
  return typeof priority === 'number' ? priority : 0
}
