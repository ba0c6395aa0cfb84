// Long work that a request started: what can be seen of it, and what may become of it. Pure. (control-plane.md §1)
import { z } from 'zod'
import { time } from '../http/values.ts'
import type { Problem } from '../http/problem.ts'
import type { Permission } from '../access/permissions.ts'
import type { OperationId, OrganisationId, ProjectId } from '../ids.ts'

export const OPERATION_STATES = ['queued', 'running', 'cancelling', 'cancelled', 'succeeded', 'failed'] as const
export type OperationState = (typeof OPERATION_STATES)[number]

export const isFinished = (state: OperationState): boolean =>
  state === 'succeeded' || state === 'failed' || state === 'cancelled'

export interface Operation {
  readonly id: OperationId
  readonly organisation: OrganisationId
  readonly project: ProjectId | undefined
  readonly kind: string
  /** That started it: reads and cancels it. */
  readonly permission: Permission
  readonly object: string
  readonly state: OperationState
  readonly progress: Progress
  readonly problem: Readonly<Record<string, unknown>> | undefined
  readonly result: Readonly<Record<string, unknown>> | undefined
  readonly startedBy: string
  readonly isCancellable: boolean
  readonly attempts: number
  readonly version: number
  readonly createdAt: Date
  readonly createdMicros: number
  readonly updatedAt: Date
  readonly finishedAt: Date | undefined
}

export interface Progress {
  readonly done: number
  /** undefined: not known (yet). */
  readonly total: number | undefined
  /** `rows`, `messages`, … */
  readonly unit: string
  /** What is being done, in a word or two. */
  readonly step: string
}

/** What an operation failed of, as its `problem` shows it. */
export function problemOf({ type, message, status, members }: Problem): Record<string, unknown> {
  return { type: `/problems/${type}`, title: message, status, ...members }
}

/** Of a job that was given up. @param reason  its code (jobs/retry.ts) */
export const givenUp = (reason: string): Record<string, unknown> => ({
  type: '/problems/operation-given-up',
  title: 'The work failed again and again',
  status: 500,
  reason,
})

export const operationShape = z
  .strictObject({
    id: z.string(),
    kind: z.string().meta({ description: '`<area>.<what>`' }),
    state: z.enum(OPERATION_STATES),
    organization: z.string(),
    project: z.string().optional(),
    object: z.string().optional().meta({ description: 'Id of what it is about.' }),
    progress: z.strictObject({
      done: z.int().min(0),
      total: z.int().min(0).optional().meta({ description: 'Absent while it is not known.' }),
      unit: z.string().optional(),
      step: z.string().optional().meta({ description: 'What is being done now.' }),
    }),
    problem: z.record(z.string(), z.unknown()).optional().meta({ description: 'Why it failed, as RFC 9457 says it.' }),
    result: z.record(z.string(), z.unknown()).optional().meta({ description: 'What came of it, with links.' }),
    isCancellable: z.boolean(),
    startedBy: z.string(),
    attempts: z.int(),
    createdAt: time,
    updatedAt: time,
    finishedAt: time.optional(),
  })
  .meta({ id: 'Operation', description: 'Long work that a request started.' })

export function shapeOperation(operation: Operation): z.input<typeof operationShape> {
  const { id, kind, state, organisation, project, object, problem, result, isCancellable, startedBy, attempts } =
    operation
  const { done, total, unit, step } = operation.progress
  return {
    id,
    kind,
    state,
    organization: organisation,
    ...(project === undefined ? {} : { project }),
    ...(object === '' ? {} : { object }),
    progress: {
      done,
      ...(total === undefined ? {} : { total }),
      ...(unit === '' ? {} : { unit }),
      ...(step === '' ? {} : { step }),
    },
    ...(problem === undefined ? {} : { problem }),
    ...(result === undefined ? {} : { result }),
    isCancellable: isCancellable && (state === 'queued' || state === 'running'),
    startedBy,
    attempts,
    createdAt: operation.createdAt.toISOString(),
    updatedAt: operation.updatedAt.toISOString(),
    ...(operation.finishedAt === undefined ? {} : { finishedAt: operation.finishedAt.toISOString() }),
  }
}
