// Nothing keeps relays from the newest table for ever: by the clock, whoever holds it. What left the groups late is native mail to relays that know nothing of
// it, so nothing is lost. (coexistence.md §1.4, §1.9)
import { appendAudit } from '../audit/audit-store.ts'
import { withScope } from '../db/database.ts'
import type { Db, Tx } from '../db/database.ts'
import type { Reconciler } from '../jobs/reconcile-all.ts'
import { findOverdueHold, listOverdueHolds, releaseTable } from '../mapping/held-table-store.ts'
import type { Place } from '../mapping/mapping.ts'
import { patchSwitch } from './run.ts'
import { lockSwitch } from './switch-store.ts'
import type { SwitchProblem } from './switch-store.ts'

/** Groups follow within a minute or so; what takes longer waits for a tenant that does not answer. */
const MAX_HOLD_MS = 60 * 60_000
const HOLDS_A_PASS = 100
/** As the audit trail names what nobody asked for. */
const ACTOR = 'system:coexistence'

/** @param now  ms since the epoch */
export function heldTableReconciler(now: () => number): Reconciler {
  return {
    name: 'coexistence.held-tables',
    async reconcile(db: Db) {
      const at = new Date(now())
      const before = new Date(at.getTime() - MAX_HOLD_MS)
      const overdue = await withScope(db, { purpose: 'reconcile' }, (tx) => listOverdueHolds(tx, before, HOLDS_A_PASS))
      for (const place of overdue)
        await withScope(db, { organisation: place.organisation }, (tx) => endHold(tx, place, before, at))
    },
  }
}

async function endHold(tx: Tx, { organisation, project }: Place, before: Date, at: Date): Promise<void> {
  const place = { organisation, project }
  const row = await lockSwitch(tx, place)
  const hold = await findOverdueHold(tx, place, before)
  if (hold === undefined) return
  await releaseTable(tx, place)
  if (!hold.isTooLong) return
  const problem: SwitchProblem = { code: 'table-held-too-long' }
  const others = row.problems.filter(({ code }) => code !== problem.code)
  await patchSwitch(tx, place, row, { problems: [...others, problem] }, at)
  const { waitingFor, problems } = row
  await appendAudit(
    tx,
    organisation,
    {
      action: 'coexistence.table-released',
      actor: ACTOR,
      project,
      object: project,
      result: 'failed',
      payload: { problems: [problem.code, ...problems.map(({ code }) => code)].slice(0, 20), waitingFor },
    },
    at.getTime(),
  )
}
