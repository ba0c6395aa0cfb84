// What a page of a delta tells, and where the next one goes on. The first round goes through the objects there are, later ones through the log of
// changes; a group with many members is told over several pages, and anything may be told again.
import type { DirectoryObject } from '../tenants/objects.ts'
import type { Change } from '../tenants/tenant.ts'
import type { DirectoryKind } from './directory-index.ts'
import type { ChangesCursor, DeltaCursor, DeltaScope, FullCursor, PageCursor } from './delta-token.ts'
import { visibleObject } from './directory-objects.ts'
import type { GraphCall } from './graph-call.ts'

export interface MemberChange {
  readonly id: string
  readonly isRemoved: boolean
}

export type DeltaItem =
  | { readonly kind: 'removed'; readonly id: string }
  | { readonly kind: 'object'; readonly object: DirectoryObject; readonly members: readonly MemberChange[] }

export interface DeltaPage {
  readonly items: readonly DeltaItem[]
  readonly next: DeltaCursor
}

export interface DeltaRound extends DeltaScope {
  readonly kind: DirectoryKind
  readonly tellsMembers: boolean
  /** Objects of a page. */
  readonly size: number
}

/** Members, or changes, of a page. */
const MAX_MEMBERS = 1_000

export function deltaPage(call: GraphCall, round: DeltaRound, cursor: PageCursor): DeltaPage {
  return cursor.kind === 'full' ? fullPage(call, round, cursor) : changesPage(call, round, cursor)
}

function fullPage(call: GraphCall, round: DeltaRound, cursor: FullCursor): DeltaPage {
  const ids = round.ids ?? call.index.ids(round.kind)
  const items: DeltaItem[] = []
  let members = 0
  for (let at = cursor.at; at < ids.length; at++) {
    const object = visibleObject(call, ids[at] ?? '')
    if (object?.kind !== round.kind) continue
    if (items.length === round.size || members >= MAX_MEMBERS) {
      return { items, next: { ...cursor, at, member: 0, membersChangedAt: 0 } }
    }
    const from = at === cursor.at ? firstMember(call, object, cursor) : 0
    const told = round.tellsMembers ? object.members.slice(from, from + MAX_MEMBERS - members) : []
    members += told.length
    items.push({ kind: 'object', object, members: visibleMembers(call, told) })
    if (!round.tellsMembers || from + told.length >= object.members.length) continue
    const membersChangedAt = call.index.membersChangedAt(object.id)
    return { items, next: { ...cursor, at, member: from + told.length, membersChangedAt } }
  }
  return { items, next: { kind: 'done', since: cursor.since } }
}

/** From the first again when its members changed meanwhile: their places did, too. */
function firstMember(call: GraphCall, { id }: DirectoryObject, cursor: FullCursor): number {
  return cursor.membersChangedAt === call.index.membersChangedAt(id) ? cursor.member : 0
}

function visibleMembers(call: GraphCall, ids: readonly string[]): MemberChange[] {
  return ids.filter((id) => call.tenant.isVisible(id, call.nowMs)).map((id) => ({ id, isRemoved: false }))
}

interface Told {
  readonly id: string
  isRemoved: boolean
  isChanged: boolean
  readonly members: Map<string, boolean>
}

function changesPage(call: GraphCall, round: DeltaRound, { after, until }: ChangesCursor): DeltaPage {
  const told: Told[] = []
  const current = new Map<string, Told>()
  const wanted = round.ids === undefined ? undefined : new Set(round.ids)
  let last = after
  let count = 0
  for (const change of call.tenant.changesSince(after)) {
    if (change.number > until) break
    if (change.kind !== round.kind || change.id === '' || wanted?.has(change.id) === false) {
      last = change.number
      continue
    }
    const isNew = !current.has(change.id)
    if (count === MAX_MEMBERS || (isNew && current.size === round.size)) break
    take(change, told, current)
    last = change.number
    count++
  }
  const items = told.flatMap((each) => toItem(call, round, each))
  const isDone = last >= until
  return { items, next: isDone ? { kind: 'done', since: until } : { kind: 'changes', after: last, until } }
}

/** Changes of an object in one page are told at once; a removal ends what was told of it before. */
function take({ id, what }: Change, told: Told[], current: Map<string, Told>): void {
  let entry = current.get(id)
  if (entry === undefined || (entry.isRemoved && what !== 'removed')) {
    entry = { id, isRemoved: false, isChanged: false, members: new Map() }
    told.push(entry)
    current.set(id, entry)
  }
  if (what === 'removed') entry.isRemoved = true
  else if (what === 'properties') entry.isChanged = true
  else entry.members.set(what.member, what.isRemoved)
}

function toItem(call: GraphCall, round: DeltaRound, { id, isRemoved, isChanged, members }: Told): DeltaItem[] {
  if (isRemoved) return [{ kind: 'removed', id }]
  if (!isChanged && !round.tellsMembers) return []
  const object = visibleObject(call, id)
  // Gone since: its removal is told further on.
  if (object === undefined) return []
  const changed = round.tellsMembers ? [...members].map(([member, isGone]) => ({ id: member, isRemoved: isGone })) : []
  return [{ kind: 'object', object, members: changed }]
}
