// Live events in their order. The order is that of commits: whoever reads first gives new events the next positions, under a lock of the
// organisation, so that nothing ever appears before what somebody has seen.
import { sql } from 'kysely'
import { rowOf, rowsOf, withScope } from '../db/database.ts'
import type { Db, Tx } from '../db/database.ts'
import type { OrganisationId, ProjectId } from '../ids.ts'
import type { Permission } from '../access/permissions.ts'

export interface StoredEvent {
  readonly position: number
  readonly project: ProjectId | undefined
  readonly type: string
  readonly body: Readonly<Record<string, unknown>>
  readonly createdAt: Date
  /** Of an operation's event. */
  readonly permission: Permission | undefined
}

/** Oldest first. @param project  undefined: of the whole organisation */
export async function loadEvents(
  db: Db,
  place: { readonly organisation: OrganisationId; readonly project: ProjectId | undefined },
  after: number,
  limit: number,
): Promise<StoredEvent[]> {
  const { organisation, project } = place
  await placeEvents(db, organisation)
  return withScope(db, { organisation }, async (tx) => {
    const rows = await rowsOf<{
      position: number
      project_id: ProjectId | ''
      type: string
      body: Record<string, unknown>
      created_at: Date
      permission: Permission | null
    }>(
      tx,
      sql`
      select e.position, e.project_id, e.type, e.body, e.created_at, o.permission
        from event e
        left join operation o on o.organisation_id = e.organisation_id and o.id = e.body->>'operation'
       where e.organisation_id = ${organisation} and e.position > ${after}
         and ${project === undefined ? sql`true` : sql`e.project_id = ${project}`}
       order by e.position limit ${limit}`,
    )
    return rows.map((row) => ({
      position: row.position,
      project: row.project_id === '' ? undefined : row.project_id,
      type: row.type,
      body: row.body,
      createdAt: row.created_at,
      permission: row.permission ?? undefined,
    }))
  })
}

export interface StreamEnds {
  /** Of the newest event; what comes is above it. */
  readonly newest: number
  /** Events up to it are deleted. */
  readonly horizon: number
}

export async function findStreamEnds(db: Db, organisation: OrganisationId): Promise<StreamEnds> {
  await placeEvents(db, organisation)
  return withScope(db, { organisation }, async (tx) => {
    const row = await rowOf<{ newest: number | null; horizon: number | null }>(
      tx,
      sql`select (select max(position) from event where organisation_id = ${organisation}) as newest,
                 (select position from event_horizon where organisation_id = ${organisation}) as horizon`,
    )
    const horizon = row?.horizon ?? 0
    return { newest: Math.max(row?.newest ?? 0, horizon), horizon }
  })
}

async function placeEvents(db: Db, organisation: OrganisationId): Promise<void> {
  await withScope(db, { organisation }, async (tx) => {
    const row = await rowOf(
      tx,
      sql`select 1 from event where organisation_id = ${organisation} and position is null limit 1`,
    )
    if (row === undefined) return
    // Held until this is committed: whoever comes next sees these positions and gives higher ones.
    await sql`select pg_advisory_xact_lock(hashtextextended('causeway events ' || ${organisation}, 0))`.execute(tx)
    await sql`
      update event e set position = placed.position
        from (select id, nextval('event_position') as position from (
                select id from event where organisation_id = ${organisation} and position is null order by id) unplaced) placed
       where e.organisation_id = ${organisation} and e.id = placed.id`.execute(tx)
  })
}

/** Deletes events from before a time, and notes how far. The scope must be the organisation. @returns how many, at most so many */
export async function sweepEvents(tx: Tx, organisation: OrganisationId, before: Date, limit: number): Promise<number> {
  const row = await rowOf<{ swept: number }>(
    tx,
    sql`
    with swept as (
      delete from event where ctid = any(array(
        select ctid from event where organisation_id = ${organisation} and created_at < ${before} order by id limit ${limit}))
      returning position
    ), noted as (
      insert into event_horizon (organisation_id, position)
      select ${organisation}, max(coalesce(position, nextval('event_position'))) from swept having count(*) > 0
      on conflict (organisation_id) do update set position = greatest(event_horizon.position, excluded.position)
    )
    select count(*) as swept from swept`,
  )
  return row?.swept ?? 0
}
