// One job at one attempt, in SQL: begun, kept, done, put off or given up. Every statement names the attempt's fence, so that an attempt which was
// replaced writes nothing (JQ-2).
import { sql } from 'kysely'
import { countOf, rowOf, withScope } from '../db/database.ts'
import type { Db, Tx } from '../db/database.ts'
import type { OrganisationId, ProjectId } from '../ids.ts'
import { StaleAttempt } from './job.ts'
import type { Job } from './job.ts'
import type { JobName } from './job-names.ts'

export type Claim =
  | { readonly kind: 'claimed'; readonly job: Job }
  /** Done already, or never ours. */
  | { readonly kind: 'gone' }
  /** Another worker has or had this turn, or the job's time has not come. */
  | { readonly kind: 'busy' }
  /** The queue says another organisation or kind than the row (TI-3). */
  | { readonly kind: 'forged' }

interface JobRow {
  organisation_id: OrganisationId
  project_id: ProjectId | ''
  kind: JobName
  object_id: string
  attempts: number
  fence: number
}

/**
 * Begins an attempt.
 * @param said  what the queue says; believed only where the row says the same. A turn that was used is none any more: names may come twice.
 */
export function claimJob(
  db: Db,
  said: { readonly organisation: string; readonly id: number; readonly turn: number; readonly kind: string },
  leaseMs: number,
): Promise<Claim> {
  return withScope(db, { purpose: 'dispatch' }, async (tx): Promise<Claim> => {
    const row = await rowOf<JobRow>(
      tx,
      sql`
      with free as (
        select organisation_id, id from job
         where organisation_id = ${said.organisation} and id = ${said.id} and kind = ${said.kind} and fence = ${said.turn}
           and state = 'queued' and run_after <= now()
           for no key update skip locked) -- whoever holds the row is at work
      update job j
         set state = 'running', attempts = attempts + 1, fence = fence + 1, lease_until = ${leaseEnd(leaseMs)},
             published_at = coalesce(published_at, now())
        from free where j.organisation_id = free.organisation_id and j.id = free.id
      returning j.organisation_id, project_id, kind, object_id, attempts, fence`,
    )
    if (row !== undefined) return { kind: 'claimed', job: toJob(said.id, row) }
    const found = await rowOf<Pick<JobRow, 'organisation_id' | 'kind'>>(
      tx,
      sql`select organisation_id, kind from job where id = ${said.id}`,
    )
    if (found === undefined) return { kind: 'gone' }
    return { kind: found.organisation_id === said.organisation && found.kind === said.kind ? 'busy' : 'forged' }
  })
}

/** @returns false when the attempt was replaced */
export function renewLease(db: Db, { organisation, id, fence }: Job, leaseMs: number): Promise<boolean> {
  return withScope(db, { organisation }, async (tx) => {
    const mine = sql`organisation_id = ${organisation} and id = ${id} and fence = ${fence} and state = 'running'`
    const renewed = await countOf(
      tx,
      sql`update job set lease_until = ${leaseEnd(leaseMs)}
           where ${mine} and id in (select id from job where ${mine} for no key update skip locked)`,
    )
    // Held by a change of our own, which extends the lease when it ends.
    return renewed === 1 || (await rowOf(tx, sql`select 1 from job where ${mine}`)) !== undefined
  })
}

/** This attempt counts as the first. The attempt must be held. */
export async function forgiveAttempts(tx: Tx, { organisation, id }: Job): Promise<void> {
  await sql`update job set attempts = 1 where organisation_id = ${organisation} and id = ${id} and attempts > 1`.execute(
    tx,
  )
}

/** For the end of a change that took long: the attempt must be held. */
export async function extendLease(tx: Tx, { organisation, id }: Job, leaseMs: number): Promise<void> {
  await sql`update job set lease_until = ${leaseEnd(leaseMs)}
             where organisation_id = ${organisation} and id = ${id} and state = 'running'`.execute(tx)
}

/** Holds the attempt until the commit: nobody can replace it in between. @throws StaleAttempt */
export async function holdAttempt(tx: Tx, { organisation, id, fence }: Job): Promise<void> {
  const row = await rowOf(
    tx,
    sql`select 1 from job
         where organisation_id = ${organisation} and id = ${id} and fence = ${fence} and state = 'running' for no key update`,
  )
  if (row === undefined) throw new StaleAttempt(`attempt ${fence} of job ${id} was replaced`)
}

/** @returns false when the step was done before */
export async function beginStep(tx: Tx, { organisation, id }: Job, step: string): Promise<boolean> {
  const begun = await countOf(
    tx,
    sql`insert into job_step (organisation_id, job_id, step) values (${organisation}, ${id}, ${step}) on conflict do nothing`,
  )
  return begun === 1
}

/** Whether an attempt before has done the step: for work that doesn't fit into one transaction with it. */
export async function isStepDone(
  tx: Tx,
  { organisation, id }: Pick<Job, 'organisation' | 'id'>,
  step: string,
): Promise<boolean> {
  const row = await rowOf(
    tx,
    sql`select 1 from job_step where organisation_id = ${organisation} and job_id = ${id} and step = ${step}`,
  )
  return row !== undefined
}

/** Done. The attempt must be held. */
export async function removeJob(tx: Tx, { organisation, id }: Job): Promise<void> {
  await sql`delete from job where organisation_id = ${organisation} and id = ${id}`.execute(tx)
  await wakeWaiting(tx, organisation)
}

/** Another turn after a while. The attempt must be held. @param usesAttempt  whether this attempt counts */
export async function putOff(tx: Tx, { organisation, id }: Job, waitMs: number, usesAttempt: boolean): Promise<void> {
  await sql`
    update job
       set state = 'queued', lease_until = null, published_at = null, attempts = attempts - ${usesAttempt ? 0 : 1},
           run_after = clock_timestamp() + ${waitMs} * interval '1 millisecond'
     where organisation_id = ${organisation} and id = ${id}`.execute(tx)
  await wakeWaiting(tx, organisation)
}

/** Into the list of failed jobs. The attempt must be held. */
export async function setFailed(tx: Tx, { organisation, id }: Job, reason: string): Promise<void> {
  await sql`
    update job set state = 'failed', lease_until = null, published_at = null, failed_reason = ${reason}, failed_at = now()
     where organisation_id = ${organisation} and id = ${id}`.execute(tx)
  await wakeWaiting(tx, organisation)
}

/** Jobs about this object need not wait for their next attempt. */
export async function hastenJobs(tx: Tx, organisation: OrganisationId, object: string): Promise<void> {
  await sql`
    update job set run_after = now()
     where organisation_id = ${organisation} and object_id = ${object} and state = 'queued' and run_after > now()`.execute(
    tx,
  )
  await wakeWaiting(tx, organisation)
}

/** The organisation's share has room again: dispatchers look, if anything waits. */
async function wakeWaiting(tx: Tx, organisation: OrganisationId): Promise<void> {
  await sql`
    select pg_notify('causeway', json_build_object('topic', 'outbox', 'organisation', ${organisation}::text, 'project', '')::text)
     where exists (select from job where organisation_id = ${organisation} and state = 'queued' and published_at is null)`.execute(
    tx,
  )
}

/** By the database's clock, now. */
const leaseEnd = (leaseMs: number) => sql`clock_timestamp() + ${leaseMs} * interval '1 millisecond'`

function toJob(id: number, row: JobRow): Job {
  return {
    id,
    organisation: row.organisation_id,
    project: row.project_id === '' ? undefined : row.project_id,
    kind: row.kind,
    object: row.object_id,
    attempt: row.attempts,
    fence: row.fence,
  }
}
