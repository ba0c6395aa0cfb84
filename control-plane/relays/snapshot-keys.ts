// The key that signs snapshots (RC-2): made at first use, replaced by one that it signs itself, the same in all processes. The private half is
// opened once a process and kept in memory.
import { createPrivateKey, generateKeyPairSync, sign } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import type { KeyRotation, SnapshotKey } from '../../common/relay-contract.ts'
import { appendAudit } from '../audit/audit-store.ts'
import { withScope } from '../db/database.ts'
import type { Db, Tx } from '../db/database.ts'
import { wake } from '../db/outbox.ts'
import { INSTALLATION, newId } from '../ids.ts'
import type { SnapshotKeyId } from '../ids.ts'
import { recordKey, removeKey } from '../keys/key-inventory-store.ts'
import { placeInRow } from '../keys/sealed-columns.ts'
import type { Sealer } from '../keys/sealer.ts'
import { rotationText } from './snapshot.ts'
import {
  addCurrentKey,
  findCurrentKey,
  isCurrentKeyOlder,
  listRotations,
  retireCurrentKey,
  SNAPSHOT_KEY_COLUMN,
} from './snapshot-key-store.ts'
import type { StoredSnapshotKey } from './snapshot-key-store.ts'

export interface SnapshotSigner extends SnapshotKey {
  readonly id: SnapshotKeyId
  readonly privateKey: KeyObject
  /** Leads from any earlier key to this one. */
  readonly rotations: readonly KeyRotation[]
}

export interface SnapshotKeyDeps {
  readonly db: Db
  readonly sealer: Sealer
  /** ms since the epoch */
  readonly now: () => number
}

/** A key should have been replaced after a year (KM-7). */
const KEY_LIFE_MS = 365 * 86_400_000
const ROTATE_AFTER_MS = KEY_LIFE_MS - 31 * 86_400_000
const PLACE = { organisation: INSTALLATION, project: undefined }

export class SnapshotKeys {
  readonly #deps: SnapshotKeyDeps
  #signer: SnapshotSigner | undefined

  constructor(deps: SnapshotKeyDeps) {
    this.#deps = deps
  }

  /** The key in force, whichever process put it there; the first call ever makes it. */
  async current(): Promise<SnapshotSigner> {
    const { db, sealer } = this.#deps
    return withScope(db, { organisation: INSTALLATION }, async (tx) => {
      const stored = (await findCurrentKey(tx)) ?? (await this.#makeFirst(tx))
      if (this.#signer?.id === stored.id) return this.#signer
      const privateKey = await openKey(tx, sealer, stored)
      this.#signer = { id: stored.id, publicKey: stored.publicKey, privateKey, rotations: await listRotations(tx) }
      return this.#signer
    })
  }

  /**
   * Puts a new key in the place of the current one, signed by it; relays learn of it with their next push.
   *
   * @param actor  of the audit event
   */
  async rotate(actor: string): Promise<SnapshotKeyId> {
    const before = await this.current()
    const { db, sealer, now } = this.#deps
    const at = new Date(now())
    return withScope(db, { organisation: INSTALLATION }, async (tx) => {
      if (!(await retireCurrentKey(tx, before.id)))
        throw new Error('the snapshot key was rotated by somebody else meanwhile')
      const made = await makeKey(tx, sealer)
      const signature = sign(null, rotationText(made), before.privateKey).toString('base64url')
      await addCurrentKey(tx, { ...made, introducedBy: { id: before.id, signature }, createdAt: at })
      await removeKey(tx, INSTALLATION, 'snapshot-key', before.id)
      await noteKey(tx, made.id, at)
      await wake(tx, 'snapshot', { organisation: INSTALLATION })
      const entry = {
        action: 'snapshot-key.rotated',
        actor,
        object: made.id,
        result: 'done' as const,
        payload: { before: before.id },
      }
      await appendAudit(tx, INSTALLATION, entry, at.getTime())
      return made.id
    })
  }

  /** By the clock, a month before the year is over: so no alarm is raised for what happens by itself (KM-7). @returns whether it was due */
  async rotateWhenDue(): Promise<boolean> {
    const { db, now } = this.#deps
    const before = new Date(now() - ROTATE_AFTER_MS)
    const isDue = await withScope(db, { organisation: INSTALLATION }, (tx) => isCurrentKeyOlder(tx, before))
    if (isDue) await this.rotate('system:relays')
    return isDue
  }

  async #makeFirst(tx: Tx): Promise<StoredSnapshotKey> {
    const at = new Date(this.#deps.now())
    const made = await makeKey(tx, this.#deps.sealer)
    if (await addCurrentKey(tx, { ...made, createdAt: at })) {
      await noteKey(tx, made.id, at)
      const entry = {
        action: 'snapshot-key.made',
        actor: 'system:relays',
        object: made.id,
        result: 'done' as const,
        payload: {},
      }
      await appendAudit(tx, INSTALLATION, entry, at.getTime())
      return made
    }
    const other = await findCurrentKey(tx)
    if (other === undefined) throw new Error('unreachable: one of two processes made it')
    return other
  }
}

async function makeKey(tx: Tx, sealer: Sealer): Promise<StoredSnapshotKey> {
  const id = newId('snapshot-key')
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const { purpose, context } = placeInRow(SNAPSHOT_KEY_COLUMN, [id])
  const der = privateKey.export({ type: 'pkcs8', format: 'der' })
  return {
    id,
    publicKey: publicKey.export({ type: 'spki', format: 'der' }).toString('base64url'),
    privateSealed: await sealer.seal(tx, PLACE, purpose, context, der),
  }
}

async function openKey(tx: Tx, sealer: Sealer, { id, privateSealed }: StoredSnapshotKey): Promise<KeyObject> {
  const { purpose, context } = placeInRow(SNAPSHOT_KEY_COLUMN, [id])
  const der = await sealer.open(tx, PLACE, purpose, context, privateSealed)
  return createPrivateKey({ key: der, type: 'pkcs8', format: 'der' })
}

function noteKey(tx: Tx, id: SnapshotKeyId, createdAt: Date): Promise<void> {
  return recordKey(tx, {
    organisation: INSTALLATION,
    kind: 'snapshot-key',
    id,
    project: undefined,
    owner: 'relay snapshots',
    createdAt,
    expiresAt: new Date(createdAt.getTime() + KEY_LIFE_MS),
  })
}

/** The rotations that lead from a key that is believed to the current one, in order; undefined: none does. Pure. */
export function rotationsFrom(
  pinned: string,
  { id, rotations }: Pick<SnapshotSigner, 'id' | 'rotations'>,
): KeyRotation[] | undefined {
  const path: KeyRotation[] = []
  for (let at = pinned; at !== id;) {
    const next = rotations.find(({ by }) => by === at)
    if (next === undefined || path.length > rotations.length) return undefined
    path.push(next)
    at = next.next.id
  }
  return path
}
