// One pass over everything that older keys of an owner sealed (KM-2): column by column, in small batches, old versions readable all the while. What
// is done needs no checkpoint: a value under the current key isn't found again, so a pass that was interrupted goes on by being begun anew.
import { withScope } from '../db/database.ts'
import { ofInstallation } from './key-owner.ts'
import type { KeyOwner } from './key-owner.ts'
import type { KeyDeps } from './project-keys.ts'
import { listOrganisations } from './rewrap-store.ts'
import { countToReseal, resealBatch } from './rotate-keys.ts'
import type { SealedColumn } from './sealed-columns.ts'

/** Values in one transaction: some ten milliseconds of work. */
const BATCH = 100

export interface Resealing {
  readonly done: number
  readonly total: number
}

export interface UnreadableValues {
  readonly organisation: string
  /** `table.column` */
  readonly column: string
  readonly values: number
}

export interface ResealResult {
  readonly resealed: number
  readonly unreadable: readonly UnreadableValues[]
}

/**
 * @param step  told before every batch, and with undefined before the values of a column are counted; throws to stop there
 * @throws what `step` throws; KeyServiceUnavailable, KeyDestroyed when the keys can't be had
 */
export async function resealAll(
  owner: KeyOwner,
  columns: readonly SealedColumn[],
  deps: KeyDeps,
  step: (progress: Resealing | undefined) => Promise<void>,
): Promise<ResealResult> {
  const work: { place: KeyOwner; column: SealedColumn; values: number }[] = []
  const ofOwner = columns.filter(({ sealedBy }) => sealedBy === owner.kind)
  for (const place of await placesOf(owner, deps)) {
    for (const column of ofOwner) {
      await step(undefined)
      const values = await countToReseal(column, place, deps)
      if (values > 0) work.push({ place, column, values })
    }
  }
  const total = work.reduce((sum, { values }) => sum + values, 0)
  let resealed = 0
  const unreadable: UnreadableValues[] = []
  const seen = () => resealed + unreadable.reduce((sum, { values }) => sum + values, 0)
  for (const { place, column } of work) {
    let damaged = 0
    let after: readonly string[] | undefined
    do {
      await step({ done: Math.min(seen() + damaged, total), total })
      const batch = await resealBatch(column, place, after, BATCH, deps)
      resealed += batch.resealed
      damaged += batch.unreadable
      after = batch.next
    } while (after !== undefined)
    if (damaged > 0)
      unreadable.push({ organisation: place.organisation, column: `${column.table}.${column.column}`, values: damaged })
  }
  return { resealed, unreadable }
}

/** Whose rows a pass goes through: a project's own; with the installation key every organisation keeps something. */
async function placesOf(owner: KeyOwner, { db }: KeyDeps): Promise<KeyOwner[]> {
  if (owner.kind === 'project') return [owner]
  const organisations = await withScope(db, { purpose: 'reconcile' }, listOrganisations)
  return organisations.map((organisation) => ofInstallation(organisation))
}
