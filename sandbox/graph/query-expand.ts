// `$expand` of directory objects: one relation at a time, of those whose other end this directory knows, with a selection of its own.
import { badRequest } from './graph-error.ts'
import type { Projections } from './projection.ts'

export interface Expand {
  readonly relation: 'manager' | 'memberOf' | 'members' | 'owners'
  readonly select: readonly string[] | undefined
}

/** Graph shows so many of an expanded collection ("Use query parameters", known limits of directory objects). */
export const MAX_EXPANDED = 20

const RELATIONS: Readonly<Record<string, readonly Expand['relation'][]>> = {
  user: ['manager', 'memberOf'],
  group: ['members', 'owners', 'memberOf'],
  orgContact: ['memberOf'],
}
const OTHER_ENDS = ['user', 'group', 'orgContact', 'directoryObject']

/** @throws GraphFault 400 */
export function parseExpand(text: string, types: readonly string[], projections: Projections): Expand {
  const [, name, inner] = /^(\w+)(?:\(\$select=([\w,\s]+)\))?$/.exec(text.trim()) ?? []
  const relation = types.flatMap((type) => RELATIONS[type] ?? []).find((each) => each === name)
  if (relation === undefined) throw badRequest("The '$expand' expression is not supported.")
  if (inner === undefined) return { relation, select: undefined }
  const select = inner.split(',').map((each) => each.trim())
  projections.check(OTHER_ENDS, select)
  return { relation, select }
}
