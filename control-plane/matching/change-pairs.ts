// What may become of single pairs: made by hand, confirmed, changed, unpaired. Each is written together with its mapping entry, in the transaction of
// whoever asks. (migration-semantics.md §3.7, §3.8)
import type { Tx } from '../db/database.ts'
import { publishEvent } from '../db/outbox.ts'
import { badRequest, notFound, Problem } from '../http/problem.ts'
import type { RequestFault } from '../http/problem.ts'
import { newId, parseId } from '../ids.ts'
import type { PairId } from '../ids.ts'
import type { Place } from '../mapping/mapping.ts'
import { findLiveAccount } from './account-record-store.ts'
import type { LiveAccount } from './account-record-store.ts'
import { isCompatible } from './match-rule.ts'
import { includeAccounts } from './matching-store.ts'
import { demandUnpairable } from './pair.ts'
import type { Pair, PairFilter, Side } from './pair.ts'
import {
  confirmProposals,
  countProposals,
  findPair,
  insertPair,
  lockPairs,
  pairsOf,
  setPairOptions,
  setPairState,
} from './pair-store.ts'
import { syncPairs } from './sync-pairs.ts'
import type { SyncResult } from './sync-pairs.ts'

export interface By {
  /** `callerName` */
  readonly author: string
  /** ms since the epoch */
  readonly now: number
}

export interface PairChoice {
  readonly source: string
  readonly target: string
  readonly presents: Side
  readonly holds: Side
}

/** @throws Problem 400 for what is no account of that side, 409 */
export async function makePair(tx: Tx, place: Place, choice: PairChoice, { author, now }: By): Promise<Pair> {
  await lockPairs(tx, place)
  const faults: RequestFault[] = []
  const source = await findSide(tx, place, choice.source, 'source', faults)
  const target = await findSide(tx, place, choice.target, 'target', faults)
  if (source === undefined || target === undefined) throw badRequest(faults)
  // Whoever names both means it: guests need no option.
  if (!isCompatible(source.kind, target.kind, true))
    throw new Problem('pair-conflict', {
      faults: [{ pointer: '/target', code: 'incompatible', detail: `${source.kind} and ${target.kind}` }],
    })
  await refusePaired(tx, place, source, target)
  const id = newId('pair')
  await insertPair(tx, place, { id, source, target, presents: choice.presents, holds: choice.holds }, author, now)
  await includeAccounts(tx, place, [source.id, target.id])
  return finish(tx, place, id, { author, now })
}

async function findSide(
  tx: Tx,
  place: Place,
  text: string,
  side: Side,
  faults: RequestFault[],
): Promise<LiveAccount | undefined> {
  const id = parseId('account', text)
  const account = id && (await findLiveAccount(tx, place, id))
  if (account?.side === side) return account
  faults.push({ pointer: `/${side}`, code: 'unknown-account', detail: `no account of a ${side}` })
  return undefined
}

async function refusePaired(tx: Tx, place: Place, source: LiveAccount, target: LiveAccount): Promise<void> {
  const faults = (await pairsOf(tx, place, [source.id, target.id])).map((pair) => ({
    pointer: pair.source === source.id ? '/source' : '/target',
    code: 'already-paired',
    detail: pair.state,
    existing: pair.id,
  }))
  if (faults.length > 0) throw new Problem('pair-conflict', { faults })
}

/** @param check  If-Match; given the version that there is, under the lock @throws Problem 404, 409, 412 */
export async function confirmPair(
  tx: Tx,
  place: Place,
  id: string,
  by: By,
  check: (version: number) => void,
): Promise<Pair> {
  const before = await demandLive(tx, place, id, check)
  if (before.state === 'confirmed') return before
  await setPairState(tx, place, before.id, 'confirmed', by.author, by.now)
  return finish(tx, place, before.id, by)
}

export async function changePair(
  tx: Tx,
  place: Place,
  id: string,
  change: { readonly presents?: Side | undefined; readonly holds?: Side | undefined },
  by: By,
  check: (version: number) => void,
): Promise<Pair> {
  const before = await demandLive(tx, place, id, check)
  const { presents = before.presents, holds = before.holds } = change
  if (presents === before.presents && holds === before.holds) return before
  await setPairOptions(tx, place, before.id, { presents, holds })
  return finish(tx, place, before.id, by)
}

export async function unpair(
  tx: Tx,
  place: Place,
  id: string,
  options: { readonly despiteContent: boolean },
  by: By,
  check: (version: number) => void,
): Promise<Pair> {
  const before = await demandLive(tx, place, id, check)
  demandUnpairable(before, options)
  await setPairState(tx, place, before.id, 'unpaired', by.author, by.now)
  return finish(tx, place, before.id, by)
}

async function demandLive(tx: Tx, place: Place, id: string, check: (version: number) => void): Promise<Pair> {
  await lockPairs(tx, place)
  const pair = await demandPair(tx, place, id)
  check(pair.version)
  if (pair.state === 'unpaired') throw new Problem('conflict', { detail: 'It is unpaired.' })
  return pair
}

/** @throws Problem 404 */
export async function demandPair(tx: Tx, place: Place, text: string): Promise<Pair> {
  const id = parseId('pair', text)
  const pair = id && (await findPair(tx, place, id))
  if (pair === undefined) throw notFound()
  return pair
}

async function finish(tx: Tx, place: Place, id: PairId, by: By): Promise<Pair> {
  await syncPairs(tx, place, [id], by)
  const pair = await demandPair(tx, place, id)
  await publishEvent(tx, place, 'pair.changed', { pair: id, state: pair.state, version: pair.version })
  return pair
}

export interface BulkConfirmation {
  readonly confirmed: number
  readonly mapping: SyncResult
}

/**
 * Confirms all proposals that the filter takes, in one revision of the mapping table.
 * @param count  how many whoever asks expects
 * @throws Problem 422 when it is another number
 */
export async function confirmMany(
  tx: Tx,
  place: Place,
  { filter, count }: { readonly filter: PairFilter; readonly count: number | undefined },
  { author, now }: By,
  onProgress?: (pairs: number) => Promise<void>,
): Promise<BulkConfirmation> {
  await lockPairs(tx, place)
  await demandCount(tx, place, filter, count)
  const ids = await confirmProposals(tx, place, filter, author, now)
  const mapping = await syncPairs(tx, place, ids, { author, now, ...(onProgress && { onProgress }) })
  if (ids.length > 0) await publishEvent(tx, place, 'pair.confirmed', { count: ids.length, revision: mapping.revision })
  return { confirmed: ids.length, mapping }
}

/** @throws Problem 422 */
export async function demandCount(
  tx: Tx,
  place: Place,
  filter: PairFilter,
  count: number | undefined,
): Promise<number> {
  const found = await countProposals(tx, place, filter)
  if (found !== (count ?? 0)) throw new Problem('confirm-count', { count: found })
  return found
}
