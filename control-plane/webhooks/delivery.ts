// One event for one webhook or notification: what is sent, and what became of it. Pure.
import { z } from 'zod'
import { time } from '../http/values.ts'
import type { DeliveryId, OrganisationId, ProjectId } from '../ids.ts'

export const DELIVERY_STATES = ['pending', 'delivered', 'failed'] as const
export type DeliveryState = (typeof DELIVERY_STATES)[number]
/** Sent to try a webhook out, whatever it asks for. */
export const PING = 'webhook.ping'

export interface Delivery {
  readonly id: DeliveryId
  readonly organisation: OrganisationId
  /** Of the webhook or notification. */
  readonly subscription: string
  readonly project: ProjectId | undefined
  readonly type: string
  readonly body: Readonly<Record<string, unknown>>
  readonly state: DeliveryState
  readonly attempts: number
  readonly lastAttemptAt: Date | undefined
  readonly lastStatus: number | undefined
  readonly lastFault: string | undefined
  readonly retryUntil: Date
  readonly createdAt: Date
  readonly createdMicros: number
  readonly finishedAt: Date | undefined
}

export const deliveryShape = z
  .strictObject({
    id: z.string(),
    type: z.string(),
    state: z.enum(DELIVERY_STATES),
    project: z.string().optional(),
    data: z.record(z.string(), z.unknown()),
    attempts: z.int(),
    lastAttemptAt: time.optional(),
    lastStatus: z.int().optional().meta({ description: "HTTP status of the receiver's answer." }),
    lastFault: z.string().optional().meta({
      description:
        '`status`, or why there was no answer: `dns`, `address`, `connect`, `tls`, `timeout`, `too-large`, `protocol`; `disabled`, `gone`.',
    }),
    createdAt: time,
    finishedAt: time.optional(),
  })
  .meta({ id: 'Delivery', description: 'One event for one webhook or notification.' })

export function shapeDelivery(delivery: Delivery): z.input<typeof deliveryShape> {
  const { id, type, state, project, body, attempts, lastAttemptAt, lastStatus, lastFault, createdAt, finishedAt } =
    delivery
  return {
    id,
    type,
    state,
    ...(project === undefined ? {} : { project }),
    data: body,
    attempts,
    ...(lastAttemptAt === undefined ? {} : { lastAttemptAt: lastAttemptAt.toISOString() }),
    ...(lastStatus === undefined ? {} : { lastStatus }),
    ...(lastFault === undefined ? {} : { lastFault }),
    createdAt: createdAt.toISOString(),
    ...(finishedAt === undefined ? {} : { finishedAt: finishedAt.toISOString() }),
  }
}

/** Body of the POST: the same in every attempt. */
export function messageOf({ id, organisation, project, type, body, createdAt }: Delivery): Buffer {
  return Buffer.from(
    JSON.stringify({
      id,
      type,
      organization: organisation,
      ...(project === undefined ? {} : { project }),
      createdAt: createdAt.toISOString(),
      data: body,
    }),
  )
}
