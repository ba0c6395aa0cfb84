// Sessions and sign-ins under way in the database: both are found by hashes only, so that whoever reads the database can take over neither. (AZ-2)
import { sql } from 'kysely'
import { countOf, rowOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import { IDLE_MS } from './session.ts'
import type { SessionTimes } from './session.ts'

export interface Session extends SessionTimes {
  /** Hex SHA-256 of the cookie. */
  readonly idHash: string
  readonly principal: string
  readonly displayName: string
  readonly csrfHash: string
  /** The provider's refresh token, sealed; undefined: there is no provider behind it. */
  readonly refreshSealed: Uint8Array | undefined
  readonly authenticatedAt: number
}

interface Row {
  readonly id_hash: string
  readonly principal: string
  readonly display_name: string
  readonly csrf_hash: string
  readonly refresh_sealed: Buffer | null
  readonly is_break_glass: boolean
  readonly authenticated_at: Date
  readonly checked_at: Date
  readonly last_used_at: Date
  readonly expires_at: Date
}

/** Scope: the session's hash as credential. */
export async function findSession(tx: Tx, idHash: string): Promise<Session | undefined> {
  const row = await rowOf<Row>(
    tx,
    sql`select id_hash, principal, display_name, csrf_hash, refresh_sealed, is_break_glass, authenticated_at, checked_at,
               last_used_at, expires_at
          from session where id_hash = ${idHash}`,
  )
  return row && toSession(row)
}

const toSession = (row: Row): Session => ({
  idHash: row.id_hash,
  principal: row.principal,
  displayName: row.display_name,
  csrfHash: row.csrf_hash,
  refreshSealed: row.refresh_sealed ?? undefined,
  isBreakGlass: row.is_break_glass,
  authenticatedAt: row.authenticated_at.getTime(),
  checkedAt: row.checked_at.getTime(),
  lastUsedAt: row.last_used_at.getTime(),
  expiresAt: row.expires_at.getTime(),
})

/** Scope: the principal. */
export async function insertSession(tx: Tx, session: Session, createdAt: Date): Promise<void> {
  const { idHash, principal, displayName, csrfHash, refreshSealed, isBreakGlass } = session
  await sql`
    insert into session (id_hash, principal, display_name, csrf_hash, refresh_sealed, is_break_glass, created_at, authenticated_at,
                         checked_at, last_used_at, expires_at)
    values (${idHash}, ${principal}, ${displayName}, ${csrfHash}, ${refreshSealed ?? null}, ${isBreakGlass}, ${createdAt},
            ${new Date(session.authenticatedAt)}, ${new Date(session.checkedAt)}, ${new Date(session.lastUsedAt)},
            ${new Date(session.expiresAt)})`.execute(tx)
}

/** Scope: the session's hash as credential. */
export async function noteSessionUse(tx: Tx, idHash: string, now: number): Promise<void> {
  const at = new Date(now)
  await sql`update session set last_used_at = ${at} where id_hash = ${idHash} and last_used_at < ${at}`.execute(tx)
}

/**
 * The provider's answer, unless another one came first. Scope: the session's hash as credential.
 * @param before  the refresh token that was asked with
 */
export async function storeCheck(
  tx: Tx,
  idHash: string,
  before: Uint8Array,
  { refreshSealed, displayName, checkedAt }: Pick<Session, 'displayName' | 'checkedAt'> & { refreshSealed: Uint8Array },
): Promise<void> {
  await sql`
    update session set refresh_sealed = ${refreshSealed}, display_name = ${displayName}, checked_at = ${new Date(checkedAt)}
     where id_hash = ${idHash} and refresh_sealed = ${before}`.execute(tx)
}

/** Scope: the session's hash as credential. @param before  only while it has this refresh token. @returns false when it was gone */
export async function deleteSession(tx: Tx, idHash: string, before?: Uint8Array): Promise<boolean> {
  const isUnchanged = before === undefined ? sql`true` : sql`refresh_sealed = ${before}`
  return (await countOf(tx, sql`delete from session where id_hash = ${idHash} and ${isUnchanged}`)) === 1
}

/** Scope: the principal. @returns how many there were */
export async function deleteSessionsOf(tx: Tx, principal: string): Promise<number> {
  return countOf(tx, sql`delete from session where principal = ${principal}`)
}

/** What has ended and nobody asked for since: sessions and sign-ins. Scope: the purpose `retention`. @returns how many rows went */
export async function sweepSessions(tx: Tx, now: Date): Promise<number> {
  const idleSince = new Date(now.getTime() - IDLE_MS)
  const sessions = await countOf(
    tx,
    sql`delete from session where expires_at <= ${now} or last_used_at <= ${idleSince}`,
  )
  return sessions + (await countOf(tx, sql`delete from sign_in_flow where expires_at <= ${now}`))
}

// ── Sign-ins under way ─────────────────────────────────────────────────────────────────────────────────────────────

/** Scope: the hash as credential. */
export async function insertFlow(tx: Tx, stateHash: string, flowSealed: Uint8Array, expiresAt: Date): Promise<void> {
  await sql`insert into sign_in_flow (state_hash, flow_sealed, expires_at) values (${stateHash}, ${flowSealed}, ${expiresAt})`.execute(
    tx,
  )
}

/** Takes it away: of two callbacks at once one gets it. Scope: the hash as credential. */
export async function takeFlow(tx: Tx, stateHash: string): Promise<Buffer | undefined> {
  const row = await rowOf<{ flow_sealed: Buffer }>(
    tx,
    sql`delete from sign_in_flow where state_hash = ${stateHash} returning flow_sealed`,
  )
  return row?.flow_sealed
}
