// One step of a plan that changes a tenant: its intent is committed, the call is sent once, and what came of it is written down. Whatever interrupts it, the
// next run finds the intent and looks at the tenant. (coexistence.md §2.2, EC-5, KM-5)
import type { Tx } from '../db/database.ts'
import { RetryLater } from '../jobs/retry.ts'
import type { ProofToken as ProofSecret } from '../relays/relay-secret-store.ts'
import { digestOf } from './input.ts'
import { awaitRelays } from './await-relays.ts'
import { callExchange, look } from './exchange-call.ts'
import { forgetIntended, keepIntended, keepWritten, readKept } from './ledger-object-store.ts'
import { isProbe } from './names.ts'
import { isRouting, keyOf } from './planning.ts'
import { startValidation } from './probe-run.ts'
import { changeSwitch, Lasting, LookAgain, patchSwitch } from './run.ts'
import type { ReconcileDeps, Run } from './run.ts'
import type { CallStep } from './step.ts'
import type { RunMarks, SwitchProblem, SwitchRow, Validation } from './switch-store.ts'
import { appendIntent, openIntents, settleChange, settleEarlierTries } from './tenant-change-store.ts'
import type { Settlement } from './tenant-change-store.ts'
import { isProofToken } from './tenant-object.ts'
import type { ObservedObject, Ownership, Properties } from './tenant-object.ts'
import { isDueAgain } from './waiting.ts'

export interface StepPlace {
  readonly groupPrefix: string
  readonly secrets: readonly ProofSecret[]
  /** As last seen. */
  readonly observed: ObservedObject | undefined
  readonly ownership: Ownership
  /** Name of the relays that a connector to be validated leads to. */
  readonly host: string
}

/** What was made is seen by others after this long at most, as is a change. */
export const SEEN_LATE_MS = 5 * 60_000
const LOOK_AGAIN_MS = 2_000
const NAMED_WAIT_MS = 5_000
const HYDRATION_WAIT_MS = 5_000
/** Longer than its gate waits (gates.ts), else that would never give it up; shorter than relays take it. */
const VALIDATION_LASTS_MS = 50 * 60_000
const CUSTOMIZATION = { cmdlet: 'Enable-OrganizationCustomization', parameters: {} }

/**
 * @returns what keeps one member out of a group, which nobody else has to wait for
 * @throws RetryLater; Lasting; LookAgain; OperationCancelled; the signal's reason
 */
export async function applyStep(
  run: Run,
  deps: ReconcileDeps,
  step: CallStep,
  place: StepPlace,
): Promise<SwitchProblem | undefined> {
  const begun = await begin(run, deps, step, place)
  if (begun === undefined) return undefined
  const { sequence, sent } = begun
  if (step.effect === 'validate') await awaitRelays(run, deps)
  const answer = await callExchange(run, deps, step.tenant, {
    cmdlet: step.cmdlet,
    parameters: withSecrets(sent, place.secrets),
  })
  const problem = { tenant: step.tenant, noun: step.noun, key: step.key }
  switch (answer.kind) {
    case 'done':
      return finish(run, deps, step, place, sequence, answer.guid)
    case 'dehydrated':
      await settle(run, deps, step, sequence, { state: 'failed', problem: 'dehydrated' })
      return customise(run, deps, step)
    case 'absent':
      if (['remove', 'disable', 'remove-member'].includes(step.effect))
        return finish(run, deps, step, place, sequence, undefined)
      await settle(run, deps, step, sequence, { state: 'failed', problem: 'NOT_FOUND' })
      if (step.effect === 'add-member') return { code: 'member-not-found', ...problem }
      return notThere(run, deps, step, place)
    case 'exists':
      if (step.effect === 'add-member') return finish(run, deps, step, place, sequence, undefined)
      if (step.effect !== 'create') {
        await settle(run, deps, step, sequence, { state: 'failed', problem: 'CONFLICT' })
        throw new Lasting({ code: 'CONFLICT', ...problem })
      }
      return taken(run, deps, step, sequence)
    case 'refused':
      await settle(run, deps, step, sequence, { state: 'failed', problem: answer.problem.code })
      throw new Lasting({ ...problem, ...answer.problem })
    default:
      return answer satisfies never
  }
}

/** @returns undefined where it was done and what comes of it is still awaited */
async function begin(
  run: Run,
  deps: ReconcileDeps,
  step: CallStep,
  { observed, ownership, host }: StepPlace,
): Promise<{ readonly sequence: number; readonly sent: Properties } | undefined> {
  const at = new Date(deps.now())
  const begun = await changeSwitch(run, async (tx, row) => {
    const { marks, parameters } =
      step.effect === 'validate'
        ? await validation(tx, run, deps, row, step, host)
        : { marks: row.marks, parameters: step.parameters }
    if (parameters === undefined) return undefined
    const sequence = await appendIntent(
      tx,
      run.place,
      {
        tenant: step.tenant,
        noun: step.noun,
        key: step.key,
        guid: step.guid,
        cmdlet: step.cmdlet,
        parameters,
        before: imageOf(step, observed),
        operation: run.operation,
        author: run.author,
      },
      at,
    )
    if (!isAside(step)) await keepIntended(tx, run.place, step, { ownership, at })
    await patchSwitch(tx, run.place, row, { step: `${step.cmdlet} ${step.key}`, waitingFor: undefined, marks }, at)
    return { sequence, sent: parameters }
  })
  await run.context.progress({ step: `${step.cmdlet} ${step.key}` })
  return begun
}

/** Mail of a validation that is awaited is asked for again now and then, as the same: any of it will do, and its gate counts from the first. */
async function validation(
  tx: Tx,
  run: Run,
  deps: ReconcileDeps,
  { marks }: SwitchRow,
  { tenant, key, parameters }: CallStep,
  host: string,
) {
  const at = new Date(deps.now())
  const { validations = [] } = marks
  const others = validations.filter((each) => each.tenant !== tenant || each.key !== key)
  const awaited = validations.find((each) => each.tenant === tenant && each.key === key)
  const isFresh = awaited !== undefined && at.getTime() - Date.parse(awaited.at) < VALIDATION_LASTS_MS
  if (isFresh && awaited.recipient.endsWith(`@${host}`)) {
    if (!isDueAgain(awaited, at.getTime())) return { marks, parameters: undefined }
    const again: Validation = { ...awaited, askedAt: at.toISOString() }
    return {
      marks: { ...marks, validations: [...others, again] },
      parameters: { ...parameters, Recipients: [awaited.recipient] },
    }
  }
  const connector = key === 'out' ? 'out' : 'elsewhere'
  const { nonce, recipient } = await startValidation(tx, deps.sealer, run.place, { tenant, key: connector, host, at })
  const made: RunMarks = { ...marks, validations: [...others, { tenant, key, nonce, recipient, at: at.toISOString() }] }
  return { marks: made, parameters: { ...parameters, Recipients: [recipient] } }
}

/** It took effect: the object is looked at, so that the ledger has how it is since then. */
async function finish(
  run: Run,
  deps: ReconcileDeps,
  step: CallStep,
  { groupPrefix, secrets }: StepPlace,
  sequence: number,
  guid: string | undefined,
): Promise<undefined> {
  if (isAside(step) || step.effect === 'remove') {
    await settle(run, deps, step, sequence, { state: 'done' })
    return undefined
  }
  const proofs = secrets.map(digestOf)
  const seen = await look(run, deps, { tenant: step.tenant, groupPrefix, proofs, nouns: [step.noun] })
  const all = 'code' in seen ? [] : seen
  const wanted = guid ?? step.guid
  const after = all.find((each) => (wanted === undefined ? each.name === step.name : each.guid === wanted))
  const known = after?.guid ?? wanted
  if (known !== undefined)
    await settle(run, deps, step, sequence, {
      state: 'done',
      guid: known,
      ...(after === undefined ? {} : { after: withoutMembers(after) }),
    })
  // Others that name it would not find it.
  if (after === undefined && step.effect === 'create') throw new RetryLater(LOOK_AGAIN_MS)
  return undefined
}

/** Ours, made by a call whose answer was lost and not to be seen yet, or somebody else's that can't be seen: time tells. */
async function taken(run: Run, deps: ReconcileDeps, step: CallStep, sequence: number): Promise<never> {
  const first = await run.context.read(async (tx) =>
    (await openIntents(tx, run.place)).find(
      (each) =>
        each.tenant === step.tenant && each.noun === step.noun && each.key === step.key && each.cmdlet === step.cmdlet,
    ),
  )
  const isLate = first !== undefined && deps.now() - first.createdAt.getTime() > SEEN_LATE_MS
  if (!isLate && first?.sequence === sequence) throw new RetryLater(LOOK_AGAIN_MS)
  await settle(run, deps, step, sequence, { state: 'failed', problem: 'CONFLICT' }, isLate)
  if (!isLate) throw new RetryLater(LOOK_AGAIN_MS)
  throw new Lasting({ code: 'conflict', tenant: step.tenant, noun: step.noun, key: step.key })
}

/** Itself, which the next plan will see, or something that it names: that was just made and is not to be seen yet, or there is no such thing. */
async function notThere(run: Run, deps: ReconcileDeps, step: CallStep, place: StepPlace): Promise<never> {
  const { tenant, noun, key, guid } = step
  if (guid !== undefined) {
    const proofs = place.secrets.map(digestOf)
    const seen = await look(run, deps, { tenant, groupPrefix: place.groupPrefix, proofs, nouns: [noun] })
    if (!('code' in seen) && !seen.some((each) => each.guid === guid)) throw new LookAgain('it is not there')
  }
  const kept = await run.context.read((tx) => readKept(tx, run.place))
  const isAwaited = kept.some(
    (each) =>
      each.tenant === tenant && keyOf(each) !== keyOf(step) && deps.now() - each.writtenAt.getTime() < SEEN_LATE_MS,
  )
  if (isAwaited) throw new RetryLater(NAMED_WAIT_MS)
  throw new Lasting({ code: 'NOT_FOUND', tenant, noun, key })
}

async function customise(run: Run, deps: ReconcileDeps, { tenant }: CallStep): Promise<never> {
  const at = () => new Date(deps.now())
  const { operation, author } = run
  const noun = 'OrganizationConfig' as const
  const intent = { tenant, noun, key: 'customization', ...CUSTOMIZATION, operation, author }
  const sequence = await changeSwitch(run, (tx) => appendIntent(tx, run.place, intent, at()))
  const answer = await callExchange(run, deps, tenant, CUSTOMIZATION)
  // Said to be not required: somebody else did it meanwhile.
  const isDone =
    answer.kind === 'done' || (answer.kind === 'refused' && answer.problem.serviceCode === 'InvalidOperationException')
  const settlement: Settlement = isDone ? { state: 'done' } : { state: 'failed', problem: answer.kind }
  await changeSwitch(run, (tx) => settleChange(tx, run.place, sequence, settlement, at()))
  if (!isDone) throw new Lasting({ code: answer.kind === 'refused' ? answer.problem.code : answer.kind, tenant })
  throw new RetryLater(HYDRATION_WAIT_MS)
}

/** @param forgets  whether what was meant is given up, too */
async function settle(
  run: Run,
  deps: ReconcileDeps,
  step: CallStep,
  sequence: number,
  settlement: Settlement,
  forgets = settlement.state === 'failed',
): Promise<void> {
  const at = new Date(deps.now())
  await changeSwitch(run, async (tx, row) => {
    await settleChange(tx, run.place, sequence, settlement, at)
    // However often its process is killed: as long as each gets a step further it is not given up.
    if (settlement.state === 'done') await run.context.advance(tx)
    if (isAside(step)) return
    if (settlement.state === 'done') {
      await settleEarlierTries(tx, run.place, { ...step, sequence }, at)
      await keepWritten(tx, run.place, { ...step, guid: settlement.guid ?? step.guid }, at)
      await patchSwitch(tx, run.place, row, { marks: marksAfter(row.marks, step, at) }, at)
    } else if (forgets) await forgetIntended(tx, run.place, step)
  })
}

export function marksAfter(marks: RunMarks, { key, effect }: Pick<CallStep, 'key' | 'effect'>, at: Date): RunMarks {
  const time = at.toISOString()
  if (isProbe(key) && effect === 'enable') return { ...marks, probesAt: marks.probesAt ?? time }
  if (!isRouting(key)) return marks
  if (effect === 'enable') return { ...marks, enabledAt: time, propagates: true }
  return effect === 'disable' ? { ...marks, disabledAt: time } : marks
}

/** Changes no object of its own: its group, or nothing at all. */
const isAside = ({ effect }: CallStep): boolean => ['add-member', 'remove-member', 'validate'].includes(effect)

/** Of groups with their members only where they go. */
function imageOf({ effect }: CallStep, observed: ObservedObject | undefined): ObservedObject | undefined {
  if (observed === undefined || ['add-member', 'remove-member', 'validate'].includes(effect)) return undefined
  return effect === 'remove' ? observed : withoutMembers(observed)
}

function withoutMembers({ members: _members, ...rest }: ObservedObject): ObservedObject {
  return rest
}

/** At the last moment: the secret goes to the tenant and nowhere else. */
function withSecrets(parameters: Properties, secrets: readonly ProofSecret[]): Properties {
  return Object.fromEntries(
    Object.entries(parameters).map(([name, value]) => {
      if (!isProofToken(value)) return [name, value]
      const secret = secrets.find((each) => digestOf(each).sha256 === value.sha256)
      if (secret === undefined) throw new LookAgain('the token was rotated meanwhile')
      return [name, secret.token]
    }),
  )
}
