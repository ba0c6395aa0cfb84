// What became of one switch: it has settled, drifted, or is as it was again; written down and told. (coexistence.md §1.1, migration-semantics.md §2)
import type { Tx } from '../db/database.ts'
import { appendAudit } from '../audit/audit-store.ts'
import type { SwitchEvent } from './coexistence.ts'
import type { Pass } from './pass.ts'
import { changeSwitch, patchSwitch } from './run.ts'
import type { ReconcileDeps, Run } from './run.ts'
import { transit } from './switch-store.ts'
import type { SwitchName, SwitchProblem, SwitchRow } from './switch-store.ts'
import { isRelieved } from './turns.ts'

/** As the audit trail names what nobody asked for. */
export const ACTOR = 'system:coexistence'

/**
 * What has nothing to do with a wait that may take days, and isn't kept by it: free/busy that has its objects, and what others did to ours.
 *
 * @param pass  that found nothing to do before the wait @param later  keys of objects with something to do after it
 * @returns the row where this operation has nothing more to do
 */
export async function settleMeanwhile(
  run: Run,
  deps: ReconcileDeps,
  pass: Pass,
  problems: readonly SwitchProblem[],
  later: ReadonlySet<string>,
): Promise<SwitchRow | undefined> {
  return changeSwitch(run, async (tx, current) => {
    const at = new Date(deps.now())
    let next: SwitchRow = { ...current, problems, drift: pass.plan.problems.filter(({ kind }) => kind === 'drift') }
    if (!later.has('free-busy') && current.freeBusyState !== 'turning_off')
      next = await settleSwitch(tx, run, next, 'free-busy', problemsOf(problems, true), at)
    if (['on', 'drift'].includes(current.state))
      next = await settleSwitch(tx, run, next, 'coexistence', problemsOf(problems, false), at)
    const stored = await patchSwitch(tx, run.place, current, next, at)
    return (await isRelieved(tx, run.place, stored, run.operation)) ? stored : undefined
  })
}

/** Without a key it keeps anything from being planned: it concerns both switches. */
export const problemsOf = (problems: readonly SwitchProblem[], ofFreeBusy: boolean): readonly SwitchProblem[] =>
  problems.filter(
    ({ key, code }) => (key === undefined || isOfFreeBusy(key) === ofFreeBusy) && code !== 'member-not-found',
  )
export const isOfFreeBusy = (key: string): boolean => key === 'free-busy'

/** One switch, when nothing is left to do but what stands in its way. */
export async function settleSwitch(
  tx: Tx,
  run: Run,
  row: SwitchRow,
  of: SwitchName,
  problems: readonly SwitchProblem[],
  at: Date,
): Promise<SwitchRow> {
  const state = of === 'coexistence' ? row.state : row.freeBusyState
  const event: SwitchEvent | undefined =
    problems.length === 0
      ? state === 'drift'
        ? 'repaired'
        : 'reached'
      : state === 'on' && problems.some(({ code }) => code === 'drift')
        ? 'drifted'
        : undefined
  if (event === undefined) return row
  const next = await transit(tx, run.place, row, of, event, { actor: ACTOR, cause: problems[0]?.code ?? event, at })
  if (next !== row) await auditSwitch(tx, run, of, event, problems, at)
  return next
}

export async function auditSwitch(
  tx: Tx,
  { place, operation }: Run,
  of: SwitchName,
  event: SwitchEvent,
  problems: readonly SwitchProblem[],
  at: Date,
): Promise<void> {
  await appendAudit(
    tx,
    place.organisation,
    {
      action: `${of === 'coexistence' ? 'coexistence' : 'free-busy'}.${event}`,
      actor: ACTOR,
      project: place.project,
      object: place.project,
      result: event === 'refused' || event === 'drifted' ? 'failed' : 'done',
      payload: { operation, problems: problems.map(({ code }) => code).slice(0, 20) },
    },
    at.getTime(),
  )
}
