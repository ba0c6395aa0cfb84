// The options of a list, read from its query once: what is asked for, how much of it, in which order. Refused where Graph refuses them.
import type { EntityTypes } from './entity-types.ts'
import { badRequest, GraphFault, unsupportedQuery } from './graph-error.ts'
import type { GraphCall } from './graph-call.ts'
import { checkFilter } from './filter-check.ts'
import { isAdvanced, parseFilter } from './query-filter.ts'
import type { Filter } from './query-filter.ts'
import { parseSearch, searchedMembers } from './query-search.ts'
import type { Search } from './query-search.ts'
import { parseExpand } from './query-expand.ts'
import type { Expand } from './query-expand.ts'

export interface ListOptions {
  readonly select: readonly string[] | undefined
  readonly filter: Filter | undefined
  readonly search: Search | undefined
  readonly order: readonly OrderKey[]
  readonly expand: Expand | undefined
  /** Of a page. */
  readonly top: number
  readonly isCounted: boolean
}

export interface OrderKey {
  readonly member: string
  readonly isDescending: boolean
}

export interface ListRules {
  /** Published types of what may be in it, the declared one first. */
  readonly types: readonly string[]
  /** Directory objects: they have advanced queries, no `$skip`, and an order by few members only. */
  readonly isDirectory: boolean
}

export const DEFAULT_PAGE = 100
const MAX_PAGE = 999
const MAX_SELECT = 200
const ORDER_MEMBERS: ReadonlySet<string> = new Set([
  'createdDateTime',
  'displayName',
  'id',
  'mail',
  'mailNickname',
  'givenName',
  'surname',
  'userPrincipalName',
])

/** @throws GraphFault 400 */
export function readListOptions(call: GraphCall, rules: ListRules): ListOptions {
  const { query, headers, state } = call
  const { types, isDirectory } = rules
  if (query.has('$skip')) throw badRequest("'$skip' is not supported by the service.")
  const isEventual = isDirectory && headers['consistencylevel']?.toLowerCase() === 'eventual'
  const isCounted = readCount(query.get('$count'))
  if (isCounted && isDirectory && !isEventual) {
    throw badRequest("'$count' takes the header ConsistencyLevel: eventual.")
  }
  const isAdvancedQuery = isEventual && isCounted
  const filter = readFilter(query.get('$filter'), rules, state.projections.types, isAdvancedQuery)
  return {
    select: readSelect(call, types),
    filter,
    search: readSearch(query.get('$search'), rules, state.projections.types, isEventual),
    order: readOrder(query.get('$orderby'), rules, filter, isAdvancedQuery),
    expand: readExpand(call, rules),
    top: readTop(query.get('$top')),
    isCounted,
  }
}

/** @throws GraphFault 400 */
export function readSelect({ query, state }: GraphCall, types: readonly string[]): readonly string[] | undefined {
  const text = query.get('$select')
  if (text === null || text.trim() === '') return undefined
  const select = text.split(',').map((name) => name.trim())
  if (select.length > MAX_SELECT) throw badRequest("'$select' has too many members.")
  if (select.includes('*')) return undefined
  state.projections.check(types, select)
  return select
}

/** @throws GraphFault 400 */
export function readExpand({ query, state }: GraphCall, { types }: ListRules): Expand | undefined {
  const text = query.get('$expand')
  return text === null ? undefined : parseExpand(text, types, state.projections)
}

function readTop(text: string | null): number {
  if (text === null) return DEFAULT_PAGE
  const top = /^\d{1,9}$/.test(text) ? Number(text) : 0
  if (top >= 1 && top <= MAX_PAGE) return top
  throw badRequest(`Invalid page size specified. Must be between 1 and ${MAX_PAGE} inclusive.`)
}

function readCount(text: string | null): boolean {
  if (text === null) return false
  if (text !== 'true' && text !== 'false') throw badRequest("'$count' is true or false.")
  return text === 'true'
}

function readFilter(
  text: string | null,
  { types, isDirectory }: ListRules,
  known: EntityTypes,
  isAdvancedQuery: boolean,
): Filter | undefined {
  if (text === null) return undefined
  const filter = parseFilter(text)
  checkFilter(filter, types, known)
  if (isDirectory && isAdvanced(filter) && !isAdvancedQuery) throw unsupportedQuery('Unsupported Query.')
  return filter
}

function readSearch(
  text: string | null,
  { types, isDirectory }: ListRules,
  known: EntityTypes,
  isEventual: boolean,
): Search | undefined {
  if (text === null) return undefined
  if (!isDirectory) throw badRequest("'$search' is not supported on this resource.")
  if (!isEventual)
    throw badRequest(
      "Request with $search query parameter only works through MSGraph with a special request header: 'ConsistencyLevel: eventual'",
    )
  const search = parseSearch(text)
  for (const member of searchedMembers(search)) {
    if (!types.some((type) => known.hasMember(type, member))) throw badRequest('Unsupported search member.')
  }
  return search
}

function readOrder(
  text: string | null,
  { isDirectory }: ListRules,
  filter: Filter | undefined,
  isAdvancedQuery: boolean,
): readonly OrderKey[] {
  if (text === null) return []
  if (!isDirectory) throw badRequest("'$orderby' is not supported on this resource.")
  if (filter !== undefined && !isAdvancedQuery) {
    throw unsupportedQuery('Sorting not supported for current query.')
  }
  return text.split(',').map((part) => {
    const [, member = '', direction = 'asc'] = /^\s*(\w+)(?:\s+(asc|desc))?\s*$/.exec(part) ?? []
    if (!ORDER_MEMBERS.has(member))
      throw new GraphFault(400, 'Request_UnsupportedQuery', 'Sorting by that is not supported.')
    return { member, isDescending: direction === 'desc' }
  })
}
