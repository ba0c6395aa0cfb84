// /users/delta, /groups/delta, /contacts/delta: everything once, then what changes, round after round ("Use delta query to track changes").
import { createHash } from 'node:crypto'
import { deltaPage } from './delta-pages.ts'
import type { DeltaItem, DeltaRound, MemberChange } from './delta-pages.ts'
import { pastOf, readDeltaToken } from './delta-token.ts'
import type { DeltaCursor, DeltaScope, DeltaToken, PageCursor } from './delta-token.ts'
import type { DirectoryKind } from './directory-index.ts'
import { json } from './graph-call.ts'
import type { GraphAnswer, GraphCall, GraphHandler } from './graph-call.ts'
import { GraphFault, badRequest } from './graph-error.ts'
import type { DeltaDisorder } from './graph-state.ts'
import { makeLink } from './link.ts'
import { contextOf, linkPlace } from './listing.ts'
import { readSelect } from './list-options.ts'
import { parseFilter } from './query-filter.ts'
import type { Filter } from './query-filter.ts'
import { sightOf } from './sight.ts'

export const deltaHandlers: Readonly<Record<string, GraphHandler>> = {
  'GET /users/delta()': (call) => answerDelta(call, 'user', 'users'),
  'GET /groups/delta()': (call) => answerDelta(call, 'group', 'groups'),
  'GET /contacts/delta()': (call) => answerDelta(call, 'orgContact', 'contacts'),
}

const DEFAULT_PAGE = 200
const MAX_PAGE = 999
/** "There is a limit of 50 filtered objects." */
const MAX_IDS = 50
const REFUSED_OPTIONS = ['$search', '$orderby', '$top', '$skip', '$expand', '$count']

function answerDelta(call: GraphCall, kind: DirectoryKind, context: string): GraphAnswer {
  const token = readDeltaToken(call, kind)
  const scope = token ?? readScope(call, kind)
  const start = token?.cursor ?? startOf(call)
  const round: DeltaRound = {
    kind,
    select: scope.select,
    ids: scope.ids,
    tellsMembers: kind === 'group' && scope.select?.includes('members') !== false,
    size: pageSize(call.headers['prefer']),
  }
  const cursor = start.kind === 'done' ? laterRound(call, start.since) : start
  const { items, next } = cursor === undefined ? { items: [], next: start } : deltaPage(call, round, cursor)
  const disorder = call.state.deltaDisorder
  const before = disorder.replays && token?.previous !== undefined ? deltaPage(call, round, token.previous).items : []
  const isSparse = cursor?.kind === 'full'
  const value = disordered([...before, ...items], disorder).map((item) => shown(call, round, item, isSparse))
  return json({
    '@odata.context': contextOf(call, context, round.select),
    ...linkTo(call, scope, next, cursor),
    value,
  })
}

/** Where `$deltatoken=latest` begins, and where everything does. */
function startOf(call: GraphCall): DeltaCursor {
  const since = call.index.horizon(call.nowMs)
  return call.query.get('$deltatoken') === 'latest'
    ? { kind: 'done', since }
    : { kind: 'full', since, at: 0, member: 0, membersChangedAt: 0 }
}

/** undefined: nothing is asked for but the link. */
function laterRound(call: GraphCall, since: number): PageCursor | undefined {
  if (call.link === undefined) return undefined
  return { kind: 'changes', after: since, until: call.index.horizon(call.nowMs) }
}

function linkTo(call: GraphCall, { select, ids }: DeltaScope, next: DeltaCursor, from: PageCursor | undefined) {
  const token: DeltaToken = {
    epoch: call.index.epoch,
    past: pastOf(call.tenant, next),
    issuedMs: call.nowMs,
    cursor: next,
    select,
    ids,
    ...(from === undefined ? {} : { previous: from }),
  }
  // The options are in the token: the link has nothing else.
  const place = { ...linkPlace(call), path: call.path.replace(/\(\)$/, ''), query: new URLSearchParams() }
  if (next.kind !== 'done') return { '@odata.nextLink': makeLink(place, '$skiptoken', token) }
  const { previous: _told, ...rest } = token
  return { '@odata.deltaLink': makeLink(place, '$deltatoken', rest) }
}

/** @throws GraphFault 400 */
function readScope(call: GraphCall, kind: DirectoryKind): DeltaScope {
  const { query } = call
  for (const name of REFUSED_OPTIONS) {
    if (query.has(name)) throw badRequest(`The query option '${name}' is not supported on a delta query.`)
  }
  const filter = query.get('$filter')
  const select = readSelect(call, [kind])
  if (kind === 'user' && select?.includes('manager') === true) {
    throw new GraphFault(501, 'NotImplemented', 'This simulated service does not track managers.')
  }
  return { select, ids: filter === null ? undefined : filteredIds(parseFilter(filter)) }
}

/** "The only supported $filter expression is for tracking changes on a specific object" */
function filteredIds(filter: Filter): string[] {
  const ids = idsOf(filter)
  if (ids === undefined) throw badRequest("A delta query is filtered by 'id eq' alone.")
  if (ids.length > MAX_IDS) throw badRequest(`A delta query is filtered by ${MAX_IDS} objects at most.`)
  return ids
}

function idsOf(filter: Filter): string[] | undefined {
  if (filter.kind === 'or') {
    const [left, right] = [idsOf(filter.left), idsOf(filter.right)]
    return left === undefined || right === undefined ? undefined : [...left, ...right]
  }
  if (filter.kind !== 'compare' || filter.operator !== 'eq' || filter.path.join('/') !== 'id') return undefined
  const { value } = filter
  return value.kind === 'string' || value.kind === 'guid' ? [value.value.toLowerCase()] : undefined
}

function pageSize(prefer: string | undefined): number {
  const [, size] = /odata\.maxpagesize=(\d{1,6})/i.exec(prefer ?? '') ?? []
  return size === undefined ? DEFAULT_PAGE : Math.min(MAX_PAGE, Math.max(1, Number(size)))
}

function shown(call: GraphCall, { select }: DeltaRound, item: DeltaItem, isSparse: boolean): Record<string, unknown> {
  if (item.kind === 'removed') return { id: item.id, '@removed': { reason: removalReason(call, item.id) } }
  const { object, members } = item
  const sight = sightOf(object.kind, call.caller.roles)
  const entity = call.state.projections.show(object, { select, isTyped: false, isSparse, alwaysId: true }, sight)
  if (members.length > 0) entity['members@delta'] = members.map((member) => shownMember(call, member))
  return entity
}

function shownMember({ tenant }: GraphCall, { id, isRemoved }: MemberChange): Record<string, unknown> {
  const kind = tenant.object(id)?.kind ?? 'user'
  return { '@odata.type': `#microsoft.graph.${kind}`, id, ...(isRemoved ? { '@removed': { reason: 'deleted' } } : {}) }
}

/** `changed`: it can be restored; only people and Microsoft 365 groups can. */
function removalReason({ index, operation }: GraphCall, id: string): 'changed' | 'deleted' {
  return operation.name === 'GET /users/delta()' || index.isUnifiedGroup(id) ? 'changed' : 'deleted'
}

function disordered(items: readonly DeltaItem[], { shuffled, duplicates }: DeltaDisorder): readonly DeltaItem[] {
  // Sorted by a hash: any order of objects, but always that of what is told of one.
  const ordered = shuffled
    ? items.toSorted((one, other) => (hashOf(one) < hashOf(other) ? -1 : hashOf(one) === hashOf(other) ? 0 : 1))
    : items
  return duplicates ? [...ordered, ...ordered] : ordered
}

function hashOf(item: DeltaItem): string {
  return createHash('md5')
    .update(item.kind === 'removed' ? item.id : item.object.id)
    .digest('hex')
}
