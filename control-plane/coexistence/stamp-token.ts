// When relays begin to stamp a new token of the marker: once the mail flow rules of both tenants except it for certain, else mail of ours would be routed to
// the relays again and again. (DL-10, coexistence.md §1.2, §1.5, §2.1 row 13)
import type { Tx } from '../db/database.ts'
import type { Sealer } from '../keys/sealer.ts'
import { findPendingToken, stampPendingToken } from '../relays/marker-rotation-store.ts'
import type { PendingToken } from '../relays/marker-rotation-store.ts'
import type { ProjectPlace } from '../tenants/tenant-store.ts'
import { isList } from './equality.ts'
import { PROPAGATION_MS } from './gates.ts'
import { readKept } from './ledger-object-store.ts'
import type { KeptObject } from './ledger-object-store.ts'
import type { SwitchRow } from './switch-store.ts'

type Known = Pick<SwitchRow, 'state' | 'marks'>
type KeptRule = Pick<KeptObject, 'noun' | 'written' | 'intended' | 'writtenAt'>

/**
 * Lock the project before. The caller tells the relays.
 * @returns whether relays stamp the pending token from now on; false too where none is
 */
export async function stampIfNamed(
  tx: Tx,
  sealer: Sealer,
  place: ProjectPlace,
  known: Known,
  at: Date,
): Promise<boolean> {
  const pending = await findPendingToken(tx, sealer, place)
  if (pending === undefined || !isNamed(pending, known, await readKept(tx, place), at)) return false
  await stampPendingToken(tx, sealer, place)
  return true
}

/** Judged by what was written, not by what a look saw: the token may have come after the look. */
export function isNamed(
  { token, since }: PendingToken,
  { state, marks: { disabledAt } }: Known,
  kept: readonly KeptRule[],
  at: Date,
): boolean {
  const rules = kept.filter(({ noun }) => noun === 'TransportRule')
  if (state === 'off') return rules.length === 0
  // A rule that is gone since may act as long as one that was changed.
  const gone = disabledAt === undefined ? 0 : Date.parse(disabledAt)
  const last = Math.max(since.getTime(), gone, ...rules.map(({ writtenAt }) => writtenAt.getTime()))
  return rules.every((rule) => names(rule, token)) && at.getTime() - last >= PROPAGATION_MS
}

function names({ written, intended }: KeptRule, token: string): boolean {
  const lists = [written['ExceptIfHeaderContainsWords'], written['HeaderContainsWords']]
  return intended === undefined && lists.some((words) => isList(words) && words.includes(token))
}
