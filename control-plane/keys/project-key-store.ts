// Project keys in Postgres: wrapped, with their state. All calls want a transaction in the scope of `homeOf(owner)`.
import { sql } from 'kysely'
import { countOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import { homeOf, projectOf } from './key-owner.ts'
import type { KeyOwner } from './key-owner.ts'
import type { Destruction, WrappedKey } from './key-provider.ts'

interface KeyFacts {
  /** Hex of 16 octets. */
  readonly id: string
  /** From 1, dense. */
  readonly version: number
  readonly createdAt: Date
}

export type ProjectKey = KeyFacts &
  (
    | { readonly state: 'current' | 'previous'; readonly wrapped: WrappedKey }
    | { readonly state: 'destroyed'; readonly destroyedAt: Date; readonly isDestroyedAtProvider: boolean }
  )

interface KeyRow {
  id: string
  version: number
  state: ProjectKey['state']
  provider: string
  provider_key: string
  provider_version: string
  wrapped: Buffer | null
  created_at: Date
  destroyed_at: Date | null
  provider_destroyed_at: Date | null
}

/** Of an owner, oldest first. */
export async function listProjectKeys(tx: Tx, owner: KeyOwner): Promise<ProjectKey[]> {
  const rows = await rowsOf<KeyRow>(
    tx,
    sql`select id, version, state, provider, provider_key, provider_version, wrapped, created_at, destroyed_at, provider_destroyed_at
          from project_key
         where organisation_id = ${homeOf(owner)} and project_id is not distinct from ${projectOf(owner)}
         order by version`,
  )
  return rows.map(toProjectKey)
}

function toProjectKey(row: KeyRow): ProjectKey {
  const facts = { id: row.id, version: row.version, createdAt: row.created_at }
  if (row.wrapped === null || row.state === 'destroyed') {
    if (row.destroyed_at === null)
      throw new Error('unreachable: a project key without wrapped octets or date of destruction')
    return {
      ...facts,
      state: 'destroyed',
      destroyedAt: row.destroyed_at,
      isDestroyedAtProvider: row.provider_destroyed_at !== null,
    }
  }
  const { provider, provider_key: key, provider_version: version, wrapped: bytes } = row
  return { ...facts, state: row.state, wrapped: { provider, key, version, bytes } }
}

/** Makes `next` the current key in place of the version before it. @returns false when that one isn't current any more: somebody was faster */
export async function addProjectKey(
  tx: Tx,
  owner: KeyOwner,
  next: KeyFacts & { readonly wrapped: WrappedKey },
): Promise<boolean> {
  const { id, version, createdAt, wrapped } = next
  if (version > 1) {
    const replaced = await countOf(
      tx,
      sql`update project_key set state = 'previous', replaced_at = ${createdAt}
           where organisation_id = ${homeOf(owner)} and project_id is not distinct from ${projectOf(owner)}
             and state = 'current' and version = ${version - 1}`,
    )
    if (replaced === 0) return false
  }
  const added = await countOf(
    tx,
    sql`insert into project_key (organisation_id, project_id, id, version, state, provider, provider_key, provider_version, wrapped, created_at)
        values (${homeOf(owner)}, ${projectOf(owner)}, ${id}, ${version}, 'current', ${wrapped.provider}, ${wrapped.key}, ${wrapped.version},
                ${wrapped.bytes}, ${createdAt})
        on conflict do nothing`,
  )
  return added === 1
}

/** Puts the key under another version of its named key. @returns false when it was re-wrapped or destroyed meanwhile */
export async function replaceWrapping(
  tx: Tx,
  owner: KeyOwner,
  id: string,
  before: WrappedKey,
  after: WrappedKey,
): Promise<boolean> {
  const replaced = await countOf(
    tx,
    sql`update project_key
           set provider = ${after.provider}, provider_key = ${after.key}, provider_version = ${after.version}, wrapped = ${after.bytes}
         where organisation_id = ${homeOf(owner)} and id = ${id} and wrapped = ${before.bytes}`,
  )
  return replaced === 1
}

/**
 * Ends all versions.
 * @param blank  recorded as destroyed for an owner that never had a key: it must not get one by being used
 */
export async function shredProjectKeys(
  tx: Tx,
  owner: KeyOwner,
  blank: { readonly id: string; readonly provider: string; readonly key: string },
  at: Date,
): Promise<void> {
  await sql`insert into project_key (organisation_id, project_id, id, version, state, provider, provider_key, provider_version, created_at, destroyed_at)
            select ${homeOf(owner)}, ${projectOf(owner)}, ${blank.id}, 1, 'destroyed', ${blank.provider}, ${blank.key}, '', ${at}, ${at}
             where not exists (select from project_key where organisation_id = ${homeOf(owner)} and project_id is not distinct from ${projectOf(owner)})
            on conflict do nothing`.execute(tx)
  await sql`update project_key set state = 'destroyed', wrapped = null, destroyed_at = ${at}
             where organisation_id = ${homeOf(owner)} and project_id is not distinct from ${projectOf(owner)} and state <> 'destroyed'`.execute(
    tx,
  )
}

/** What the key service answered. */
export async function recordDestruction(tx: Tx, owner: KeyOwner, destruction: Destruction, at: Date): Promise<void> {
  const purgeAt = destruction.kind === 'scheduled' ? destruction.purgeAt : null
  await sql`update project_key set provider_destroyed_at = ${at}, purge_at = ${purgeAt}
             where organisation_id = ${homeOf(owner)} and project_id is not distinct from ${projectOf(owner)} and state = 'destroyed'`.execute(
    tx,
  )
}

/** The last act, in the transaction that deletes the project: as long as a key is not destroyed on both sides, its row holds the project. */
export async function forgetDestroyedKeys(tx: Tx, owner: KeyOwner): Promise<void> {
  await sql`delete from project_key
             where organisation_id = ${homeOf(owner)} and project_id is not distinct from ${projectOf(owner)}
               and state = 'destroyed' and provider_destroyed_at is not null`.execute(tx)
}
