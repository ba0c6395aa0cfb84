// What may be told of the secrets that a project's relays share: which there are, and since when. Never what they are (KM-5).
import { sql } from 'kysely'
import { countOf, rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { PageRequest } from '../http/page.ts'
import type { TenantId } from '../ids.ts'
import type { ProjectPlace } from './relay-secret-store.ts'

export interface ProofTokenView {
  readonly tenant: TenantId
  readonly direction: 'out' | 'in'
  readonly state: 'current' | 'previous'
  readonly id: string
  readonly createdAt: Date
}

/** Of one tenant, or of all; by tenant, direction and state. */
export async function listProofTokens(
  tx: Tx,
  { organisation, project }: ProjectPlace,
  tenant?: TenantId,
): Promise<ProofTokenView[]> {
  const rows = await rowsOf<Omit<ProofTokenView, 'createdAt'> & { created_at: Date }>(
    tx,
    sql`select tenant_id as tenant, direction, state, id, created_at from proof_token
         where organisation_id = ${organisation} and project_id = ${project}
           and ${tenant === undefined ? sql`true` : sql`tenant_id = ${tenant}`}
         order by tenant_id, direction, state`,
  )
  return rows.map(({ created_at: createdAt, ...row }) => ({ ...row, createdAt }))
}

export interface MarkerView {
  readonly version: number
  readonly createdAt: Date
  /** When it was replaced last. */
  readonly tokenAt: Date | undefined
  readonly secretAt: Date | undefined
  /** Since when the newest token waits for the tenants' rules; undefined: relays stamp it. */
  readonly tokenPendingSince: Date | undefined
}

/** undefined: the project has none yet; it is made with the first push. */
export async function viewMarker(tx: Tx, { organisation, project }: ProjectPlace): Promise<MarkerView | undefined> {
  const row = await rowOf<{
    version: number
    created_at: Date
    token_at: Date | null
    secret_at: Date | null
    token_pending_since: Date | null
  }>(
    tx,
    sql`select version, created_at, token_at, secret_at, token_pending_since from relay_marker
         where organisation_id = ${organisation} and project_id = ${project}`,
  )
  return (
    row && {
      version: row.version,
      createdAt: row.created_at,
      tokenAt: row.token_at ?? undefined,
      secretAt: row.secret_at ?? undefined,
      tokenPendingSince: row.token_pending_since ?? undefined,
    }
  )
}

export interface NonceView {
  readonly id: string
  readonly createdAt: Date
  readonly expiresAt: Date
}

/** Those in date, the oldest first; one more than the page holds where there are more. */
export async function listNonces(
  tx: Tx,
  { organisation, project }: ProjectPlace,
  now: Date,
  { after, limit }: PageRequest,
): Promise<NonceView[]> {
  const rows = await rowsOf<{ id: string; created_at: Date; expires_at: Date }>(
    tx,
    sql`select id, created_at, expires_at from relay_nonce
         where organisation_id = ${organisation} and project_id = ${project} and expires_at > ${now}
           and ${after === undefined ? sql`true` : sql`(date_trunc('milliseconds', created_at), id) > (${new Date(Number(after[0]))}, ${after[1]})`}
         order by date_trunc('milliseconds', created_at), id limit ${limit + 1}`,
  )
  return rows.map((row) => ({ id: row.id, createdAt: row.created_at, expiresAt: row.expires_at }))
}

/** @returns false when there is none of this id */
export async function removeNonce(tx: Tx, { organisation, project }: ProjectPlace, id: string): Promise<boolean> {
  const removed = await countOf(
    tx,
    sql`delete from relay_nonce where organisation_id = ${organisation} and project_id = ${project} and id = ${id}`,
  )
  return removed === 1
}
