// Makes the mapping table say of pairs what it should: writes what confirmed ones want, takes back what others wrote, all in one revision. The one
// path, whether a pair was confirmed, changed or unpaired, an account has other addresses, or the clock asks. (migration-semantics.md §3.8,
// control-plane.md §3.4)
import { publishEvent } from '../db/outbox.ts'
import type { Tx } from '../db/database.ts'
import { newId } from '../ids.ts'
import type { AccountId, PairId } from '../ids.ts'
import { expectManyRows, lockTable } from '../mapping/change-store.ts'
import { removalRow, upsertRow } from '../mapping/entry-change.ts'
import { acceptedDomains } from '../mapping/mapping-store.ts'
import type { AcceptedDomains, Place } from '../mapping/mapping.ts'
import { deleteStaged, insertStaged, insertStagedRows } from '../mapping/staging-store.ts'
import type { Staged, StagedRow } from '../mapping/staging-store.ts'
import { changeTable } from '../mapping/table-change.ts'
import { keysOf, settle, wantedEntry } from './pair-entry.ts'
import type { Owner, Wanted } from './pair-entry.ts'
import type { MappingState } from './pair.ts'
import { lockPairs } from './pair-store.ts'
import {
  confirmedPairsOf,
  dropReplacedRemovals,
  findOwners,
  inTurn,
  loadPairs,
  notePairs,
  snapshotVersion,
} from './sync-store.ts'
import type { PairToSync, SyncedPair } from './sync-store.ts'

export interface SyncOptions {
  /** `callerName`; of what nobody asked for: `system`. */
  readonly author: string
  /** ms since the epoch */
  readonly now: number
  /**
   * Entries that may go, where it is so many that it has to be confirmed (control-plane.md §3.6); undefined: whoever asks has confirmed what
   * takes them.
   */
  readonly confirm?: number | undefined
  readonly demandsConfirm?: boolean
  /** Told now and then: pairs done. Rejects to stop it all. */
  readonly onProgress?: ((pairs: number) => Promise<void>) | undefined
}

export interface SyncResult {
  /** Of the mapping table, in force afterwards. */
  readonly revision: number
  readonly created: number
  readonly changed: number
  readonly removed: number
  /** Of the pairs that were looked at: how many are in which state. */
  readonly states: Readonly<Record<MappingState, number>>
}

const PAIRS_PER_BATCH = 1_000

/**
 * For the end of a discovery: entries of paired accounts follow their addresses.
 * @param accounts  that have changed
 */
export async function syncPairEntries(
  tx: Tx,
  place: Place,
  accounts: readonly AccountId[],
  options: SyncOptions,
): Promise<SyncResult | undefined> {
  const ids = new Set<PairId>()
  for (let at = 0; at < accounts.length; at += PAIRS_PER_BATCH) {
    for (const id of await confirmedPairsOf(tx, place, accounts.slice(at, at + PAIRS_PER_BATCH))) ids.add(id)
  }
  if (ids.size === 0) return undefined
  await lockPairs(tx, place)
  return syncPairs(tx, place, [...ids], options)
}

/** Lock pairs before. @throws Problem 422 confirm-count, 503; then the transaction is of no more use */
export async function syncPairs(
  tx: Tx,
  place: Place,
  ids: readonly PairId[],
  options: SyncOptions,
): Promise<SyncResult> {
  const { author, now } = options
  await expectManyRows(tx, ids.length)
  const current = await lockTable(tx, place)
  const staged: Staged = {
    id: newId('mapping-import'),
    mode: 'upsert',
    validatesOnly: false,
    confirm: options.confirm,
    expectedRevision: undefined,
    restoredRevision: undefined,
    rules: undefined,
    author,
  }
  await insertStaged(tx, place, staged, now)
  const sync = new Sync(tx, place, staged, ids, await acceptedDomains(tx, place))
  const turns = ids.length > 1 ? await inTurn(tx, place, ids) : ids
  for (let at = 0; at < turns.length; at += PAIRS_PER_BATCH) {
    await sync.take(turns.slice(at, at + PAIRS_PER_BATCH))
    await options.onProgress?.(Math.min(turns.length, at + PAIRS_PER_BATCH))
  }
  const unchanged = { revision: current, created: 0, changed: 0, removed: 0 }
  const { revision, created, changed, removed } =
    sync.rows === 0 ? unchanged : await apply(tx, place, staged, sync.rows, options)
  await deleteStaged(tx, place, staged.id)
  await sync.note(await snapshotVersion(tx, place))
  return { revision, created, changed, removed, states: sync.states }
}

async function apply(tx: Tx, place: Place, staged: Staged, rows: number, options: SyncOptions) {
  const removals = await dropReplacedRemovals(tx, place, staged.id)
  const confirm = options.demandsConfirm === true ? options.confirm : removals
  const result = await changeTable(
    tx,
    place,
    { ...staged, confirm },
    { cause: 'pair', source: 'pair', now: options.now, rows },
  )
  await publishEvent(tx, place, 'pair.mapped', { revision: result.revision })
  return result
}

/** One pass over pairs in batches: memory holds a batch, and the addresses that were given out. */
class Sync {
  readonly states: Record<MappingState, number> = { none: 0, written: 0, 'manual-wins': 0, blocked: 0 }
  /** Staged. */
  rows = 0
  readonly #tx: Tx
  readonly #place: Place
  readonly #staged: Staged
  readonly #accepted: AcceptedDomains
  /** All that are looked at: what they have is theirs to give away. */
  readonly #all: ReadonlySet<string>
  readonly #given = new Set<string>()
  readonly #synced: SyncedPair[] = []

  constructor(tx: Tx, place: Place, staged: Staged, ids: readonly PairId[], accepted: AcceptedDomains) {
    this.#tx = tx
    this.#place = place
    this.#staged = staged
    this.#accepted = accepted
    this.#all = new Set(ids)
  }

  async take(ids: readonly PairId[]): Promise<void> {
    const pairs = (await loadPairs(this.#tx, this.#place, ids)).map((pair) => ({ pair, wanted: this.#wantedOf(pair) }))
    const keys = pairs.flatMap(({ wanted }) => (wanted.kind === 'entry' ? keysOf(wanted.entry) : []))
    const owners = new Map<string, Owner>()
    for (const { key, owner, pair } of await findOwners(this.#tx, this.#place, keys)) {
      if (owner === 'manual' || !this.#all.has(pair)) owners.set(key, owner)
    }
    const ownerOf = (key: string): Owner | undefined => owners.get(key) ?? (this.#given.has(key) ? 'pair' : undefined)
    const rows = pairs.flatMap(({ pair, wanted }) => this.#rowsOf(pair, wanted, ownerOf))
    this.rows += rows.length
    await insertStagedRows(this.#tx, this.#place, this.#staged.id, rows)
  }

  async note(seen: number): Promise<void> {
    for (let at = 0; at < this.#synced.length; at += PAIRS_PER_BATCH)
      await notePairs(this.#tx, this.#place, this.#synced.slice(at, at + PAIRS_PER_BATCH), seen)
  }

  #wantedOf(pair: PairToSync): Wanted {
    return pair.state === 'confirmed' ? wantedEntry(pair, this.#accepted) : { kind: 'none', reason: 'not-confirmed' }
  }

  #rowsOf(pair: PairToSync, wanted: Wanted, ownerOf: (key: string) => Owner | undefined): StagedRow[] {
    const settled =
      wanted.kind === 'entry' ? settle(wanted.entry, ownerOf) : { state: wanted.kind, reason: wanted.reason }
    this.#note(pair, settled)
    if (settled.state !== 'written') return this.#removal(pair)
    const { row } = settled
    for (const key of row.keys) this.#given.add(key)
    if (pair.wire === row.wire) return []
    const upsert = { ...upsertRow(this.#nextRow(), '', row), sourceRef: pair.id }
    return pair.presentedKey === row.presentedKey ? [upsert] : [upsert, ...this.#removal(pair)]
  }

  #removal({ presentedKey }: PairToSync): StagedRow[] {
    return presentedKey === undefined ? [] : [removalRow(this.#nextRow(), '', presentedKey)]
  }

  #note(
    { id, state, source, target }: PairToSync,
    settled: { state: MappingState; reason: SyncedPair['reason'] | undefined },
  ): void {
    if (state === undefined) return
    if (state === 'confirmed') this.states[settled.state]++
    this.#synced.push({
      id,
      state: settled.state,
      reason: settled.reason ?? '',
      source: source.version,
      target: target.version,
    })
  }

  #row = 0
  #nextRow(): number {
    return ++this.#row
  }
}
