// A webhook: what it is, how its messages are signed, and when a message that failed is sent again. Pure but for chance.
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { z } from 'zod'
import { readableText, time } from '../http/values.ts'
import type { DeliveryId, OrganisationId, ProjectId, WebhookId } from '../ids.ts'
import type { SealedColumn } from '../keys/sealed-columns.ts'
import { eventPatterns } from './event-patterns.ts'

export interface Webhook {
  readonly id: WebhookId
  readonly organisation: OrganisationId
  readonly project: ProjectId | undefined
  readonly url: string
  readonly description: string
  readonly events: readonly string[]
  readonly isEnabled: boolean
  readonly failures: number
  readonly restsUntil: Date | undefined
  readonly previousSecretUntil: Date | undefined
  readonly version: number
  readonly createdAt: Date
}

export const SECRET_COLUMN: SealedColumn = {
  table: 'webhook',
  column: 'secret_sealed',
  key: ['id'],
  sealedBy: 'installation',
}
export const PREVIOUS_SECRET_COLUMN: SealedColumn = { ...SECRET_COLUMN, column: 'previous_secret_sealed' }

export const webhookBody = z.strictObject({
  url: z
    .string()
    .max(2000)
    .meta({ description: 'https. It may hold a secret: only organization administrators read all of it.' }),
  events: eventPatterns,
  description: readableText(0, 200).default(''),
  isEnabled: z.boolean().default(true),
})

export const webhookChange = webhookBody.partial()

export const webhookShape = z
  .strictObject({
    id: z.string(),
    organization: z.string(),
    project: z.string().optional().meta({ description: 'Absent: events of the organization and all its projects.' }),
    url: z.string(),
    description: z.string(),
    events: z.array(z.string()),
    isEnabled: z.boolean(),
    failures: z.int().meta({ description: 'Deliveries that failed since the last one that did not.' }),
    restsUntil: time
      .optional()
      .meta({ description: 'Until then nothing is sent: the receiver failed again and again.' }),
    createdAt: time,
  })
  .meta({ id: 'Webhook', description: 'Where events are posted to.' })

export const webhookWithSecret = webhookShape
  .extend({ secret: z.string().meta({ description: 'Signs the messages. Shown this once.' }) })
  .meta({ id: 'WebhookWithSecret' })

/** @param isWhole  whether the reader may see all of the URL: what follows the host may be a secret */
export function shapeWebhook(webhook: Webhook, isWhole: boolean): z.input<typeof webhookShape> {
  const { id, organisation, project, url, description, events, isEnabled, failures, restsUntil, createdAt } = webhook
  return {
    id,
    organization: organisation,
    ...(project === undefined ? {} : { project }),
    url: isWhole ? url : `${new URL(url).origin}/…`,
    description,
    events: [...events],
    isEnabled,
    failures,
    ...(restsUntil === undefined ? {} : { restsUntil: restsUntil.toISOString() }),
    createdAt: createdAt.toISOString(),
  }
}

export const newSecret = (): string => `whsec_${randomBytes(32).toString('base64url')}`

export interface SignedMessage {
  readonly id: DeliveryId
  /** s since the epoch */
  readonly timestamp: number
  readonly body: Uint8Array
}

/**
 * Value of Causeway-Signature: `t=<s>,v1=<hex HMAC-SHA-256 of "<t>.<id>.<body>">`, with a `v1` for each secret in force. A receiver takes the
 * message when any of them is right and `t` is a few minutes old at most.
 */
export function signMessage(message: SignedMessage, secrets: readonly string[]): string {
  const signatures = secrets.map((secret) => `v1=${macOf(message, secret).toString('hex')}`)
  return [`t=${message.timestamp}`, ...signatures].join(',')
}

/** What a receiver does. */
export function isSignedBy(header: string, id: DeliveryId, body: Uint8Array, secret: string): boolean {
  const parts = header.split(',').map((part) => part.split('=', 2))
  const timestamp = Number(parts.find(([name]) => name === 't')?.[1])
  const mac = macOf({ id, timestamp, body }, secret)
  return parts.some(([name, value = '']) => {
    const given = Buffer.from(value, 'hex')
    return name === 'v1' && given.length === mac.length && timingSafeEqual(given, mac)
  })
}

function macOf({ id, timestamp, body }: SignedMessage, secret: string): Buffer {
  return createHmac('sha256', secret).update(`${timestamp}.${id}.`).update(body).digest()
}

const SECOND_MS = 1_000
const WAITS_MS = [5, 30, 120, 600, 1_800].map((seconds) => seconds * SECOND_MS)
const LONGEST_WAIT_MS = 3_600_000

/** Wait after attempt number `attempt` (from 1): 5 s, 30 s, 2, 10, 30 min, then an hour; ±20 %. @param jitter  in [0, 1) */
export function resendWaitMs(attempt: number, jitter: number): number {
  return Math.round((WAITS_MS[attempt - 1] ?? LONGEST_WAIT_MS) * (0.8 + 0.4 * jitter))
}

/** How long a receiver is let alone that failed so often in a row, whatever else waits for it; 0: not at all. */
export function restMs(failures: number): number {
  return failures < 3 ? 0 : Math.min(10 * SECOND_MS * 2 ** (failures - 3), 600 * SECOND_MS)
}
