// Support grants: a customer lets somebody outside see metadata, read-only, for at most 72 hours, and can take it back. Pure. (AZ-7)
import { z } from 'zod'
import { guid, readableText, time } from '../http/values.ts'
import type { SupportGrantId } from '../ids.ts'

export const MAX_GRANT_HOURS = 72
const HOUR_MS = 3_600_000

export interface SupportGrant {
  readonly id: SupportGrantId
  /** `principalOf` */
  readonly principal: string
  readonly reason: string
  /** `callerName` */
  readonly grantedBy: string
  readonly createdAt: Date
  readonly expiresAt: Date
  readonly revokedAt: Date | undefined
}

export type GrantState = 'active' | 'expired' | 'revoked'

/** @param now  ms since the epoch */
export function grantState({ expiresAt, revokedAt }: SupportGrant, now: number): GrantState {
  if (revokedAt !== undefined) return 'revoked'
  return expiresAt.getTime() > now ? 'active' : 'expired'
}

export const grantExpiry = (now: number, hours: number): Date => new Date(now + hours * HOUR_MS)

export const grantBody = z.strictObject({
  tenantId: guid,
  objectId: guid,
  reason: readableText(1, 500).meta({ description: 'Why: a ticket, a question. Shown and audited.' }),
  hours: z.int().min(1).max(MAX_GRANT_HOURS).meta({ description: 'How long from now.' }),
})

export const grantSchema = z
  .strictObject({
    id: z.string(),
    tenantId: z.string(),
    objectId: z.string(),
    reason: z.string(),
    grantedBy: z.string(),
    state: z.enum(['active', 'expired', 'revoked']),
    createdAt: time,
    expiresAt: time,
    revokedAt: time.optional(),
  })
  .meta({ id: 'SupportGrant', description: 'Metadata, read-only, for somebody outside, at most 72 hours.' })

export function shapeGrant(grant: SupportGrant, now: number): z.input<typeof grantSchema> {
  const [tenantId = '', objectId = ''] = grant.principal.split('/')
  return {
    id: grant.id,
    tenantId,
    objectId,
    reason: grant.reason,
    grantedBy: grant.grantedBy,
    state: grantState(grant, now),
    createdAt: grant.createdAt.toISOString(),
    expiresAt: grant.expiresAt.toISOString(),
    ...(grant.revokedAt === undefined ? {} : { revokedAt: grant.revokedAt.toISOString() }),
  }
}
