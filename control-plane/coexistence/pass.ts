// One look at both tenants and what follows from it: open intents are settled, and the difference to what is wanted is planned. (coexistence.md §1.1)
import type { Tx } from '../db/database.ts'
import { RetryLater } from '../jobs/retry.ts'
import { revisionOf } from '../mapping/mapping-store.ts'
import { ensureMarker, ensureProofTokens } from '../relays/relay-secret-store.ts'
import { tellRelays } from '../relays/tell-relays.ts'
import { listTenants } from '../tenants/tenant-store.ts'
import { marksAfter, SEEN_LATE_MS } from './apply-step.ts'
import { desiredObjects } from './desired.ts'
import type { DesiredInput, TenantInput } from './desired.ts'
import { listRuns } from './evidence-store.ts'
import { look } from './exchange-call.ts'
import { digestOf, gather } from './input.ts'
import type { Gathered, Wanted } from './input.ts'
import { forgetIntended, keepWritten, readKept } from './ledger-object-store.ts'
import type { KeptObject } from './ledger-object-store.ts'
import { project8Of } from './names.ts'
import { withNamedGroups } from './named-groups.ts'
import { findAll, isEnabling, planChanges } from './plan.ts'
import { isRouting, keyOf } from './planning.ts'
import type { Plan } from './planning.ts'
import { startProbeRun } from './probe-run.ts'
import { changeSwitch, patchSwitch } from './run.ts'
import type { ReconcileDeps, Run } from './run.ts'
import { judgeIntent } from './settle.ts'
import { loadSwitch } from './switch-store.ts'
import type { RunMarks, SwitchProblem, SwitchRow } from './switch-store.ts'
import { keepState, openIntents, settleChange } from './tenant-change-store.ts'
import type { TenantChange } from './tenant-change-store.ts'
import type { DesiredObject, ObservedObject } from './tenant-object.ts'

export interface Pass {
  readonly row: SwitchRow
  readonly gathered: Gathered
  readonly observed: readonly ObservedObject[]
  /** Whether the tenants could be read whole. */
  readonly isObserved: boolean
  readonly kept: readonly KeptObject[]
  readonly desired: readonly DesiredObject[]
  readonly plan: Plan
  /** What is missing, or could not be read: nothing was planned. */
  readonly problems: readonly SwitchProblem[]
  /** Of creations nobody knows yet whether they happened. */
  readonly hasUncertain: boolean
  /** Of the mapping table. */
  readonly revision: number
  /** Relays that have this one know everybody who is wanted in a group: what changed while people were read may be among them. */
  readonly revisionOfPeople: number
}

const LOOK_AGAIN_MS = 2_000
export const groupPrefixOf = (project: string): string => `Causeway-${project8Of(project)}-`

/** @throws RetryLater; OperationCancelled; the signal's reason */
export async function makePass(run: Run, deps: ReconcileDeps): Promise<Pass> {
  const at = () => new Date(deps.now())
  await changeSwitch(run, async (tx, current) => {
    if (isWanted(current)) await ensureSecrets(tx, run, deps)
  })
  // The people may be many: nobody has to wait for that.
  const { row, gathered, revision, revisionOfPeople } = await run.context.read(async (tx) => {
    const revisionThen = await revisionOf(tx, run.place)
    const current = await loadSwitch(tx, run.place)
    const all = await gather(tx, deps.sealer, run.place, wantedOf(current), at())
    return { row: current, gathered: all, revision: revisionThen, revisionOfPeople: await revisionOf(tx, run.place) }
  })
  const nothing: Plan = { steps: [], problems: [] }
  const base = {
    row,
    gathered,
    revision,
    revisionOfPeople,
    desired: [],
    plan: nothing,
    hasUncertain: false,
    observed: [],
    isObserved: false,
    kept: [],
  }
  if (gathered.problems.length > 0 && !(await hasAnything(run))) return { ...base, problems: gathered.problems }
  const observed: ObservedObject[] = []
  for (const { id } of gathered.tenants) {
    const proofs = gathered.secrets.map(digestOf)
    const seen: ObservedObject[] | SwitchProblem = await look(run, deps, {
      tenant: id,
      groupPrefix: groupPrefixOf(run.place.project),
      proofs,
    })
    // Where nothing was ever done and nothing is wanted, nobody has to be asked.
    if ('code' in seen) return { ...base, problems: isWanted(row) || (await hasAnything(run)) ? [seen] : [] }
    observed.push(...withNamedGroups(seen))
  }
  const settled = await settleAll(run, deps, observed)
  if (gathered.problems.length > 0)
    return { ...base, ...settled, observed, isObserved: true, problems: gathered.problems }
  const { inputs, route } = await changeSwitch(run, async (tx, current) => ({
    inputs: await tenantInputs(tx, run, deps, gathered, observed, settled.kept, row.confirmsDrift),
    route: current.setting.route,
  }))
  const desired = inputs === undefined ? [] : desiredObjects({ ...gathered.input, tenants: inputs })
  // What was made a moment ago and is not to be seen was not taken away: it comes.
  const now = deps.now()
  const isYoung = ({ writtenAt }: KeptObject) => now - writtenAt.getTime() < SEEN_LATE_MS
  const isSeen = (object: KeptObject) =>
    observed.some((each) => each.noun === object.noun && each.tenant === object.tenant && each.guid === object.guid)
  if (settled.kept.some((object) => object.guid !== undefined && isYoung(object) && !isSeen(object)))
    throw new RetryLater(LOOK_AGAIN_MS)
  const plan = planChanges(desired, observed, settled.kept, {
    project: run.place.project,
    route,
    validationRecipients: {},
    now: at(),
    isDriftConfirmed: row.confirmsDrift,
  })
  // A change of ours that is not to be seen yet looks like somebody's.
  const isLate = plan.problems.some(
    (problem) =>
      problem.kind === 'drift' && settled.kept.some((object) => keyOf(object) === keyOf(problem) && isYoung(object)),
  )
  if (isLate) throw new RetryLater(LOOK_AGAIN_MS)
  return { ...base, ...settled, observed, isObserved: true, desired, plan, problems: [] }
}

const isWanted = ({ setting, freeBusy }: Wanted): boolean => setting.state === 'on' || freeBusy.state === 'on'
const wantedOf = ({ setting, freeBusy }: SwitchRow): Wanted => ({ setting, freeBusy })

async function ensureSecrets(tx: Tx, { place }: Run, { sealer, now }: ReconcileDeps): Promise<void> {
  const at = new Date(now())
  await ensureMarker(tx, sealer, place, at)
  if ((await ensureProofTokens(tx, sealer, place, at)) > 0) await tellRelays(tx, place)
}

function hasAnything({ context, place }: Run): Promise<boolean> {
  return context.read(async (tx) => (await readKept(tx, place)).length + (await openIntents(tx, place)).length > 0)
}

/** What may have happened is settled by what is seen; the first look of an operation that began from off is kept. */
function settleAll(
  run: Run,
  deps: ReconcileDeps,
  observed: readonly ObservedObject[],
): Promise<{ kept: readonly KeptObject[]; hasUncertain: boolean }> {
  const { place } = run
  const at = new Date(deps.now())
  return changeSwitch(run, async (tx, row) => {
    const open = await openIntents(tx, place)
    if (row.baseline !== undefined && open.length === 0 && (await readKept(tx, place)).length === 0) {
      for (const { id: tenant } of await listTenants(tx, place)) {
        const objects = observed.filter((each) => each.tenant === tenant)
        await keepState(tx, place, { tenant, operation: row.baseline, moment: 'before', objects, observedAt: at })
      }
    }
    let { marks } = row
    let hasUncertain = false
    const made = new Set<string>()
    for (const change of open) {
      const judged = judgeIntent(change, observed, place.project)
      const { tenant, noun, key } = change
      // One of several that were tried has made it.
      const isMade = judged.effect === 'create' && made.has(`${tenant} ${noun} ${key}`)
      if (judged.effect === 'create' && judged.kind === 'done') made.add(`${tenant} ${noun} ${key}`)
      if (judged.kind === 'done' && !isMade) {
        const { object, effect } = judged
        const { guid } = object ?? change
        const { members: _members, ...after } = object ?? { members: undefined }
        await settleChange(
          tx,
          place,
          change.sequence,
          {
            state: 'done',
            ...(guid === undefined ? {} : { guid }),
            ...('noun' in after && !isOfMember(change) ? { after } : {}),
          },
          at,
        )
        if (noun !== 'OrganizationConfig' && !isOfMember(change)) {
          await keepWritten(tx, place, { tenant, noun, key, effect, guid }, at)
          marks = marksAfter(marks, { key, effect }, change.createdAt)
        }
        continue
      }
      if (judged.effect === 'create' && !isMade && at.getTime() - change.createdAt.getTime() < SEEN_LATE_MS) {
        hasUncertain = true
        continue
      }
      await settleChange(tx, place, change.sequence, { state: 'failed', problem: 'not-done' }, at)
      if (judged.effect === 'validate') marks = withoutValidation(marks, change)
      else if (noun !== 'OrganizationConfig' && !isOfMember(change))
        await forgetIntended(tx, place, { tenant, noun, key })
    }
    const patch = { marks, observedAt: at }
    await patchSwitch(tx, place, row, patch, at)
    return { kept: await readKept(tx, place), hasUncertain }
  })
}

const isOfMember = ({ cmdlet }: TenantChange): boolean => cmdlet.endsWith('DistributionGroupMember')

function withoutValidation(marks: RunMarks, { tenant, key }: TenantChange): RunMarks {
  const { validations = [], ...rest } = marks
  return { ...rest, validations: validations.filter((each) => each.tenant !== tenant || each.key !== key) }
}

/** Both tenants as they are; with words for probes where a routing rule has still to be enabled. */
async function tenantInputs(
  tx: Tx,
  run: Run,
  deps: ReconcileDeps,
  { own, input }: Gathered,
  observed: readonly ObservedObject[],
  kept: readonly KeptObject[],
  isDriftConfirmed: boolean,
): Promise<DesiredInput['tenants'] | undefined> {
  const at = (nonces: ReadonlyMap<string, string> | undefined) =>
    own.map((each): TenantInput => {
      const seen = observed.filter(({ tenant }) => tenant === each.tenant)
      const word = (direction: 'out' | 'in') => nonces?.get(`${each.tenant} ${direction}`) ?? ''
      return {
        ...each,
        observed: seen,
        ...(nonces === undefined ? {} : { probeNonces: { out: word('out'), in: word('in') } }),
      }
    })
  const [one, other] = at(undefined)
  if (one === undefined || other === undefined) return undefined
  const desired = desiredObjects({ ...input, tenants: [one, other] })
  const routes = desired.filter(({ key }) => isRouting(key))
  if (!isEnabling(findAll(desired, observed, kept, run.place.project), isDriftConfirmed)) return [one, other]
  const nonces = new Map<string, string>()
  const now = new Date(deps.now())
  const runs = (await listRuns(tx, run.place)).filter(({ kind, expiresAt }) => kind === 'probe' && expiresAt > now)
  for (const { tenant, key } of routes) {
    const direction = key === 'rule-40' ? 'in' : 'out'
    const host = input.setting.relayHosts[direction]
    const place = `${tenant} ${direction}`
    if (nonces.has(place)) continue
    const there = runs.find((each) => each.tenant === tenant && each.direction === direction && each.host === host)
    nonces.set(
      place,
      there?.nonce ?? (await startProbeRun(tx, deps.sealer, run.place, { tenant, direction, host, at: now })).nonce,
    )
  }
  const [first, second] = at(nonces)
  return first === undefined || second === undefined ? undefined : [first, second]
}
