// Pairs beside what is known of their accounts and what they have written, and what became of it. Scope: the organisation.
import { sql } from 'kysely'
import type { RawBuilder } from 'kysely'
import { rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { AccountId, PairId } from '../ids.ts'
import type { Place } from '../mapping/mapping.ts'
import type { Owner, PairAccount } from './pair-entry.ts'
import type { MappingReason, MappingState, PairState, Side } from './pair.ts'

const of = ({ organisation, project }: Place, alias: string): RawBuilder<unknown> => {
  const name = sql.ref(alias)
  return sql`${name}.organisation_id = ${organisation} and ${name}.project_id = ${project}`
}

export interface PairToSync {
  readonly id: PairId
  /** undefined: there is no such pair any more, only what it wrote. */
  readonly state: PairState | undefined
  readonly presents: Side
  readonly holds: Side
  readonly source: PairAccount & { readonly version: number | undefined }
  readonly target: PairAccount & { readonly version: number | undefined }
  /** That it wrote, in force. */
  readonly presentedKey: string | undefined
  readonly wire: string | undefined
}

interface Row {
  id: PairId
  state: PairState | null
  presents: Side | null
  holds: Side | null
  source_addresses: string[] | null
  source_x500: string[] | null
  source_version: number | null
  target_addresses: string[] | null
  target_x500: string[] | null
  target_version: number | null
  presented_key: string | null
  wire: string | null
}

/** As it is now, or was when it was last there: mail to somebody who left goes on being mapped until he is unpaired. */
const account = (place: Place, column: string): RawBuilder<unknown> => sql`
  select a.snapshot -> 'addresses' as addresses, a.snapshot -> 'x500' as x500, a.valid_from from account a
   where ${of(place, 'a')} and a.id = ${sql.ref(column)} order by a.valid_from desc limit 1`

export async function loadPairs(tx: Tx, place: Place, ids: readonly PairId[]): Promise<PairToSync[]> {
  const rows = await rowsOf<Row>(
    tx,
    sql`select wanted.id, p.state, p.presents, p.holds, s.addresses as source_addresses, s.x500 as source_x500,
               s.valid_from as source_version, t.addresses as target_addresses, t.x500 as target_x500,
               t.valid_from as target_version, e.presented_key, e.wire
          from unnest(${[...ids]}::text[]) with ordinality as wanted(id, place)
          left join lateral (select * from pair p where ${of(place, 'p')} and p.id = wanted.id limit 1) as p on true
          left join lateral (${account(place, 'p.source_account_id')}) as s on true
          left join lateral (${account(place, 'p.target_account_id')}) as t on true
          left join lateral (select e.presented_key, e.wire from mapping_entry e
                              where ${of(place, 'e')} and e.source_ref = wanted.id and e.source = 'pair' and e.valid_to is null
                              limit 1) as e on true
         order by wanted.place`,
  )
  return rows.map((row) => ({
    id: row.id,
    state: row.state ?? undefined,
    presents: row.presents ?? 'target',
    holds: row.holds ?? 'source',
    source: {
      addresses: row.source_addresses ?? [],
      x500: row.source_x500 ?? [],
      version: row.source_version ?? undefined,
    },
    target: {
      addresses: row.target_addresses ?? [],
      x500: row.target_x500 ?? [],
      version: row.target_version ?? undefined,
    },
    presentedKey: row.presented_key ?? undefined,
    wire: row.wire ?? undefined,
  }))
}

/** Those of these pairs whose entry is in force come first: what they have they keep. Else by id. */
export async function inTurn(tx: Tx, place: Place, ids: readonly PairId[]): Promise<PairId[]> {
  const rows = await rowsOf<{ id: PairId }>(
    tx,
    sql`select wanted.id from unnest(${[...ids]}::text[]) as wanted(id)
          left join mapping_entry e on ${of(place, 'e')} and e.source_ref = wanted.id and e.source = 'pair' and e.valid_to is null
         order by e.id is null, wanted.id collate "C"`,
  )
  return rows.map(({ id }) => id)
}

export interface OwnedKey {
  readonly key: string
  readonly owner: Owner
  readonly pair: string
}

/** Who has these addresses. */
export function findOwners(tx: Tx, place: Place, keys: readonly string[]): Promise<OwnedKey[]> {
  return rowsOf<OwnedKey>(
    tx,
    sql`select k.key, case e.source when 'pair' then 'pair' else 'manual' end as owner, e.source_ref as pair
          from unnest(${[...keys]}::text[]) as k(key)
         cross join lateral (select a.entry_id from mapping_address a where ${of(place, 'a')} and a.key = k.key limit 1) as a
         cross join lateral (select e.source, e.source_ref from mapping_entry e
                              where ${of(place, 'e')} and e.id = a.entry_id and e.valid_to is null limit 1) as e`,
  )
}

export interface SyncedPair {
  readonly id: PairId
  readonly state: MappingState
  readonly reason: MappingReason | ''
  readonly source: number | undefined
  readonly target: number | undefined
}

/** @param seen  snapshot version that there is once all is written */
export async function notePairs(tx: Tx, place: Place, synced: readonly SyncedPair[], seen: number): Promise<void> {
  await sql`
    update pair p
       set mapping_state = s.state, mapping_reason = s.reason, mapping_seen = ${seen}, source_version = s.source,
           target_version = s.target, version = p.version + case when p.mapping_state = s.state and p.mapping_reason = s.reason then 0 else 1 end
      from jsonb_to_recordset(${JSON.stringify(synced)}::jsonb) as s(id text, state text, reason text, source bigint, target bigint)
     where ${of(place, 'p')} and p.id = s.id`.execute(tx)
}

/** An address that one pair gives up can be another's in the same change: then its entry is replaced, not removed. */
export async function dropReplacedRemovals(tx: Tx, place: Place, staged: string): Promise<number> {
  await sql`
    delete from mapping_import_row r
     where ${of(place, 'r')} and r.import_id = ${staged} and r.wire is null
       and exists (select from mapping_import_row u
                    where ${of(place, 'u')} and u.import_id = ${staged} and u.presented_key = r.presented_key and u.wire is not null)`.execute(
    tx,
  )
  const row = await rowOf<{ count: number }>(
    tx,
    sql`select count(*) as count from mapping_import_row r where ${of(place, 'r')} and r.import_id = ${staged} and r.wire is null`,
  )
  return row?.count ?? 0
}

export async function snapshotVersion(tx: Tx, { organisation, project }: Place): Promise<number> {
  const row = await rowOf<{ snapshot_version: number }>(
    tx,
    sql`select snapshot_version from project where organisation_id = ${organisation} and id = ${project}`,
  )
  return row?.snapshot_version ?? 0
}

// ── What has to be looked at ───────────────────────────────────────────────────────────────────────────────────────

/** Confirmed pairs of these accounts. */
export async function confirmedPairsOf(tx: Tx, place: Place, accounts: readonly AccountId[]): Promise<PairId[]> {
  const rows = await rowsOf<{ id: PairId }>(
    tx,
    sql`select p.id from pair p
         where ${of(place, 'p')} and p.state = 'confirmed'
           and (p.source_account_id = any(${[...accounts]}::text[]) or p.target_account_id = any(${[...accounts]}::text[]))
         order by p.id`,
  )
  return rows.map(({ id }) => id)
}

/**
 * Pairs whose entry may not be as it should: an account has changed since it was written, it was not written, or not
 * whole, and the table or the domains have changed since; and what pairs wrote that are confirmed no more, or gone with their tenant.
 */
export async function findStale(tx: Tx, place: Place, limit: number): Promise<PairId[]> {
  const rows = await rowsOf<{ id: PairId }>(
    tx,
    sql`(select p.id from pair p
           join account s on ${of(place, 's')} and s.id = p.source_account_id and s.valid_to is null
           join account t on ${of(place, 't')} and t.id = p.target_account_id and t.valid_to is null
          where ${of(place, 'p')} and p.state = 'confirmed'
            and (s.valid_from is distinct from p.source_version or t.valid_from is distinct from p.target_version)
          limit ${limit})
        union
        (select p.id from pair p
           join project o on o.organisation_id = p.organisation_id and o.id = p.project_id
          where ${of(place, 'p')} and p.state = 'confirmed' and (p.mapping_state <> 'written' or p.mapping_reason <> '')
            and p.mapping_seen < o.snapshot_version
          limit ${limit})
        union
        (select e.source_ref from mapping_entry e
           left join pair p on ${of(place, 'p')} and p.id = e.source_ref and p.state = 'confirmed'
          where ${of(place, 'e')} and e.source = 'pair' and e.valid_to is null and p.id is null
          limit ${limit})`,
  )
  return rows.map(({ id }) => id)
}

/** Projects of the organisation in which pairs are confirmed, or have written something. */
export async function projectsWithPairs(tx: Tx, organisation: string): Promise<string[]> {
  const rows = await rowsOf<{ id: string }>(
    tx,
    sql`select o.id from project o
         where o.organisation_id = ${organisation}
           and (exists (select from pair p
                         where p.organisation_id = o.organisation_id and p.project_id = o.id and p.state = 'confirmed')
             or exists (select from mapping_entry e
                         where e.organisation_id = o.organisation_id and e.project_id = o.id and e.source = 'pair' and e.valid_to is null))
         order by o.id`,
  )
  return rows.map(({ id }) => id)
}
