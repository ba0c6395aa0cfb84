// The installation's checkpoint keys in Postgres: public halves for ever, the newest private half sealed (KM-1, KM-5, KM-7).
import { createPrivateKey } from 'node:crypto'
import { sql } from 'kysely'
import { countOf, rowOf, rowsOf, withScope } from '../db/database.ts'
import type { Db, Tx } from '../db/database.ts'
import { INSTALLATION } from '../ids.ts'
import { RENEWED_BEFORE_MS } from '../keys/key-inventory.ts'
import { recordKey, recordUse, removeKey } from '../keys/key-inventory-store.ts'
import { KeyUnusable } from '../keys/key-provider.ts'
import { placeInRow } from '../keys/sealed-columns.ts'
import type { SealedColumn } from '../keys/sealed-columns.ts'
import type { Sealer } from '../keys/sealer.ts'
import { makeAuditKey } from './audit-key.ts'
import type { AuditKey, Signer } from './audit-key.ts'
import { appendAudit } from './audit-store.ts'

/** A key signs for a year (KM-2). */
export const AUDIT_KEY_LIFE_MS = 365 * 86_400_000

export const AUDIT_KEY_SEALED: SealedColumn = {
  table: 'audit_key',
  column: 'private_key_sealed',
  key: ['id'],
  sealedBy: 'installation',
}

export interface SignerDeps {
  readonly db: Db
  readonly sealer: Sealer
  /** ms since the epoch */
  readonly now: () => number
}

const SEAL_PLACE = { organisation: INSTALLATION, project: undefined }

/** All keys, the oldest first. The transaction's scope must be the installation. */
export async function listAuditKeys(tx: Tx): Promise<AuditKey[]> {
  const rows = await rowsOf<{ ordinal: number; id: string; public_key: Buffer; created_at: Date; signature: Buffer }>(
    tx,
    sql`select ordinal, id, public_key, created_at, signature from audit_key
         where organisation_id = ${INSTALLATION} order by ordinal`,
  )
  return rows.map(({ ordinal, id, public_key: publicKey, created_at, signature }) => {
    return { ordinal, id, publicKey, createdAt: created_at.toISOString(), signature }
  })
}

export function readAuditKeys(db: Db): Promise<AuditKey[]> {
  return withScope(db, { organisation: INSTALLATION }, listAuditKeys)
}

/**
 * The installation's signer; makes the first key when there is none. Not inside another transaction: it has one of its own.
 * @throws KeyServiceUnavailable, KeyDestroyed, KeyUnusable
 */
export async function loadSigner({ db, sealer, now }: SignerDeps): Promise<Signer> {
  return withScope(db, { organisation: INSTALLATION }, async (tx) => {
    let keys = await listAuditKeys(tx)
    if (keys.length === 0) {
      await addKey(tx, undefined, sealer, now())
      keys = await listAuditKeys(tx) // of whoever was first
    }
    const signer = await openSigner(tx, keys, sealer)
    await recordUse(
      tx,
      INSTALLATION,
      'checkpoint-key',
      keys.slice(-1).map(({ id }) => id),
      new Date(now()),
    )
    return signer
  })
}

/**
 * Puts a new key in the place of the newest, which signs it and can sign nothing afterwards. The transaction's scope must be the installation.
 * Whether it is told in the audit trail is its caller's business.
 */
export async function rotateAuditKey(tx: Tx, sealer: Sealer, now: number): Promise<AuditKey> {
  // One at a time: who comes second finds the first one's key, and replaces that.
  await sql`select from audit_key where organisation_id = ${INSTALLATION} and ordinal = 1 for update`.execute(tx)
  const keys = await listAuditKeys(tx)
  const made = await addKey(tx, keys.length === 0 ? undefined : await openSigner(tx, keys, sealer), sealer, now)
  const newest = made ?? (await listAuditKeys(tx)).at(-1)
  if (newest === undefined) throw new Error('unreachable: a key was made')
  const retired = keys.at(-1)
  if (retired !== undefined) {
    await sql`update audit_key set private_key_sealed = null
               where organisation_id = ${INSTALLATION} and id = ${retired.id}`.execute(tx)
    await removeKey(tx, INSTALLATION, 'checkpoint-key', retired.id)
  }
  return newest
}

/** Rotates a key that has signed for almost a year: before its end raises an alarm. @returns whether it did */
export async function rotateOldAuditKey({ db, sealer, now }: SignerDeps): Promise<boolean> {
  return withScope(db, { organisation: INSTALLATION }, async (tx) => {
    const newest = (await listAuditKeys(tx)).at(-1)
    if (newest === undefined || now() - Date.parse(newest.createdAt) < AUDIT_KEY_LIFE_MS - RENEWED_BEFORE_MS)
      return false
    await sql`select from audit_key where organisation_id = ${INSTALLATION} and ordinal = 1 for update`.execute(tx)
    if ((await listAuditKeys(tx)).at(-1)?.id !== newest.id) return false // another process was faster
    const key = await rotateAuditKey(tx, sealer, now())
    await tellKey(tx, 'audit.key-rotated', key, now())
    return true
  })
}

async function openSigner(tx: Tx, keys: readonly AuditKey[], sealer: Sealer): Promise<Signer> {
  const newest = keys.at(-1)
  const row = await rowOf<{ private_key_sealed: Buffer | null }>(
    tx,
    sql`select private_key_sealed from audit_key where organisation_id = ${INSTALLATION} and id = ${newest?.id}`,
  )
  if (newest === undefined || row === undefined || row.private_key_sealed === null)
    throw new KeyUnusable('the newest audit key has no private half')
  const { purpose, context } = placeInRow(AUDIT_KEY_SEALED, [newest.id])
  const der = await sealer.open(tx, SEAL_PLACE, purpose, context, row.private_key_sealed)
  const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  der.fill(0)
  return { keys, privateKey }
}

/** @returns undefined when another process made the installation's first key meanwhile */
async function addKey(tx: Tx, before: Signer | undefined, sealer: Sealer, now: number): Promise<AuditKey | undefined> {
  const { key, privateKey } = makeAuditKey(before, new Date(now).toISOString())
  const der = privateKey.export({ format: 'der', type: 'pkcs8' })
  const { purpose, context } = placeInRow(AUDIT_KEY_SEALED, [key.id])
  const sealed = await sealer.seal(tx, SEAL_PLACE, purpose, context, der)
  der.fill(0)
  const added = await countOf(
    tx,
    sql`insert into audit_key (organisation_id, ordinal, id, public_key, private_key_sealed, signature, created_at)
        values (${INSTALLATION}, ${key.ordinal}, ${key.id}, ${key.publicKey}, ${sealed}, ${key.signature}, ${key.createdAt})
        on conflict do nothing`,
  )
  if (added === 0) return undefined
  await recordKey(tx, {
    organisation: INSTALLATION,
    kind: 'checkpoint-key',
    id: key.id,
    project: undefined,
    owner: 'the audit trail',
    createdAt: new Date(now),
    expiresAt: new Date(now + AUDIT_KEY_LIFE_MS),
  })
  if (before === undefined) await tellKey(tx, 'audit.key-made', key, now)
  return key
}

async function tellKey(tx: Tx, action: string, key: AuditKey, now: number): Promise<void> {
  const payload = { ordinal: key.ordinal }
  await appendAudit(tx, INSTALLATION, { action, actor: 'system:audit', object: key.id, result: 'done', payload }, now)
}
