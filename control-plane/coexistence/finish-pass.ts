// What a run came to: on, off with proof, drift, or a refusal that undoes what it began. (coexistence.md §1.1, §2.2, migration-semantics.md §2)
import type { Tx } from '../db/database.ts'
import { appendAudit } from '../audit/audit-store.ts'
import { tellRelays } from '../relays/tell-relays.ts'
import { proveEquality, writtenKey } from './equality-proof.ts'
import { dropKept, readKept } from './ledger-object-store.ts'
import type { Pass } from './pass.ts'
import { keyOf } from './planning.ts'
import { endProbeRuns } from './probe-run.ts'
import { changeSwitch, patchSwitch } from './run.ts'
import type { ReconcileDeps, Run } from './run.ts'
import { ACTOR, auditSwitch, isOfFreeBusy, problemsOf, settleMeanwhile, settleSwitch } from './settle-switch.ts'
import { stampIfNamed } from './stamp-token.ts'
import { transit, wasOn } from './switch-store.ts'
import type { RunMarks, SwitchName, SwitchProblem, SwitchRow } from './switch-store.ts'
import { keepState, newestState, writtenByUs } from './tenant-change-store.ts'
import { isRelieved, isTurning } from './turns.ts'
import { passGate } from './waiting.ts'

export type End =
  { readonly kind: 'settled'; readonly row: SwitchRow } | { readonly kind: 'waits'; readonly waitMs: number }

const AGAIN_MS = 60_000
const UNCERTAIN_MS = 5_000

/** The plan has nothing left to do. @throws RetryLater while rules propagate */
export async function finishPass(
  run: Run,
  deps: ReconcileDeps,
  pass: Pass,
  problems: readonly SwitchProblem[],
  routes: NonNullable<RunMarks['routes']>,
): Promise<End> {
  const { row } = pass
  const isStuck = problemsOf(problems, false).length > 0
  if (!isStuck && row.state !== 'turning_off' && row.marks.propagates === true) {
    await changeSwitch(run, (tx, current) =>
      patchSwitch(tx, run.place, current, { marks: { ...current.marks, routes } }, new Date(deps.now())),
    )
    const settled = await settleMeanwhile(run, deps, pass, problems, new Set())
    if (settled !== undefined) return { kind: 'settled', row: settled }
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
    let next = await settleSwitch(tx, run, looked, 'coexistence', problemsOf(problems, false), at)
    next = await settleSwitch(tx, run, next, 'free-busy', problemsOf(problems, true), at)
    const isUnderWay = [next.state, next.freeBusyState].some((state) => state.startsWith('turning_'))
    if (!isTurning(next, 'coexistence')) {
      await endProbeRuns(tx, run.place)
      const {
        waiting: _waiting,
        propagates: _propagates,
        validations: _validations,
        probesAt: _probesAt,
        noRelayAt: _noRelayAt,
        ...marks
      } = next.marks
      next = { ...next, marks, confirmsDrift: false }
    }
    if (!isUnderWay) next = { ...next, step: undefined, waitingFor: undefined }
    if (looked.freeBusyState === 'turning_off' && next.freeBusyState === 'off') await dropGone(tx, run, pass, true)
    if (looked.state === 'turning_off' && next.state === 'off') next = await provenOff(tx, run, pass, next, at)
    if (problemsOf(problems, false).length === 0) await stampToken(tx, run, deps, next, at)
    const { refusals = {}, operations = {} } = next.marks
    if (!isUnderWay) next = { ...next, problems: withRefusals(next.problems, Object.values(refusals)) }
    // No rule acts any more: what the next enable meets is judged without what was.
    if (next.state === 'off') next = { ...next, marks: { refusals, operations } }
    if (next.state === 'off' && next.freeBusyState === 'off') next = { ...next, baseline: undefined }
    const stored = await patchSwitch(tx, run.place, current, next, at)
    const isDone = !isUnderWay || (await isRelieved(tx, run.place, stored, run.operation))
    return isDone ? { kind: 'settled', row: stored } : { kind: 'waits', waitMs: AGAIN_MS }
  })
}

/** Why something was refused comes first; what is said already is not said twice. */
export const withRefusals = (
  problems: readonly SwitchProblem[],
  refusals: readonly SwitchProblem[],
): readonly SwitchProblem[] => [
  ...new Map([...refusals, ...problems].map((each) => [JSON.stringify(each), each])).values(),
]

/** Nothing is left to do in the tenants: once their rules name a new token of the marker for certain, relays stamp it. (DL-10) */
async function stampToken(tx: Tx, { place, operation }: Run, deps: ReconcileDeps, row: SwitchRow, at: Date) {
  if (!(await stampIfNamed(tx, deps.sealer, place, row, at))) return
  await tellRelays(tx, place)
  const { project } = place
  await appendAudit(
    tx,
    place.organisation,
    {
      action: 'relay-marker.token-in-use',
      actor: ACTOR,
      project,
      object: project,
      result: 'done',
      payload: { operation },
    },
    at.getTime(),
  )
}

/** Off is off with proof: both tenants as they are now beside what they were, and what others changed meanwhile apart. (§2.2) */
async function provenOff(tx: Tx, run: Run, pass: Pass, row: SwitchRow, at: Date): Promise<SwitchRow> {
  const { place, operation } = run
  const { observed, isObserved, gathered } = pass
  if (!isObserved) return row
  await dropGone(tx, run, pass, false)
  const keptKeys = new Set(
    (await readKept(tx, place)).flatMap(({ tenant, noun, guid }) =>
      guid === undefined ? [] : [writtenKey(tenant, noun, guid)],
    ),
  )
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

/** What this switch wants no longer and nobody could take away is not there: it is forgotten. */
async function dropGone(tx: Tx, { place }: Run, { isObserved, desired }: Pass, ofFreeBusy: boolean): Promise<void> {
  if (!isObserved) return
  const isKept = new Set(desired.map(keyOf))
  for (const object of await readKept(tx, place))
    if (isOfFreeBusy(object.key) === ofFreeBusy && !isKept.has(keyOf(object))) await dropKept(tx, place, object)
}

/**
 * Before the first routing rule is enabled what will not pass undoes the enable; afterwards nothing is undone by itself. (§1.1) Free/busy that was on stays
 * with what is in force.
 * @returns whether it did
 */
export async function refuse(run: Run, deps: ReconcileDeps, problems: readonly SwitchProblem[]): Promise<boolean> {
  const [first] = problems
  if (first === undefined) return false
  return changeSwitch(run, async (tx, row) => {
    const at = new Date(deps.now())
    const cause = { actor: ACTOR, cause: first.code, at }
    const isFreeBusy = problems.every(({ key }) => (key === undefined ? row.state === 'off' : isOfFreeBusy(key)))
    if (isFreeBusy) {
      if (!(await isFreeBusyNew(tx, run, row))) return false
      const next = await transit(tx, run.place, row, 'free-busy', 'refused', cause)
      await auditSwitch(tx, run, 'free-busy', 'refused', problems, at)
      const marks = refusedMarks(next, first, 'free-busy')
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
    await auditSwitch(tx, run, 'coexistence', 'refused', problems, at)
    const { waiting: _waiting, ...marks } = refusedMarks(next, first, 'coexistence')
    next = { ...next, setting: { ...row.setting, state: 'off' }, marks, problems }
    // What is missing may be missing for both.
    if (problems.some(({ key }) => key === undefined) && (await isFreeBusyNew(tx, run, row))) {
      next = await transit(tx, run.place, next, 'free-busy', 'refused', cause)
      await auditSwitch(tx, run, 'free-busy', 'refused', problems, at)
      next = { ...next, freeBusy: { ...row.freeBusy, state: 'off' }, marks: refusedMarks(next, first, 'free-busy') }
    }
    await patchSwitch(tx, run.place, row, next, at)
    return true
  })
}

/** What is in force is not taken off by what can't take its place. */
const isFreeBusyNew = async (tx: Tx, { place }: Run, { freeBusyState }: SwitchRow): Promise<boolean> =>
  freeBusyState === 'turning_on' && !(await wasOn(tx, place, 'free-busy'))

const refusedMarks = ({ marks }: SwitchRow, problem: SwitchProblem, of: SwitchName): RunMarks => ({
  ...marks,
  refusals: { ...marks.refusals, [of]: problem },
})
