// One run of the reconciler in a project: what it works with, and the only way in which it writes: as long as nobody has begun another operation. (JQ-2,
// coexistence.md §1.1)
import type { Tx } from '../db/database.ts'
import { publishEvent } from '../db/outbox.ts'
import type { OperationId } from '../ids.ts'
import type { JobContext } from '../jobs/job.ts'
import { RetryLater } from '../jobs/retry.ts'
import { OperationCancelled } from '../operations/operation-job.ts'
import type { OperationContext } from '../operations/operation-job.ts'
import type { InTenantDeps } from '../tenants/in-tenant.ts'
import type { ProjectPlace } from '../tenants/tenant-store.ts'
import type { GateKeeper } from './gate-keeper.ts'
import { lockSwitch, storeSwitch } from './switch-store.ts'
import { switchOf, TURN_MS } from './turns.ts'
import type { SwitchProblem, SwitchRow } from './switch-store.ts'

export interface ReconcileDeps extends InTenantDeps {
  readonly gates: GateKeeper
}

export interface Run {
  readonly place: ProjectPlace
  readonly job: number
  /** Under which the ledger keeps what is done. */
  readonly operation: OperationId
  /** As the ledger names him. */
  readonly author: string
  readonly context: Pick<JobContext, 'read' | 'change' | 'signal' | 'advance'> & Pick<OperationContext, 'progress'>
}

/** A refusal that will not pass by itself: permission, limit, somebody else's object, a gate that stays shut. */
export class Lasting extends Error {
  override readonly name = 'Lasting'
  readonly problem: SwitchProblem

  constructor(problem: SwitchProblem, options?: { cause?: unknown }) {
    super(problem.code, options)
    this.problem = problem
  }
}

/** The tenant is not as the plan took it: look again. */
export class LookAgain extends Error {
  override readonly name = 'LookAgain'
}

/** @throws OperationCancelled when another operation was begun for its switch; RetryLater when the one of the other switch has its turn */
export function changeSwitch<T>(
  { context, place, operation }: Run,
  work: (tx: Tx, row: SwitchRow) => Promise<T>,
): Promise<T> {
  return context.change(async (tx) => {
    const row = await lockSwitch(tx, place)
    if (row.operation !== operation) {
      if (switchOf(row, operation) === undefined) throw new OperationCancelled('another operation has begun')
      throw new RetryLater(TURN_MS)
    }
    return work(tx, row)
  })
}

/** Writes members of the row; what is done and waited for is told to who watches. */
export async function patchSwitch(
  tx: Tx,
  place: ProjectPlace,
  row: SwitchRow,
  patch: Partial<SwitchRow>,
  at: Date,
): Promise<SwitchRow> {
  const next = { ...row, ...patch }
  // Most steps of a long list of members change nothing of it.
  if (Object.keys(patch).every((name) => next[name as keyof SwitchRow] === row[name as keyof SwitchRow])) return row
  await storeSwitch(tx, place, next, at)
  if (next.step !== row.step || next.waitingFor !== row.waitingFor) {
    const { step, waitingFor } = next
    await publishEvent(tx, place, 'coexistence.step', {
      ...(step === undefined ? {} : { step }),
      ...(waitingFor === undefined ? {} : { waitingFor }),
    })
  }
  return next
}
