// Directory objects as collections and by their relations: who is a member of what, who owns, who manages. Readers don't see what is too new.
import type { DirectoryObject } from '../tenants/objects.ts'
import type { DirectoryKind } from './directory-index.ts'
import type { Collection } from './entity.ts'
import type { GraphCall } from './graph-call.ts'
import { badRequest, notFound } from './graph-error.ts'

/** What a list of directory objects may hold. */
export const DIRECTORY_TYPES = ['directoryObject', 'user', 'group', 'orgContact'] as const

const GUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** undefined: there is none, or readers don't see it yet. */
export function visibleObject({ tenant, nowMs }: GraphCall, id: string): DirectoryObject | undefined {
  const object = tenant.object(id)
  return object !== undefined && tenant.isVisible(id, nowMs) ? object : undefined
}

/** @throws GraphFault 404; 400 for what can't be an id */
export function findObject(call: GraphCall, kind: DirectoryKind, id: string): DirectoryObject {
  if (!GUID.test(id)) throw badRequest('Invalid object identifier.')
  const object = visibleObject(call, id.toLowerCase())
  if (object?.kind !== kind) throw notFound(id)
  return object
}

/** @param name  object id or user principal name. @throws GraphFault 404 */
export function findUser(call: GraphCall, name: string): DirectoryObject {
  const user = call.index.findUser(name)
  if (user === undefined || !call.tenant.isVisible(user.id, call.nowMs)) throw notFound(name.slice(0, 200))
  return user
}

export function allOf(call: GraphCall, kind: DirectoryKind): Collection {
  return objectsByIds(call, call.index.ids(kind))
}

export function objectsByIds(call: GraphCall, ids: readonly string[]): Collection {
  return {
    length: ids.length,
    at(position) {
      const id = ids[position]
      return id === undefined ? undefined : visibleObject(call, id)
    },
  }
}

export function managerOf(call: GraphCall, user: DirectoryObject): DirectoryObject | undefined {
  return user.manager === undefined ? undefined : visibleObject(call, user.manager)
}

/** Everybody in it, however deep, each once; groups may hold each other. */
export function transitiveMembers(call: GraphCall, group: DirectoryObject): readonly string[] {
  const found = new Set<string>()
  const waiting = [group]
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    for (const id of next.members) {
      if (found.has(id)) continue
      found.add(id)
      const member = call.tenant.object(id)
      if (member?.kind === 'group') waiting.push(member)
    }
  }
  found.delete(group.id)
  return [...found]
}
