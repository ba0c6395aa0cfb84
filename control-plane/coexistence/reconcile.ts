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
import { changeSwitch, Lasting, LookAgain, patchSwitch } from './run.ts'
import type { ReconcileDeps, Run } from './run.ts'
import { passGate, stillWaiting } from './waiting.ts'
import type { CallStep } from './step.ts'
import { loadSwitch, takeRunner } from './switch-store.ts'
import type { RunMarks, SwitchProblem, SwitchRow } from './switch-store.ts'
import { readProofTokens } from '../relays/relay-secret-store.ts'

/** Of plans: each finds less to do than the one before; what never ends is somebody who undoes what we do. */
const MAX_PASSES = 20
const BUSY_WAIT_MS = 1_000
const AGAIN_MS = 60_000
/** A run that waits looks at the tenants this often all the same. */
export const LOOK_EVERY_MS = 3 * 60_000

/** @returns the row as it is at the end @throws RetryLater; OperationCancelled; the signal's reason */
export async function reconcile(run: Run, deps: ReconcileDeps): Promise<SwitchRow> {
  const waits = await begin(run, deps)
  if (waits !== undefined) throw new RetryLater(waits)
  await stopRules(run, deps)
  const skipped = new Map<string, SwitchProblem>()
  for (let passes = 0; passes < MAX_PASSES; passes++) {
    const pass = await makePass(run, deps)
    const stands = [...pass.problems, ...pass.plan.problems.map(asSwitchProblem)]
    if (await refuse(run, deps, stands.filter(isLasting))) continue
    const steps = pass.plan.steps.filter((step) => step.kind === 'gate' || !skipped.has(stepName(step)))
    const calls = steps.filter((step) => step.kind === 'call').length
    const lastLeave = steps.findLastIndex((step) => isLeaving(step, pass.desired))
    // Where a tenant can't be read nothing was planned: who left may be in a group still.
    const isHeld = pass.problems.length === 0 && lastLeave === -1 && (await letTableGo(run, pass))
    if (calls === 0) {
      // Somebody left after this look.
      if (isHeld) continue
      const end = await finishPass(run, deps, pass, [...stands, ...skipped.values()], routesOf(pass))
      if (end.kind === 'settled') return end.row
      throw new RetryLater(end.waitMs)
    }
    await note(run, deps, stands)
    let done = 0
    try {
      for (const [index, step] of steps.entries()) {
        run.context.signal.throwIfAborted()
        if (step.kind === 'gate') {
          // Waited for at the end: what comes in between does not depend on it.
          if (step.gate !== 'propagated') await passGate(run, deps, step, routesOf(pass), pass.revisionOfPeople)
          continue
        }
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
 */
async function stopRules(run: Run, deps: ReconcileDeps): Promise<void> {
  const { row, kept, secrets } = await run.context.read(async (tx) => ({
    row: await loadSwitch(tx, run.place),
    kept: await readKept(tx, run.place),
    secrets: await readProofTokens(tx, deps.sealer, run.place),
  }))
  if (row.state !== 'turning_off' || row.marks.enabledAt === undefined || row.marks.isStopped === true) return
  const tenants = new Set(kept.filter(({ key }) => isRouting(key)).map(({ tenant }) => tenant))
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

const asSwitchProblem = ({ kind, ...rest }: Problem): SwitchProblem => ({ code: kind, ...rest })

/** What others did to ours waits for somebody to look at it; the rest stands in the way of everything. */
const isLasting = ({ code }: SwitchProblem): boolean => !['drift', 'in-use'].includes(code)
