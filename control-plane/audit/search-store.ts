// Searching an audit chain. What is shown is read from the header that was hashed; columns only find it. (AU-1)
import { sql } from 'kysely'
import { rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { OrganisationId } from '../ids.ts'
import type { AuditHeader, AuditResult } from './audit.ts'

export interface AuditFilter {
  /** Inclusive. */
  readonly since?: Date | undefined
  /** Exclusive. */
  readonly until?: Date | undefined
  /** One action, or all of an area: `mapping.`. */
  readonly action?: string | undefined
  readonly actor?: string | undefined
  readonly project?: string | undefined
  readonly object?: string | undefined
  readonly result?: AuditResult | undefined
}

export interface AuditOrder {
  readonly isNewestFirst: boolean
  /** Sequence of the last event of the page before. */
  readonly after: number | undefined
  readonly limit: number
}

export interface FoundEvent {
  readonly header: AuditHeader
  /** As it was hashed; undefined once cleared. */
  readonly payload: Readonly<Record<string, unknown>> | undefined
  /** Hex. */
  readonly hash: string
}

/** In the order in which they were written, or against it. */
export async function searchAudit(
  tx: Tx,
  organisation: OrganisationId,
  { since, until, action, actor, project, object, result }: AuditFilter,
  { isNewestFirst, after, limit }: AuditOrder,
): Promise<FoundEvent[]> {
  const conditions = [
    sql`organisation_id = ${organisation}`,
    ...(since === undefined ? [] : [sql`time >= ${since}`]),
    ...(until === undefined ? [] : [sql`time < ${until}`]),
    ...(action === undefined ? [] : [actionIs(action)]),
    ...(actor === undefined ? [] : [sql`actor = ${actor}`]),
    ...(project === undefined ? [] : [sql`project_id = ${project}`]),
    ...(object === undefined ? [] : [sql`object = ${object} and object <> ''`]),
    ...(result === undefined ? [] : [sql`result = ${result} ${result === 'done' ? sql`` : sql`and result <> 'done'`}`]),
    ...(after === undefined ? [] : [isNewestFirst ? sql`sequence < ${after}` : sql`sequence > ${after}`]),
  ]
  const rows = await rowsOf<EventRow>(
    tx,
    sql`select header, payload, hash from audit_event where ${sql.join(conditions, sql` and `)}
         order by sequence ${isNewestFirst ? sql`desc` : sql`asc`} limit ${limit}`,
  )
  return rows.map(toEvent)
}

export async function findAuditEvent(
  tx: Tx,
  organisation: OrganisationId,
  id: string,
): Promise<FoundEvent | undefined> {
  const row = await rowOf<EventRow>(
    tx,
    sql`select header, payload, hash from audit_event where organisation_id = ${organisation} and id = ${id}`,
  )
  return row && toEvent(row)
}

/** A range of the index, whatever the collation: `~` follows all that an action is written with. */
const actionIs = (action: string) =>
  action.endsWith('.')
    ? sql`action collate "C" >= ${action} and action collate "C" < ${`${action}~`}`
    : sql`action = ${action}`

interface EventRow {
  header: string
  payload: string | null
  hash: Buffer
}

function toEvent({ header, payload, hash }: EventRow): FoundEvent {
  return {
    header: JSON.parse(header) as AuditHeader,
    payload: payload === null ? undefined : (JSON.parse(payload) as Record<string, unknown>),
    hash: hash.toString('hex'),
  }
}
