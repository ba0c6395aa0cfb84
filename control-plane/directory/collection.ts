// A collection: a named set of accounts, such as a wave of a migration. An account may be in several. Pure. (migration-semantics.md §1)
import { z } from 'zod'
import { readableText, time } from '../http/values.ts'
import type { CollectionId } from '../ids.ts'

export const MAX_COLLECTIONS = 1_000

export const collectionName = readableText(1, 200)

export interface Collection {
  readonly id: CollectionId
  readonly name: string
  /** As names are compared and lists ordered. */
  readonly nameKey: string
  readonly members: number
  readonly version: number
  readonly createdBy: string
  readonly createdAt: Date
}

export const collectionSchema = z
  .strictObject({
    id: z.string(),
    name: z.string(),
    members: z.int().meta({ description: 'Accounts in it.' }),
    createdBy: z.string(),
    createdAt: time,
  })
  .meta({ id: 'Collection', description: 'A named set of accounts.' })

export function shapeCollection({
  id,
  name,
  members,
  createdBy,
  createdAt,
}: Collection): z.input<typeof collectionSchema> {
  return { id, name, members, createdBy, createdAt: createdAt.toISOString() }
}
