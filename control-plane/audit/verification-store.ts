// How far each chain was verified where it is kept, and what was found. (AU-3)
import { sql } from 'kysely'
import { rowOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { OrganisationId } from '../ids.ts'
import type { TrailFaultCode } from './verify-trail.ts'

export interface VerificationFault {
  readonly code: TrailFaultCode
  /** The first event that is not there, or not the one that was written; undefined where a key or checkpoint is at fault. */
  readonly event: number | undefined
}

export interface Verification {
  /** Events that hold, in this round. */
  readonly size: number
  /** Of the last of them. */
  readonly hash: Buffer
  /** When the round began, at the first event. */
  readonly roundStartedAt: Date
  /** When it was last gone through to its end. */
  readonly verifiedAt: Date | undefined
  readonly fault: VerificationFault | undefined
}

export async function findVerification(tx: Tx, organisation: OrganisationId): Promise<Verification | undefined> {
  const row = await rowOf<{
    size: number
    hash: Buffer
    round_started_at: Date
    verified_at: Date | null
    fault: TrailFaultCode | null
    fault_event: number | null
  }>(
    tx,
    sql`select size, hash, round_started_at, verified_at, fault, fault_event from audit_verification
         where organisation_id = ${organisation}`,
  )
  return (
    row && {
      size: row.size,
      hash: row.hash,
      roundStartedAt: row.round_started_at,
      verifiedAt: row.verified_at ?? undefined,
      fault: row.fault === null ? undefined : { code: row.fault, event: row.fault_event ?? undefined },
    }
  )
}

export async function storeVerification(
  tx: Tx,
  organisation: OrganisationId,
  { size, hash, roundStartedAt, verifiedAt, fault }: Verification,
): Promise<void> {
  const [verified, code, event] = [verifiedAt ?? null, fault?.code ?? null, fault?.event ?? null]
  await sql`
    insert into audit_verification (organisation_id, size, hash, round_started_at, verified_at, fault, fault_event)
    values (${organisation}, ${size}, ${hash}, ${roundStartedAt}, ${verified}, ${code}, ${event})
    on conflict (organisation_id) do update
      set size = excluded.size, hash = excluded.hash, round_started_at = excluded.round_started_at,
          verified_at = excluded.verified_at, fault = excluded.fault, fault_event = excluded.fault_event`.execute(tx)
}

/** Hash of one event; undefined: it is not there. */
export async function findEventHash(
  tx: Tx,
  organisation: OrganisationId,
  sequence: number,
): Promise<Buffer | undefined> {
  const row = await rowOf<{ hash: Buffer }>(
    tx,
    sql`select hash from audit_event where organisation_id = ${organisation} and sequence = ${sequence}`,
  )
  return row?.hash
}

export interface VerificationFigures {
  /** Chains that don't hold. */
  readonly broken: number
  /** s, since the chain that waits longest was gone through to its end */
  readonly oldest: number
}

/** The scope has purpose `reconcile`. */
export async function readVerificationFigures(tx: Tx, now: Date): Promise<VerificationFigures> {
  const row = await rowOf<VerificationFigures>(
    tx,
    sql`select count(*) filter (where v.fault is not null) as broken,
               coalesce(extract(epoch from ${now}::timestamptz - min(coalesce(v.verified_at, o.created_at))), 0)::float8 as oldest
          from organisation o left join audit_verification v on v.organisation_id = o.organisation_id`,
  )
  if (row === undefined) throw new Error('unreachable: an aggregate gives a row')
  return row
}
