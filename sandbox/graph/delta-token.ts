// State tokens of delta queries: all that a round needs to go on, `$select` of its first request included ("Use delta query to track changes"). They
// outlive a restart of a sandbox whose tenant is kept, and are not taken by a tenant with another past.
import { createHash } from 'node:crypto'
import type { SimulatedTenant } from '../tenants/tenant.ts'
import { GraphFault } from './graph-error.ts'
import type { GraphCall } from './graph-call.ts'
import { GRAPH_ORIGIN } from './link.ts'
import type { DirectoryKind } from './directory-index.ts'

/** What the first request asked for, and every later one of it. */
export interface DeltaScope {
  readonly select: readonly string[] | undefined
  /** The only objects it is about; undefined: all. */
  readonly ids: readonly string[] | undefined
}

/** Where the first round is: in the objects there are. */
export interface FullCursor {
  readonly kind: 'full'
  /** Changes after this one belong to the next round. */
  readonly since: number
  /** Position of the next object. */
  readonly at: number
  /** How many of its members were told already, when its members were as of that change. */
  readonly member: number
  readonly membersChangedAt: number
}

/** Where a later round is: in the log of changes. */
export interface ChangesCursor {
  readonly kind: 'changes'
  /** Told up to this change. */
  readonly after: number
  /** The round ends with this one. */
  readonly until: number
}

/** All is told: what comes next is in a `@odata.deltaLink`. */
export interface DoneCursor {
  readonly kind: 'done'
  readonly since: number
}

export type PageCursor = FullCursor | ChangesCursor
export type DeltaCursor = PageCursor | DoneCursor

export interface DeltaToken extends DeltaScope {
  /** Of the positions in the cursor. */
  readonly epoch: string
  /** Of the change that the cursor counts from. */
  readonly past: string
  readonly issuedMs: number
  readonly cursor: DeltaCursor
  /** Where the page before began. */
  readonly previous?: PageCursor
}

const LIFE_MS = 7 * 86_400_000

/** @throws GraphFault 410 when its state is gone */
export function readDeltaToken(call: GraphCall, kind: DirectoryKind): DeltaToken | undefined {
  if (call.link === undefined) return undefined
  const token = call.link as DeltaToken
  const { cursor, epoch, issuedMs, past } = token
  const { tenant, index, nowMs } = call
  const isGone =
    nowMs - issuedMs > LIFE_MS || oldestChange(cursor) < tenant.oldestDelta || past !== pastOf(tenant, cursor)
  if (isGone) throw stateGone(call, kind, token)
  if (epoch === index.epoch) return token
  // Its positions are of an index that is gone: what was told is told again.
  const { previous: _, ...rest } = token
  return cursor.kind === 'full' ? { ...rest, cursor: { ...cursor, at: 0, member: 0, membersChangedAt: 0 } } : rest
}

/** Change numbers say nothing to a tenant in which other changes have them. */
export function pastOf(tenant: SimulatedTenant, cursor: DeltaCursor): string {
  const number = oldestChange(cursor)
  if (number === 0) return ''
  if (number > tenant.lastChange) return 'none'
  const [change] = tenant.changesSince(number - 1)
  return createHash('sha256').update(JSON.stringify(change)).digest('base64url').slice(0, 12)
}

function oldestChange(cursor: DeltaCursor): number {
  return cursor.kind === 'changes' ? cursor.after : cursor.since
}

function stateGone({ operation }: GraphCall, kind: DirectoryKind, { select }: DeltaScope): GraphFault {
  const collection = { user: 'users', group: 'groups', orgContact: 'contacts' }[kind]
  const selected = select === undefined ? '' : `?$select=${select.join()}`
  const location = `${GRAPH_ORIGIN}/${operation.version}/${collection}/delta${selected}`
  return new GraphFault(
    410,
    'syncStateNotFound',
    'The sync state generation is not found; a full synchronization is needed.',
    { location },
  )
}
