// How keys look over HTTP: what is known of them, and nothing of what they are (KM-5, KM-7). Pure.
import { z } from 'zod'
import { pageQuery } from '../http/page.ts'
import { time } from '../http/values.ts'
import { KEY_KINDS } from './key-inventory.ts'
import type { ListedKey } from './key-inventory-store.ts'

export const keySchema = z
  .strictObject({
    id: z.string(),
    kind: z.enum(KEY_KINDS),
    owner: z.string().meta({ description: 'What it is for, in words.' }),
    project: z.string().optional(),
    version: z.int().optional().meta({ description: 'Of a project key or the installation key: from 1.' }),
    state: z
      .enum(['current', 'previous'])
      .optional()
      .meta({ description: 'Of a project key or the installation key: `previous` ones only open what they sealed.' }),
    createdAt: time,
    expiresAt: time.optional().meta({ description: 'Absent: it does not end.' }),
    lastUsedAt: time.optional().meta({ description: 'To the hour.' }),
  })
  .meta({
    id: 'Key',
    description: 'A key or certificate that the product keeps or knows. No route shows the key itself.',
  })

export const keyQuery = z.strictObject({
  ...pageQuery,
  kind: z.enum(KEY_KINDS).optional(),
  expiresBefore: time.optional().meta({ description: 'Only those that end before.' }),
})

export function shapeKey(key: ListedKey): z.input<typeof keySchema> {
  const { id, kind, owner, project, version, state, createdAt, expiresAt, lastUsedAt } = key
  return {
    id,
    kind,
    owner,
    ...(project === undefined ? {} : { project }),
    ...(version === undefined ? {} : { version }),
    ...(state === undefined ? {} : { state }),
    createdAt: createdAt.toISOString(),
    ...(expiresAt === undefined ? {} : { expiresAt: expiresAt.toISOString() }),
    ...(lastUsedAt === undefined ? {} : { lastUsedAt: lastUsedAt.toISOString() }),
  }
}

export const ROTATION_LEVELS = ['data', 'root'] as const

export const rotationBody = z
  .strictObject({
    level: z.enum(ROTATION_LEVELS).default('data').meta({
      description:
        '`data`: a new key for what is kept from now on, and everything kept so far sealed anew by it. `root`: a new version of the key in the key service, under which the keys are wrapped anew; what they sealed stays as it is.',
    }),
  })
  .meta({ id: 'KeyRotation' })
