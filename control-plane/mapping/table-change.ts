// One change of a mapping table from its staged rows to its revision: what stands against it is told whole, naming both sides; else rows, revision
// and event are written together. For one entry and for a million, in a request and in a job. (control-plane.md §3.1–§3.6)
import { publishEvent } from '../db/outbox.ts'
import type { Tx } from '../db/database.ts'
import { Problem } from '../http/problem.ts'
import type { RequestFault } from '../http/problem.ts'
import { bumpSnapshot } from '../projects/relay-visible.ts'
import {
  countChanges,
  expectManyRows,
  findMissing,
  findOwned,
  findReplaced,
  findTwice,
  lockTable,
  writeChanges,
} from './change-store.ts'
import type { Counts, Listed, Sizes, StagedPlace, Twice } from './change-store.ts'
import { holdWhereSomebodyLeaves } from './held-table-store.ts'
import { entryCountAt } from './mapping-store.ts'
import { needsConfirmation } from './mapping.ts'
import type { Place, Source } from './mapping.ts'
import { insertRevision } from './revision-store.ts'
import type { Cause } from './revision-store.ts'
import { planRules, ruleRows } from './rule.ts'
import type { RulePlan } from './rule.ts'
import { currentRules, writeRules } from './rule-store.ts'
import type { Staged } from './staging-store.ts'

/** Places that are told of one fault each; beyond, how many more there are. */
export const MAX_TOLD = 1000

export interface ChangeOptions {
  readonly cause: Cause
  readonly source: Source
  readonly now: number
  /** Rows staged, or about as many. */
  readonly rows: number
  /** Refuses to take the place of an entry that the input doesn't name by its id. */
  readonly makesNewOnly?: boolean
  /** Entries that go on under another presented address: they are staged as one that goes and one that comes. */
  readonly renamed?: number
  /** Given the revision in force, under the lock: for If-Match. */
  readonly checkRevision?: (revision: number) => void
  readonly onProgress?: (rows: number) => Promise<void>
}

export interface ChangeResult extends Counts {
  /** That the change made, or would make; where nothing changes the one in force. */
  readonly revision: number
  readonly rulesChanged: number
  /** In the table since then. */
  readonly entries: number
}

/** @throws Problem 409 mapping-conflict, 412 stale-etag, 422 confirm-count, 503; then the transaction is of no more use */
export async function changeTable(tx: Tx, place: Place, staged: Staged, options: ChangeOptions): Promise<ChangeResult> {
  const { id, mode } = staged
  if (mode === 'restore') throw new Error('unreachable: restoring has no rows')
  await expectManyRows(tx, options.rows)
  const twice = options.rows > 1 ? await findTwice(tx, place, id, MAX_TOLD) : { items: [], total: 0 }
  const current = await lockTable(tx, place)
  options.checkRevision?.(current)
  const entries = await entryCountAt(tx, place, current)
  const sizes = { rows: options.rows, entries }
  await refuseConflicts(tx, place, staged, twice, { sizes, makesNewOnly: options.makesNewOnly ?? false })
  const counts = withRenamed(await countChanges(tx, place, id, mode, sizes), options.renamed ?? 0)
  demandConfirmation(entries, counts.removed, staged.confirm)
  const rules = await planStagedRules(tx, place, staged)
  const change = {
    ...counts,
    rulesChanged: rules === undefined ? 0 : countRuleChanges(rules),
    entries: entries + counts.created - counts.removed,
  }
  if (!changesAnything(change)) return { ...change, revision: current }
  if (staged.validatesOnly) return { ...change, revision: current + 1 }
  const { mappingRevision: revision } = await bumpSnapshot(tx, place.organisation, place.project, 'mapping')
  const { author } = staged
  const { source, now, onProgress } = options
  await writeChanges(tx, place, { id, mode, sizes, revision, source, author, now, ...(onProgress && { onProgress }) })
  if (rules !== undefined) await writeRules(tx, place, rules, { revision, author, now })
  await recordRevision(tx, place, { ...change, revision }, { author, cause: options.cause, now })
  return { ...change, revision }
}

function withRenamed({ created, changed, unchanged, removed }: Counts, renamed: number): Counts {
  return { created: created - renamed, changed: changed + renamed, unchanged, removed: removed - renamed }
}

const changesAnything = ({ created, changed, removed, rulesChanged }: Omit<ChangeResult, 'revision'>): boolean =>
  created + changed + removed + rulesChanged > 0

/** The last of a change: its row in the history, the news of it, and whether relays may have it at once. */
export async function recordRevision(
  tx: Tx,
  place: Place,
  result: ChangeResult,
  { author, cause, now, restoredFrom }: { author: string; cause: Cause; now: number; restoredFrom?: number },
): Promise<void> {
  await insertRevision(tx, place, { ...result, author, cause, now, restoredFrom })
  await publishEvent(tx, place, 'mapping.revised', { revision: result.revision })
  if (result.changed + result.removed > 0) await holdWhereSomebodyLeaves(tx, place, result.revision, new Date(now))
}

export function demandConfirmation(entries: number, removed: number, confirm: number | undefined): void {
  if (needsConfirmation(entries, removed) && confirm !== removed) throw new Problem('confirm-count', { count: removed })
}

async function refuseConflicts(
  tx: Tx,
  place: Place,
  staged: Staged,
  twice: Listed<Twice>,
  { sizes, makesNewOnly }: { readonly sizes: Sizes; readonly makesNewOnly: boolean },
): Promise<void> {
  const { id, mode } = staged
  const none = { items: [], total: 0 }
  const replaced = makesNewOnly ? await findReplaced(tx, place, id, MAX_TOLD) : none
  const owned = mode === 'replace' ? none : await findOwned(tx, place, id, sizes, MAX_TOLD)
  const missing = await findMissing(tx, place, id, MAX_TOLD)
  const faults: RequestFault[] = [
    ...twice.items.map(({ key, first, ...at }) => ({
      ...placeOf(at, key),
      code: 'known-twice',
      detail: `${key} is also known in ${first.path}${first.line > 0 ? `, line ${first.line}` : ''}`,
      other: pointerTo(first.path),
    })),
    ...[...replaced.items, ...owned.items].map(({ key, entry, presented, ...at }) => ({
      ...placeOf(at, key),
      code: 'known-elsewhere',
      detail: `${key} is also known in the entry presented as ${presented}`,
      existing: entry,
    })),
    ...missing.items.map((at) => ({ ...placeOf(at), code: 'not-there', detail: 'no entry is presented so' })),
  ]
  refuse(faults, twice.total + replaced.total + owned.total + missing.total)
}

/** @throws Problem when there are faults; the first thousand are told */
export function refuse(faults: readonly RequestFault[], total: number): void {
  if (total === 0) return
  const told = faults.slice(0, MAX_TOLD)
  throw new Problem('mapping-conflict', { faults: told, ...(total > told.length ? { more: total - told.length } : {}) })
}

const pointerTo = (path: string): string => (path === '' ? '' : `/${path}`)

/** @param key  that is known elsewhere as well */
function placeOf({ path, line, column }: StagedPlace, key?: string): Pick<RequestFault, 'pointer' | 'line' | 'column'> {
  const member = key === undefined ? '' : key.startsWith('X500:') ? '/x500' : '/known'
  return { pointer: pointerTo(path) + member, ...(line > 0 ? { line, column } : {}) }
}

async function planStagedRules(tx: Tx, place: Place, { rules, mode }: Staged): Promise<RulePlan | undefined> {
  if (rules === undefined) return undefined
  // What was staged was held against R3 when it came in; together with the rules in force it may still not do.
  const plan = planRules(await currentRules(tx, place), ruleRows(rules).rows, { replace: mode === 'replace' })
  refuse(plan.faults, plan.faults.length)
  return plan
}

/** Rules that came, changed or went. */
export function countRuleChanges({ ended, begun }: RulePlan): number {
  return (
    new Set([...ended, ...begun.map(({ id }) => id).filter((id) => id !== undefined)]).size +
    begun.filter(({ id }) => id === undefined).length
  )
}
