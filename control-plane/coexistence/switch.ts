// What an administrator does with the switch, and what he sees of it: asks for on, off, something else or a stop; a job does the rest. (coexistence.md §1,
// product.md §6)
import { isDeepStrictEqual } from 'node:util'
import type { Tx } from '../db/database.ts'
import { Problem as HttpProblem } from '../http/problem.ts'
import type { OperationId } from '../ids.ts'
import { createOperation, supersede } from '../operations/operation-store.ts'
import { existingProject } from '../projects/existing-project.ts'
import { tellRelays } from '../relays/tell-relays.ts'
import type { ProjectPlace } from '../tenants/tenant-store.ts'
import type { CoexistenceSetting, FreeBusySetting, SwitchState } from './coexistence.ts'
import type { EqualityProof } from './equality-proof.ts'
import type { Problem } from './planning.ts'
import { loadSwitch, lockSwitch, storeSwitch, transit } from './switch-store.ts'
import type { SwitchName, SwitchProblem, SwitchRow } from './switch-store.ts'
import { isTurning, otherThan } from './turns.ts'

export interface SwitchView {
  readonly setting: CoexistenceSetting
  readonly freeBusy: FreeBusySetting
  readonly state: SwitchState
  readonly freeBusyState: SwitchState
  /** What is being done; undefined: nothing. */
  readonly step: string | undefined
  /** Code of what it waits for. */
  readonly waitingFor: string | undefined
  /** Of the states. */
  readonly since: Date
  readonly freeBusySince: Date
  readonly problems: readonly SwitchProblem[]
  readonly drift: readonly Problem[]
  /** ETag: of what administrators set. 0: nobody has. */
  readonly version: number
  /** That works at it, or did last: `/operations/{id}`, and in the ledger. */
  readonly operation: OperationId | undefined
  /** Once it went off. */
  readonly proof: EqualityProof | undefined
}

export interface SwitchChange {
  /** `callerName` */
  readonly author: string
  readonly at: Date
  readonly ifVersion: number
  /** What others changed of ours is overwritten: somebody has looked at it. */
  readonly confirmsDrift?: boolean
}

export async function readSwitch(tx: Tx, place: ProjectPlace): Promise<SwitchView> {
  return viewOf(await loadSwitch(tx, place))
}

/** Begins an operation, which makes the tenants so. @throws Problem 412 stale-etag, 409 deletion-pending */
export async function setCoexistence(
  tx: Tx,
  place: ProjectPlace,
  setting: CoexistenceSetting,
  change: SwitchChange,
): Promise<SwitchView> {
  return set(tx, place, 'coexistence', (row) => ({ ...row, setting }), change)
}

/** @throws Problem 412 stale-etag */
export async function setFreeBusy(
  tx: Tx,
  place: ProjectPlace,
  freeBusy: FreeBusySetting,
  change: SwitchChange,
): Promise<SwitchView> {
  return set(tx, place, 'free-busy', (row) => ({ ...row, freeBusy }), change)
}

/** Rules off now, whatever is under way; the rest goes as with any off. Nothing where it is off already. */
export async function emergencyStop(
  tx: Tx,
  place: ProjectPlace,
  { author, at, reason }: { readonly author: string; readonly at: Date; readonly reason: string },
): Promise<SwitchView> {
  const row = await lockSwitch(tx, place)
  if (row.state === 'off') return viewOf(row)
  const stopped: SwitchRow = { ...row, setting: { ...row.setting, state: 'off' }, version: row.version + 1, author }
  return begin(tx, place, row, stopped, 'coexistence', {
    author,
    at,
    cause: `stop: ${reason}`,
    permission: 'coexistence.stop',
  })
}

async function set(
  tx: Tx,
  place: ProjectPlace,
  of: SwitchName,
  apply: (row: SwitchRow) => SwitchRow,
  { author, at, ifVersion, confirmsDrift = false }: SwitchChange,
): Promise<SwitchView> {
  const row = await lockSwitch(tx, place)
  if (row.version !== ifVersion) throw new HttpProblem('stale-etag')
  const wanted = apply(row)
  const { deletion } = await existingProject(tx, place.organisation, place.project)
  const isOn = (of === 'coexistence' ? wanted.setting : wanted.freeBusy).state === 'on'
  if (deletion !== undefined && isOn) throw new HttpProblem('deletion-pending')
  const asked = { ...wanted, version: row.version + 1, author, confirmsDrift }
  const cause = confirmsDrift ? 'asked for, and drift confirmed' : 'asked for'
  return begin(tx, place, row, asked, of, { author, at, cause, permission: 'coexistence.switch' })
}

async function begin(
  tx: Tx,
  place: ProjectPlace,
  before: SwitchRow,
  asked: SwitchRow,
  of: SwitchName,
  how: {
    readonly author: string
    readonly at: Date
    readonly cause: string
    readonly permission: 'coexistence.switch' | 'coexistence.stop'
  },
): Promise<SwitchView> {
  const { author, at, cause, permission } = how
  const same = before.marks.operations?.[of]
  if (same !== undefined) await supersede(tx, place, same)
  const operation = await createOperation(tx, place, {
    kind: 'coexistence.reconcile',
    permission,
    object: place.project,
    unit: 'steps',
    isCancellable: false,
    startedBy: author,
  })
  const wanted = of === 'coexistence' ? asked.setting.state : asked.freeBusy.state
  // A state `drift` that is asked to be `on` becomes so once it is repaired.
  const isFirst = wanted === 'on' && isOff(before)
  const begun: SwitchRow = {
    ...asked,
    operation,
    marks: { ...(isFirst ? {} : marksFor(before, of)), operations: { ...before.marks.operations, [of]: operation } },
    // What one has confirmed is not taken back by asking for the other.
    confirmsDrift: asked.confirmsDrift || (before.confirmsDrift && isTurning(before, otherThan(of))),
    problems: [],
    step: undefined,
    waitingFor: undefined,
    observedAt: undefined,
    ...(isFirst ? { baseline: operation } : {}),
    // That of the last off says nothing of this on.
    ...(isFirst || (of === 'coexistence' && wanted === 'on') ? { proof: undefined } : {}),
  }
  const event = wanted === 'on' ? 'turn-on' : 'turn-off'
  const row = await transit(tx, place, begun, of, event, { actor: author, cause, at })
  // Something else was asked for where no transition tells relays: while it is being turned on, or drifted.
  const isOther = !isDeepStrictEqual(row.setting, before.setting)
  if (isOther && row.state === before.state && row.state !== 'off') await tellRelays(tx, place)
  await storeSwitch(tx, place, row, at)
  return viewOf(row)
}

const isOff = ({ state, freeBusyState }: SwitchRow): boolean => state === 'off' && freeBusyState === 'off'

/** What another run waited for is over; when rules went on and off is not, nor what becomes of the other switch. */
function marksFor(before: SwitchRow, of: SwitchName): SwitchRow['marks'] {
  const { waiting: _waiting, refusals = {}, ...others } = before.marks
  const other = otherThan(of)
  const refusal = isTurning(before, other) ? refusals[other] : undefined
  const kept = refusal === undefined ? {} : { refusals: { [other]: refusal } }
  if (of === 'free-busy') return { ...others, ...kept }
  const { enabledAt, disabledAt, propagates } = others
  return {
    ...kept,
    ...(enabledAt === undefined ? {} : { enabledAt }),
    ...(disabledAt === undefined ? {} : { disabledAt }),
    ...(propagates === undefined ? {} : { propagates }),
  }
}

const viewOf = (row: SwitchRow): SwitchView => ({
  setting: row.setting,
  freeBusy: row.freeBusy,
  state: row.state,
  freeBusyState: row.freeBusyState,
  step: row.step,
  waitingFor: row.waitingFor,
  since: row.since,
  freeBusySince: row.freeBusySince,
  problems: row.problems,
  drift: row.drift,
  version: row.version,
  operation: row.operation,
  proof: row.proof,
})
