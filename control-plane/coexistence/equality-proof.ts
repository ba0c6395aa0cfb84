// What a tenant has now beside what it had before the first change: whether anything of ours is left, and what others changed meanwhile, told apart.
// Pure. (coexistence.md §2.2)
import type { TenantId } from '../ids.ts'
import { equalTenants } from './equal-tenants.ts'
import type { ChangedProperty } from './equal-tenants.ts'
import { isList, listMinus } from './equality.ts'
import { isSameValue } from './settable.ts'
import type { Noun, ObservedObject, Value } from './tenant-object.ts'

export interface Difference {
  readonly tenant: TenantId
  readonly kind: 'added' | 'removed' | 'changed' | 'rule-order'
  /** Absent: of all rules. */
  readonly noun?: Noun
  readonly guid?: string
  readonly name?: string
  readonly properties?: readonly ChangedProperty[]
}

export interface EqualityProof {
  /** Nothing of ours is left, and everything that we changed is as it was. */
  readonly isRestored: boolean
  /** Nothing at all differs. */
  readonly isEqual: boolean
  readonly ours: readonly Difference[]
  readonly byOthers: readonly Difference[]
  /** ISO 8601 */
  readonly at: string
}

export interface ProvedTenant {
  readonly tenant: TenantId
  readonly before: readonly ObservedObject[]
  readonly after: readonly ObservedObject[]
}

/** One value that we gave a property, and what stood there. */
export interface Written {
  readonly value: Value
  readonly before: Value
}

/** Properties that we ever wrote, by `<tenant> <noun> <guid>`; `*`: we made it. */
export type WrittenByUs = ReadonlyMap<string, ReadonlyMap<string, readonly Written[]>>

export const writtenKey = (tenant: string, noun: string, guid: string): string =>
  `${tenant} ${noun} ${guid.toLowerCase()}`

/**
 * @param project  in marks: what bears ours is ours, whoever else wrote it
 * @param kept  of objects that another switch still keeps: they are left out
 */
export function proveEquality(
  tenants: readonly ProvedTenant[],
  written: WrittenByUs,
  { project, kept, at }: { readonly project: string; readonly kept: ReadonlySet<string>; readonly at: Date },
): EqualityProof {
  const ours: Difference[] = []
  const byOthers: Difference[] = []
  for (const { tenant, before, after } of tenants) {
    const isCompared = ({ noun, guid }: ObservedObject) => !kept.has(writtenKey(tenant, noun, guid))
    const difference = equalTenants(before.filter(isCompared), after.filter(isCompared))
    const said = ({ noun, guid, name }: ObservedObject) => ({ tenant, noun, guid, name })
    const wrote = ({ noun, guid }: ObservedObject) => written.get(writtenKey(tenant, noun, guid))
    for (const object of difference.added)
      (wrote(object)?.has('*') === true || object.mark?.project === project ? ours : byOthers).push({
        kind: 'added',
        ...said(object),
      })
    for (const object of difference.removed)
      (wrote(object) === undefined ? byOthers : ours).push({ kind: 'removed', ...said(object) })
    for (const { after: object, properties } of difference.changed) {
      const isMine = (each: ChangedProperty): boolean => isLeftOfOurs(each, wrote(object)?.get(each.name) ?? [])
      const [mine, theirs] = [properties.filter(isMine), properties.filter((each) => !isMine(each))]
      if (mine.length > 0) ours.push({ kind: 'changed', ...said(object), properties: mine })
      if (theirs.length > 0) byOthers.push({ kind: 'changed', ...said(object), properties: theirs })
    }
    // Ours come and go at their own places: what moved the others among each other was somebody else.
    if (difference.ruleOrder !== undefined) byOthers.push({ kind: 'rule-order', tenant })
  }
  return {
    isRestored: ours.length === 0,
    isEqual: ours.length + byOthers.length === 0,
    ours,
    byOthers,
    at: at.toISOString(),
  }
}

/** What we gave it stands there, or of a list what we added, or it lacks what it had; another value is what somebody else has given it since. */
function isLeftOfOurs({ name, before, after }: ChangedProperty, written: readonly Written[]): boolean {
  if (!written.some(({ value }) => isList(value))) return written.some(({ value }) => isSameValue(name, value, after))
  const [had, has] = [listOf(before), listOf(after)]
  const added = listMinus(
    written.flatMap(({ value, before: then }) => listMinus(listOf(value), listOf(then))),
    had,
  )
  return listMinus(had, has).length > 0 || listMinus(has, added).length < has.length
}

const listOf = (value: Value): readonly string[] => (isList(value) ? value : [])
