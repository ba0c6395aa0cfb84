// Desired − observed = plan. The same for enable, disable, repair and retry: whatever is there already needs no step, so that a run that was
// interrupted anywhere goes on. Nothing that somebody changed is overwritten without confirmation. Pure. (coexistence.md §1, §2)
import { build } from './build.ts'
import { isProbe } from './names.ts'
import { isLeaving, isLeftOff, isRouting, keyOf } from './planning.ts'
import type { Found, LedgerObject, Plan, PlanOptions, Problem } from './planning.ts'
import { takeDown } from './take-down.ts'
import type { DesiredObject, ObservedObject } from './tenant-object.ts'

export function planChanges(
  desired: readonly DesiredObject[],
  observed: readonly ObservedObject[],
  ledger: readonly LedgerObject[],
  options: PlanOptions,
): Plan {
  const problems: Problem[] = []
  const found = findAll(desired, observed, ledger, options.project)
  const enabling = isEnabling(found, options.isDriftConfirmed)
  const wanted = found.filter(({ object }) => enabling || !isProbe(object.key))
  // Planned first, done last: what can't go keeps rules from being enabled, like any other problem.
  const last = takeDown(wanted, observed, ledger, options, problems)
  // But for rules of people who have all left: they go as leavers of groups do, before anybody comes (§1.4).
  const leaves = last.filter((step) => isLeaving(step, desired))
  const rest = last.filter((step) => !leaves.includes(step))
  return { steps: [...leaves, ...build(wanted, observed, options, problems, enabling), ...rest], problems }
}

export const findAll = (
  desired: readonly DesiredObject[],
  observed: readonly ObservedObject[],
  ledger: readonly LedgerObject[],
  project: string,
): readonly Found[] => desired.map((object) => find(object, observed, ledger, project))

/** Probes are there only while a routing rule has still to be enabled. */
export function isEnabling(found: readonly Found[], isDriftConfirmed: boolean): boolean {
  return found.some(
    (each) => isRouting(each.object.key) && each.observed?.isEnabled !== true && !isLeftOff(each, isDriftConfirmed),
  )
}

function find(
  object: DesiredObject,
  all: readonly ObservedObject[],
  ledger: readonly LedgerObject[],
  project: string,
): Found {
  const known = ledger.find((each) => keyOf(each) === keyOf(object))
  const same = all.filter((each) => each.tenant === object.tenant && each.noun === object.noun)
  const seen =
    same.find((each) => each.guid === known?.guid) ??
    same.find((each) => each.mark?.project === project && each.mark.key === object.key) ??
    same.find((each) => each.name.toLowerCase() === object.name.toLowerCase())
  return { object, observed: seen, ledger: known }
}
