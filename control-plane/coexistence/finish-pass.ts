// What a run came to: on, off with proof, drift, or a refusal that undoes what it began. (coexistence.md §1.1, §2.2, migration-semantics.md §2)
import type { Tx } from '../db/database.ts'
import { appendAudit } from '../audit/audit-store.ts'
import type { SwitchEvent } from './coexistence.ts'
import { proveEquality, writtenKey } from './equality-proof.ts'
import { dropKept, readKept } from './ledger-object-store.ts'
import type { Pass } from './pass.ts'
import { keyOf } from './planning.ts'
import { endProbeRuns } from './probe-run.ts'
import { changeSwitch, patchSwitch } from './run.ts'
import type { ReconcileDeps, Run } from './run.ts'
import { transit } from './switch-store.ts'
import type { RunMarks, SwitchName, SwitchProblem, SwitchRow } from './switch-store.ts'
import { keepState, newestState, writtenByUs } from './tenant-change-store.ts'
import { passGate } from './waiting.ts'

export type End =
  { readonly kind: 'settled'; readonly row: SwitchRow } | { readonly kind: 'waits'; readonly waitMs: number }

const AGAIN_MS = 60_000
const UNCERTAIN_MS = 5_000
/** As the audit trail names what nobody asked for. */
const ACTOR = 'system:coexistence'

/** The plan has nothing left to do. @throws RetryLater while rules propagate */
export async function finishPass(
  run: Run,
  deps: ReconcileDeps,
  pass: Pass,
  problems: readonly SwitchProblem[],
  routes: NonNullable<RunMarks['routes']>,
): Promise<End> {
  const { row } = pass
  const isStuck = problems.some(({ code }) => code !== 'member-not-found')
  if (!isStuck && row.state !== 'turning_off' && row.marks.propagates === true) {
    await changeSwitch(run, (tx, current) =>
      patchSwitch(tx, run.place, current, { marks: { ...current.marks, routes } }, new Date(deps.now())),
    )
    await passGate(run, deps, { kind: 'gate', gate: 'propagated' }, routes)
  }
  return changeSwitch(run, async (tx, current): Promise<End> => {
    const at = new Date(deps.now())
    const looked = {
      ...current,
      observedAt: at,
      lookedRevision: pass.revision,
      problems,
      drift: pass.plan.problems.filter(({ kind }) => kind === 'drift'),
    }
    const isOff = current.state === 'turning_off' || current.freeBusyState === 'turning_off'
    if (isOff && pass.hasUncertain) {
      await patchSwitch(tx, run.place, looked, { waitingFor: 'creation-unknown' }, at)
      return { kind: 'waits', waitMs: UNCERTAIN_MS }
    }
    let next = await settle(tx, run, looked, 'coexistence', problemsOf(problems, false), at)
    next = await settle(tx, run, next, 'free-busy', problemsOf(problems, true), at)
    const isUnderWay = [next.state, next.freeBusyState].some((state) => state.startsWith('turning_'))
    if (!isUnderWay) {
      await endProbeRuns(tx, run.place)
      const {
        waiting: _waiting,
        propagates: _propagates,
        validations: _validations,
        probesAt: _probesAt,
        ...marks
      } = next.marks
      next = { ...next, marks, confirmsDrift: false, step: undefined, waitingFor: undefined }
    }
    if (looked.state === 'turning_off' && next.state === 'off') next = await provenOff(tx, run, pass, next, at)
    const { refusal } = next.marks
    if (!isUnderWay && refusal !== undefined) next = { ...next, problems: [refusal, ...next.problems] }
    if (next.state === 'off' && next.freeBusyState === 'off')
      next = { ...next, baseline: undefined, marks: refusal === undefined ? {} : { refusal } }
    const stored = await patchSwitch(tx, run.place, current, next, at)
    return isUnderWay ? { kind: 'waits', waitMs: AGAIN_MS } : { kind: 'settled', row: stored }
  })
}

const problemsOf = (problems: readonly SwitchProblem[], ofFreeBusy: boolean): readonly SwitchProblem[] =>
  problems.filter(({ key, code }) => (key === 'free-busy') === ofFreeBusy && code !== 'member-not-found')

/** One switch, when nothing is left to do but what stands in its way. */
async function settle(
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
  if (next !== row) await audit(tx, run, of, event, problems, at)
  return next
}

async function audit(
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

/** Off is off with proof: both tenants as they are now beside what they were, and what others changed meanwhile apart. (§2.2) */
async function provenOff(
  tx: Tx,
  run: Run,
  { observed, isObserved, gathered, desired }: Pass,
  row: SwitchRow,
  at: Date,
): Promise<SwitchRow> {
  const { place, operation } = run
  if (!isObserved) return row
  const isKept = new Set(desired.map(keyOf))
  const keptKeys = new Set<string>()
  for (const object of await readKept(tx, place)) {
    if (!isKept.has(keyOf(object))) await dropKept(tx, place, object)
    else if (object.guid !== undefined) keptKeys.add(writtenKey(object.tenant, object.noun, object.guid))
  }
  const tenants = []
  for (const { id: tenant } of gathered.tenants) {
    const before = await newestState(tx, place, tenant, 'before')
    const after = observed.filter((each) => each.tenant === tenant)
    await keepState(tx, place, { tenant, operation, moment: 'after', objects: after, observedAt: at })
    // Nothing was ever done there: nothing was kept.
    if (before !== undefined && before.operation === row.baseline)
      tenants.push({ tenant, before: before.objects, after })
  }
  const written = await writtenByUs(tx, place)
  const proof = proveEquality(tenants, written, { project: place.project, kept: keptKeys, at })
  return { ...row, proof, problems: proof.isRestored ? [] : [{ code: 'not-restored' }] }
}

/**
 * Before the first routing rule is enabled what will not pass undoes the enable; afterwards nothing is undone by itself. (§1.1)
 * @returns whether it did
 */
export async function refuse(run: Run, deps: ReconcileDeps, problems: readonly SwitchProblem[]): Promise<boolean> {
  const [first] = problems
  if (first === undefined) return false
  return changeSwitch(run, async (tx, row) => {
    const at = new Date(deps.now())
    const cause = { actor: ACTOR, cause: first.code, at }
    const isFreeBusy = problems.every(({ key }) => key === 'free-busy')
    if (isFreeBusy && row.freeBusyState === 'turning_on') {
      const next = await transit(tx, run.place, row, 'free-busy', 'refused', cause)
      await audit(tx, run, 'free-busy', 'refused', problems, at)
      const marks = { ...next.marks, refusal: first }
      await patchSwitch(
        tx,
        run.place,
        row,
        { ...next, freeBusy: { ...row.freeBusy, state: 'off' }, marks, problems },
        at,
      )
      return true
    }
    if (row.state !== 'turning_on' || row.marks.enabledAt !== undefined) return false
    let next = await transit(tx, run.place, row, 'coexistence', 'refused', cause)
    await audit(tx, run, 'coexistence', 'refused', problems, at)
    const { waiting: _waiting, ...marks } = next.marks
    next = { ...next, setting: { ...row.setting, state: 'off' }, marks: { ...marks, refusal: first }, problems }
    // What is missing may be missing for both.
    if (row.freeBusyState === 'turning_on' && problems.some(({ key }) => key === undefined)) {
      next = await transit(tx, run.place, next, 'free-busy', 'refused', cause)
      next = { ...next, freeBusy: { ...row.freeBusy, state: 'off' } }
    }
    await patchSwitch(tx, run.place, row, next, at)
    return true
  })
}
