// API keys as the API takes and shows them, and what their maker may ask for. (AZ-6, AZ-8, control-plane.md §4) Pure.
import { z } from 'zod'
import type { RequestFault } from '../http/problem.ts'
import { readableText, time } from '../http/values.ts'
import type { ApiKeyId, ProjectId } from '../ids.ts'
import { ORGANISATION_PERMISSIONS } from './permissions.ts'
import type { Permission } from './permissions.ts'
import { inOrder } from './role.ts'

const DAY_MS = 86_400_000
const DEFAULT_LIFE_MS = 90 * DAY_MS
const DANGEROUS_LIFE_MS = DAY_MS
const MAX_LIFE_MS = 365 * DAY_MS

export interface ApiKey {
  readonly id: ApiKeyId
  readonly name: string
  /** The beginning of its text, by which people recognise it. */
  readonly prefix: string
  /** Of a personal key: whose it is. Of a service key: who made it. */
  readonly principal: string
  readonly isService: boolean
  readonly permissions: readonly Permission[]
  readonly project: ProjectId | undefined
  readonly allowsDangerous: boolean
  readonly createdAt: Date
  readonly expiresAt: Date
  readonly lastUsedAt: Date | undefined
  readonly revokedAt: Date | undefined
}

export const KEY_KINDS = ['personal', 'service'] as const
export const KEY_STATES = ['active', 'expired', 'revoked'] as const
export type KeyState = (typeof KEY_STATES)[number]

export function keyState({ expiresAt, revokedAt }: Pick<ApiKey, 'expiresAt' | 'revokedAt'>, now: number): KeyState {
  if (revokedAt !== undefined) return 'revoked'
  return expiresAt.getTime() <= now ? 'expired' : 'active'
}

export const createKeyBody = z.strictObject({
  name: readableText(1, 100),
  kind: z.enum(KEY_KINDS).default('personal').meta({
    description:
      'A personal key never does what its owner may not do, and goes with him. A service key belongs to the organization, and needs secret.manage.',
  }),
  permissions: z
    .array(z.enum(ORGANISATION_PERMISSIONS as [Permission, ...Permission[]]))
    .min(1)
    .max(ORGANISATION_PERMISSIONS.length)
    .refine((list) => new Set(list).size === list.length, 'no permission twice')
    .meta({ description: 'Only such as you hold where the key is for.' }),
  project: z
    .string()
    .regex(/^prj_[0-9a-z]{24}$/)
    .optional()
    .meta({ description: 'The one project that it is for; absent: the organization with all of them.' }),
  expiresAt: time
    .optional()
    .meta({ description: 'At most a year from now; default 90 days, 24 hours with allowsDangerous.' }),
  allowsDangerous: z.boolean().default(false).meta({
    description: 'For acts that need a fresh sign-in: made under one, and good for 24 hours at most.',
  }),
})

/**
 * When the key ends.
 * @param makerEndsAt  of the key that makes it: what is made by a key doesn't outlive it, or a stolen key would live for ever
 */
export function chooseExpiry(
  { expiresAt: wanted, allowsDangerous }: Pick<z.output<typeof createKeyBody>, 'expiresAt' | 'allowsDangerous'>,
  now: number,
  makerEndsAt: number | undefined,
): Date | RequestFault {
  const limit = now + (allowsDangerous ? DANGEROUS_LIFE_MS : MAX_LIFE_MS)
  const end = Math.min(limit, makerEndsAt ?? limit)
  const fault = (detail: string): RequestFault => ({ pointer: '/expiresAt', code: 'expiry', detail })
  if (wanted === undefined) return new Date(Math.min(now + DEFAULT_LIFE_MS, end))
  const at = Date.parse(wanted)
  if (at <= now) return fault('in the future')
  if (at > limit) return fault(allowsDangerous ? 'at most 24 hours from now' : 'at most 365 days from now')
  return at > end ? fault('no later than the key that makes it') : new Date(at)
}

export const apiKeySchema = z
  .strictObject({
    id: z.string(),
    name: z.string(),
    prefix: z.string().meta({ description: 'How its text begins.' }),
    kind: z.enum(KEY_KINDS),
    owner: z.string().meta({ description: 'Whose it is, `person:<tid>/<oid>`; of a service key who made it.' }),
    permissions: z.array(z.string()),
    project: z.string().optional(),
    allowsDangerous: z.boolean(),
    state: z.enum(KEY_STATES),
    createdAt: time,
    expiresAt: time,
    lastUsedAt: time.optional().meta({ description: 'To the minute.' }),
    revokedAt: time.optional(),
  })
  .meta({ id: 'ApiKey', description: 'An API key, without its text.' })

export const apiKeyCreatedSchema = z
  .strictObject({
    key: apiKeySchema,
    secret: z.string().meta({ description: 'The bearer token. It is shown this once.' }),
  })
  .meta({ id: 'ApiKeyCreated' })

export function shapeKey(key: ApiKey, now: number): z.input<typeof apiKeySchema> {
  const { lastUsedAt, revokedAt, project } = key
  return {
    id: key.id,
    name: key.name,
    prefix: key.prefix,
    kind: key.isService ? 'service' : 'personal',
    owner: `person:${key.principal}`,
    permissions: inOrder(key.permissions),
    ...(project === undefined ? {} : { project }),
    allowsDangerous: key.allowsDangerous,
    state: keyState(key, now),
    createdAt: key.createdAt.toISOString(),
    expiresAt: key.expiresAt.toISOString(),
    ...(lastUsedAt === undefined ? {} : { lastUsedAt: lastUsedAt.toISOString() }),
    ...(revokedAt === undefined ? {} : { revokedAt: revokedAt.toISOString() }),
  }
}

export const shapeCreatedKey = (key: ApiKey, text: string, now: number): z.input<typeof apiKeyCreatedSchema> => ({
  key: shapeKey(key, now),
  secret: text,
})

/** ETag: nothing but the revocation changes a key. */
export const keyVersion = ({ revokedAt }: ApiKey): number => (revokedAt === undefined ? 1 : 2)
