// Makes checkpoints of chains that are due, and brings them to write-once storage: as a job (checkpoint-job.ts), and when somebody exports a trail.
// Safe at any time, any number of times. (AU-3)
import { withScope } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { OrganisationId } from '../ids.ts'
import { loadSigner, readAuditKeys, rotateOldAuditKey } from './audit-key-store.ts'
import type { SignerDeps } from './audit-key-store.ts'
import type { Signer } from './audit-key.ts'
import { CheckpointContradicted } from './checkpoint-storage.ts'
import type { CheckpointStorage } from './checkpoint-storage.ts'
import { formatNote, isCheckpointDue, signCheckpoint } from './checkpoint.ts'
import {
  insertCheckpoint,
  lastCheckpoint,
  listUnexported,
  lockChain,
  markExported,
  withOrigin,
} from './checkpoint-store.ts'
import type { StoredCheckpoint } from './checkpoint-store.ts'

export interface CheckpointDeps extends SignerDeps {
  /** Beside the database; empty: the installation has none. */
  readonly storages: readonly CheckpointStorage[]
}

const EXPORTS_A_STEP = 200
/** A key that is replaced meanwhile is not replaced twice meanwhile. */
const MAX_SIGNINGS = 3

/**
 * A checkpoint of one organisation's chain, or of the installation's, if one is due; then what write-once storage lacks.
 * @throws KeyServiceUnavailable, and whatever the storage says: run it again
 */
export async function runAuditCheckpoint(
  organisation: OrganisationId,
  deps: CheckpointDeps,
  signal: AbortSignal,
): Promise<void> {
  const { db, now } = deps
  await rotateOldAuditKey(deps)
  const isDue = await withScope(db, { organisation }, async (tx) => {
    const [chain, last] = [await lockChain(tx, organisation), await lastCheckpoint(tx, organisation)]
    const before = last && { size: last.size, timeMs: Date.parse(last.time) }
    return chain !== undefined && isCheckpointDue(chain.size, before, now())
  })
  if (isDue) await makeCheckpoint(organisation, deps)
  await exportCheckpoints(organisation, deps, signal)
}

/**
 * Signs the chain as it is now, unless its newest checkpoint is of this size already. Not inside another transaction.
 * @returns the size that is signed; 0 when the chain is empty
 * @throws KeyServiceUnavailable, KeyDestroyed, KeyUnusable
 */
export async function makeCheckpoint(organisation: OrganisationId, deps: SignerDeps): Promise<number> {
  for (let signing = 1; signing <= MAX_SIGNINGS; signing++) {
    const signer = await loadSigner(deps)
    const size = await withScope(deps.db, { organisation }, (tx) => signChain(tx, organisation, signer, deps.now()))
    if (size !== undefined) return size
  }
  throw new Error('unreachable: the audit key was replaced again and again')
}

/** @returns undefined when the chain was signed by a newer key meanwhile: older ones sign nothing after it */
async function signChain(
  tx: Tx,
  organisation: OrganisationId,
  signer: Signer,
  now: number,
): Promise<number | undefined> {
  const chain = await lockChain(tx, organisation)
  if (chain === undefined || chain.size === 0) return 0
  const last = await lastCheckpoint(tx, organisation)
  if (last?.size === chain.size) return chain.size
  if (last !== undefined && !signer.keys.some(({ id }) => id === last.keyId)) return undefined
  const unsigned = {
    size: chain.size,
    hash: chain.head,
    time: new Date(now).toISOString(),
    previous: last?.size ?? 0,
  }
  await insertCheckpoint(tx, organisation, signCheckpoint(unsigned, organisation, signer))
  return chain.size
}

/**
 * Brings to every storage what it may lack. One that fails is left out for the rest of the run and keeps nothing from the others.
 * @throws the first failure; CheckpointContradicted before any: somebody has to look
 */
async function exportCheckpoints(
  organisation: OrganisationId,
  { db, storages, now }: CheckpointDeps,
  signal: AbortSignal,
): Promise<void> {
  if (storages.length === 0) return
  const keys = await readAuditKeys(db)
  const [first] = keys
  if (first === undefined) return
  const failures: unknown[] = []
  const working = new Set(storages)
  let pending: StoredCheckpoint[]
  let after = 0
  do {
    const from = after
    pending = await withScope(db, { organisation }, (tx) => listUnexported(tx, organisation, from, EXPORTS_A_STEP))
    for (const stored of pending) {
      signal.throwIfAborted()
      after = stored.size
      const key = keys.find(({ id }) => id === stored.keyId)
      if (key === undefined) throw new Error('unreachable: a checkpoint without its key')
      const note = formatNote(withOrigin(stored, first.id, organisation), key)
      const failuresBefore = failures.length
      for (const storage of working) {
        await storage.write(organisation, stored.size, note).catch((error: unknown) => {
          failures.push(error)
          if (!(error instanceof CheckpointContradicted)) working.delete(storage)
        })
      }
      if (failures.length === failuresBefore && working.size === storages.length)
        await withScope(db, { organisation }, (tx) => markExported(tx, organisation, stored.size, new Date(now())))
    }
  } while (pending.length === EXPORTS_A_STEP && working.size > 0)
  const failure = failures.find((error) => error instanceof CheckpointContradicted) ?? failures[0]
  if (failure !== undefined) throw failure
}
