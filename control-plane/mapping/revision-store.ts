// Revisions of a mapping table: who made them and what they changed, the difference between two, and their rows when one is restored.
import { sql } from 'kysely'
import type { RawBuilder } from 'kysely'
import { countOf, rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { PageRequest } from '../http/page.ts'
import type { MappingId, RuleId } from '../ids.ts'
import { endEntries } from './change-store.ts'
import { releaseGone } from './held-table-store.ts'
import { appliedAt } from './mapping-store.ts'
import type { Place } from './mapping.ts'
import type { RuleKind } from './rule.ts'

export const CAUSES = ['change', 'bulk', 'import', 'restore', 'rule', 'pair'] as const
export type Cause = (typeof CAUSES)[number]

export interface Revision {
  readonly revision: number
  readonly author: string
  readonly cause: Cause
  readonly restoredFrom: number | undefined
  readonly created: number
  readonly changed: number
  readonly removed: number
  readonly rulesChanged: number
  readonly entries: number
  readonly createdAt: Date
  /** When every live relay had it (control-plane.md §3.7). */
  readonly appliedAt: Date | undefined
}

export async function insertRevision(
  tx: Tx,
  { organisation, project }: Place,
  made: Omit<Revision, 'createdAt' | 'appliedAt'> & { readonly now: number },
): Promise<void> {
  await sql`
    insert into mapping_revision (organisation_id, project_id, revision, author, cause, restored_from, created, changed, removed,
                                  rules_changed, entries, created_at)
    values (${organisation}, ${project}, ${made.revision}, ${made.author}, ${made.cause}, ${made.restoredFrom ?? null}, ${made.created},
            ${made.changed}, ${made.removed}, ${made.rulesChanged}, ${made.entries}, ${new Date(made.now)})`.execute(tx)
}

interface RevisionRecord {
  revision: number
  author: string
  cause: Cause
  restored_from: number | null
  created: number
  changed: number
  removed: number
  rules_changed: number
  entries: number
  created_at: Date
  applied_at: Date | null
}

const toRevision = (row: RevisionRecord): Revision => ({
  revision: row.revision,
  author: row.author,
  cause: row.cause,
  restoredFrom: row.restored_from ?? undefined,
  created: row.created,
  changed: row.changed,
  removed: row.removed,
  rulesChanged: row.rules_changed,
  entries: row.entries,
  createdAt: row.created_at,
  appliedAt: row.applied_at ?? undefined,
})

const REVISION = sql`r.revision, r.author, r.cause, r.restored_from, r.created, r.changed, r.removed, r.rules_changed, r.entries, r.created_at,
  ${appliedAt('r', 'revision')} as applied_at`

const of = ({ organisation, project }: Place): RawBuilder<unknown> =>
  sql`r.organisation_id = ${organisation} and r.project_id = ${project}`

export async function findRevision(tx: Tx, place: Place, revision: number): Promise<Revision | undefined> {
  const row = await rowOf<RevisionRecord>(
    tx,
    sql`select ${REVISION} from mapping_revision r where ${of(place)} and r.revision = ${revision}`,
  )
  return row && toRevision(row)
}

export interface RevisionFilter {
  readonly author?: string | undefined
  readonly cause?: Cause | undefined
}

/** Newest first. */
export async function listRevisions(
  tx: Tx,
  place: Place,
  filter: RevisionFilter,
  page: PageRequest,
): Promise<Revision[]> {
  const rows = await rowsOf<RevisionRecord>(
    tx,
    sql`select ${REVISION} from mapping_revision r
         where ${of(place)}
           ${page.after === undefined ? sql`` : sql`and r.revision < ${page.after[0]}`}
           ${filter.author === undefined ? sql`` : sql`and r.author = ${filter.author}`}
           ${filter.cause === undefined ? sql`` : sql`and r.cause = ${filter.cause}`}
         order by r.revision desc limit ${page.limit + 1}`,
  )
  return rows.map(toRevision)
}

/** What became of one entry or rule between two revisions. */
export interface Difference {
  /** Where it stands in the list of differences. */
  readonly phase: 'begun' | 'ended'
  readonly revision: number
  readonly key: string
  readonly id: string
  /** As a table file writes it; undefined: was not there, is not there. */
  readonly before: string | undefined
  readonly after: string | undefined
}

/**
 * Entries that differ: first those that are there at `to`, by the revision that made them so and their presented address, then those that
 * are gone, by the revision that ended them.
 * @param after  phase, revision and key of the last one told
 */
export async function listDifferences(
  tx: Tx,
  { organisation, project }: Place,
  from: number,
  to: number,
  { after, limit }: PageRequest,
): Promise<Difference[]> {
  const [phase = 'begun', lastRevision = 0, lastKey = ''] = after ?? []
  const found: Difference[] = []
  if (phase === 'begun') {
    const rows = await rowsOf<{ id: MappingId; revision: number; key: string; before: string | null; after: string }>(
      tx,
      sql`select e.id, e.valid_from as revision, e.presented_key as key, was.wire as before, e.wire as after
            from mapping_entry e
            left join lateral (select b.wire from mapping_entry b
                                where b.organisation_id = ${organisation} and b.project_id = ${project} and b.id = e.id
                                  and b.valid_from <= ${from} and b.valid_to > ${from} limit 1) as was on true
           where e.organisation_id = ${organisation} and e.project_id = ${project}
             and e.valid_from > ${from} and e.valid_from <= ${to} and (e.valid_to is null or e.valid_to > ${to})
             and (e.valid_from, e.presented_key) > (${lastRevision}, ${lastKey})
           order by e.valid_from, e.presented_key limit ${limit + 1}`,
    )
    found.push(...rows.map((row) => ({ ...row, phase: 'begun' as const, before: row.before ?? undefined })))
  }
  if (found.length > limit) return found
  const [sinceRevision, sinceKey] = phase === 'ended' ? [lastRevision, lastKey] : [0, '']
  const rows = await rowsOf<{ id: MappingId; revision: number; key: string; before: string }>(
    tx,
    sql`select e.id, e.valid_to as revision, e.presented_key as key, e.wire as before
          from mapping_entry e
         where e.organisation_id = ${organisation} and e.project_id = ${project}
           and e.valid_to > ${from} and e.valid_to <= ${to} and e.valid_from <= ${from}
           and (e.valid_to, e.presented_key) > (${sinceRevision}, ${sinceKey})
           and not exists (select from mapping_entry b
                            where b.organisation_id = ${organisation} and b.project_id = ${project} and b.id = e.id
                              and b.valid_from > ${from} and b.valid_from <= ${to} and (b.valid_to is null or b.valid_to > ${to}))
         order by e.valid_to, e.presented_key limit ${limit + 1 - found.length}`,
  )
  return [...found, ...rows.map((row) => ({ ...row, phase: 'ended' as const, after: undefined }))]
}

export interface RuleDifference {
  readonly id: RuleId
  readonly kind: RuleKind
  readonly before: string | undefined
  readonly after: string | undefined
}

/** Rules that differ: at most twice `MAX_RULES`. */
export async function ruleDifferences(
  tx: Tx,
  { organisation, project }: Place,
  from: number,
  to: number,
): Promise<RuleDifference[]> {
  const rows = await rowsOf<{ id: RuleId; kind: RuleKind; before: string | null; after: string | null }>(
    tx,
    sql`with touched as (
          select r.id, r.kind, r.rule_key, r.valid_from, r.valid_to, r.wire from mapping_rule r
           where ${of({ organisation, project })} and ((r.valid_from > ${from} and r.valid_from <= ${to}) or (r.valid_to > ${from} and r.valid_to <= ${to})))
        select id, min(kind) as kind,
               max(wire) filter (where valid_from <= ${from} and valid_to > ${from}) as before,
               max(wire) filter (where valid_from <= ${to} and (valid_to is null or valid_to > ${to})) as after
          from touched group by id
        having max(wire) filter (where valid_from <= ${from} and valid_to > ${from})
               is distinct from max(wire) filter (where valid_from <= ${to} and (valid_to is null or valid_to > ${to}))
         order by min(kind), min(rule_key), id`,
  )
  return rows.map(({ before, after, ...row }) => ({ ...row, before: before ?? undefined, after: after ?? undefined }))
}

// ── Restoring ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** Versions that were in force at `revision` and have ended since. */
const ended = ({ organisation, project }: Place, revision: number): RawBuilder<unknown> =>
  sql`was.organisation_id = ${organisation} and was.project_id = ${project}
      and was.valid_from <= ${revision} and was.valid_to > ${revision}`

/** Of an entry in force: its version then, where that has ended since. */
const versionAt = (place: Place, revision: number): RawBuilder<unknown> =>
  sql`select was.wire from mapping_entry was where ${ended(place, revision)} and was.id = e.id limit 1`

/** The entry as it is now, where it was made since. */
const versionNow = ({ organisation, project }: Place, revision: number): RawBuilder<unknown> =>
  sql`select e.wire from mapping_entry e
       where e.organisation_id = ${organisation} and e.project_id = ${project} and e.id = was.id and e.valid_to is null
         and e.valid_from > ${revision} limit 1`

export interface RestorePlan {
  /** Entries that come back and have no version now. */
  readonly created: number
  readonly changed: number
  readonly removed: number
  /** Domains of entries that come back. */
  readonly domains: readonly string[]
}

export async function planRestore(tx: Tx, place: Place, revision: number): Promise<RestorePlan> {
  const { organisation, project } = place
  const back = await rowOf<{ created: number; changed: number }>(
    tx,
    sql`select count(*) filter (where e.wire is null) as created, count(*) filter (where e.wire <> was.wire) as changed
          from mapping_entry was left join lateral (${versionNow(place, revision)}) as e on true
         where ${ended(place, revision)}`,
  )
  const domains = await rowsOf<{ domain: string }>(
    tx,
    sql`select distinct d.domain
          from mapping_entry was
          left join lateral (${versionNow(place, revision)}) as e on true
          cross join lateral (values (was.mailbox_domain), (substring(was.presented_key from '[^@]*$'))) as d(domain)
         where ${ended(place, revision)} and e.wire is distinct from was.wire`,
  )
  const gone = await rowOf<{ removed: number }>(
    tx,
    sql`select count(*) as removed from mapping_entry e
         where e.organisation_id = ${organisation} and e.project_id = ${project} and e.valid_to is null and e.valid_from > ${revision}
           and (${versionAt(place, revision)}) is null`,
  )
  return {
    created: back?.created ?? 0,
    changed: back?.changed ?? 0,
    removed: gone?.removed ?? 0,
    domains: domains.map(({ domain }) => domain),
  }
}

/** Whether more than `limit` versions have begun or ended since `revision`: restoring it is long work then. */
export async function isFarFrom(
  tx: Tx,
  { organisation, project }: Place,
  revision: number,
  limit: number,
): Promise<boolean> {
  const row = await rowOf<{ touched: number }>(
    tx,
    sql`select count(*) as touched from (
          (select from mapping_entry e where e.organisation_id = ${organisation} and e.project_id = ${project} and e.valid_from > ${revision} limit ${limit + 1})
          union all
          (select from mapping_entry e where e.organisation_id = ${organisation} and e.project_id = ${project} and e.valid_to > ${revision} limit ${limit + 1})) as touched`,
  )
  return (row?.touched ?? 0) > limit
}

/** @param made  the revision that is being made, of the table of `restored` */
export async function writeRestored(
  tx: Tx,
  place: Place,
  { restored, made, author, now }: { restored: number; made: number; author: string; now: number },
): Promise<void> {
  const { organisation, project } = place
  await endEntries(
    tx,
    place,
    made,
    sql`select e.id, e.valid_from from mapping_entry e
         where e.organisation_id = ${organisation} and e.project_id = ${project} and e.valid_to is null and e.valid_from > ${restored}
           and (${versionAt(place, restored)}) is distinct from e.wire`,
  )
  await sql`
    with begun as (
      insert into mapping_entry (organisation_id, project_id, id, valid_from, presented_key, presented, mailbox, mailbox_domain, keys, wire,
                                 source, source_ref, author, created_at)
      select ${organisation}, ${project}, was.id, ${made}::bigint, was.presented_key, was.presented, was.mailbox, was.mailbox_domain,
             was.keys, was.wire, was.source, was.source_ref, ${author}, ${new Date(now)}::timestamptz
        from mapping_entry was
       where ${ended(place, restored)} and (${versionNow(place, restored)}) is distinct from was.wire
       order by was.presented_key
      returning id, keys)
    insert into mapping_address (organisation_id, project_id, key, entry_id)
    select ${organisation}, ${project}, k.key, begun.id from begun, unnest(begun.keys) as k(key)`.execute(tx)
}

// ── Retention ──────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Deletes versions that ended with revisions made before a time: tables of before them can't be had any more.
 * @param limit  rows of one call
 * @returns rows deleted; fewer than `limit`: there are no more
 */
export async function sweepHistory(tx: Tx, place: Place, before: Date, limit: number): Promise<number> {
  const { organisation, project } = place
  const row = await rowOf<{ revision: number | null }>(
    tx,
    sql`select max(revision) as revision from mapping_revision r where ${of(place)} and created_at < ${before}`,
  )
  if (row?.revision === null || row === undefined) return 0
  const { revision } = row
  await raiseHorizon(tx, place, revision)
  const rules = await countOf(
    tx,
    sql`delete from mapping_rule where organisation_id = ${organisation} and project_id = ${project} and valid_to <= ${revision}`,
  )
  const entries = await countOf(
    tx,
    sql`delete from mapping_entry
         where organisation_id = ${organisation} and project_id = ${project} and (id, valid_from) in (
           select e.id, e.valid_from from mapping_entry e
            where e.organisation_id = ${organisation} and e.project_id = ${project} and e.valid_to <= ${revision} limit ${limit})`,
  )
  return rules + entries
}

/** Tables of revisions before this one can't be had any more: versions that were in force then are gone. */
export async function raiseHorizon(tx: Tx, place: Place, revision: number): Promise<void> {
  const { organisation, project } = place
  await sql`
    insert into mapping_horizon (organisation_id, project_id, revision) values (${organisation}, ${project}, ${revision})
    on conflict (organisation_id, project_id) do update set revision = greatest(mapping_horizon.revision, excluded.revision)`.execute(
    tx,
  )
  await releaseGone(tx, place, revision)
}

/**
 * Deletes revisions made before a time whose tables can't be had any more, after `sweepHistory`. Those stay that an entry or rule which is kept names
 * as its own.
 * @returns rows deleted, at most `limit`
 */
export function sweepRevisions(tx: Tx, { organisation, project }: Place, before: Date, limit: number): Promise<number> {
  const named = (table: 'mapping_entry' | 'mapping_rule', by: 'valid_from' | 'valid_to') =>
    sql`exists (select from ${sql.table(table)} v
                 where v.organisation_id = r.organisation_id and v.project_id = r.project_id and ${sql.ref(`v.${by}`)} = r.revision)`
  return countOf(
    tx,
    sql`delete from mapping_revision
         where organisation_id = ${organisation} and project_id = ${project} and revision in (
           select r.revision from mapping_revision r
            where ${of({ organisation, project })} and r.created_at < ${before}
              and r.revision < (select h.revision from mapping_horizon h where h.organisation_id = ${organisation} and h.project_id = ${project})
              and not ${named('mapping_entry', 'valid_from')} and not ${named('mapping_entry', 'valid_to')}
              and not ${named('mapping_rule', 'valid_from')} and not ${named('mapping_rule', 'valid_to')}
            limit ${limit})`,
  )
}
