// The secrets that a project's relays share, sealed: marker keys (R76), tenant-proof tokens (SP-4), nonces (SP-11). They are written here and
// read for pushes and by what sets the tenants up; no route shows them (KM-5).
import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import { countOf, rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import { newId } from '../ids.ts'
import type { OrganisationId, ProjectId, TenantId } from '../ids.ts'
import { placeInRow } from '../keys/sealed-columns.ts'
import type { SealedColumn } from '../keys/sealed-columns.ts'
import type { Sealer } from '../keys/sealer.ts'

const columnOf = (table: string, column: string, key: SealedColumn['key']): SealedColumn => ({
  table,
  column,
  key,
  sealedBy: 'project',
})
export const MARKER_COLUMN = columnOf('relay_marker', 'keys_sealed', ['project_id'])
export const PROOF_TOKEN_COLUMN = columnOf('proof_token', 'token_sealed', ['id'])
export const NONCE_COLUMN = columnOf('relay_nonce', 'nonce_sealed', ['id'])

export interface ProjectPlace {
  readonly organisation: OrganisationId
  readonly project: ProjectId
}

export interface MarkerKeys {
  /** That relays stamp. */
  readonly token: string
  /** The other one that they know: the one before, or one that is stamped once the tenants' rules name it (marker-rotation-store.ts). */
  readonly previousToken?: string
  readonly secret: string
  readonly previousSecret?: string
}

export interface ProofToken {
  readonly tenant: TenantId
  readonly direction: 'out' | 'in'
  readonly state: 'current' | 'previous'
  readonly token: string
}

export interface Nonce {
  readonly nonce: string
  readonly until: Date
}

const DIRECTIONS = ['out', 'in'] as const
/** One word for a mail flow rule: letters and digits only, so that it isn't split. */
export const newMarkerToken = (): string => randomBytes(16).toString('hex')
export const newSecret = (): string => randomBytes(32).toString('base64url')

// ── Marker ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** undefined: the project has none yet. */
export async function findMarker(tx: Tx, sealer: Sealer, place: ProjectPlace): Promise<MarkerKeys | undefined> {
  const row = await rowOf<{ keys_sealed: Buffer }>(
    tx,
    sql`select keys_sealed from relay_marker where organisation_id = ${place.organisation} and project_id = ${place.project}`,
  )
  if (row === undefined) return undefined
  const { purpose, context } = placeInRow(MARKER_COLUMN, [place.project])
  return JSON.parse((await sealer.open(tx, place, purpose, context, row.keys_sealed)).toString()) as MarkerKeys // written below
}

/** Makes them unless they are there. */
export async function ensureMarker(tx: Tx, sealer: Sealer, place: ProjectPlace, now: Date): Promise<void> {
  const { rows } = await sql`select 1 from relay_marker
    where organisation_id = ${place.organisation} and project_id = ${place.project}`.execute(tx)
  if (rows.length > 0) return
  const sealed = await sealMarker(tx, sealer, place, { token: newMarkerToken(), secret: newSecret() })
  await sql`insert into relay_marker (organisation_id, project_id, keys_sealed, created_at)
            values (${place.organisation}, ${place.project}, ${sealed}, ${now})
            on conflict do nothing`.execute(tx)
}

/** As the row keeps them. */
export function sealMarker(tx: Tx, sealer: Sealer, place: ProjectPlace, keys: MarkerKeys): Promise<Buffer> {
  const { purpose, context } = placeInRow(MARKER_COLUMN, [place.project])
  return sealer.seal(tx, place, purpose, context, Buffer.from(JSON.stringify(keys)))
}

// ── Tenant proof ──────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Sees to it that every tenant of the project has a token for each direction. Safe at any time; nobody's token is changed.
 *
 * @returns how many were made
 */
export async function ensureProofTokens(tx: Tx, sealer: Sealer, place: ProjectPlace, now: Date): Promise<number> {
  const missing = await rowsOf<{ tenant_id: TenantId; direction: 'out' | 'in' }>(
    tx,
    sql`select t.id as tenant_id, d.direction
          from tenant_connection t cross join unnest(${[...DIRECTIONS]}::text[]) as d (direction)
         where t.organisation_id = ${place.organisation} and t.project_id = ${place.project}
           and not exists (select from proof_token p
                            where p.organisation_id = t.organisation_id and p.project_id = t.project_id
                              and p.tenant_id = t.id and p.direction = d.direction and p.state = 'current')`,
  )
  let made = 0
  for (const { tenant_id, direction } of missing) made += await addToken(tx, sealer, place, tenant_id, direction, now)
  return made
}

/** A new token; the one before stays valid until the next rotation, or `endPreviousToken`. The caller bumps the settings version. */
export async function rotateProofToken(
  tx: Tx,
  sealer: Sealer,
  place: ProjectPlace,
  tenant: TenantId,
  direction: 'out' | 'in',
  now: Date,
): Promise<void> {
  await endPreviousToken(tx, place, tenant, direction)
  await sql`update proof_token set state = 'previous' where ${ofTenant(place, tenant, direction)} and state = 'current'`.execute(
    tx,
  )
  await addToken(tx, sealer, place, tenant, direction, now)
}

/** The tenant's rules set the new one: the old one proves nothing any more. The caller bumps the settings version. */
export async function endPreviousToken(
  tx: Tx,
  place: ProjectPlace,
  tenant: TenantId,
  direction: 'out' | 'in',
): Promise<void> {
  await sql`delete from proof_token where ${ofTenant(place, tenant, direction)} and state = 'previous'`.execute(tx)
}

export async function readProofTokens(tx: Tx, sealer: Sealer, place: ProjectPlace): Promise<ProofToken[]> {
  const rows = await rowsOf<{
    id: string
    tenant_id: TenantId
    direction: 'out' | 'in'
    state: 'current' | 'previous'
    token_sealed: Buffer
  }>(
    tx,
    sql`select id, tenant_id, direction, state, token_sealed from proof_token
         where organisation_id = ${place.organisation} and project_id = ${place.project}
         order by tenant_id, direction, state`,
  )
  const tokens: ProofToken[] = []
  for (const { id, tenant_id, direction, state, token_sealed } of rows) {
    const { purpose, context } = placeInRow(PROOF_TOKEN_COLUMN, [id])
    const token = (await sealer.open(tx, place, purpose, context, token_sealed)).toString()
    tokens.push({ tenant: tenant_id, direction, state, token })
  }
  return tokens
}

async function addToken(
  tx: Tx,
  sealer: Sealer,
  place: ProjectPlace,
  tenant: TenantId,
  direction: 'out' | 'in',
  now: Date,
): Promise<number> {
  const id = newId('proof-token')
  const { purpose, context } = placeInRow(PROOF_TOKEN_COLUMN, [id])
  const sealed = await sealer.seal(tx, place, purpose, context, Buffer.from(newSecret()))
  return countOf(
    tx,
    sql`insert into proof_token (organisation_id, project_id, id, tenant_id, direction, state, token_sealed, created_at)
        values (${place.organisation}, ${place.project}, ${id}, ${tenant}, ${direction}, 'current', ${sealed}, ${now})
        on conflict do nothing`,
  )
}

const ofTenant = (place: ProjectPlace, tenant: TenantId, direction: 'out' | 'in') =>
  sql`organisation_id = ${place.organisation} and project_id = ${place.project} and tenant_id = ${tenant} and direction = ${direction}`

// ── Nonces ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Made for one validation or probe. The caller bumps the settings version. @returns it, for the address */
export async function addNonce(
  tx: Tx,
  sealer: Sealer,
  place: ProjectPlace,
  until: Date,
  now: Date,
  id = newId('nonce'),
): Promise<string> {
  const nonce = randomBytes(16).toString('hex')
  const { purpose, context } = placeInRow(NONCE_COLUMN, [id])
  const sealed = await sealer.seal(tx, place, purpose, context, Buffer.from(nonce))
  await sql`delete from relay_nonce
             where organisation_id = ${place.organisation} and project_id = ${place.project} and expires_at <= ${now}`.execute(
    tx,
  )
  await sql`insert into relay_nonce (organisation_id, project_id, id, nonce_sealed, created_at, expires_at)
            values (${place.organisation}, ${place.project}, ${id}, ${sealed}, ${now}, ${until})`.execute(tx)
  return nonce
}

/** Those out of date. @returns how many went, at most `limit` */
export function sweepNonces(tx: Tx, organisation: OrganisationId, now: Date, limit: number): Promise<number> {
  return countOf(
    tx,
    sql`delete from relay_nonce where (organisation_id, project_id, id) in (
          select organisation_id, project_id, id from relay_nonce
           where organisation_id = ${organisation} and expires_at <= ${now} limit ${limit})`,
  )
}

/** Those in date. */
export async function readNonces(tx: Tx, sealer: Sealer, place: ProjectPlace, now: Date): Promise<Nonce[]> {
  const rows = await rowsOf<{ id: string; nonce_sealed: Buffer; expires_at: Date }>(
    tx,
    sql`select id, nonce_sealed, expires_at from relay_nonce
         where organisation_id = ${place.organisation} and project_id = ${place.project} and expires_at > ${now}
         order by created_at, id`,
  )
  const nonces: Nonce[] = []
  for (const { id, nonce_sealed, expires_at } of rows) {
    const { purpose, context } = placeInRow(NONCE_COLUMN, [id])
    nonces.push({ nonce: (await sealer.open(tx, place, purpose, context, nonce_sealed)).toString(), until: expires_at })
  }
  return nonces
}
