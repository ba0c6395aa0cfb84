// One collection of the directory, page by page, by its delta: each page's effects and the link to the next are one transaction, so that an attempt goes
// on where the one before was ended. A delta that Microsoft does not know any more begins anew. (microsoft-365.md §3)
import { MicrosoftError } from '../microsoft/microsoft-error.ts'
import {
  CONTACT_SELECT,
  GROUP_SELECT,
  isRemoved,
  readContact,
  readGroup,
  readMembers,
  readUser,
  USER_SELECT,
} from './directory-object.ts'
import type { DirectoryPart, GraphObject } from './directory-object.ts'
import type { DiscoveryRun } from './discovery-run.ts'
import { findCheckpoint, putCheckpoint } from './discovery-store.ts'
import type { Checkpoint } from './discovery-store.ts'
import { matchKey } from '../directory/account.ts'
import {
  changeMembers,
  dropParts,
  dropUnseen,
  dropUnseenMembers,
  endMembersOf,
  putParts,
  touchGroups,
} from './part-store.ts'
import type { GroupChange, PartRow } from './part-store.ts'
import type { Tx } from '../db/database.ts'

interface Collection {
  readonly name: 'users' | 'groups' | 'contacts'
  readonly type: DirectoryPart['type']
  readonly path: string
  readonly operation: string
  readonly select: string
  readonly read: (row: GraphObject) => DirectoryPart
}

export const COLLECTIONS: readonly Collection[] = [
  {
    name: 'users',
    type: 'user',
    path: '/users/delta',
    operation: 'GET /users/delta()',
    select: USER_SELECT,
    read: readUser,
  },
  {
    name: 'groups',
    type: 'group',
    path: '/groups/delta',
    operation: 'GET /groups/delta()',
    select: GROUP_SELECT,
    read: readGroup,
  },
  {
    name: 'contacts',
    type: 'contact',
    path: '/contacts/delta',
    operation: 'GET /contacts/delta()',
    select: CONTACT_SELECT,
    read: readContact,
  },
]

/** Hints, both: a smaller page is as good. */
const HEADERS = { Prefer: 'odata.maxpagesize=500', 'x-ms-throttle-priority': 'Low' }
/** A delta that is refused again and again is no delta. */
const MAX_RESETS = 3

/** @returns objects and memberships that came */
export async function readCollection(run: DiscoveryRun, collection: Collection): Promise<number> {
  const { context, at, discovery, graph } = run
  const before = await context.read((tx) => findCheckpoint(tx, at, at.tenant, collection.name))
  let from = startingPoint(before, run)
  if (from.state === 'done') return 0
  const step = `reading ${collection.name}`
  const seen = new Set<string>()
  for (let [resets, rows] = [0, 0]; ;) {
    context.checkCancelled()
    const where = from.link === undefined ? { path: collection.path } : { link: from.link }
    const query = from.link === undefined ? { query: { $select: collection.select } } : {}
    let page
    try {
      const options = { operation: collection.operation, headers: HEADERS, signal: context.signal, ...query }
      page = await graph.page<GraphObject>(where, options)
    } catch (error) {
      if (!(error instanceof MicrosoftError) || error.code !== 'DELTA_RESET' || ++resets > MAX_RESETS) throw error
      from = { discovery: discovery.id, state: 'pages', isFull: true, link: undefined }
      continue
    }
    const { items, next, delta } = page
    // Pages that lead back to one another would be read for ever. Some 100 octets a page.
    if (next !== undefined && seen.has(next))
      throw new MicrosoftError('LINK_REFUSED', { operation: collection.operation, serviceCode: 'pages-in-a-circle' })
    if (next !== undefined) seen.add(next)
    const isEnd = next === undefined
    const then: Checkpoint = {
      discovery: discovery.id,
      state: isEnd ? 'done' : 'pages',
      isFull: from.isFull,
      link: next ?? delta,
    }
    const { isFull } = from
    rows += await run.change(async (tx) => {
      const taken = await takePage(tx, run, collection, items, isFull)
      if (isEnd && isFull) await endWhole(tx, run, collection)
      await putCheckpoint(tx, at, at.tenant, collection.name, then)
      await context.advance(tx)
      return taken
    })
    await run.progress(step, items.length)
    if (isEnd) return rows
    from = then
  }
}

/** What this discovery has begun goes on; the delta of one that is done goes on from there; anything else begins anew. */
function startingPoint(before: Checkpoint | undefined, { discovery }: DiscoveryRun): Checkpoint {
  if (before?.discovery === discovery.id) return before
  const goesOn = discovery.mode === 'delta' && before?.state === 'done' && before.link !== undefined
  return { discovery: discovery.id, state: 'pages', isFull: !goesOn, link: goesOn ? before.link : undefined }
}

async function takePage(
  tx: Tx,
  { at }: DiscoveryRun,
  { type, read }: Collection,
  items: readonly GraphObject[],
  isFull: boolean,
): Promise<number> {
  const parts = new Map<string, PartRow>()
  const removed = new Set<string>()
  const members: GroupChange[] = []
  for (const row of items) {
    const objectId = idOf(row)
    if (isRemoved(row)) {
      removed.add(objectId)
      parts.delete(objectId)
      continue
    }
    removed.delete(objectId)
    // A page that goes on with the members of a large group names nothing but them.
    if ('displayName' in row) {
      const part = read(row)
      const upnKey = part.userPrincipalName === undefined ? undefined : matchKey(part.userPrincipalName)
      parts.set(objectId, { objectId, part, upnKey })
    }
    for (const change of readMembers(row)) members.push({ group: objectId, ...change })
  }
  await putParts(tx, at, 'directory', [...parts.values()], isFull)
  await dropParts(tx, at, 'directory', [...removed])
  if (type === 'group') {
    await endMembersOf(tx, at, [...removed])
    await touchGroups(tx, at, await changeMembers(tx, at, lastOf(members), isFull))
  }
  return items.length + members.length
}

/** Of several about one member of one group. */
function lastOf(changes: readonly GroupChange[]): GroupChange[] {
  return [...new Map(changes.map((change) => [`${change.group} ${change.member}`, change] as const)).values()]
}

async function endWhole(tx: Tx, { at }: DiscoveryRun, { type }: Collection): Promise<void> {
  await dropUnseen(tx, at, type)
  if (type === 'group') await touchGroups(tx, at, await dropUnseenMembers(tx, at))
}

/** @throws MicrosoftError for what no directory gives out: it would be a row of nobody */
function idOf(row: GraphObject): string {
  const id = typeof row.id === 'string' ? row.id.toLowerCase() : ''
  if (!/^[0-9a-f-]{1,64}$/.test(id)) throw new MicrosoftError('UNEXPECTED', { serviceCode: 'no-object-id' })
  return id
}
