// A project: one merger, with its tenants, mapping and relays. Pure. (control-plane.md §2)
import { z } from 'zod'
import { readableText, time } from '../http/values.ts'
import type { OrganisationId, ProjectId } from '../ids.ts'
import { deletionSchema, shapeDeletion } from './deletion.ts'
import type { DeletionRequest } from './deletion.ts'

export interface Project {
  readonly id: ProjectId
  readonly organisation: OrganisationId
  readonly name: string
  readonly description: string
  readonly showsTitles: boolean
  /** Grows with what people change of it; what relays are told has versions of its own. */
  readonly version: number
  readonly mappingRevision: number
  readonly settingsVersion: number
  readonly snapshotVersion: number
  readonly createdAt: Date
  /** `callerName` */
  readonly createdBy: string
  readonly deletion: DeletionRequest | undefined
}

const description = z
  .string()
  .max(2_000)
  .refine((text) => !/[^\P{C}\n\t]/u.test(text), 'no control or invisible characters but line feeds and tabs')

const fields = {
  name: readableText(1, 200),
  description,
  showsTitles: z.boolean().meta({ description: 'Whether auditors see titles of messages and files in it.' }),
}

export const createBody = z.strictObject({
  name: fields.name,
  description: fields.description.default(''),
  showsTitles: fields.showsTitles.default(false),
})

export const changeBody = z.strictObject(fields).partial()

export const projectSchema = z
  .strictObject({
    id: z.string(),
    organization: z.string(),
    name: z.string(),
    description: z.string(),
    showsTitles: z.boolean(),
    mappingRevision: z.int().meta({ description: 'Of the mapping table: grows by one with each change.' }),
    settingsVersion: z.int().meta({ description: 'Of what relays are told beside the table.' }),
    snapshotVersion: z.int().meta({ description: 'Of both together: what relays report that they have.' }),
    createdAt: time,
    createdBy: z.string(),
    deletion: deletionSchema.optional(),
  })
  .meta({ id: 'Project', description: 'One merger: tenants, mapping, relays.' })

export function shapeProject(project: Project): z.input<typeof projectSchema> {
  const { id, organisation, name, createdAt, createdBy, deletion, showsTitles } = project
  return {
    id,
    organization: organisation,
    name,
    description: project.description,
    showsTitles,
    createdBy,
    mappingRevision: project.mappingRevision,
    settingsVersion: project.settingsVersion,
    snapshotVersion: project.snapshotVersion,
    createdAt: createdAt.toISOString(),
    ...(deletion === undefined ? {} : { deletion: shapeDeletion(deletion) }),
  }
}

/** What of it a change is told by in the audit trail. */
export const auditedProject = ({ name, description: text, showsTitles, deletion }: Project) => ({
  name,
  description: text,
  showsTitles,
  ...(deletion === undefined ? {} : { deletion: shapeDeletion(deletion) }),
})
