// An organisation: whom an installation's data belong to. Pure. (control-plane.md §2)
import { z } from 'zod'
import { personBody } from '../access/member.ts'
import { readableText, time } from '../http/values.ts'
import type { OrganisationId } from '../ids.ts'
import { deletionSchema, shapeDeletion } from '../projects/deletion.ts'
import type { DeletionRequest } from '../projects/deletion.ts'

export interface Organisation {
  readonly id: OrganisationId
  readonly name: string
  readonly region: string
  readonly version: number
  readonly settingsVersion: number
  readonly createdAt: Date
  readonly deletion: DeletionRequest | undefined
}

export const organisationName = readableText(1, 200)

export const createBody = z.strictObject({
  name: organisationName,
  region: z
    .string()
    .regex(/^[a-z0-9-]{1,50}$/)
    .optional()
    .meta({
      description: 'Label of the region that keeps the data; must be that of the installation, which is the default.',
    }),
  administrator: z.strictObject(personBody).meta({ description: 'Its first member, and organization administrator.' }),
})

export const organisationSchema = z
  .strictObject({
    id: z.string(),
    name: z.string(),
    region: z.string(),
    createdAt: time,
    deletion: deletionSchema.optional(),
  })
  .meta({ id: 'Organization', description: 'Whom data belong to: nothing is shared between two of them.' })

export const listedSchema = z
  .strictObject({
    id: z.string(),
    name: z.string(),
    isMine: z.boolean().meta({
      description:
        'You have a role in it. Installation administrators also see the names of the others, and nothing else.',
    }),
  })
  .meta({ id: 'ListedOrganization', description: 'An organization in a list.' })

export function shapeOrganisation(organisation: Organisation): z.input<typeof organisationSchema> {
  return {
    id: organisation.id,
    name: organisation.name,
    region: organisation.region,
    createdAt: organisation.createdAt.toISOString(),
    ...(organisation.deletion === undefined ? {} : { deletion: shapeDeletion(organisation.deletion) }),
  }
}
