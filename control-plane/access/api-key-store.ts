// API keys in the database: by hash, never as text (AZ-8). Scope: the organisation. What a request's key is found by is in authenticate.ts.
import { sql } from 'kysely'
import { countOf, rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { ApiKeyId, MemberId, OrganisationId, ProjectId } from '../ids.ts'
import { recordKey, removeKey } from '../keys/key-inventory-store.ts'
import type { ApiKey, KeyState } from './api-key-shape.ts'
import type { Permission } from './permissions.ts'

interface Row {
  readonly id: ApiKeyId
  readonly name: string
  readonly prefix: string
  readonly principal: string
  readonly is_service: boolean
  readonly permissions: Permission[]
  readonly project_id: string
  readonly allows_dangerous: boolean
  readonly created_at: Date
  readonly expires_at: Date
  readonly last_used_at: Date | null
  readonly revoked_at: Date | null
}

const COLUMNS = sql`id, name, prefix, principal, is_service, permissions, project_id, allows_dangerous, created_at, expires_at,
  last_used_at, revoked_at`

const toKey = (row: Row): ApiKey => ({
  id: row.id,
  name: row.name,
  prefix: row.prefix,
  principal: row.principal,
  isService: row.is_service,
  permissions: row.permissions,
  project: row.project_id === '' ? undefined : (row.project_id as ProjectId),
  allowsDangerous: row.allows_dangerous,
  createdAt: row.created_at,
  expiresAt: row.expires_at,
  lastUsedAt: row.last_used_at ?? undefined,
  revokedAt: row.revoked_at ?? undefined,
})

/** Whose keys are seen: all; the personal ones of somebody; one. */
export type KeyView =
  | { readonly kind: 'all' }
  | { readonly kind: 'of'; readonly principal: string }
  | { readonly kind: 'one'; readonly id: ApiKeyId }

export interface KeyFilter {
  readonly isService?: boolean | undefined
  readonly state?: KeyState | undefined
  readonly project?: string | undefined
}

/** Newest first. */
export async function listApiKeys(
  tx: Tx,
  organisation: OrganisationId,
  view: KeyView,
  { isService, state, project }: KeyFilter,
  now: Date,
  after: { readonly createdAt: Date; readonly id: string } | undefined,
  limit: number,
): Promise<ApiKey[]> {
  const rows = await rowsOf<Row>(
    tx,
    sql`
    select ${COLUMNS} from api_key
     where organisation_id = ${organisation}
       and ${seen(view)}
       and ${isService === undefined ? sql`true` : sql`is_service = ${isService}`}
       and ${project === undefined ? sql`true` : sql`project_id = ${project}`}
       and ${state === undefined ? sql`true` : inState(state, now)}
       and ${after === undefined ? sql`true` : sql`(created_at, id) < (${after.createdAt}, ${after.id})`}
     order by created_at desc, id desc
     limit ${limit}`,
  )
  return rows.map(toKey)
}

function seen(view: KeyView) {
  if (view.kind === 'all') return sql`true`
  return view.kind === 'one' ? sql`id = ${view.id}` : sql`principal = ${view.principal} and not is_service`
}

function inState(state: KeyState, now: Date) {
  if (state === 'revoked') return sql`revoked_at is not null`
  return state === 'active'
    ? sql`revoked_at is null and expires_at > ${now}`
    : sql`revoked_at is null and expires_at <= ${now}`
}

export async function findApiKey(tx: Tx, organisation: OrganisationId, id: ApiKeyId): Promise<ApiKey | undefined> {
  const row = await rowOf<Row>(
    tx,
    sql`select ${COLUMNS} from api_key where organisation_id = ${organisation} and id = ${id}`,
  )
  return row && toKey(row)
}

export async function hasHadApiKey(tx: Tx, organisation: OrganisationId): Promise<boolean> {
  return (await rowOf(tx, sql`select 1 from api_key where organisation_id = ${organisation} limit 1`)) !== undefined
}

const INVENTORY_FROM_MS = 30 * 86_400_000

/**
 * @param keyHash  `credentialHash`
 * @param member  whose it is; undefined for a service key
 */
export async function insertApiKey(
  tx: Tx,
  organisation: OrganisationId,
  key: ApiKey,
  keyHash: string,
  member: MemberId | undefined,
): Promise<void> {
  const { id, name, prefix, principal, isService, permissions, project, allowsDangerous, createdAt, expiresAt } = key
  await sql`
    insert into api_key (organisation_id, id, name, prefix, key_hash, principal, is_service, member_id, permissions, project_id,
                         allows_dangerous, created_at, expires_at)
    values (${organisation}, ${id}, ${name}, ${prefix}, ${keyHash}, ${principal}, ${isService}, ${member ?? null},
            ${[...permissions]}, ${project ?? ''}, ${allowsDangerous}, ${createdAt}, ${expiresAt})`.execute(tx)
  // KM-7: whoever makes a shorter one has its end in mind already, and an alarm at its birth would tell nobody anything.
  if (expiresAt.getTime() - createdAt.getTime() <= INVENTORY_FROM_MS) return
  const owner = isService ? 'a service' : 'a person'
  await recordKey(tx, { organisation, kind: 'api-key', id, project, owner, createdAt, expiresAt })
}

/** @returns false when it was revoked before */
export async function revokeApiKey(
  tx: Tx,
  organisation: OrganisationId,
  id: ApiKeyId,
  revokedAt: Date,
): Promise<boolean> {
  const revoked = await countOf(
    tx,
    sql`update api_key set revoked_at = ${revokedAt}
         where organisation_id = ${organisation} and id = ${id} and revoked_at is null`,
  )
  await removeKey(tx, organisation, 'api-key', id)
  return revoked === 1
}
