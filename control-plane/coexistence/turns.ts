// Two switches, and of each the operation that was begun last. One of them works in the tenants at a time, for both switches; the other waits for its turn, or
// until its own switch has settled, and ends with what became of that. (coexistence.md §2.1 row 8)
import type { Tx } from '../db/database.ts'
import type { OperationId } from '../ids.ts'
import { RetryLater } from '../jobs/retry.ts'
import { OperationCancelled } from '../operations/operation-job.ts'
import { findOperation } from '../operations/operation-store.ts'
import type { ProjectPlace } from '../tenants/tenant-store.ts'
import { lockSwitch, storeSwitch } from './switch-store.ts'
import type { SwitchName, SwitchRow } from './switch-store.ts'

/** For its turn an operation waits this long at a time. */
export const TURN_MS = 5_000

/** @returns undefined: none of its, or another was begun for that switch since */
export function switchOf({ marks }: Pick<SwitchRow, 'marks'>, operation: OperationId): SwitchName | undefined {
  const { operations = {} } = marks
  return operations.coexistence === operation
    ? 'coexistence'
    : operations['free-busy'] === operation
      ? 'free-busy'
      : undefined
}

export const otherThan = (of: SwitchName): SwitchName => (of === 'coexistence' ? 'free-busy' : 'coexistence')

export const isTurning = (row: Pick<SwitchRow, 'state' | 'freeBusyState'>, of: SwitchName): boolean =>
  (of === 'coexistence' ? row.state : row.freeBusyState).startsWith('turning_')

/** Its own switch has settled, and the other one has an operation that goes on with the rest. */
export async function isRelieved(
  tx: Tx,
  place: ProjectPlace,
  row: SwitchRow,
  operation: OperationId,
): Promise<boolean> {
  const of = switchOf(row, operation)
  if (of === undefined || isTurning(row, of)) return false
  return isUnderWay(tx, place, row.marks.operations?.[otherThan(of)])
}

/**
 * @returns the row where its switch has settled while it waited; undefined: it goes on
 * @throws RetryLater while the other works; OperationCancelled
 */
export async function takeTurn(
  tx: Tx,
  place: ProjectPlace,
  operation: OperationId,
  at: Date,
): Promise<SwitchRow | undefined> {
  const row = await lockSwitch(tx, place)
  if (row.operation === operation) return undefined
  const of = switchOf(row, operation)
  if (of === undefined) throw new OperationCancelled('another operation has begun')
  if (!isTurning(row, of)) return row
  if (await isUnderWay(tx, place, row.operation)) throw new RetryLater(TURN_MS)
  await storeSwitch(tx, place, { ...row, operation }, at)
  return undefined
}

async function isUnderWay(tx: Tx, { organisation }: ProjectPlace, id: OperationId | undefined): Promise<boolean> {
  const operation = id === undefined ? undefined : await findOperation(tx, organisation, id)
  return operation !== undefined && ['queued', 'running'].includes(operation.state)
}
