// Settings of an organisation: how long things are kept, what may name people, who may sign in, who is told. Pure. (control-plane.md §2, PR-2, PR-4)
import { z } from 'zod'
import { parseAddrSpec } from '../../rewrite-rules/index.ts'
import { guid } from '../http/values.ts'

const days = (max: number, standard: number, min = 1) => z.int().min(min).max(max).default(standard)

const retention = z.strictObject({
  // PR-4: 30 days are the most for what names people and messages.
  messageTraceDays: days(30, 30).meta({ description: 'What became of each message.' }),
  taskArtefactDays: days(30, 30).meta({ description: 'What tasks leave behind.' }),
  customerLogDays: days(30, 30).meta({ description: 'The error log that only this organization can read.' }),
  auditDays: days(3_650, 400, 90).meta({
    description:
      'Details of audit events: source addresses and what else is worth knowing. Their headers and hashes stay.',
  }),
})

const privacy = z.strictObject({
  pii: z.enum(['off', 'customer']).default('off').meta({
    description:
      '`customer`: titles and addresses are written to the error log of this organization, encrypted. Switching it off purges them.',
  }),
})

const signIn = z.strictObject({
  tenants: z
    .array(guid)
    .max(100)
    .refine((list) => new Set(list).size === list.length, 'no tenant twice')
    .default([])
    .meta({ description: 'Only people of these Entra tenants may act as members; empty: of any.' }),
  // AZ-3: 12 hours are the most anywhere.
  maxSessionHours: z.int().min(1).max(12).default(12).meta({ description: 'How old a sign-in may be here.' }),
})

const mailAddress = z
  .string()
  .max(254)
  .refine((text) => {
    const address = parseAddrSpec(text)
    return address !== undefined && !address.domain.startsWith('[') && address.domain.includes('.')
  }, 'an e-mail address')

const notifications = z.strictObject({
  addresses: z
    .array(mailAddress)
    .max(20)
    .refine((list) => new Set(list.map((text) => text.toLowerCase())).size === list.length, 'no address twice')
    .default([])
    .meta({ description: 'Who is told by mail of what concerns the whole organization.' }),
})

/** What is left out has its default. */
export const settingsBody = z.strictObject({
  region: z
    .string()
    .regex(/^[a-z0-9-]{1,50}$/)
    .optional()
    .meta({
      description: 'Label of the region that keeps the data; must be that of the installation. Absent: unchanged.',
    }),
  retention: retention.prefault({}),
  privacy: privacy.prefault({}),
  signIn: signIn.prefault({}),
  notifications: notifications.prefault({}),
})

const stored = settingsBody.omit({ region: true })

/** All but the region, which is a column of its own. */
export type OrganisationSettings = z.output<typeof stored>

export const settingsSchema = settingsBody
  .required({ region: true })
  .meta({ id: 'OrganizationSettings', description: 'Settings of an organization.' })

/** From the column, which may be of an earlier version: what is missing has its default. */
export const parseSettings = (column: unknown): OrganisationSettings => stored.parse(column)
