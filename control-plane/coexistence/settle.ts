// What became of a call whose answer was lost, judged by looking at the tenant: it is never sent again blindly. Pure. (coexistence.md §1.1, §2.2)
import { isSameValue, SETTABLE } from './settable.ts'
import type { CallStep } from './step.ts'
import type { TenantChange } from './tenant-change-store.ts'
import type { ObservedObject, Properties } from './tenant-object.ts'

export type Effect = CallStep['effect']

export type Judged =
  | { readonly kind: 'done'; readonly effect: Effect; readonly object: ObservedObject | undefined }
  | { readonly kind: 'not-done'; readonly effect: Effect }

/** @param project  in marks */
export function judgeIntent(change: TenantChange, observed: readonly ObservedObject[], project: string): Judged {
  const effect = effectOf(change)
  const object = find(change, observed, project)
  const isDone = (): boolean => {
    switch (effect) {
      case 'create':
        return object !== undefined
      case 'remove':
        return object === undefined
      case 'enable':
        return object?.isEnabled === true
      case 'disable':
        return object === undefined || object.isEnabled === false
      case 'add-member':
        return hasMember(change, object)
      case 'remove-member':
        return object === undefined || !hasMember(change, object)
      case 'set':
      case 'write-back':
        return object !== undefined && isAsSet(change.parameters, object)
      // Mail was sent or not: it leaves no trace in the tenant.
      case 'validate':
        return false
      default:
        return effect satisfies never
    }
  }
  return isDone() ? { kind: 'done', effect, object } : { kind: 'not-done', effect }
}

/** Of a set that took back what coexistence had changed, nothing in the call says so: `set` stands for both. */
function effectOf({ cmdlet }: TenantChange): Effect {
  const [verb] = cmdlet.split('-')
  const isMember = cmdlet.endsWith('DistributionGroupMember')
  if (verb === 'New') return 'create'
  if (verb === 'Enable') return 'enable'
  if (verb === 'Disable') return 'disable'
  if (verb === 'Validate') return 'validate'
  if (verb === 'Add') return 'add-member'
  if (verb === 'Remove') return isMember ? 'remove-member' : 'remove'
  return 'set'
}

function find(
  { tenant, noun, key, guid, parameters }: TenantChange,
  observed: readonly ObservedObject[],
  project: string,
): ObservedObject | undefined {
  const same = observed.filter((each) => each.tenant === tenant && each.noun === noun)
  if (guid !== undefined) return same.find((each) => each.guid === guid)
  const { Name: name, Identity: identity } = parameters
  const wanted = typeof name === 'string' ? name : identity
  const named = same.find((each) => each.name === wanted || each.guid === wanted)
  const marked = same.find((each) => each.mark?.project === project && each.mark.key === key)
  if (typeof name !== 'string') return marked ?? named
  // Something of that name that is not as it was meant is somebody else's.
  return marked ?? (named !== undefined && named.mark === undefined && isAsSet(parameters, named) ? named : undefined)
}

function hasMember({ parameters: { Member: member } }: TenantChange, object: ObservedObject | undefined): boolean {
  return typeof member === 'string' && object?.members?.includes(member.toLowerCase()) === true
}

/** A time comes back in another form; the rest is told as it was given. */
function isAsSet(parameters: Properties, object: ObservedObject): boolean {
  const { single, list } = SETTABLE[object.noun]
  return Object.entries(parameters).every(([name, value]) => {
    if (name === 'Priority') return object.priority === value
    if (name === 'LastValidationTimestamp' || !(single.has(name) || list.has(name))) return true
    return isSameValue(name, value, object.properties[name])
  })
}
