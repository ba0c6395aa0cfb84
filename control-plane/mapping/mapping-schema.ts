// Entries of the mapping table as the API takes and gives them. Whether addresses are any is the engine's to say. (product.md §8)
import { z } from 'zod'
import { callerName } from '../access/caller.ts'
import type { Caller } from '../access/caller.ts'
import type { Context } from '../http/route.ts'
import { MAX_KNOWN, SOURCES } from './mapping.ts'
import type { Place } from './mapping.ts'
import type { StoredEntry } from './mapping-store.ts'

const address = z.string().max(1_100)

const entryShape = {
  known: z
    .array(address)
    .min(1)
    .max(MAX_KNOWN)
    .meta({ description: 'Every address by which the mailbox is known in either organisation.' }),
  presented: address.meta({ description: 'The one address the world shall see; one of `known`.' }),
  mailbox: address.meta({ description: 'The one address under which the mailbox can be reached now; one of `known`.' }),
  x500: z.array(address).max(MAX_KNOWN).optional().meta({ description: 'X.500 names (legacyExchangeDN).' }),
  eai: z.boolean().optional().meta({ description: '`presented` or `mailbox` is not pure ASCII.' }),
  route: z.enum(['owner-tenant', 'return', 'mx']).optional().meta({ description: 'Of what this sender writes.' }),
}

export const entryBody = z.strictObject(entryShape).meta({
  id: 'MappingEntryBody',
  description: 'One mail-enabled object: user, shared mailbox, room, group, public folder.',
})

export const entrySchema = z
  .strictObject({
    id: z.string(),
    ...entryShape,
    source: z.enum(SOURCES).meta({ description: 'Who wrote it: a person, a pair, an import.' }),
    sourceRef: z.string().optional(),
    revision: z.int().meta({ description: 'Of the table that made it what it is. Its ETag.' }),
    changedBy: z.string(),
    changedAt: z.iso.datetime(),
    appliedAt: z.iso.datetime().optional().meta({ description: 'When every live relay had it; absent: not yet.' }),
  })
  .meta({ id: 'MappingEntry' })

export function entryView(entry: StoredEntry): z.output<typeof entrySchema> {
  const { id, revision, source, sourceRef, author, createdAt, appliedAt } = entry
  return {
    id,
    ...(JSON.parse(entry.wire) as z.output<typeof entryBody>),
    source,
    ...(sourceRef === '' ? {} : { sourceRef }),
    revision,
    changedBy: author,
    changedAt: createdAt.toISOString(),
    ...(appliedAt === undefined ? {} : { appliedAt: appliedAt.toISOString() }),
  }
}

export const confirmQuery = {
  confirm: z.coerce
    .number()
    .int()
    .min(1)
    .optional()
    .meta({ description: 'How many entries may go, where it is all of them, or more than a tenth of over a hundred.' }),
}

export const projectParams = z.strictObject({ project: z.string() })

/** Where a route of a project is. */
export function placeOf({
  organisation,
  project,
}: Pick<Context<unknown, unknown, unknown>, 'organisation' | 'project'>): Place {
  if (project === undefined) throw new Error('unreachable: the path names a project')
  return { organisation, project }
}

export function authorOf(caller: Caller | undefined): string {
  if (caller === undefined) throw new Error('unreachable: the route is not public')
  return callerName(caller)
}

export const ETAG_OF_TABLE =
  'The ETag of the mapping table, of its lists and of what changes it as a whole, is its revision; of an entry or a rule, the revision that made it what it is.'
