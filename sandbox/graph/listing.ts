// Answers with a page of a collection: filtered, sorted, counted, its entities shown as asked. The link to the next page holds the position where it
// goes on, so that no page goes through what others went through.
import type { Collection, Entity } from './entity.ts'
import { isMatch } from './filter-match.ts'
import { expandInto } from './expand.ts'
import { json } from './graph-call.ts'
import type { GraphAnswer, GraphCall } from './graph-call.ts'
import { expiredPageToken } from './graph-error.ts'
import { GRAPH_ORIGIN, makeLink } from './link.ts'
import { readListOptions } from './list-options.ts'
import type { ListOptions, ListRules, OrderKey } from './list-options.ts'
import { isFound } from './query-search.ts'
import type { Shown } from './projection.ts'
import { sightOf } from './sight.ts'

export interface Listed extends ListRules {
  /** In `@odata.context`: `users`, `directoryObjects`. */
  readonly context: string
  readonly entities: Collection
}

/** What the link to a page is made with. */
interface PageToken {
  readonly kind: 'page'
  /** Of the position. */
  readonly epoch: string
  readonly at: number
  /** The entity before it, to find the place by when positions are others. */
  readonly last: string | undefined
  /** Name of the order that is kept, when the list is sorted. */
  readonly snapshot?: string
}

/** @throws GraphFault 400 */
export function answerList(call: GraphCall, listed: Listed): GraphAnswer {
  const options = readListOptions(call, listed)
  const token = pageToken(call, listed.entities)
  const isWanted = wanted(options)
  const order = orderOf(call, listed.entities, options, token)
  const { page, next } = pageOf(listed.entities, order?.positions, isWanted, token?.at ?? 0, options.top)
  const isTyped = listed.types[0] === 'directoryObject'
  const value = page.map((entity) => shownEntity(call, entity, options, isTyped))
  return json({
    '@odata.context': contextOf(call, listed.context, options.select),
    ...(options.isCounted && token === undefined ? { '@odata.count': countOf(listed.entities, isWanted) } : {}),
    ...(next === undefined ? {} : { '@odata.nextLink': nextLink(call, next, page.at(-1)?.id, order?.name) }),
    value,
  })
}

function nextLink(call: GraphCall, at: number, last: string | undefined, snapshot: string | undefined): string {
  const token: PageToken = {
    kind: 'page',
    epoch: call.index.epoch,
    at,
    last,
    ...(snapshot === undefined ? {} : { snapshot }),
  }
  return makeLink(linkPlace(call), '$skiptoken', token)
}

/** `/$count`: as text. @throws GraphFault 400 */
export function answerCount(call: GraphCall, listed: Listed): GraphAnswer {
  const query = new URLSearchParams([...call.query, ['$count', 'true']])
  const options = readListOptions({ ...call, query }, listed)
  const text = String(countOf(listed.entities, wanted(options)))
  return { status: 200, content: { kind: 'text', type: 'text/plain', text } }
}

/** One entity by itself. @param options  as its query has them */
export function shownEntity(
  call: GraphCall,
  entity: Entity,
  { select, expand }: Pick<ListOptions, 'select' | 'expand'>,
  isTyped: boolean,
): Record<string, unknown> {
  const shown: Shown = { select, isTyped }
  const result = call.state.projections.show(entity, shown, sightOf(entity.kind, call.caller.roles))
  if (expand !== undefined) expandInto(call, entity, expand, result)
  return result
}

export function contextOf(
  { operation }: GraphCall,
  name: string,
  select: readonly string[] | undefined,
  suffix = '',
): string {
  const selected = select === undefined ? '' : `(${select.join()})`
  return `${GRAPH_ORIGIN}/${operation.version}/$metadata#${name}${selected}${suffix}`
}

export function linkPlace({ operation, path, query, caller }: GraphCall) {
  return { version: operation.version, path, query, tenantId: caller.tenantId }
}

/** @throws GraphFault 400 when its place is not to be found any more */
function pageToken({ link, index }: GraphCall, entities: Collection): PageToken | undefined {
  if (link === undefined) return undefined
  const token = link as PageToken
  if (token.kind !== 'page') throw expiredPageToken()
  if (token.epoch === index.epoch) return token
  const { last, snapshot } = token
  if (last === undefined || snapshot !== undefined) throw expiredPageToken()
  for (let position = 0; position < entities.length; position++) {
    if (entities.at(position)?.id === last) return { ...token, at: position + 1 }
  }
  throw expiredPageToken()
}

function wanted({ filter, search }: ListOptions): (entity: Entity) => boolean {
  if (filter === undefined && search === undefined) return () => true
  return ({ id, properties }) =>
    (filter === undefined || isMatch(filter, { ...properties, id })) &&
    (search === undefined || isFound(search, properties))
}

/** Positions in the order asked for; undefined: as they are. */
function orderOf(
  call: GraphCall,
  entities: Collection,
  options: ListOptions,
  token: PageToken | undefined,
): { name: string; positions: readonly number[] } | undefined {
  if (options.order.length === 0) return undefined
  if (token?.snapshot !== undefined) {
    const positions = call.state.snapshot(token.snapshot)
    if (positions === undefined) throw expiredPageToken()
    return { name: token.snapshot, positions }
  }
  const isWanted = wanted(options)
  const found: { position: number; entity: Entity }[] = []
  for (let position = 0; position < entities.length; position++) {
    const entity = entities.at(position)
    if (entity !== undefined && isWanted(entity)) found.push({ position, entity })
  }
  found.sort((one, other) => compare(one.entity, other.entity, options.order) || one.position - other.position)
  const positions = found.map(({ position }) => position)
  return { name: call.state.keepSnapshot(positions), positions }
}

function compare(one: Entity, other: Entity, order: readonly OrderKey[]): number {
  for (const { member, isDescending } of order) {
    const [a, b] = [sortText(one, member), sortText(other, member)]
    if (a !== b) return a < b === isDescending ? 1 : -1
  }
  return 0
}

function sortText({ id, properties }: Entity, member: string): string {
  const value = member === 'id' ? id : properties[member]
  return typeof value === 'string' ? value.toLowerCase() : ''
}

/** From `at` on; `next`: where the first one stands that isn't on the page any more. */
function pageOf(
  entities: Collection,
  order: readonly number[] | undefined,
  isWanted: (entity: Entity) => boolean,
  at: number,
  top: number,
): { page: Entity[]; next: number | undefined } {
  const page: Entity[] = []
  const length = order?.length ?? entities.length
  for (let index = at; index < length; index++) {
    const entity = entities.at(order === undefined ? index : (order[index] ?? -1))
    if (entity === undefined || !isWanted(entity)) continue
    if (page.length === top) return { page, next: index }
    page.push(entity)
  }
  return { page, next: undefined }
}

function countOf(entities: Collection, isWanted: (entity: Entity) => boolean): number {
  let count = 0
  for (let position = 0; position < entities.length; position++) {
    const entity = entities.at(position)
    if (entity !== undefined && isWanted(entity)) count++
  }
  return count
}
