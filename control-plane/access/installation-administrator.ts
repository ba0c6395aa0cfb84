// Installation administrators: people who manage organisations and the installation, and see no organisation's data without a role in it. Pure.
// (control-plane.md §4)
import { z } from 'zod'
import { time } from '../http/values.ts'
import { personBody } from './member.ts'

export interface InstallationAdministrator {
  /** `principalOf` */
  readonly principal: string
  readonly displayName: string
  /** `callerName` */
  readonly addedBy: string
  readonly addedAt: Date
}

export const administratorBody = z.strictObject(personBody)

export const administratorSchema = z
  .strictObject({
    tenantId: z.string(),
    objectId: z.string(),
    displayName: z.string(),
    addedBy: z.string(),
    addedAt: time,
  })
  .meta({ id: 'InstallationAdministrator', description: 'Manages organizations and the installation.' })

export function shapeAdministrator(administrator: InstallationAdministrator): z.input<typeof administratorSchema> {
  const [tenantId = '', objectId = ''] = administrator.principal.split('/')
  return {
    tenantId,
    objectId,
    displayName: administrator.displayName,
    addedBy: administrator.addedBy,
    addedAt: administrator.addedAt.toISOString(),
  }
}
