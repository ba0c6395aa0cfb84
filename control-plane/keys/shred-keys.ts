// Crypto-shredding (KM-3): after it nothing that the project's keys sealed can be read, in no backup either. The database goes first, so that
// every process refuses the keys at once even while the key service is away; the key service is asked until it has done its part. Who may
// order it, and how long that can be undone, is decided before (two steps, 7 days, or two administrators).
import { randomBytes } from 'node:crypto'
import { withScope } from '../db/database.ts'
import { removeKey } from './key-inventory-store.ts'
import { homeOf, keyNameOf } from './key-owner.ts'
import type { KeyOwner } from './key-owner.ts'
import type { Destruction } from './key-provider.ts'
import type { KeyDeps } from './project-keys.ts'
import { listProjectKeys, recordDestruction, shredProjectKeys } from './project-key-store.ts'
import { KEY_ID_BYTES } from './sealed-value.ts'

/** What the certificate of deletion says about keys; no secrets. */
export interface ShreddedKeys {
  readonly provider: string
  readonly key: string
  /** Ids and versions of the project keys, as they stand in what they sealed. */
  readonly versions: readonly { readonly id: string; readonly version: number }[]
  readonly destroyedAt: Date
  readonly destruction: Destruction
}

/** @throws KeyServiceUnavailable: the keys are refused already; call again until it returns */
export async function shredKeys(owner: KeyOwner & { kind: 'project' }, deps: KeyDeps): Promise<ShreddedKeys> {
  const { db, provider, cache, now } = deps
  const scope = { organisation: homeOf(owner) }
  const key = keyNameOf(owner)
  const keys = await withScope(db, scope, async (tx) => {
    const blank = { id: randomBytes(KEY_ID_BYTES).toString('hex'), provider: provider.id, key }
    await shredProjectKeys(tx, owner, blank, now())
    const destroyed = await listProjectKeys(tx, owner)
    for (const { id } of destroyed) await removeKey(tx, owner.organisation, 'project-key', id)
    return destroyed
  })
  for (const { id } of keys) cache.drop(id)
  const destruction = await provider.destroy(key)
  const destroyedAt = now()
  await withScope(db, scope, (tx) => recordDestruction(tx, owner, destruction, destroyedAt))
  return {
    provider: provider.id,
    key,
    versions: keys.map(({ id, version }) => ({ id, version })),
    destroyedAt,
    destruction,
  }
}
