// A mapping file of pairs in the database: staged rows, which accounts they mean, what stands against them, and carrying them out. Sets at a time,
// so that a large file is as few statements as a small one. Scope: the organisation; lock pairs before.
import { sql } from 'kysely'
import type { RawBuilder } from 'kysely'
import { countOf, rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import { ACCOUNT_KINDS } from '../directory/account.ts'
import type { PairId } from '../ids.ts'
import type { Place } from '../mapping/mapping.ts'
import { isCompatible } from './match-rule.ts'
import { BY_HAND } from './pair.ts'
import type { PairFilter } from './pair.ts'
import type { PairFileRow } from './pair-file.ts'

const of = ({ organisation, project }: Place, alias: string): RawBuilder<unknown> => {
  const name = sql.ref(alias)
  return sql`${name}.organisation_id = ${organisation} and ${name}.project_id = ${project}`
}

const rowsAs = (place: Place, id: string, alias: string): RawBuilder<unknown> =>
  sql`${of(place, alias)} and ${sql.ref(alias)}.import_id = ${id}`

// ── Staging ────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface StagedPairs {
  readonly id: string
  readonly kind: 'file' | 'confirm'
  readonly filter: PairFilter | undefined
  readonly confirm: number | undefined
  /** Checks all and answers the same, but changes nothing. */
  readonly validatesOnly: boolean
  readonly author: string
}

export async function insertStagedPairs(tx: Tx, place: Place, staged: StagedPairs, now: number): Promise<void> {
  const { id, kind, filter, confirm = null, validatesOnly, author } = staged
  await sql`
    insert into pair_import (organisation_id, project_id, id, kind, filter, confirm, validates_only, author, created_at)
    values (${place.organisation}, ${place.project}, ${id}, ${kind}, ${filter === undefined ? null : JSON.stringify(filter)}::jsonb,
            ${confirm}, ${validatesOnly}, ${author}, ${new Date(now)})`.execute(tx)
}

export async function insertPairRows(tx: Tx, place: Place, id: string, rows: readonly PairFileRow[]): Promise<void> {
  await sql`
    insert into pair_import_row (organisation_id, project_id, import_id, line, source_column, target_column, action, source_key,
                                 target_key, collection, collection_key)
    select ${place.organisation}, ${place.project}, ${id}, r.line, r."sourceColumn", r."targetColumn", r.action, r."sourceKey",
           r."targetKey", r.collection, r."collectionKey"
      from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb)
        as r(line integer, "sourceColumn" integer, "targetColumn" integer, action text, "sourceKey" text, "targetKey" text,
             collection text, "collectionKey" text)`.execute(tx)
}

export async function findStagedPairs(
  tx: Tx,
  place: Place,
  id: string,
): Promise<(StagedPairs & { readonly result: Record<string, unknown> | undefined }) | undefined> {
  const row = await rowOf<{
    kind: 'file' | 'confirm'
    filter: PairFilter | null
    confirm: number | null
    validates_only: boolean
    author: string
    result: Record<string, unknown> | null
  }>(
    tx,
    sql`select kind, filter, confirm, validates_only, author, result from pair_import i where ${of(place, 'i')} and i.id = ${id}`,
  )
  return (
    row && {
      id,
      kind: row.kind,
      filter: row.filter ?? undefined,
      confirm: row.confirm ?? undefined,
      validatesOnly: row.validates_only,
      author: row.author,
      result: row.result ?? undefined,
    }
  )
}

/** After the change, in its transaction: its rows are of no more use, what came of them must be known should it be asked for again. */
export async function setPairResult(
  tx: Tx,
  place: Place,
  id: string,
  result: Readonly<Record<string, unknown>>,
): Promise<void> {
  await sql`delete from pair_import_row r where ${rowsAs(place, id, 'r')}`.execute(tx)
  await sql`update pair_import i set result = ${JSON.stringify(result)}::jsonb where ${of(place, 'i')} and i.id = ${id}`.execute(
    tx,
  )
}

export async function deleteStagedPairs(tx: Tx, place: Place, id: string): Promise<void> {
  await sql`delete from pair_import i where ${of(place, 'i')} and i.id = ${id}`.execute(tx)
}

/** Uploads that were broken off, and what is left of operations that have ended. The transaction sees one organisation. @returns how many */
export function sweepStagedPairs(tx: Tx, before: Date): Promise<number> {
  return countOf(
    tx,
    sql`delete from pair_import i
         where organisation_id = current_organisation() and created_at < ${before}
           and not exists (select from operation o where o.organisation_id = i.organisation_id and o.object_id = i.id
                              and o.state in ('queued', 'running', 'cancelling'))`,
  )
}

// ── Looking at it ──────────────────────────────────────────────────────────────────────────────────────────────────

/** Which accounts the rows mean, and which pairs go. @param tenants  ids by side */
export async function resolveRows(
  tx: Tx,
  place: Place,
  id: string,
  tenants: Readonly<Record<'source' | 'target', readonly string[]>>,
): Promise<void> {
  const accounts = (key: string, side: 'source' | 'target'): RawBuilder<unknown> => sql`
    select min(found.id), count(*)
      from (select a.id from account a
             where ${of(place, 'a')} and a.tenant_id = any(${[...tenants[side]]}) and a.object_id = ${sql.ref(key)} and a.valid_to is null
             union
            select b.account_id from account_address b
             where ${of(place, 'b')} and b.key = ${sql.ref(key)} and b.tenant_id = any(${[...tenants[side]]})
               and b.kind in ('smtp', 'upn')) as found`
  await sql`
    update pair_import_row r
       set (source_id, source_count) = (${accounts('r.source_key', 'source')}),
           (target_id, target_count) = (${accounts('r.target_key', 'target')})
     where ${rowsAs(place, id, 'r')}`.execute(tx)
  await sql`
    update pair_import_row r set source_id = null where ${rowsAs(place, id, 'r')} and r.source_count > 1`.execute(tx)
  await sql`
    update pair_import_row r set target_id = null where ${rowsAs(place, id, 'r')} and r.target_count > 1`.execute(tx)
  await sql`
    update pair_import_row r
       set pair_id = (select p.id from pair p
                       where ${of(place, 'p')} and p.state <> 'unpaired'
                         and p.source_account_id = r.source_id and (r.target_key = '' or p.target_account_id = r.target_id)
                       union all
                      select p.id from pair p
                       where ${of(place, 'p')} and p.state <> 'unpaired' and r.source_key = '' and p.target_account_id = r.target_id
                       limit 1)
     where ${rowsAs(place, id, 'r')} and r.action = 'unpair'`.execute(tx)
}

export interface PairFileFault {
  readonly line: number
  readonly column: number
  readonly side: 'source' | 'target'
  readonly code: string
  readonly existing: string | null
  /** Line of the other place. */
  readonly other: number | null
}

/** Guests may be paired: whoever writes a file names both. */
const COMPATIBLE = ACCOUNT_KINDS.flatMap((source) =>
  ACCOUNT_KINDS.filter((target) => isCompatible(source, target, true)).map((target) => `${source}>${target}`),
)

/** @param limit  most that are told */
export async function findPairFaults(
  tx: Tx,
  place: Place,
  id: string,
  limit: number,
): Promise<{ readonly items: readonly PairFileFault[]; readonly total: number }> {
  const fault = (
    side: 'source' | 'target',
    code: RawBuilder<unknown>,
    more: RawBuilder<unknown> = sql`null::text, null::integer`,
  ) => sql`select x.line, ${sql.ref(`x.${side}_column`)} as "column", ${side}::text as side, ${code} as code, ${more}`
  const unknown = (side: 'source' | 'target'): RawBuilder<unknown> => sql`
    ${fault(side, sql`case ${sql.ref(`x.${side}_count`)} when 0 then 'unknown-account' else 'several-accounts' end`)}
      from x where ${sql.ref(`x.${side}_key`)} <> '' and ${sql.ref(`x.${side}_count`)} <> 1`
  const twice = (side: 'source' | 'target'): RawBuilder<unknown> => sql`
    ${fault(side, sql`'named-twice'`, sql`null::text, ${sql.ref(`x.${side}_line`)}`)}
      from x where x.action = 'pair' and ${sql.ref(`x.${side}_id`)} is not null and ${sql.ref(`x.first_of_${side}`)} <> ${sql.ref(side === 'source' ? 'x.target_id' : 'x.source_id')}`
  const excludedToo = (side: 'source' | 'target'): RawBuilder<unknown> => sql`
    ${fault(side, sql`'named-twice'`, sql`null::text, ${sql.ref(`x.${side}_line`)}`)}
      from x where x.action = 'exclude' and ${sql.ref(`x.${side}_id`)} is not null and ${sql.ref(`x.${side}_line`)} is not null`
  const paired = (side: 'source' | 'target'): RawBuilder<unknown> => sql`
    ${fault(side, sql`'already-paired'`, sql`p.id, null::integer`)}
      from x join pair p on ${of(place, 'p')} and p.state <> 'unpaired'
                        and ${sql.ref(`p.${side}_account_id`)} = ${sql.ref(`x.${side}_id`)}
     where (x.action = 'exclude' or (x.action = 'pair' and (p.source_account_id, p.target_account_id) is distinct from (x.source_id, x.target_id)))
       and not exists (select from pair_import_row u where ${rowsAs(place, id, 'u')} and u.pair_id = p.id)`
  const rows = await rowsOf<PairFileFault & { total: number }>(
    tx,
    sql`
    with x as materialized (
           select r.*,
                  first_value(r.target_id) over of_source as first_of_source,
                  first_value(r.source_id) over of_target as first_of_target,
                  min(r.line) filter (where r.action = 'pair') over (partition by r.source_id) as source_line,
                  min(r.line) filter (where r.action = 'pair') over (partition by r.target_id) as target_line
             from pair_import_row r
            where ${rowsAs(place, id, 'r')}
           window of_source as (partition by r.source_id order by r.action <> 'pair', r.line),
                  of_target as (partition by r.target_id order by r.action <> 'pair', r.line)),
         found(line, "column", side, code, existing, other) as (
           ${sql.join(
             [
               ...(['source', 'target'] as const).flatMap((side) => [
                 unknown(side),
                 twice(side),
                 excludedToo(side),
                 paired(side),
               ]),
               sql`${fault('target', sql`'incompatible'`)}
                     from x
                     join account s on ${of(place, 's')} and s.id = x.source_id and s.valid_to is null
                     join account t on ${of(place, 't')} and t.id = x.target_id and t.valid_to is null
                    where x.action = 'pair' and s.kind || '>' || t.kind <> all(${COMPATIBLE})`,
               sql`${fault('source', sql`'not-paired'`)}
                     from x where x.action = 'unpair' and x.pair_id is null
                      and (x.source_key = '' or x.source_count = 1) and (x.target_key = '' or x.target_count = 1)`,
               sql`${fault('source', sql`'has-content'`, sql`p.id, null::integer`)}
                     from x join pair p on ${of(place, 'p')} and p.id = x.pair_id where p.content_copied_at is not null`,
             ],
             sql` union all `,
           )})
    select *, count(*) over () as total from found order by line, "column", code, existing limit ${limit}`,
  )
  return { items: rows, total: rows[0]?.total ?? 0 }
}

// ── Carrying it out ────────────────────────────────────────────────────────────────────────────────────────────────

const idsOf = async (tx: Tx, statement: RawBuilder<unknown>): Promise<PairId[]> =>
  (await rowsOf<{ id: PairId }>(tx, statement)).map(({ id }) => id)

export interface Doer {
  readonly author: string
  readonly now: number
}

export function unpairRows(tx: Tx, place: Place, id: string, { author, now }: Doer): Promise<PairId[]> {
  return idsOf(
    tx,
    sql`update pair p set state = 'unpaired', decided_by = ${author}, decided_at = ${new Date(now)}, version = p.version + 1
         where ${of(place, 'p')} and p.state <> 'unpaired'
           and p.id in (select r.pair_id from pair_import_row r where ${rowsAs(place, id, 'r')} and r.pair_id is not null)
     returning p.id`,
  )
}

/** Proposals that the file says are right. */
export function confirmRows(tx: Tx, place: Place, id: string, { author, now }: Doer): Promise<PairId[]> {
  return idsOf(
    tx,
    sql`update pair p set state = 'confirmed', decided_by = ${author}, decided_at = ${new Date(now)}, version = p.version + 1
          from pair_import_row r
         where ${rowsAs(place, id, 'r')} and r.action = 'pair'
           and ${of(place, 'p')} and p.state = 'proposed' and p.source_account_id = r.source_id and p.target_account_id = r.target_id
     returning p.id`,
  )
}

export function pairRows(tx: Tx, place: Place, id: string, { author, now }: Doer): Promise<PairId[]> {
  const at = new Date(now)
  return idsOf(
    tx,
    sql`insert into pair (organisation_id, project_id, id, source_tenant_id, source_account_id, target_tenant_id, target_account_id,
                          origin, state, rule, confidence, sort_key, created_by, created_at, decided_by, decided_at)
        select distinct on (r.source_id) r.organisation_id, r.project_id, 'par_' || left(replace(gen_random_uuid()::text, '-', ''), 24),
               s.tenant_id, r.source_id, t.tenant_id, r.target_id, 'mapped', 'confirmed', ${BY_HAND.rule}, ${BY_HAND.confidence},
               s.sort_key, ${author}, ${at}::timestamptz, ${author}, ${at}::timestamptz
          from pair_import_row r
          join account s on ${of(place, 's')} and s.id = r.source_id and s.valid_to is null
          join account t on ${of(place, 't')} and t.id = r.target_id and t.valid_to is null
         where ${rowsAs(place, id, 'r')} and r.action = 'pair'
           and not exists (select from pair p
                            where ${of(place, 'p')} and p.state <> 'unpaired'
                              and p.source_account_id = r.source_id and p.target_account_id = r.target_id)
         order by r.source_id
     returning id`,
  )
}

/** Pairs that the file names, each once, whatever became of them. */
export async function countNamed(tx: Tx, place: Place, id: string): Promise<number> {
  const row = await rowOf<{ count: number }>(
    tx,
    sql`select count(distinct r.source_id) as count from pair_import_row r where ${rowsAs(place, id, 'r')} and r.action = 'pair'`,
  )
  return row?.count ?? 0
}

/** @returns how many were not excluded before */
export async function excludeRows(tx: Tx, place: Place, id: string, { author, now }: Doer): Promise<number> {
  await sql`
    delete from match_exclusion e
     where ${of(place, 'e')}
       and e.account_id in (select unnest(array[r.source_id, r.target_id]) from pair_import_row r
                             where ${rowsAs(place, id, 'r')} and r.action = 'pair')`.execute(tx)
  return countOf(
    tx,
    sql`insert into match_exclusion (organisation_id, project_id, account_id, tenant_id, author, created_at)
        select a.organisation_id, a.project_id, a.id, a.tenant_id, ${author}, ${new Date(now)}::timestamptz
          from account a
         where ${of(place, 'a')} and a.valid_to is null
           and a.id in (select unnest(array[r.source_id, r.target_id]) from pair_import_row r
                         where ${rowsAs(place, id, 'r')} and r.action = 'exclude')
            on conflict do nothing`,
  )
}

/** Makes the collections that are not there yet. @returns how many */
export function makeCollections(tx: Tx, place: Place, id: string, { author, now }: Doer): Promise<number> {
  return countOf(
    tx,
    sql`insert into collection (organisation_id, project_id, id, name, name_key, created_by, created_at)
        select distinct on (r.collection_key) r.organisation_id, r.project_id, 'col_' || left(replace(gen_random_uuid()::text, '-', ''), 24),
               r.collection, r.collection_key, ${author}, ${new Date(now)}::timestamptz
          from pair_import_row r
         where ${rowsAs(place, id, 'r')} and r.collection_key <> ''
         order by r.collection_key, r.line
            on conflict (organisation_id, project_id, name_key) do nothing`,
  )
}

/** Source accounts become members of their row's collection. @returns how many were not before */
export function collectRows(tx: Tx, place: Place, id: string, now: number): Promise<number> {
  return countOf(
    tx,
    sql`insert into collection_member (organisation_id, project_id, collection_id, account_id, tenant_id, added_at)
        select distinct c.organisation_id, c.project_id, c.id, a.id, a.tenant_id, ${new Date(now)}::timestamptz
          from pair_import_row r
          join collection c on ${of(place, 'c')} and c.name_key = r.collection_key
          join account a on ${of(place, 'a')} and a.id = r.source_id and a.valid_to is null
         where ${rowsAs(place, id, 'r')} and r.collection_key <> ''
            on conflict do nothing`,
  )
}
