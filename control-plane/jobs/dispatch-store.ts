// From the outbox to the queue, in SQL: which jobs there are, whose turn it is, and which got lost on the way. (JQ-1, TI-4)
import { sql } from 'kysely'
import { countOf, rowsOf, withScope } from '../db/database.ts'
import type { Db } from '../db/database.ts'
import { wake } from '../db/outbox.ts'
import type { OrganisationId } from '../ids.ts'
import type { Turn } from './job.ts'

const BATCH = 500

/** What the queue is told of a job. */
export interface PublishedJob extends Turn {
  readonly kind: string
}

/** Turns outbox rows into jobs, each once, however many do it at once. @returns how many */
export function takeOutbox(db: Db): Promise<number> {
  return withScope(db, { purpose: 'dispatch' }, (tx) =>
    countOf(
      tx,
      sql`
      with chosen as materialized (
        select organisation_id, id from outbox order by id limit ${BATCH} for update skip locked
      ), taken as (
        delete from outbox o using chosen c where o.organisation_id = c.organisation_id and o.id = c.id
        returning o.organisation_id, o.id, o.project_id, o.kind, o.object_id, o.created_at
      )
      insert into job (organisation_id, id, project_id, kind, object_id, created_at)
      select organisation_id, id, project_id, kind, object_id, created_at from taken`,
    ),
  )
}

/**
 * Jobs whose turn has come, marked as published: of each organisation the oldest, as many as its share has room for, and one of each in turn, so
 * that none waits behind all the work of another (TI-4).
 * @param share  jobs of one organisation that may be in the queue or running
 */
export function takeTurns(db: Db, share: number): Promise<PublishedJob[]> {
  return withScope(db, { purpose: 'dispatch' }, async (tx) => {
    await sql`select pg_advisory_xact_lock(hashtext('causeway job turns'))`.execute(tx)
    const rows = await rowsOf<PublishedJob & { place: number }>(
      tx,
      sql`
      with chosen as materialized (
        select turn.organisation_id, turn.id, turn.place
          from organisation o
         cross join lateral (
           select ${share}::bigint - count(*) as jobs from job
            where organisation_id = o.organisation_id and state <> 'failed' and published_at is not null) free
         cross join lateral (
           select organisation_id, id, row_number() over (order by run_after, id) as place from (
             select organisation_id, id, run_after from job
              where organisation_id = o.organisation_id and state = 'queued' and published_at is null and run_after <= now()
              order by run_after, id limit greatest(free.jobs, 0)) due) turn
         order by turn.place, turn.id limit ${BATCH})
      update job j set published_at = now() from chosen c
       where j.organisation_id = c.organisation_id and j.id = c.id
      returning j.organisation_id as organisation, j.id, j.fence as turn, j.kind, c.place`,
    )
    return rows.toSorted((a, b) => a.place - b.place || a.id - b.id)
  })
}

/** They did not get into the queue, or nobody there has begun them. */
export async function returnTurns(db: Db, turns: readonly Pick<Turn, 'id' | 'turn'>[]): Promise<void> {
  await withScope(db, { purpose: 'dispatch' }, (tx) =>
    sql`update job j set published_at = null
          from unnest(${turns.map(({ id }) => id)}::bigint[], ${turns.map(({ turn }) => turn)}::bigint[]) as t (id, turn)
         where j.id = t.id and j.fence = t.turn and j.state = 'queued'`.execute(tx),
  )
}

/**
 * Gives everything another turn that should be under way and shows no sign of it: a worker that died, a queue that forgot. A worker's death is
 * known by its lease, whatever the queue says.
 * @param silentMs  after which a published job that no worker has begun is published again, under its name: where the queue has not forgotten it,
 *   it keeps its place there
 */
export async function requeueLost(db: Db, silentMs: number): Promise<{ expired: number; forgotten: number }> {
  return withScope(db, { purpose: 'dispatch' }, async (tx) => {
    const expired = await countOf(
      tx,
      // A row that somebody holds is being worked at.
      sql`update job set state = 'queued', lease_until = null, published_at = null
           where (organisation_id, id) in (
             select organisation_id, id from job where state = 'running' and lease_until < now() for no key update skip locked)`,
    )
    const forgotten = await countOf(
      tx,
      sql`update job set published_at = null
           where (organisation_id, id) in (
             select organisation_id, id from job
              where state = 'queued' and published_at < now() - ${silentMs} * interval '1 millisecond' for no key update skip locked)`,
    )
    if (expired + forgotten > 0) await wake(tx, 'outbox', { organisation: '' as OrganisationId })
    return { expired, forgotten }
  })
}

export interface JobCounts {
  readonly waiting: number
  readonly running: number
  readonly failed: number
  /** s; of the oldest that should have begun */
  readonly oldestWaiting: number
}

/** For the metrics (OP-1). */
export async function countJobs(db: Db): Promise<JobCounts> {
  return withScope(db, { purpose: 'reconcile' }, async (tx) => {
    const [row] = await rowsOf<{ waiting: number; running: number; failed: number; oldest: number }>(
      tx,
      sql`select count(*) filter (where state = 'queued') as waiting,
                 count(*) filter (where state = 'running') as running,
                 count(*) filter (where state = 'failed') as failed,
                 coalesce(extract(epoch from now() - min(run_after) filter (where state = 'queued' and run_after <= now())), 0)::float8 as oldest
            from job`,
    )
    if (row === undefined) throw new Error('unreachable: an aggregate gives a row')
    const { waiting, running, failed, oldest } = row
    return { waiting, running, failed, oldestWaiting: oldest }
  })
}

/** s; how long the oldest row of the outbox waits to become a job; 0 when there is none. */
export async function oldestInOutbox(db: Db): Promise<number> {
  return withScope(db, { purpose: 'dispatch' }, async (tx) => {
    const [row] = await rowsOf<{ oldest: number }>(
      tx,
      sql`select coalesce(extract(epoch from now() - min(created_at)), 0)::float8 as oldest from outbox`,
    )
    return row?.oldest ?? 0
  })
}

/** Whether this work is asked for or under way already: what comes by the clock is not piled up. The transaction's scope must be the organisation. */
export function isPending(organisation: OrganisationId, kind: string, object: string) {
  return sql<boolean>`(
    exists (select from outbox where organisation_id = ${organisation} and kind = ${kind} and object_id = ${object})
    or exists (select from job where organisation_id = ${organisation} and kind = ${kind} and object_id = ${object} and state <> 'failed'))`
}
