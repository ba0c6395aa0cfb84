// The table that relays are told: the newest one, or while somebody who left it is still in a group that routes his mail to them, the one of before. What is
// held only ever moves on to newer revisions. Scope: the organisation. (coexistence.md §1.4, RC-3)
import { sql } from 'kysely'
import type { RawBuilder } from 'kysely'
import { countOf, rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import { requestJob } from '../db/outbox.ts'
import { bumpSnapshot } from '../projects/relay-visible.ts'
import type { Place } from './mapping.ts'

/**
 * After a change was written, before its commit: where it takes somebody out who may be in our groups, relays stay at the revision before it, and whoever
 * changes the groups is asked to. What is held already stays; the change waits behind it.
 *
 * @param revision  that the change made
 */
export async function holdWhereSomebodyLeaves(tx: Tx, place: Place, revision: number, at: Date): Promise<void> {
  const { organisation, project } = place
  const held = await countOf(
    tx,
    sql`update project set held_revision = ${revision - 1}, held_since = ${at}
         where organisation_id = ${organisation} and id = ${project} and held_revision is null
           and exists (select from relay r where r.organisation_id = ${organisation} and r.project_id = ${project} and r.state <> 'revoked')
           and ${somebodyLeft(place, revision - 1)}`,
  )
  if (held > 0) await requestJob(tx, place, 'coexistence.reconcile', project)
}

/**
 * Whether somebody of the table at a revision who may be in our groups is in the newest one no more, or is there as somebody else: presented in one
 * tenant, his mailbox in the other, and the switch is on. Whether his accounts are known isn't asked: who is held without need is released soon.
 */
function somebodyLeft({ organisation, project }: Place, since: number): RawBuilder<unknown> {
  // Look-ups by index, said so and not left to the planner (change-store.ts).
  return sql`exists (
    with setting as materialized (
           select s.setting ->> 'scope' as scope from coexistence_switch s
            where s.organisation_id = ${organisation} and s.project_id = ${project} and s.setting ->> 'state' = 'on'),
         domain as materialized (
           select t.id as tenant_id, lower(d.name) as name from tenant_connection t
            cross join lateral unnest(t.accepted_domains || t.initial_domain) as d (name)
            where t.organisation_id = ${organisation} and t.project_id = ${project})
    select from setting, mapping_entry was
      join domain m on m.name = was.mailbox_domain
      join domain p on p.name = substring(was.presented_key from '[^@]*$') and p.tenant_id <> m.tenant_id
     where was.organisation_id = ${organisation} and was.project_id = ${project}
       and was.valid_to > ${since} and was.valid_from <= ${since}
       and (setting.scope is distinct from 'pairs' or was.source = 'pair')
       and (select e.id from mapping_entry e
             where e.organisation_id = ${organisation} and e.project_id = ${project} and e.valid_to is null
               and e.presented_key = was.presented_key and lower(normalize(e.mailbox, nfc)) = lower(normalize(was.mailbox, nfc))
               and (setting.scope is distinct from 'pairs' or e.source = 'pair')
             limit 1) is null)`
}

/** Whether relays are told another table than the newest. */
export async function isTableHeld(tx: Tx, { organisation, project }: Place): Promise<boolean> {
  const held = await rowOf(
    tx,
    sql`select id from project where organisation_id = ${organisation} and id = ${project} and held_revision is not null`,
  )
  return held !== undefined
}

/**
 * Lets relays have what was held. Nothing where nothing was.
 *
 * @param upTo  revision whose leavers have left the groups; what came after it is held on where somebody leaves with it. undefined: all
 * @returns whether something is held still
 */
export async function releaseTable(tx: Tx, place: Place, upTo?: number): Promise<boolean> {
  const { organisation, project } = place
  const row = await rowOf<{ held: number; newest: number }>(
    tx,
    sql`select held_revision as held, mapping_revision as newest from project
         where organisation_id = ${organisation} and id = ${project} and held_revision is not null for no key update`,
  )
  if (row === undefined) return false
  if (upTo !== undefined && upTo <= row.held) return true
  const isHeldOn = upTo !== undefined && upTo < row.newest && (await hasLeavers(tx, place, upTo))
  const next = isHeldOn ? upTo : null
  await sql`
    update project p
       set held_revision = ${next}::bigint,
           held_since = case when ${next}::bigint is null then null else coalesce(
             (select r.created_at from mapping_revision r
               where r.organisation_id = ${organisation} and r.project_id = ${project} and r.revision = ${next}::bigint + 1), p.held_since) end
     where p.organisation_id = ${organisation} and p.id = ${project}`.execute(tx)
  await bumpSnapshot(tx, organisation, project, 'relays')
  return isHeldOn
}

/** The table of an earlier revision can't be had any more: nor can relays be told it. */
export async function releaseGone(tx: Tx, place: Place, horizon: number): Promise<void> {
  const { organisation, project } = place
  const gone = await rowOf(
    tx,
    sql`select id from project where organisation_id = ${organisation} and id = ${project} and held_revision < ${horizon}`,
  )
  if (gone !== undefined) await releaseTable(tx, place)
}

async function hasLeavers(tx: Tx, place: Place, since: number): Promise<boolean> {
  return (await rowOf(tx, sql`select 1 as found where ${somebodyLeft(place, since)}`)) !== undefined
}

export interface OverdueHold extends Place {
  /** Held since before the time asked for, though it had a reason. */
  readonly isTooLong: boolean
}

/** What is held without a reason any more: the switch is off, no relay is left, or it took too long. The scope has purpose `reconcile`. */
export function listOverdueHolds(tx: Tx, before: Date, limit: number): Promise<OverdueHold[]> {
  return rowsOf(tx, sql`${overdue(before)} order by p.held_since limit ${limit}`)
}

/** One of them, looked at again. The scope is its organisation; its project is locked. */
export function findOverdueHold(
  tx: Tx,
  { organisation, project }: Place,
  before: Date,
): Promise<OverdueHold | undefined> {
  return rowOf(tx, sql`${overdue(before)} and p.organisation_id = ${organisation} and p.id = ${project}`)
}

const overdue = (before: Date): RawBuilder<unknown> => sql`
  select p.organisation_id as organisation, p.id as project, x.is_on and x.has_relays as "isTooLong"
    from project p
   cross join lateral (
     select exists (select from coexistence_switch s
                     where s.organisation_id = p.organisation_id and s.project_id = p.id and s.setting ->> 'state' = 'on') as is_on,
            exists (select from relay r
                     where r.organisation_id = p.organisation_id and r.project_id = p.id and r.state <> 'revoked') as has_relays) as x
   where p.held_revision is not null and (p.held_since < ${before} or not x.is_on or not x.has_relays)`
