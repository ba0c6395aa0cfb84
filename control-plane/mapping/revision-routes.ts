// Revisions of the mapping table over HTTP: history, the difference between two, and going back to one. (control-plane.md §2)
import { z } from 'zod'
import type { Tx } from '../db/database.ts'
import { pageOf, pageQuery, parsePage, toPage } from '../http/page.ts'
import { badRequest, notFound, Problem } from '../http/problem.ts'
import { route } from '../http/route.ts'
import type { AnyRoute } from '../http/route.ts'
import { newId } from '../ids.ts'
import { createOperation, operationUrl } from '../operations/operation-store.ts'
import { lockTable } from './change-store.ts'
import { startedSchema } from './import-routes.ts'
import { tableChangeBody, tableChangeSchema } from './import-result.ts'
import { authorOf, confirmQuery, entryBody, ETAG_OF_TABLE, placeOf, projectParams } from './mapping-schema.ts'
import { acceptedDomains, horizonOf, revisionOf } from './mapping-store.ts'
import type { Place } from './mapping.ts'
import { demandRevision, restoreTable } from './restore-table.ts'
import { CAUSES, findRevision, isFarFrom, listDifferences, listRevisions, ruleDifferences } from './revision-store.ts'
import type { Difference, Revision, RuleDifference } from './revision-store.ts'
import { insertStaged } from './staging-store.ts'

/** Versions that came and went since: restoring a revision beyond it is an operation. */
const NEAR_VERSIONS = 5_000

const revisionSchema = z
  .strictObject({
    revision: z.int(),
    author: z.string(),
    cause: z.enum(CAUSES),
    restoredFrom: z.int().optional(),
    created: z.int(),
    changed: z.int(),
    removed: z.int(),
    rulesChanged: z.int(),
    entries: z.int().meta({ description: 'In the table since then.' }),
    createdAt: z.iso.datetime(),
    appliedAt: z.iso.datetime().optional().meta({ description: 'When every live relay had it; absent: not yet.' }),
  })
  .meta({ id: 'MappingRevision' })

const revisionParams = z.strictObject({
  project: z.string(),
  revision: z
    .string()
    .regex(/^(0|[1-9]\d{0,14})$/)
    .transform(Number),
})

const ruleSchema = z.union([z.string(), z.record(z.string(), z.unknown())])

const differenceSchema = z
  .strictObject({
    id: z.string(),
    kind: z.enum(['entry', 'domain', 'wildcard', 'exception']),
    before: z.union([entryBody, ruleSchema]).optional().meta({ description: 'Absent: it was not there.' }),
    after: z.union([entryBody, ruleSchema]).optional().meta({ description: 'Absent: it is gone.' }),
  })
  .meta({ id: 'MappingDifference', description: 'An entry, or a rule, as a table file writes it.' })

export function revisionRoutes(): AnyRoute[] {
  return [listMappingRevisions, getMappingRevision, compareMappingRevisions, restoreMappingRevision]
}

const listMappingRevisions = route({
  method: 'get',
  path: '/projects/{project}/mapping-revisions',
  id: 'listMappingRevisions',
  summary: 'List revisions of the mapping table',
  description: `Newest first. ${ETAG_OF_TABLE}`,
  tag: 'mappings',
  access: 'mapping.read',
  params: projectParams,
  query: z.strictObject({
    ...pageQuery,
    author: z
      .string()
      .max(300)
      .refine((text) => !/\p{Cc}/u.test(text), 'no control characters')
      .optional(),
    cause: z.enum(CAUSES).optional(),
  }),
  responses: { 200: { description: 'A page of revisions', schema: pageOf(revisionSchema) } },
  handler: async (context) => {
    const { query, read, url } = context
    const place = placeOf(context)
    const page = parsePage(query, 1)
    demandNumbers(page.after)
    return read(async (tx) => {
      const version = await revisionOf(tx, place)
      const rows = await listRevisions(tx, place, query, page)
      return { status: 200, body: toPage(rows, page.limit, revisionView, ({ revision }) => [revision], url), version }
    })
  },
})

const getMappingRevision = route({
  method: 'get',
  path: '/projects/{project}/mapping-revisions/{revision}',
  id: 'getMappingRevision',
  summary: 'Read a revision of the mapping table',
  tag: 'mappings',
  access: 'mapping.read',
  params: revisionParams,
  responses: { 200: { description: 'The revision', schema: revisionSchema } },
  handler: (context) =>
    context.read(async (tx) => {
      const revision = await findRevision(tx, placeOf(context), context.params.revision)
      if (revision === undefined) throw notFound()
      return { status: 200, body: revisionView(revision) }
    }),
})

const compareMappingRevisions = route({
  method: 'get',
  path: '/projects/{project}/mapping-revisions/{revision}/differences',
  id: 'compareMappingRevisions',
  summary: 'Compare two revisions of the mapping table',
  description: 'First the rules that differ, then entries that are there, then entries that are gone.',
  tag: 'mappings',
  access: 'mapping.read',
  params: revisionParams,
  query: z.strictObject({
    ...pageQuery,
    from: z.coerce
      .number()
      .int()
      .min(0)
      .optional()
      .meta({ description: 'The earlier one; the one before, unless given.' }),
  }),
  problems: ['revision-gone'],
  responses: { 200: { description: 'A page of differences', schema: pageOf(differenceSchema) } },
  handler: async (context) => {
    const { params, query, read, url } = context
    const place = placeOf(context)
    const to = params.revision
    const from = query.from ?? to - 1
    if (from >= to) throw badRequest([{ pointer: '/query/from', code: 'order', detail: `a revision before ${to}` }])
    const page = parsePage(query, 3)
    const [phase, revision] = page.after ?? ['begun', 0]
    if ((phase !== 'begun' && phase !== 'ended') || !Number.isSafeInteger(revision))
      throw badRequest([{ pointer: '/query/cursor', code: 'cursor', detail: 'not a cursor of this list' }])
    return read(async (tx) => {
      await demandRevision(tx, place, to, await revisionOf(tx, place))
      const horizon = await horizonOf(tx, place)
      if (from < horizon) throw new Problem('revision-gone', { horizon })
      const rules = page.after === undefined ? await ruleDifferences(tx, place, from, to) : []
      const rows = await listDifferences(tx, place, from, to, page)
      const entries = toPage(rows, page.limit, differenceView, (row) => [row.phase, row.revision, row.key], url)
      return { status: 200, body: { ...entries, items: [...rules.map(differenceView), ...entries.items] } }
    })
  },
})

function demandNumbers(after: readonly (string | number)[] | undefined): void {
  if (after?.some((value) => typeof value !== 'number') === true)
    throw badRequest([{ pointer: '/query/cursor', code: 'cursor', detail: 'not a cursor of this list' }])
}

const restoreMappingRevision = route({
  method: 'post',
  path: '/projects/{project}/mapping-revisions/{revision}/restore',
  id: 'restoreMappingRevision',
  summary: 'Make the table of an earlier revision the newest',
  description: `As a new revision. Where more than ${NEAR_VERSIONS} versions of entries came or went since, as an operation. If-Match is the ETag of the table, or \`*\`.`,
  tag: 'mappings',
  access: 'mapping.write',
  params: revisionParams,
  query: z.strictObject(confirmQuery),
  ifMatch: 'needed',
  problems: ['revision-gone', 'mapping-conflict', 'confirm-count'],
  responses: {
    200: { description: 'What changed', schema: tableChangeSchema },
    202: { description: 'Goes on as an operation', schema: startedSchema },
  },
  handler: (context) => {
    const { caller, change, checkVersion, now, params, query, request } = context
    const place = placeOf(context)
    const { revision } = params
    const author = authorOf(caller)
    const { confirm } = query
    return change('mapping.restored', async (tx) => {
      const current = await lockTable(tx, place)
      checkVersion(current)
      await demandRevision(tx, place, revision, current)
      if (await isFarFrom(tx, place, revision, NEAR_VERSIONS)) {
        const isAny = request.headers['if-match']?.includes('*') === true
        return startRestoring(tx, place, { revision, confirm, author, expected: isAny ? undefined : current, now })
      }
      const result = await restoreTable(tx, place, { revision, confirm, author }, { now, rows: 0 })
      const { warnings, ...details } = tableChangeBody(result, await acceptedDomains(tx, place))
      return {
        answer: { status: 200, body: { ...details, warnings }, version: result.revision },
        details: { ...details, restoredFrom: revision },
      }
    })
  },
})

async function startRestoring(
  tx: Tx,
  place: Place,
  asked: { revision: number; confirm: number | undefined; author: string; expected: number | undefined; now: number },
) {
  const { revision, confirm, author, expected, now } = asked
  const id = newId('mapping-import')
  const staged = {
    id,
    mode: 'restore',
    validatesOnly: false,
    confirm,
    expectedRevision: expected,
    restoredRevision: revision,
    rules: undefined,
    author,
  } as const
  await insertStaged(tx, place, staged, now)
  const operation = await createOperation(tx, place, {
    kind: 'mapping.import',
    permission: 'mapping.write',
    object: id,
    isCancellable: true,
    startedBy: author,
  })
  return {
    answer: { status: 202, body: { operation }, headers: { Location: operationUrl(operation) } },
    object: operation,
    details: { restoredFrom: revision, isStarted: true },
  }
}

function revisionView({ createdAt, appliedAt, restoredFrom, ...revision }: Revision): z.output<typeof revisionSchema> {
  return {
    ...revision,
    ...(restoredFrom === undefined ? {} : { restoredFrom }),
    createdAt: createdAt.toISOString(),
    ...(appliedAt === undefined ? {} : { appliedAt: appliedAt.toISOString() }),
  }
}

function differenceView(difference: Difference | RuleDifference): Record<string, unknown> {
  const { id, before, after } = difference
  return {
    id,
    kind: 'kind' in difference ? difference.kind : 'entry',
    ...(before === undefined ? {} : { before: JSON.parse(before) as unknown }),
    ...(after === undefined ? {} : { after: JSON.parse(after) as unknown }),
  }
}
