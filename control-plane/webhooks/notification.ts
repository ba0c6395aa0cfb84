// Mail to people on chosen events: who, of what, and what it says. It holds ids and states: names are a click away, in the product. Pure.
import { z } from 'zod'
import { parseAddrSpec } from '../../rewrite-rules/index.ts'
import { time } from '../http/values.ts'
import type { NotificationId, OrganisationId, ProjectId } from '../ids.ts'
import type { SealedColumn } from '../keys/sealed-columns.ts'
import type { Delivery } from './delivery.ts'
import { eventPatterns } from './event-patterns.ts'

export interface Notification {
  readonly id: NotificationId
  readonly organisation: OrganisationId
  readonly project: ProjectId | undefined
  readonly events: readonly string[]
  /** Addresses, sealed: a JSON list. */
  readonly recipientsSealed: Uint8Array
  readonly isEnabled: boolean
  readonly version: number
  readonly createdAt: Date
}

export const RECIPIENTS_COLUMN: SealedColumn = {
  table: 'notification',
  column: 'recipients_sealed',
  key: ['id'],
  sealedBy: 'installation',
}

const recipient = z
  .string()
  .max(254)
  .refine((text) => {
    const address = parseAddrSpec(text)
    return address !== undefined && !address.domain.startsWith('[') && address.domain.includes('.')
  }, 'an e-mail address')

export const notificationBody = z.strictObject({
  events: eventPatterns,
  recipients: z
    .array(recipient)
    .min(1)
    .max(20)
    .refine((list) => new Set(list.map((text) => text.toLowerCase())).size === list.length, 'no address twice'),
  isEnabled: z.boolean().default(true),
})
export const notificationChange = notificationBody.partial()

export const notificationShape = z
  .strictObject({
    id: z.string(),
    organization: z.string(),
    project: z.string().optional().meta({ description: 'Absent: events of the organization and all its projects.' }),
    events: z.array(z.string()),
    recipients: z.array(z.string()),
    isEnabled: z.boolean(),
    createdAt: time,
  })
  .meta({ id: 'Notification', description: 'Who gets mail on which events.' })

export function shapeNotification(
  { id, organisation, project, events, isEnabled, createdAt }: Notification,
  recipients: readonly string[],
): z.input<typeof notificationShape> {
  return {
    id,
    organization: organisation,
    ...(project === undefined ? {} : { project }),
    events: [...events],
    recipients: [...recipients],
    isEnabled,
    createdAt: createdAt.toISOString(),
  }
}

/** Plain text of a mail. @param publicUrl  of the installation */
export function mailOf(
  { type, organisation, project, body, createdAt }: Delivery,
  publicUrl: URL,
): { subject: string; text: string } {
  const facts: [string, unknown][] = [
    ['event', type],
    ['time', createdAt.toISOString()],
    ['organization', organisation],
    ...(project === undefined ? [] : ([['project', project]] as [string, unknown][])),
    ...Object.entries(body),
  ]
  const lines = facts.map(([name, value]) => `${name}: ${typeof value === 'string' ? value : JSON.stringify(value)}`)
  return { subject: `Causeway: ${type}`, text: [...lines, '', publicUrl.origin, ''].join('\n') }
}
