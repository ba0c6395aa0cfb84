// Rotation (KM-2). Three acts, each repeatable and each alone: a new project key for new data at once; what older keys sealed re-sealed in
// batches, both readable meanwhile; and, of the key service, a new version of the named key with the project keys re-wrapped under it.
import type { KeyObject } from 'node:crypto'
import { withScope } from '../db/database.ts'
import { homeOf, keyNameOf, wrappingContext } from './key-owner.ts'
import type { KeyOwner } from './key-owner.ts'
import { KeyDestroyed, KeyServiceUnavailable, KeyUnusable } from './key-provider.ts'
import { makeProjectKey, openKeyRing } from './project-keys.ts'
import type { KeyDeps } from './project-keys.ts'
import { listProjectKeys, replaceWrapping } from './project-key-store.ts'
import { countSealedByOthers, listSealedByOthers, replaceSealed } from './sealed-column-store.ts'
import { placeInRow } from './sealed-columns.ts'
import type { ResealProgress, SealedColumn } from './sealed-columns.ts'

export interface RotationOptions {
  /** Id of the key to be replaced; when another one is current, it was replaced already and stays. */
  readonly replaces?: string
  /** As of `makeProjectKey`. */
  readonly tell?: Parameters<typeof makeProjectKey>[3]
}

/** From here on new data gets a new key. Two at once make one. @returns the version that is current now */
export async function rotateProjectKey(
  owner: KeyOwner,
  deps: KeyDeps,
  { replaces, tell }: RotationOptions = {},
): Promise<number> {
  const list = () => withScope(deps.db, { organisation: homeOf(owner) }, (tx) => listProjectKeys(tx, owner))
  const keys = await list()
  const current = keys.find(({ state }) => state === 'current')
  if (current === undefined && keys.length > 0) throw new KeyDestroyed('the keys of this project were destroyed')
  if (replaces !== undefined && current !== undefined && current.id !== replaces) return current.version
  await makeProjectKey(owner, (current?.version ?? 0) + 1, deps, tell)
  const rotated = (await list()).find(({ state }) => state === 'current')
  if (rotated === undefined) throw new KeyDestroyed('the keys of this project were destroyed')
  return rotated.version
}

/**
 * Re-seals up to `limit` values of one column by the current key, in one transaction.
 * @param owner  of the installation's columns, one organisation after another
 * @param after  `next` of the batch before
 */
export async function resealBatch(
  column: SealedColumn,
  owner: KeyOwner,
  after: readonly string[] | undefined,
  limit: number,
  deps: KeyDeps,
): Promise<ResealProgress> {
  const ring = await openKeyRing(owner, deps)
  return withScope(deps.db, { organisation: owner.organisation }, async (tx) => {
    const rows = await listSealedByOthers(tx, column, owner, ring.currentKeyId, after, limit)
    let resealed = 0
    let unreadable = 0
    for (const row of rows) {
      const place = placeInRow(column, row.key)
      let plain: Buffer
      try {
        plain = ring.open(place, row.sealed)
      } catch (error) {
        if (error instanceof KeyServiceUnavailable || !(error instanceof KeyUnusable || error instanceof KeyDestroyed))
          throw error
        unreadable++
        continue
      }
      if (await replaceSealed(tx, column, owner, row, ring.seal(place, plain))) resealed++
    }
    const last = rows.length === limit ? rows.at(-1) : undefined
    return { resealed, unreadable, ...(last === undefined ? {} : { next: last.key }) }
  })
}

/** How many values of a column still wait for `resealBatch`, unreadable ones among them. */
export async function countToReseal(column: SealedColumn, owner: KeyOwner, deps: KeyDeps): Promise<number> {
  const { currentKeyId } = await openKeyRing(owner, deps)
  return withScope(deps.db, { organisation: owner.organisation }, (tx) =>
    countSealedByOthers(tx, column, owner, currentKeyId),
  )
}

/** A new version of the owner's named key in the key service; what is sealed doesn't change, only project keys are re-wrapped. */
export async function rotateNamedKey(owner: KeyOwner, deps: KeyDeps): Promise<Rewrapped> {
  await addNamedVersion(owner, deps)
  return rewrapProjectKeys(owner, deps)
}

/** The first half of it. Not repeatable: each makes a version. */
export async function addNamedVersion(owner: KeyOwner, { provider }: Pick<KeyDeps, 'provider'>): Promise<void> {
  await provider.create(keyNameOf(owner)) // nothing was sealed for it yet: then it is new anyway
  await provider.rotate(keyNameOf(owner))
}

export interface Rewrapped {
  /** Keys that are under the newest version now. */
  readonly rewrapped: number
  /** Keys that the key service doesn't unwrap any more: damaged, or of a version that was destroyed. Left as they are. */
  readonly unusable: number
}

/** Puts all of the owner's project keys under the newest version of its named key. Goes on after an interruption when called again. */
export async function rewrapProjectKeys(owner: KeyOwner, { db, provider }: KeyDeps): Promise<Rewrapped> {
  const scope = { organisation: homeOf(owner) }
  let rewrapped = 0
  let unusable = 0
  for (const key of await withScope(db, scope, (tx) => listProjectKeys(tx, owner))) {
    if (key.state === 'destroyed') continue
    const context = wrappingContext(owner, key.id)
    let secret: KeyObject
    try {
      secret = await provider.unwrap(key.wrapped, context)
    } catch (error) {
      // One old key that is lost must not keep the others under the old version.
      if (!(error instanceof KeyUnusable || error instanceof KeyDestroyed)) throw error
      unusable++
      continue
    }
    const wrapped = await provider.wrap(keyNameOf(owner), secret, context)
    if (wrapped.version === key.wrapped.version) continue
    if (!(await provider.unwrap(wrapped, context)).equals(secret)) {
      throw new KeyUnusable('the key service gives back another key than it was given')
    }
    if (await withScope(db, scope, (tx) => replaceWrapping(tx, owner, key.id, key.wrapped, wrapped))) rewrapped++
  }
  return { rewrapped, unusable }
}
