// The reconciler: looks at both tenants, plans the difference, does it a step at a time, and says what it came to. On, off, repair, retry and membership are
// one loop. (coexistence.md §1.1, product.md §6, RC-9)
import type { Tx } from '../db/database.ts'
import { RetryLater } from '../jobs/retry.ts'
import type { TenantId } from '../ids.ts'
import { isTableHeld, releaseTable } from '../mapping/held-table-store.ts'
import { applyStep } from './apply-step.ts'
import { finishPass, refuse } from './finish-pass.ts'
import { look } from './exchange-call.ts'
import { digestOf } from './input.ts'
import { readKept } from './ledger-object-store.ts'
import { groupPrefixOf, makePass } from './pass.ts'
import type { Pass } from './pass.ts'
import { planChanges } from './plan.ts'
import { isLeaving, isRouting, keyOf } from './planning.ts'
import type { Problem } from './planning.ts'
import { settleMeanwhile } from './settle-switch.ts'
import { changeSwitch, Lasting, LookAgain, patchSwitch } from './run.ts'
import type { ReconcileDeps, Run } from './run.ts'
import { passGate, stillWaiting } from './waiting.ts'
import type { CallStep } from './step.ts'
import { loadSwitch, takeRunner } from './switch-store.ts'
import type { RunMarks, SwitchProblem, SwitchRow } from './switch-store.ts'
import { missingMembers } from './tenant-change-store.ts'
import { readProofTokens } from '../relays/relay-secret-store.ts'

/** Of plans: each finds less to do than the one before; what never ends is somebody who undoes what we do. */
const MAX_PASSES = 20
const BUSY_WAIT_MS = 1_000
const AGAIN_MS = 60_000
/** Whoever is missing in the directory may have come by then: new recipients take minutes. */
const MISSING_REST_MS = 10 * 60_000
/** A run that waits looks at the tenants this often all the same. */
export const LOOK_EVERY_MS = 3 * 60_000

/** @returns the row as it is at the end @throws RetryLater; OperationCancelled; the signal's reason */
export async function reconcile(run: Run, deps: ReconcileDeps): Promise<SwitchRow> {
  const waits = await begin(run, deps)
  // Another run begins nothing more, but may read for long. What it has under way is looked for when it has ended.
  await stopRules(run, deps, waits === undefined)
  if (waits !== undefined) throw new RetryLater(waits)
  const skipped = new Map<string, SwitchProblem>()
  for (let passes = 0; passes < MAX_PASSES; passes++) {
    const pass = await makePass(run, deps)
    const stands = [...pass.problems, ...pass.plan.problems.map(asSwitchProblem)]
    if (await refuse(run, deps, stands.filter(isLasting))) continue
    for (const step of await findMissing(run, deps, pass))
      skipped.set(stepName(step), { code: 'member-not-found', tenant: step.tenant, noun: step.noun, key: step.key })
    const steps = pass.plan.steps.filter((step) => step.kind === 'gate' || !skipped.has(stepName(step)))
    const calls = steps.filter((step) => step.kind === 'call').length
    const lastLeave = steps.findLastIndex((step) => isLeaving(step, pass.desired))
    // Where a tenant can't be read nothing was planned: who left may be in a group still.
    const isHeld = pass.problems.length === 0 && lastLeave === -1 && (await letTableGo(run, pass))
    if (calls === 0) {
      // Somebody left after this look.
      if (isHeld) continue
      const end = await finishPass(run, deps, pass, [...stands, ...onePerGroup(skipped)], routesOf(pass))
      if (end.kind === 'settled') return end.row
      throw new RetryLater(end.waitMs)
    }
    await note(run, deps, stands)
    let done = 0
    let failing: CallStep | undefined
    try {
      for (const [index, step] of steps.entries()) {
        run.context.signal.throwIfAborted()
        if (step.kind === 'gate') {
          // It may take days, which others have nothing to do with.
          if (step.gate === 'hold' && done === 0) {
            const later = new Set(steps.slice(index).flatMap((each) => (each.kind === 'call' ? [each.key] : [])))
            const settled = await settleMeanwhile(run, deps, pass, [...stands, ...onePerGroup(skipped)], later)
            if (settled !== undefined) return settled
          }
          // Waited for at the end: of what comes in between only rules that are replaced depend on it.
          if (step.gate !== 'propagated') await passGate(run, deps, step, routesOf(pass), pass.revisionOfPeople)
          continue
        }
        failing = step
        if (isReplaced(step, pass)) await awaitReplacement(run, deps)
        const problem = await applyStep(run, deps, step, placeOf(pass, step))
        if (problem !== undefined) skipped.set(stepName(step), problem)
        if (index === lastLeave) await letTableGo(run, pass)
        done++
        await run.context.progress({ done, total: calls })
      }
    } catch (error) {
      if (error instanceof LookAgain) continue
      if (!(error instanceof Lasting)) throw error
      if (await refuse(run, deps, [error.problem])) continue
      // A switch of its own: the other one does not wait for it.
      if (error.problem.key === 'free-busy' && failing !== undefined) {
        skipped.set(stepName(failing), error.problem)
        continue
      }
      await note(run, deps, [...stands, error.problem])
      throw new RetryLater(AGAIN_MS, { cause: error })
    }
  }
  throw new RetryLater(AGAIN_MS)
}

/** One run at a time in a project. @returns ms to wait */
async function begin(run: Run, deps: ReconcileDeps): Promise<number | undefined> {
  return changeSwitch(run, async (tx, row) => {
    if (!(await takeRunner(tx, run.place, run.job))) return BUSY_WAIT_MS
    // Who leaves doesn't wait for what others wait for.
    if (await isTableHeld(tx, run.place)) return undefined
    const isRecent = row.observedAt !== undefined && deps.now() - row.observedAt.getTime() < LOOK_EVERY_MS
    return isRecent ? stillWaiting(tx, run, deps, row, row.marks.routes) : undefined
  })
}

/**
 * The first thing of every off, in each tenant for itself: that one of them does not answer keeps no rule on in the other. It alone restores native flow.
 * (§2.2)
 * @param isLast  whether nobody else can enable one after this look
 */
async function stopRules(run: Run, deps: ReconcileDeps, isLast: boolean): Promise<void> {
  const { row, kept, secrets } = await run.context.read(async (tx) => ({
    row: await loadSwitch(tx, run.place),
    kept: await readKept(tx, run.place),
    secrets: await readProofTokens(tx, deps.sealer, run.place),
  }))
  const rules = kept.filter(({ key }) => isRouting(key))
  // Where the answer to enabling was lost none is known to act, and one may.
  const mayAct = row.marks.enabledAt !== undefined || rules.some(({ intended }) => intended?.['State'] === 'Enabled')
  if (row.state !== 'turning_off' || !mayAct || row.marks.isStopped === true) return
  const tenants = new Set(rules.map(({ tenant }) => tenant))
  let failure: unknown
  for (const tenant of tenants) {
    try {
      await stopRulesIn(tenant)
    } catch (error) {
      if (!(error instanceof RetryLater || error instanceof Lasting)) throw error
      failure ??= error
      if (error instanceof Lasting) await note(run, deps, [error.problem])
    }
  }
  if (failure instanceof Lasting) throw new RetryLater(AGAIN_MS, { cause: failure })
  if (failure !== undefined) throw failure as RetryLater
  if (!isLast) return
  await changeSwitch(run, (tx, current) =>
    patchSwitch(tx, run.place, current, { marks: { ...current.marks, isStopped: true } }, new Date(deps.now())),
  )

  async function stopRulesIn(tenant: TenantId): Promise<void> {
    const groupPrefix = groupPrefixOf(run.place.project)
    const proofs = secrets.map(digestOf)
    const seen = await look(run, deps, { tenant, groupPrefix, proofs, nouns: ['TransportRule'] })
    if ('code' in seen) throw new Lasting(seen)
    const { steps } = planChanges([], seen, kept, {
      project: run.place.project,
      route: row.setting.route,
      validationRecipients: {},
      now: new Date(deps.now()),
      isDriftConfirmed: false,
    })
    for (const step of steps) {
      if (step.kind !== 'call' || step.effect !== 'disable') continue
      const observed = seen.find(({ guid }) => guid === step.guid)
      await applyStep(run, deps, step, { groupPrefix, secrets, observed, ownership: 'created', host: '' }).catch(
        (error: unknown) => {
          // Gone meanwhile: it routes nothing.
          if (!(error instanceof LookAgain)) throw error
        },
      )
    }
  }
}

/** Who left the table of this look is in no group any more: relays may have it. @returns whether somebody has left since (§1.4) */
function letTableGo(run: Run, { revision }: Pass): Promise<boolean> {
  return changeSwitch(run, (tx) => releaseTable(tx, run.place, revision))
}

/** Who was not there a while ago is not asked for at every look; what somebody asks for anew asks for all. */
async function findMissing(run: Run, deps: ReconcileDeps, { plan }: Pass): Promise<readonly CallStep[]> {
  const adds = plan.steps.filter((step) => step.kind === 'call').filter(({ effect }) => effect === 'add-member')
  if (adds.length === 0) return []
  const since = new Date(deps.now() - MISSING_REST_MS)
  const missing = await run.context.read((tx) => missingMembers(tx, run.place, run.operation, since))
  return adds.filter((step) =>
    missing.some(
      ({ tenant, key, member }) => tenant === step.tenant && key === step.key && member === step.parameters['Member'],
    ),
  )
}

/** A rule of people who stay, while it is not being turned off: others bring their mail to the relays from now on. */
const isReplaced = (step: CallStep, { row, desired }: Pass): boolean =>
  step.effect === 'disable' && isRouting(step.key) && row.state !== 'turning_off' && !isLeaving(step, desired)

/**
 * Until those others act, else mail would leave under the old identity meanwhile. Messages don't say which of the rules brought them: it takes the hour
 * that rules may need. (§1.5, §2.1 row 13)
 */
async function awaitReplacement(run: Run, deps: ReconcileDeps): Promise<void> {
  await changeSwitch(run, (tx, row) => {
    const { routes: _routes, ...marks } = row.marks
    return patchSwitch(tx, run.place, row, { marks }, new Date(deps.now()))
  })
  await passGate(run, deps, { kind: 'gate', gate: 'propagated' }, undefined)
}

/** What stands in the way, for those who watch. */
async function note(run: Run, deps: ReconcileDeps, problems: readonly SwitchProblem[]): Promise<void> {
  await changeSwitch(run, (tx: Tx, row) => patchSwitch(tx, run.place, row, { problems }, new Date(deps.now())))
}

function placeOf({ gathered, observed, desired, kept }: Pass, step: CallStep) {
  const isIt = (each: { readonly tenant: TenantId; readonly noun: CallStep['noun']; readonly key: string }) =>
    keyOf(each) === keyOf(step)
  const seen = observed.find(
    (each) =>
      each.tenant === step.tenant &&
      each.noun === step.noun &&
      (step.guid === undefined ? each.name === step.name : each.guid === step.guid),
  )
  return {
    groupPrefix: `Causeway-${gathered.input.project8}-`,
    secrets: gathered.secrets,
    observed: seen,
    ownership: desired.find(isIt)?.ownership ?? kept.find(isIt)?.ownership ?? ('created' as const),
    host: gathered.input.setting.relayHosts[step.key === 'out' ? 'out' : 'in'],
  }
}

/** Whose rules act once they do. */
function routesOf({ desired }: Pass): NonNullable<RunMarks['routes']> {
  const routes = new Map<string, NonNullable<RunMarks['routes']>[number]>()
  for (const { tenant, key } of desired) {
    if (!isRouting(key)) continue
    const direction = key === 'rule-40' ? 'in' : 'out'
    routes.set(`${tenant} ${direction}`, { tenant, direction })
  }
  return [...routes.values()]
}

const stepName = ({ tenant, cmdlet, key, parameters }: CallStep): string =>
  `${tenant} ${cmdlet} ${key} ${typeof parameters['Member'] === 'string' ? parameters['Member'] : ''}`

/** However many are missing: none of them is named. */
const onePerGroup = (skipped: ReadonlyMap<string, SwitchProblem>): readonly SwitchProblem[] => [
  ...new Map([...skipped.values()].map((each) => [`${each.tenant} ${each.key}`, each])).values(),
]

const asSwitchProblem = ({ kind, ...rest }: Problem): SwitchProblem => ({ code: kind, ...rest })

/** What others did to ours waits for somebody to look at it; the rest stands in the way of everything. */
const isLasting = ({ code }: SwitchProblem): boolean => !['drift', 'in-use'].includes(code)
