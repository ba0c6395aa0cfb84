// Checkpoints in Postgres, and which chains need one. A checkpoint is made while the chain's head is locked, so each says truly which one came
// before it; its size is its key, so two processes make one. (AU-3)
import { sql } from 'kysely'
import type { RawBuilder } from 'kysely'
import { rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import { requestJob } from '../db/outbox.ts'
import type { OrganisationId } from '../ids.ts'
import { isPending } from '../jobs/dispatch-store.ts'
import { originOf } from './checkpoint.ts'
import type { SignedCheckpoint } from './checkpoint.ts'

/** As kept; the origin also needs the installation's first key. */
export interface StoredCheckpoint extends Omit<SignedCheckpoint, 'origin'> {
  readonly exportedAt: Date | undefined
}

export const withOrigin = (stored: StoredCheckpoint, firstKey: string, chain: string): SignedCheckpoint => {
  const { exportedAt, ...checkpoint } = stored
  void exportedAt
  return { ...checkpoint, origin: originOf(firstKey, chain) }
}

/** Locks the chain until the commit: nothing is appended meanwhile. undefined: there is no such organisation. */
export function lockChain(tx: Tx, organisation: OrganisationId): Promise<{ size: number; head: Buffer } | undefined> {
  return rowOf(tx, sql`select size, head from audit_chain where organisation_id = ${organisation} for no key update`)
}

export async function chainSize(tx: Tx, organisation: OrganisationId): Promise<number> {
  const row = await rowOf<{ size: number }>(
    tx,
    sql`select size from audit_chain where organisation_id = ${organisation}`,
  )
  return row?.size ?? 0
}

/** The newest one. */
export async function lastCheckpoint(tx: Tx, organisation: OrganisationId): Promise<StoredCheckpoint | undefined> {
  const [last] = await select(tx, sql`c.organisation_id = ${organisation}`, sql`c.size desc`, 1)
  return last
}

/** The newest first. @param below  undefined: from the newest */
export function listCheckpoints(
  tx: Tx,
  organisation: OrganisationId,
  below: number | undefined,
  limit: number,
): Promise<StoredCheckpoint[]> {
  const place = below === undefined ? sql`true` : sql`c.size < ${below}`
  return select(tx, sql`c.organisation_id = ${organisation} and ${place}`, sql`c.size desc`, limit)
}

/** Of sizes `from` to `to`, the smallest first. */
export function listCheckpointsBetween(
  tx: Tx,
  organisation: OrganisationId,
  from: number,
  to: number,
): Promise<StoredCheckpoint[]> {
  const between = sql`c.organisation_id = ${organisation} and c.size between ${from} and ${to}`
  return select(tx, between, sql`c.size`, undefined)
}

export async function insertCheckpoint(
  tx: Tx,
  organisation: OrganisationId,
  { size, hash, time, keyId, signature }: SignedCheckpoint,
): Promise<void> {
  await sql`
    insert into audit_checkpoint (organisation_id, size, hash, time, key_id, signature)
    values (${organisation}, ${size}, ${hash}, ${time}, ${keyId}, ${signature})`.execute(tx)
}

/** Not yet in all storages, the smallest first. @param after  size of the last one of the page before; 0: from the smallest */
export function listUnexported(
  tx: Tx,
  organisation: OrganisationId,
  after: number,
  limit: number,
): Promise<StoredCheckpoint[]> {
  const pending = sql`c.organisation_id = ${organisation} and c.exported_at is null and c.size > ${after}`
  return select(tx, pending, sql`c.size`, limit)
}

export async function markExported(tx: Tx, organisation: OrganisationId, size: number, now: Date): Promise<void> {
  await sql`update audit_checkpoint set exported_at = ${now}
             where organisation_id = ${organisation} and size = ${size}`.execute(tx)
}

/** Time of the oldest one, of all chains, that is not in all storages. The scope has purpose `reconcile`. */
export async function oldestUnexported(tx: Tx): Promise<Date | undefined> {
  const row = await rowOf<{ time: Date | null }>(
    tx,
    sql`select min(time) as time from audit_checkpoint where exported_at is null`,
  )
  return row?.time ?? undefined
}

export interface ChainState {
  readonly organisation: OrganisationId
  readonly size: number
  readonly last: { readonly size: number; readonly timeMs: number } | undefined
  readonly hasUnexported: boolean
}

/** Chains that have something no checkpoint covers, or a checkpoint that was not exported; by organisation. For scope `reconcile`. */
export async function listOpenChains(tx: Tx, after: string, limit: number): Promise<ChainState[]> {
  const rows = await rowsOf<{
    organisation_id: OrganisationId
    size: number
    last_size: number | null
    last_time: Date | null
    unexported: boolean
  }>(
    tx,
    sql`
    select c.organisation_id, c.size, l.size as last_size, l.time as last_time, u.unexported
      from audit_chain c
      left join lateral (select size, time from audit_checkpoint k
                          where k.organisation_id = c.organisation_id order by size desc limit 1) l on true
     cross join lateral (select exists (select from audit_checkpoint k
                          where k.organisation_id = c.organisation_id and k.exported_at is null) as unexported) u
     where c.organisation_id > ${after} and (c.size > coalesce(l.size, 0) or u.unexported)
     order by c.organisation_id limit ${limit}`,
  )
  return rows.map(({ organisation_id, size, last_size, last_time, unexported }) => ({
    organisation: organisation_id,
    size,
    last: last_size === null || last_time === null ? undefined : { size: last_size, timeMs: last_time.getTime() },
    hasUnexported: unexported,
  }))
}

/** Asks for the job, unless it is asked for or under way. */
export async function requestCheckpoint(tx: Tx, organisation: OrganisationId): Promise<void> {
  const row = await rowOf<{ is_pending: boolean }>(
    tx,
    sql`select ${isPending(organisation, 'audit.checkpoint', '')} as is_pending`,
  )
  if (row?.is_pending !== true) await requestJob(tx, { organisation }, 'audit.checkpoint')
}

interface CheckpointRow {
  size: number
  hash: Buffer
  time: Date
  key_id: string
  signature: Buffer
  exported_at: Date | null
  previous: number
}

async function select(
  tx: Tx,
  where: RawBuilder<unknown>,
  order: RawBuilder<unknown>,
  limit: number | undefined,
): Promise<StoredCheckpoint[]> {
  const rows = await rowsOf<CheckpointRow>(
    tx,
    sql`
    select c.size, c.hash, c.time, c.key_id, c.signature, c.exported_at,
           coalesce((select max(p.size) from audit_checkpoint p
                      where p.organisation_id = c.organisation_id and p.size < c.size), 0) as previous
      from audit_checkpoint c
     where ${where} order by ${order} ${limit === undefined ? sql`` : sql`limit ${limit}`}`,
  )
  return rows.map(({ size, hash, time, key_id, signature, exported_at, previous }) => ({
    size,
    hash,
    time: time.toISOString(),
    previous,
    keyId: key_id,
    signature,
    exportedAt: exported_at ?? undefined,
  }))
}
