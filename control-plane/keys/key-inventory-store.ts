// The inventory of keys and certificates in Postgres (KM-7).
import { sql } from 'kysely'
import type { RawBuilder } from 'kysely'
import { countOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import { ALARM_DAYS } from './key-inventory.ts'
import type { AlarmDays, InventoryEntry, KeyKind } from './key-inventory.ts'

const DAY_MS = 86_400_000
const HOUR_MS = 3_600_000

/** Adds the key, or gives it a new owner and end; a new end is a new story for alarms. */
export async function recordKey(tx: Tx, entry: Omit<InventoryEntry, 'lastUsedAt' | 'alarmedDays'>): Promise<void> {
  const { organisation, kind, id, project, owner, createdAt, expiresAt } = entry
  await sql`insert into key_inventory (organisation_id, kind, id, project_id, owner, created_at, expires_at)
            values (${organisation}, ${kind}, ${id}, ${project ?? null}, ${owner}, ${createdAt}, ${expiresAt ?? null})
            on conflict (organisation_id, kind, id) do update
               set owner = excluded.owner, expires_at = excluded.expires_at,
                   alarmed_days = case when key_inventory.expires_at is not distinct from excluded.expires_at
                                       then key_inventory.alarmed_days end`.execute(tx)
}

/** Notes the use to the hour, so that a busy key is not written all the time. */
export async function recordUse(
  tx: Tx,
  organisation: string,
  kind: KeyKind,
  ids: readonly string[],
  now: Date,
): Promise<void> {
  await sql`update key_inventory set last_used_at = ${now}
             where organisation_id = ${organisation} and kind = ${kind} and id = any(${ids}::text[])
               and (last_used_at is null or last_used_at <= ${new Date(now.getTime() - HOUR_MS)})`.execute(tx)
}

export async function removeKey(tx: Tx, organisation: string, kind: KeyKind, id: string): Promise<void> {
  await sql`delete from key_inventory where organisation_id = ${organisation} and kind = ${kind} and id = ${id}`.execute(
    tx,
  )
}

/** Keys whose next alarm is due, the nearest end first; with purpose `reconcile` those of all organisations. @param limit  at most so many */
export async function listExpiring(tx: Tx, now: Date, limit: number): Promise<InventoryEntry[]> {
  const ends = ALARM_DAYS.map((days) => new Date(now.getTime() + days * DAY_MS))
  const rows = await rowsOf<InventoryRow>(
    tx,
    sql`select organisation_id, kind, id, project_id, owner, created_at, expires_at, last_used_at, alarmed_days
          from key_inventory
         where expires_at <= ${ends[0]}
           and exists (select from unnest(${[...ALARM_DAYS]}::integer[], ${ends}::timestamptz[]) as alarm (days, until)
                        where expires_at <= alarm.until and (alarmed_days is null or alarmed_days > alarm.days))
         order by expires_at, organisation_id, kind, id
         limit ${limit}`,
  )
  return rows.map(toEntry)
}

/** @returns false when somebody else has raised it, or the key was renewed or removed meanwhile */
export async function recordAlarm(
  tx: Tx,
  { organisation, kind, id, expiresAt }: InventoryEntry,
  days: AlarmDays,
): Promise<boolean> {
  const recorded = await countOf(
    tx,
    sql`update key_inventory set alarmed_days = ${days}
         where organisation_id = ${organisation} and kind = ${kind} and id = ${id} and expires_at = ${expiresAt ?? null}
           and (alarmed_days is null or alarmed_days > ${days})`,
  )
  return recorded === 1
}

/** Older project keys than `current` stay for reading what they sealed: their end is no matter for an alarm any more. */
export async function liftExpiry(
  tx: Tx,
  organisation: string,
  project: string | undefined,
  current: string,
): Promise<void> {
  await sql`update key_inventory set expires_at = null, alarmed_days = null
             where organisation_id = ${organisation} and kind = 'project-key' and project_id is not distinct from ${project ?? null}
               and id <> ${current} and expires_at is not null`.execute(tx)
}

/** The nearest end of each kind that has one; with purpose `reconcile` of all organisations. */
export async function nearestEnds(tx: Tx): Promise<ReadonlyMap<KeyKind, Date>> {
  const rows = await rowsOf<{ kind: KeyKind; nearest: Date }>(
    tx,
    sql`select kind, min(expires_at) as nearest from key_inventory where expires_at is not null group by kind`,
  )
  return new Map(rows.map(({ kind, nearest }) => [kind, nearest]))
}

/** A key as its owners see it: of project keys which version it is, and whether new data gets it. */
export interface ListedKey extends InventoryEntry {
  readonly version: number | undefined
  readonly state: 'current' | 'previous' | undefined
}

export interface KeyFilter {
  readonly project: string | undefined
  readonly kind: KeyKind | undefined
  readonly expiresBefore: Date | undefined
  /** Kind and id of the last one on the page before. */
  readonly after: readonly [string, string] | undefined
}

/** By kind and id. */
export async function listKeys(
  tx: Tx,
  organisation: string,
  { project, kind, expiresBefore, after }: KeyFilter,
  limit: number,
): Promise<ListedKey[]> {
  const conditions: RawBuilder<unknown>[] = [
    sql`i.organisation_id = ${organisation}`,
    ...(project === undefined ? [] : [sql`i.project_id = ${project}`]),
    ...(kind === undefined ? [] : [sql`i.kind = ${kind}`]),
    ...(expiresBefore === undefined ? [] : [sql`i.expires_at < ${expiresBefore}`]),
    ...(after === undefined ? [] : [sql`(i.kind, i.id) > (${after[0]}, ${after[1]})`]),
  ]
  const rows = await rowsOf<InventoryRow & { version: number | null; state: ListedKey['state'] | null }>(
    tx,
    sql`select i.organisation_id, i.kind, i.id, i.project_id, i.owner, i.created_at, i.expires_at, i.last_used_at, i.alarmed_days,
               k.version, k.state
          from key_inventory i
          left join project_key k on k.organisation_id = i.organisation_id and k.id = i.id and i.kind = 'project-key'
         where ${sql.join(conditions, sql` and `)}
         order by i.kind, i.id
         limit ${limit}`,
  )
  return rows.map((row) => ({ ...toEntry(row), version: row.version ?? undefined, state: row.state ?? undefined }))
}

interface InventoryRow {
  organisation_id: string
  kind: KeyKind
  id: string
  project_id: string | null
  owner: string
  created_at: Date
  expires_at: Date | null
  last_used_at: Date | null
  alarmed_days: AlarmDays | null
}

const toEntry = (row: InventoryRow): InventoryEntry => ({
  organisation: row.organisation_id,
  kind: row.kind,
  id: row.id,
  project: row.project_id ?? undefined,
  owner: row.owner,
  createdAt: row.created_at,
  expiresAt: row.expires_at ?? undefined,
  lastUsedAt: row.last_used_at ?? undefined,
  alarmedDays: row.alarmed_days ?? undefined,
})
