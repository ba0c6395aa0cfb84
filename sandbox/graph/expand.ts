// Puts the objects of a relation into an entity that is shown.
import type { DirectoryObject } from '../tenants/objects.ts'
import { managerOf, visibleObject } from './directory-objects.ts'
import type { Entity } from './entity.ts'
import type { GraphCall } from './graph-call.ts'
import { MAX_EXPANDED } from './query-expand.ts'
import type { Expand } from './query-expand.ts'
import { sightOf } from './sight.ts'

/** @param shown  changed; a user without a manager has none, as in Graph */
export function expandInto(call: GraphCall, entity: Entity, expand: Expand, shown: Record<string, unknown>): void {
  const object = call.tenant.object(entity.id)
  if (object === undefined) return
  const show = (each: DirectoryObject) =>
    call.state.projections.show(each, { select: expand.select, isTyped: true }, sightOf(each.kind, call.caller.roles))
  if (expand.relation === 'manager') {
    const manager = managerOf(call, object)
    if (manager !== undefined) shown['manager'] = show(manager)
    return
  }
  const ids = expand.relation === 'memberOf' ? call.index.groupsOf(object.id) : object[expand.relation]
  shown[expand.relation] = ids
    .map((id) => visibleObject(call, id))
    .filter((each) => each !== undefined)
    .slice(0, MAX_EXPANDED)
    .map(show)
}
