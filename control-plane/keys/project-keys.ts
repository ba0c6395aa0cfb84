// Seals and opens what belongs to a project or to the installation (KM-1, KM-2, KM-4). Postgres says which keys there are and in what state, at
// every opening of a ring; the cache only spares the way to the key service. So a rotation holds for new data at once, and a destroyed key is
// refused at once, in every process.
import { createSecretKey, randomBytes } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { KEY_BYTES, SALT_BYTES } from '../../common/seal.ts'
import { withScope } from '../db/database.ts'
import type { Db, Tx } from '../db/database.ts'
import { RENEWED_BEFORE_MS } from './key-inventory.ts'
import { liftExpiry, recordKey } from './key-inventory-store.ts'
import type { KeyUses } from './key-uses.ts'
import { homeOf, keyNameOf, projectOf, wrappingContext } from './key-owner.ts'
import type { KeyOwner } from './key-owner.ts'
import type { KeyCache } from './key-cache.ts'
import { KeyDestroyed, KeyUnusable } from './key-provider.ts'
import type { KeyProvider, WrappedKey } from './key-provider.ts'
import { addProjectKey, listProjectKeys } from './project-key-store.ts'
import type { ProjectKey } from './project-key-store.ts'
import { KEY_ID_BYTES, openValue, sealValue, sealedBy } from './sealed-value.ts'
import type { Place } from './sealed-value.ts'

/** A project key seals nothing new after a year (KM-2); older ones go on opening. */
export const PROJECT_KEY_LIFE_MS = 365 * 86_400_000
/** When it is replaced by itself. */
export const PROJECT_KEY_ROTATION_MS = PROJECT_KEY_LIFE_MS - RENEWED_BEFORE_MS

export interface KeyDeps {
  readonly db: Db
  readonly provider: KeyProvider
  readonly cache: KeyCache
  readonly uses: Pick<KeyUses, 'note' | 'settle'>
  readonly now: () => Date
}

export type PlaceInOwner = Pick<Place, 'purpose' | 'context'>

/** The keys of one owner, for one piece of work: not to be kept, because it doesn't hear of rotations and deletions. */
export interface KeyRing {
  readonly owner: KeyOwner
  readonly currentKeyId: string
  seal(place: PlaceInOwner, plain: Uint8Array): Buffer
  /** @throws KeyUnusable when it is damaged or of another place, KeyDestroyed, KeyServiceUnavailable when an older key can't be had now */
  open(place: PlaceInOwner, sealed: Uint8Array): Buffer
}

/**
 * The owner's keys; the first opening makes the first one.
 *
 * Before a transaction, not inside: it takes a connection of its own, and a pool whose connections all wait for one more stands still.
 * @throws KeyDestroyed, KeyServiceUnavailable, KeyUnusable when the current key can't be had
 */
export async function openKeyRing(owner: KeyOwner, deps: KeyDeps): Promise<KeyRing> {
  const load = () => withScope(deps.db, { organisation: homeOf(owner) }, (tx) => listProjectKeys(tx, owner))
  let keys = await load()
  if (keys.length === 0) {
    await makeProjectKey(owner, 1, deps)
    keys = await load()
  }
  return ringOf(keys, owner, deps)
}

/**
 * The same inside a transaction that sees the owner's organisation; a project that was made in it gets its key in it. While the key service
 * is asked the transaction waits, which is seldom: once in 24 hours a process and key.
 */
export async function openKeyRingIn(tx: Tx, owner: KeyOwner, deps: KeyDeps): Promise<KeyRing> {
  let keys = await listProjectKeys(tx, owner)
  if (keys.length === 0) {
    const made = await wrapNewKey(owner, 1, deps)
    if (owner.organisation === homeOf(owner)) await storeKey(tx, made, owner, deps)
    else await withScope(deps.db, { organisation: homeOf(owner) }, (own) => storeKey(own, made, owner, deps))
    keys = await listProjectKeys(tx, owner)
  }
  return ringOf(keys, owner, deps)
}

async function ringOf(keys: readonly ProjectKey[], owner: KeyOwner, deps: KeyDeps): Promise<KeyRing> {
  for (const { id, state } of keys) if (state === 'destroyed') deps.cache.drop(id)
  const current = keys.find(({ state }) => state === 'current')
  if (current === undefined) throw new KeyDestroyed('the keys of this project were destroyed')
  const held = new Map<string, KeyObject | Error>()
  for (const key of keys) held.set(key.id, await unwrapKey(key, owner, deps))
  const currentKey = held.get(current.id)
  if (currentKey === undefined || currentKey instanceof Error)
    throw currentKey ?? new Error('unreachable: no current key')

  const whole = (place: PlaceInOwner): Place => ({
    ...place,
    organisation: owner.organisation,
    project: projectOf(owner) ?? '',
  })
  return {
    owner,
    currentKeyId: current.id,
    seal(place, plain) {
      deps.uses.note(homeOf(owner), current.id)
      return sealValue(currentKey, current.id, randomBytes(SALT_BYTES), whole(place), plain)
    },
    open(place, sealed) {
      const id = sealedBy(sealed)
      const key = id === undefined ? undefined : held.get(id)
      if (id === undefined || key === undefined)
        throw new KeyUnusable(`what is kept as ${place.purpose} was sealed by no key of its owner`)
      if (key instanceof Error) throw key
      const plain = openValue(key, whole(place), sealed)
      if (plain === undefined)
        throw new KeyUnusable(`what is kept as ${place.purpose} was altered, or is of another place`)
      deps.uses.note(homeOf(owner), id)
      return plain
    },
  }
}

export async function encryptFor(
  owner: KeyOwner,
  place: PlaceInOwner,
  plain: Uint8Array,
  deps: KeyDeps,
): Promise<Buffer> {
  return (await openKeyRing(owner, deps)).seal(place, plain)
}

export async function decryptFor(
  owner: KeyOwner,
  place: PlaceInOwner,
  sealed: Uint8Array,
  deps: KeyDeps,
): Promise<Buffer> {
  return (await openKeyRing(owner, deps)).open(place, sealed)
}

/**
 * Makes a key under the owner's named key and puts it in the place of the version before.
 * @param tell  what else is written when it takes its place, in the same transaction, which sees `homeOf(owner)`
 * @returns false when another process was faster; its key is as good
 */
export async function makeProjectKey(
  owner: KeyOwner,
  version: number,
  deps: KeyDeps,
  tell: (tx: Tx, key: { readonly id: string; readonly version: number }) => Promise<void> = () => Promise.resolve(),
): Promise<boolean> {
  const made = await wrapNewKey(owner, version, deps)
  return withScope(deps.db, { organisation: homeOf(owner) }, async (tx) => {
    if (!(await storeKey(tx, made, owner, deps))) return false
    await tell(tx, made)
    return true
  })
}

interface NewKey {
  readonly id: string
  readonly version: number
  readonly secret: KeyObject
  readonly wrapped: WrappedKey
}

async function wrapNewKey(owner: KeyOwner, version: number, { provider }: KeyDeps): Promise<NewKey> {
  const id = randomBytes(KEY_ID_BYTES).toString('hex')
  const secret = createSecretKey(randomBytes(KEY_BYTES))
  await provider.create(keyNameOf(owner))
  const wrapped = await provider.wrap(keyNameOf(owner), secret, wrappingContext(owner, id))
  // A key that the service can't give back would take with it all that is sealed from now on.
  const returned = await provider.unwrap(wrapped, wrappingContext(owner, id))
  if (!returned.equals(secret)) throw new KeyUnusable('the key service gives back another key than it was given')
  return { id, version, secret, wrapped }
}

async function storeKey(tx: Tx, made: NewKey, owner: KeyOwner, { cache, now }: KeyDeps): Promise<boolean> {
  const { id, version, secret, wrapped } = made
  const createdAt = now()
  if (!(await addProjectKey(tx, owner, { id, version, createdAt, wrapped }))) return false
  await recordKey(tx, {
    organisation: homeOf(owner),
    kind: 'project-key',
    id,
    project: projectOf(owner) ?? undefined,
    owner: owner.kind === 'project' ? 'the project' : 'the installation',
    createdAt,
    expiresAt: new Date(createdAt.getTime() + PROJECT_KEY_LIFE_MS),
  })
  await liftExpiry(tx, homeOf(owner), projectOf(owner) ?? undefined, id)
  cache.put(id, secret) // should the transaction fail, nothing will ask for it
  return true
}

/** The key, or why it can't be had. */
async function unwrapKey(key: ProjectKey, owner: KeyOwner, { provider, cache }: KeyDeps): Promise<KeyObject | Error> {
  if (key.state === 'destroyed') return new KeyDestroyed('this key was destroyed')
  const { wrapped } = key
  try {
    return await cache.get(key.id, () => provider.unwrap(wrapped, wrappingContext(owner, key.id)))
  } catch (error) {
    if (error instanceof Error) return error
    throw error
  }
}
