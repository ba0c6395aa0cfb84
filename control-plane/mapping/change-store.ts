// Applies staged rows to the table in force: looks for what stands against it, plans, writes. Every change of entries goes through here, be it
// of one row or of a million, so there is one meaning of "upsert". All of one change is one transaction. (control-plane.md §3.1, §3.2)
import { sql } from 'kysely'
import type { RawBuilder } from 'kysely'
import { rowOf, rowsOf, sqlState } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import { Problem } from '../http/problem.ts'
import type { MappingId } from '../ids.ts'
import type { Place, Source } from './mapping.ts'

// How tables are joined is said here and not left to the planner: right after a large change it has no statistics, takes the rows of a project for a
// handful, and would pair them all. A lateral subquery with a limit is always a look-up by the index that has all its columns.

/** From how many rows on its tables are looked at before a change, and more time is allowed for it. */
const MANY_ROWS = 200
/** Rows a statement writes at most: progress is told, and cancelling looked for, in between. */
const ROWS_PER_SLICE = 5_000
const LOCK_WAIT_MS = 10_000
const LONG_CHANGE_MS = 15 * 60_000
const LOCK_NOT_AVAILABLE = '55P03'

/** In a transaction of its own, before that of a change of many rows and after it: it locks the tables' statistics until the commit. */
export async function refreshStatistics(tx: Tx, rows: number): Promise<void> {
  if (rows >= MANY_ROWS) await sql`select refresh_mapping_statistics()`.execute(tx)
}

/**
 * Locks the project's row until the commit: changes of one table come one after another, and what is read from here on is what will be changed.
 * @returns the revision in force
 * @throws Problem 503 while a long change is going on
 */
export async function lockTable(tx: Tx, { organisation, project }: Place): Promise<number> {
  try {
    await sql`select set_config('lock_timeout', ${`${LOCK_WAIT_MS}ms`}, true)`.execute(tx)
    const row = await rowOf<{ mapping_revision: number }>(
      tx,
      sql`select mapping_revision from project
           where organisation_id = ${organisation} and id = ${project} for no key update`,
    )
    if (row === undefined) throw new Error('unreachable: no such project in this scope')
    await sql`select set_config('lock_timeout', '0', true)`.execute(tx)
    return row.mapping_revision
  } catch (error) {
    if (sqlState(error) !== LOCK_NOT_AVAILABLE) throw error
    throw new Problem('unavailable', { retryAfter: 15, detail: 'A large change of this table is going on.' })
  }
}

/** For a change of many rows, before its first large statement. */
export async function expectManyRows(tx: Tx, rows: number): Promise<void> {
  if (rows < MANY_ROWS) return
  await sql`
    select set_config('statement_timeout', ${`${LONG_CHANGE_MS}ms`}, true), set_config('work_mem', '128MB', true)`.execute(
    tx,
  )
}

/** Where in the input something stands that can't be. */
export interface StagedPlace {
  readonly row: number
  readonly path: string
  readonly line: number
  readonly column: number
}

export interface Twice extends StagedPlace {
  readonly key: string
  /** Where it stands first. */
  readonly first: StagedPlace
}

const placeColumns = (alias: string): RawBuilder<unknown> =>
  sql.raw(`${alias}.row, ${alias}.path, ${alias}.line, ${alias}.col as column`)

const staged = ({ organisation, project }: Place, id: string, alias = 's'): RawBuilder<unknown> => {
  const name = sql.ref(alias)
  return sql`${name}.organisation_id = ${organisation} and ${name}.project_id = ${project} and ${name}.import_id = ${id}`
}

const inForce = ({ organisation, project }: Place, alias = 'e'): RawBuilder<unknown> => {
  const name = sql.ref(alias)
  return sql`${name}.organisation_id = ${organisation} and ${name}.project_id = ${project} and ${name}.valid_to is null`
}

/** The entry in force that is presented as a staged row's. */
const presentedSo = (place: Place): RawBuilder<unknown> =>
  sql`select e.id, e.valid_from, e.wire, e.presented, e.source_ref from mapping_entry e
       where ${inForce(place)} and e.presented_key = s.presented_key limit 1`

/** Whether a staged row `s` says something else than the entry `e`; what a pair writes is another entry once it is another pair's. */
const DIFFERS = sql`(s.wire is distinct from e.wire or (s.source_ref <> '' and s.source_ref <> e.source_ref))`

/** How large the input is beside the table: a large one is compared with it whole, where a small one is looked up row by row. */
export interface Sizes {
  /** Staged, about. */
  readonly rows: number
  /** In the table in force. */
  readonly entries: number
}

const isLarge = ({ rows, entries }: Sizes): boolean => rows * 4 >= entries

/** Staged rows `s` with the entries in force `e` that are presented so. */
function paired(place: Place, sizes: Sizes, join: 'left' | 'inner'): RawBuilder<unknown> {
  const isLeft = join === 'left'
  if (isLarge(sizes)) {
    const keyword = isLeft ? sql`left join` : sql`join`
    return sql`mapping_import_row s ${keyword} mapping_entry e on ${inForce(place)} and e.presented_key = s.presented_key`
  }
  return isLeft
    ? sql`mapping_import_row s left join lateral (${presentedSo(place)}) as e on true`
    : sql`mapping_import_row s cross join lateral (${presentedSo(place)}) as e`
}

/** Of more than are listed. */
export interface Listed<T> {
  readonly items: readonly T[]
  readonly total: number
}

/** @param statement  whose rows end with `total`, the number of all of them */
async function listed<T>(tx: Tx, statement: RawBuilder<unknown>): Promise<Listed<T>> {
  const rows = await rowsOf<T & { total: number }>(tx, statement)
  return { items: rows, total: rows[0]?.total ?? 0 }
}

/** Sets are compared as sets, however few rows the planner expects. */
async function withoutPairing<T>(tx: Tx, work: () => Promise<T>): Promise<T> {
  await sql`select set_config('enable_nestloop', 'off', true)`.execute(tx)
  const result = await work()
  await sql`select set_config('enable_nestloop', 'on', true)`.execute(tx)
  return result
}

/** Addresses that stand in two entries of the input. @param limit  most that are told */
export async function findTwice(tx: Tx, place: Place, id: string, limit: number): Promise<Listed<Twice>> {
  const { items, total } = await withoutPairing(tx, () =>
    listed<
      StagedPlace & { key: string; first_row: number; first_path: string; first_line: number; first_column: number }
    >(
      tx,
      sql`with input as materialized (
            select ${placeColumns('s')}, unnest(s.keys) as key from mapping_import_row s
             where ${staged(place, id)} and s.wire is not null),
               twice as materialized (
            select key, min(row) as first from input group by key having count(*) > 1)
          select input.row, input.path, input.line, input.column, input.key, first.row as first_row, first.path as first_path,
                 first.line as first_line, first.column as first_column, count(*) over () as total
            from twice
            join input on input.key = twice.key and input.row > twice.first
            join input first on first.key = twice.key and first.row = twice.first
           order by input.row, input.key limit ${limit}`,
    ),
  )
  return {
    total,
    items: items.map(({ key, row, path, line, column, first_row, first_path, first_line, first_column }) => ({
      key,
      row,
      path,
      line,
      column,
      first: { row: first_row, path: first_path, line: first_line, column: first_column },
    })),
  }
}

export interface Owned extends StagedPlace {
  readonly key: string
  readonly entry: MappingId
  readonly presented: string
}

/** Addresses of the input that are known in an entry in force which the input says nothing of. */
export async function findOwned(tx: Tx, place: Place, id: string, sizes: Sizes, limit: number): Promise<Listed<Owned>> {
  return isLarge(sizes)
    ? withoutPairing(tx, () => listed<Owned>(tx, ownersCompared(place, id, limit)))
    : listed<Owned>(tx, ownersLookedUp(place, id, limit))
}

function ownersLookedUp(place: Place, id: string, limit: number): RawBuilder<unknown> {
  const { organisation, project } = place
  return sql`
    select ${placeColumns('s')}, k.key, owner.id as entry, owner.presented, count(*) over () as total
      from mapping_import_row s
      cross join lateral unnest(s.keys) as k(key)
      cross join lateral (select a.entry_id from mapping_address a
                           where a.organisation_id = ${organisation} and a.project_id = ${project} and a.key = k.key limit 1) as a
      cross join lateral (select e.id, e.presented, e.presented_key from mapping_entry e
                           where ${inForce(place)} and e.id = a.entry_id limit 1) as owner
     where ${staged(place, id)} and s.wire is not null
       and (select t.row from mapping_import_row t
             where ${staged(place, id, 't')} and t.presented_key = owner.presented_key limit 1) is null
     order by s.row, k.key limit ${limit}`
}

/** The same with each table read once: for an input that isn't small beside the table, where it would be as many look-ups. */
function ownersCompared(place: Place, id: string, limit: number): RawBuilder<unknown> {
  return sql`
    with others as materialized (
           select e.id, e.presented, unnest(e.keys) as key
             from mapping_entry e
             left join mapping_import_row t on ${staged(place, id, 't')} and t.presented_key = e.presented_key
            where ${inForce(place)} and t.row is null),
         input as (
           select ${placeColumns('s')}, unnest(s.keys) as key from mapping_import_row s
            where ${staged(place, id)} and s.wire is not null)
    select input.row, input.path, input.line, input.column, input.key, others.id as entry, others.presented, count(*) over () as total
      from others join input on input.key = others.key
     order by input.row, input.key limit ${limit}`
}

/** Entries in force that the input would replace, though it is to make new ones only. */
export function findReplaced(tx: Tx, place: Place, id: string, limit: number): Promise<Listed<Owned>> {
  return listed<Owned>(
    tx,
    sql`select ${placeColumns('s')}, s.presented_key as key, e.id as entry, e.presented, count(*) over () as total
          from mapping_import_row s cross join lateral (${presentedSo(place)}) as e
         where ${staged(place, id)} and s.wire is not null and e.id <> s.id
         order by s.row limit ${limit}`,
  )
}

/** Removals of entries that are not there. */
export function findMissing(tx: Tx, place: Place, id: string, limit: number): Promise<Listed<StagedPlace>> {
  return listed<StagedPlace>(
    tx,
    sql`select ${placeColumns('s')}, count(*) over () as total
          from mapping_import_row s left join lateral (${presentedSo(place)}) as e on true
         where ${staged(place, id)} and s.wire is null and e.id is null
         order by s.row limit ${limit}`,
  )
}

/** Numbers of entries. */
export interface Counts {
  readonly created: number
  readonly changed: number
  readonly unchanged: number
  readonly removed: number
}

export async function countChanges(
  tx: Tx,
  place: Place,
  id: string,
  mode: 'upsert' | 'replace',
  sizes: Sizes,
): Promise<Counts> {
  const count = (): Promise<Counts | undefined> =>
    rowOf<Counts>(
      tx,
      sql`select count(*) filter (where s.wire is not null and e.id is null) as created,
                 count(*) filter (where s.wire is not null and e.id is not null and ${DIFFERS}) as changed,
                 count(*) filter (where s.wire is not null and e.id is not null and not ${DIFFERS}) as unchanged,
                 count(*) filter (where s.wire is null and e.id is not null) as removed
            from ${paired(place, sizes, 'left')}
           where ${staged(place, id)}`,
    )
  const row = isLarge(sizes) ? await withoutPairing(tx, count) : await count()
  if (row === undefined) throw new Error('unreachable: a count has a row')
  return mode === 'upsert' ? row : { ...row, removed: sizes.entries - row.changed - row.unchanged }
}

export interface Writing {
  readonly id: string
  readonly mode: 'upsert' | 'replace'
  readonly sizes: Sizes
  /** That is being made. */
  readonly revision: number
  readonly source: Source
  readonly author: string
  readonly now: number
  /** Told after each slice: rows written so far. Rejects to stop it all. */
  readonly onProgress?: (rows: number) => Promise<void>
}

/** Carries the change out; nothing stands against it any more. */
export async function writeChanges(tx: Tx, place: Place, writing: Writing): Promise<void> {
  const { id, revision, sizes } = writing
  const end = async (): Promise<void> => {
    await endEntries(
      tx,
      place,
      revision,
      sql`select e.id, e.valid_from from ${paired(place, sizes, 'inner')}
           where ${staged(place, id)} and ${DIFFERS}`,
    )
    if (writing.mode === 'replace') await endUnnamed(tx, place, writing)
  }
  await (isLarge(sizes) ? withoutPairing(tx, end) : end())
  let written = 0
  for (let after: string | undefined; ;) {
    const slice = await nextSlice(tx, place, id, after)
    if (slice.rows === 0) break
    await beginEntries(tx, place, writing, after, slice.last)
    after = slice.last
    written += slice.rows
    await writing.onProgress?.(written)
    if (slice.rows < ROWS_PER_SLICE) break
  }
}

/** Entries in force that the input doesn't name. */
function endUnnamed(tx: Tx, place: Place, { id, revision, sizes }: Writing): Promise<void> {
  const chosen = isLarge(sizes)
    ? sql`select e.id, e.valid_from from mapping_entry e
            left join mapping_import_row s on ${staged(place, id)} and s.presented_key = e.presented_key
           where ${inForce(place)} and s.row is null`
    : sql`select e.id, e.valid_from from mapping_entry e
           where ${inForce(place)}
             and (select s.row from mapping_import_row s
                   where ${staged(place, id)} and s.presented_key = e.presented_key limit 1) is null`
  return endEntries(tx, place, revision, chosen)
}

/**
 * Entries go with this revision, and their addresses are free.
 * @param chosen  a select of their `id` and `valid_from`
 */
export async function endEntries(tx: Tx, place: Place, revision: number, chosen: RawBuilder<unknown>): Promise<void> {
  const { organisation, project } = place
  await sql`
    with chosen as materialized (${chosen}),
         ended as (
           update mapping_entry e set valid_to = ${revision}
             from chosen
            where e.organisation_id = ${organisation} and e.project_id = ${project}
              and e.id = chosen.id and e.valid_from = chosen.valid_from
           returning e.keys),
         -- A list by itself: unnested beside the entries, each of them would be compared with all addresses.
         freed as materialized (select unnest(keys) as key from ended)
    delete from mapping_address a
     using freed
     where a.organisation_id = ${organisation} and a.project_id = ${project} and a.key = freed.key`.execute(tx)
}

async function nextSlice(
  tx: Tx,
  place: Place,
  id: string,
  after: string | undefined,
): Promise<{ last: string; rows: number }> {
  const row = await rowOf<{ last: string | null; rows: number }>(
    tx,
    sql`select max(presented_key) as last, count(*) as rows
          from (select s.presented_key from mapping_import_row s
                 where ${staged(place, id)} and s.presented_key > ${after ?? ''}
                 order by s.presented_key limit ${ROWS_PER_SLICE}) as slice`,
  )
  return { last: row?.last ?? '', rows: row?.rows ?? 0 }
}

async function beginEntries(
  tx: Tx,
  place: Place,
  writing: Writing,
  after: string | undefined,
  last: string,
): Promise<void> {
  const { organisation, project } = place
  const { id, revision, source, author, now } = writing
  // An entry that ended with this very revision goes on under its id.
  await sql`
    with begun as (
      insert into mapping_entry (organisation_id, project_id, id, valid_from, presented_key, presented, mailbox, mailbox_domain, keys, wire,
                                 source, source_ref, author, created_at)
      select ${organisation}, ${project}, coalesce(was.id, s.id), ${revision}::bigint, s.presented_key, s.presented, s.mailbox,
             s.mailbox_domain, s.keys, s.wire, ${source}, s.source_ref, ${author}, ${new Date(now)}::timestamptz
        from mapping_import_row s
        left join lateral (${presentedSo(place)}) as e on true
        left join lateral (select was.id from mapping_entry was
                            where was.organisation_id = ${organisation} and was.project_id = ${project}
                              and was.valid_to = ${revision} and was.presented_key = s.presented_key limit 1) as was on true
       where ${staged(place, id)} and s.presented_key > ${after ?? ''} and s.presented_key <= ${last} and s.wire is not null
         and e.id is null
       order by s.presented_key
      returning id, keys)
    insert into mapping_address (organisation_id, project_id, key, entry_id)
    select ${organisation}, ${project}, k.key, begun.id from begun, unnest(begun.keys) as k(key)`.execute(tx)
}
