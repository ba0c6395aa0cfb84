// Makes the table of an earlier revision the newest one: what came since goes, what went since comes back under its id. (control-plane.md §2)
import type { Tx } from '../db/database.ts'
import { badRequest, notFound, Problem } from '../http/problem.ts'
import { bumpSnapshot } from '../projects/relay-visible.ts'
import { expectManyRows, lockTable } from './change-store.ts'
import { outside } from './intake.ts'
import { acceptedDomains, entryCountAt, horizonOf, rulesAt } from './mapping-store.ts'
import type { Place } from './mapping.ts'
import { planRestore, writeRestored } from './revision-store.ts'
import { planRules, ruleRows } from './rule.ts'
import { currentRules, writeRules } from './rule-store.ts'
import { countRuleChanges, demandConfirmation, recordRevision, refuse } from './table-change.ts'
import type { ChangeOptions, ChangeResult } from './table-change.ts'

export interface Restoring {
  /** Revision whose table comes back. */
  readonly revision: number
  readonly confirm: number | undefined
  readonly author: string
}

/** @throws Problem 404 for a revision there never was, 410 for one that is gone */
export async function demandRevision(tx: Tx, place: Place, revision: number, current: number): Promise<void> {
  if (revision < 0 || revision > current) throw notFound()
  const horizon = await horizonOf(tx, place)
  if (revision < horizon) throw new Problem('revision-gone', { horizon })
}

/** @throws Problem as `changeTable`, and 404, 410 for the revision, 400 for addresses that are in no accepted domain by now */
export async function restoreTable(
  tx: Tx,
  place: Place,
  { revision, confirm, author }: Restoring,
  { now, rows, checkRevision }: Pick<ChangeOptions, 'now' | 'rows' | 'checkRevision'>,
): Promise<ChangeResult> {
  await expectManyRows(tx, rows)
  const current = await lockTable(tx, place)
  checkRevision?.(current)
  await demandRevision(tx, place, revision, current)
  const entries = await entryCountAt(tx, place, current)
  const { domains, ...counts } = await planRestore(tx, place, revision)
  const accepted = await acceptedDomains(tx, place)
  if (accepted.isComplete && domains.some((domain) => !accepted.domains.has(domain)))
    throw badRequest([outside('revision', undefined)])
  demandConfirmation(entries, counts.removed, confirm)
  const rules = planRules(await currentRules(tx, place), ruleRows(await rulesAt(tx, place, revision)).rows, {
    replace: true,
  })
  refuse(rules.faults, rules.faults.length)
  const change = {
    ...counts,
    unchanged: entries - counts.changed - counts.removed,
    rulesChanged: countRuleChanges(rules),
    entries: entries + counts.created - counts.removed,
  }
  if (change.created + change.changed + change.removed + change.rulesChanged === 0)
    return { ...change, revision: current }
  const { mappingRevision: made } = await bumpSnapshot(tx, place.organisation, place.project, 'mapping')
  await writeRestored(tx, place, { restored: revision, made, author, now })
  await writeRules(tx, place, rules, { revision: made, author, now })
  await recordRevision(
    tx,
    place,
    { ...change, revision: made },
    { author, cause: 'restore', now, restoredFrom: revision },
  )
  return { ...change, revision: made }
}
