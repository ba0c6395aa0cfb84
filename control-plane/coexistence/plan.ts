// Desired − observed = plan. The same for enable, disable, repair and retry: whatever is there already needs no step, so that a run that was
// interrupted anywhere goes on. Nothing that somebody changed is overwritten without confirmation. Pure. (coexistence.md §1, §2)
import { build } from './build.ts'
import { isProbe } from './names.ts'
import { isRouting, keyOf } from './planning.ts'
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
  const found = desired.map((object) => find(object, observed, ledger, options.project))
  // Probes are there only while a routing rule has still to be enabled.
  const enabling = found.some(({ object, observed: seen }) => isRouting(object.key) && seen?.isEnabled !== true)
  const wanted = found.filter(({ object }) => enabling || !isProbe(object.key))
  // Planned first, done last: what can't go keeps rules from being enabled, like any other problem.
  const last = takeDown(wanted, observed, ledger, options, problems)
  return { steps: [...build(wanted, observed, options, problems, enabling), ...last], problems }
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
