// Snapshot keys in Postgres: of the installation, the private half sealed. (RC-2, KM-5)
import { sql } from 'kysely'
import type { KeyRotation } from '../../common/relay-contract.ts'
import { countOf, rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import { INSTALLATION } from '../ids.ts'
import type { SnapshotKeyId } from '../ids.ts'
import type { SealedColumn } from '../keys/sealed-columns.ts'

export const SNAPSHOT_KEY_COLUMN: SealedColumn = {
  table: 'snapshot_key',
  column: 'private_sealed',
  key: ['id'],
  sealedBy: 'installation',
}

export interface StoredSnapshotKey {
  readonly id: SnapshotKeyId
  readonly publicKey: string
  readonly privateSealed: Buffer
}

/** What names this installation to its relays. */
export async function loadInstallationId(tx: Tx): Promise<string> {
  const row = await rowOf<{ id: string }>(tx, sql`select id from installation`)
  if (row === undefined) throw new Error('unreachable: the migration makes it')
  return row.id
}

export async function findCurrentKey(tx: Tx): Promise<StoredSnapshotKey | undefined> {
  const row = await rowOf<{ id: SnapshotKeyId; public_key: string; private_sealed: Buffer }>(
    tx,
    sql`select id, public_key, private_sealed from snapshot_key where organisation_id = ${INSTALLATION} and state = 'current'`,
  )
  return row && { id: row.id, publicKey: row.public_key, privateSealed: row.private_sealed }
}

/** Whether the key in force was made before `at`. */
export async function isCurrentKeyOlder(tx: Tx, at: Date): Promise<boolean> {
  const row = await rowOf(
    tx,
    sql`select 1 from snapshot_key
         where organisation_id = ${INSTALLATION} and state = 'current' and created_at < ${at}`,
  )
  return row !== undefined
}

export interface NewSnapshotKey extends StoredSnapshotKey {
  readonly introducedBy?: { readonly id: SnapshotKeyId; readonly signature: string }
  readonly createdAt: Date
}

/** @returns false when another process made one at the same time */
export async function addCurrentKey(
  tx: Tx,
  { id, publicKey, privateSealed, introducedBy, createdAt }: NewSnapshotKey,
): Promise<boolean> {
  const added = await countOf(
    tx,
    sql`insert into snapshot_key (organisation_id, id, state, public_key, private_sealed, introduced_by, introduction, created_at)
        values (${INSTALLATION}, ${id}, 'current', ${publicKey}, ${privateSealed}, ${introducedBy?.id ?? null},
                ${introducedBy?.signature ?? null}, ${createdAt})
        on conflict do nothing`,
  )
  return added === 1
}

/** The key is never used again: its private half goes. @returns false when it was not the current one any more */
export async function retireCurrentKey(tx: Tx, id: SnapshotKeyId): Promise<boolean> {
  const retired = await countOf(
    tx,
    sql`update snapshot_key set state = 'previous', private_sealed = null
         where organisation_id = ${INSTALLATION} and id = ${id} and state = 'current'`,
  )
  return retired === 1
}

/** All rotations there have been. */
export async function listRotations(tx: Tx): Promise<KeyRotation[]> {
  const rows = await rowsOf<{ id: string; public_key: string; introduced_by: string; introduction: string }>(
    tx,
    sql`select id, public_key, introduced_by, introduction from snapshot_key
         where organisation_id = ${INSTALLATION} and introduced_by is not null`,
  )
  return rows.map((row) => ({
    by: row.introduced_by,
    next: { id: row.id, publicKey: row.public_key },
    signature: row.introduction,
  }))
}
