// Entries of the mapping table over HTTP: list, single ones, several at once. (control-plane.md §2, §3)
import { z } from 'zod'
import { normaliseDomain, x500Key } from '../../rewrite-rules/index.ts'
import { pageOf, pageQuery, parsePage, toPage } from '../http/page.ts'
import { badRequest, notFound } from '../http/problem.ts'
import { route } from '../http/route.ts'
import type { AnyRoute } from '../http/route.ts'
import { newId, parseId } from '../ids.ts'
import type { MappingId } from '../ids.ts'
import type { Tx } from '../db/database.ts'
import { lockTable, refreshStatistics } from './change-store.ts'
import { changeEntries, readEntries, removalRow, upsertRow } from './entry-change.ts'
import { tableChangeBody, tableChangeSchema, warningsOf, warningsSchema } from './import-result.ts'
import { SOURCES } from './mapping.ts'
import type { Place } from './mapping.ts'
import {
  authorOf,
  confirmQuery,
  entryBody,
  entrySchema,
  entryView,
  ETAG_OF_TABLE,
  placeOf,
  projectParams,
} from './mapping-schema.ts'
import { acceptedDomains, findEntry, keyOf, listEntries, revisionOf } from './mapping-store.ts'
import type { EntryFilter, StoredEntry } from './mapping-store.ts'

const entryParams = z.strictObject({ project: z.string(), mapping: z.string() })
const changedEntry = entrySchema
  .extend({ warnings: warningsSchema })
  .meta({ id: 'MappingEntryChanged', description: 'The entry as it is now.' })

/** No control characters: no address has any, and the database takes no NUL. */
const searched = (max: number) =>
  z
    .string()
    .min(1)
    .max(max)
    .refine((text) => !/\p{Cc}/u.test(text), 'no control characters')

const listQuery = z.strictObject({
  ...pageQuery,
  address: searched(1_100)
    .optional()
    .meta({ description: 'The entry that this address, or X.500 name (`/o=…`), is known in.' }),
  presentedPrefix: searched(320)
    .optional()
    .meta({ description: 'Presented addresses that begin so, whatever the case.' }),
  mailboxDomain: searched(255).optional().meta({ description: 'Domain of the mailbox address.' }),
  source: z.enum(SOURCES).optional(),
})

export function mappingRoutes(): AnyRoute[] {
  return [listMappings, createMapping, changeMappings, getMapping, replaceMapping, deleteMapping]
}

const listMappings = route({
  method: 'get',
  path: '/projects/{project}/mappings',
  id: 'listMappings',
  summary: 'List mapping entries',
  description: `By presented address. ${ETAG_OF_TABLE}`,
  tag: 'mappings',
  access: 'mapping.read',
  params: projectParams,
  query: listQuery,
  responses: { 200: { description: 'A page of entries', schema: pageOf(entrySchema) } },
  handler: async (context) => {
    const { query, url, read } = context
    const place = placeOf(context)
    const page = parsePage(query, 1)
    const filter = readFilter(query)
    return read(async (tx) => {
      const version = await revisionOf(tx, place)
      const rows = filter === undefined ? [] : await listEntries(tx, place, filter, page)
      return {
        status: 200,
        body: toPage(rows, page.limit, entryView, ({ presentedKey }) => [presentedKey], url),
        version,
      }
    })
  },
})

/** undefined: nothing can be found so. @throws Problem for a domain that is none */
function readFilter({
  address,
  presentedPrefix,
  mailboxDomain,
  source,
}: z.output<typeof listQuery>): EntryFilter | undefined {
  const key = address?.startsWith('/') === true ? x500Key(address) : address && keyOf(address)
  const domain = mailboxDomain && normaliseDomain(mailboxDomain)
  if (mailboxDomain !== undefined && domain === undefined)
    throw badRequest([{ pointer: '/query/mailboxDomain', code: 'domain', detail: 'not a domain' }])
  if (address !== undefined && key === undefined) return undefined
  const prefix = presentedPrefix?.normalize('NFC').replace(/[A-Z]+/g, (letters) => letters.toLowerCase())
  return { key, presentedPrefix: prefix, mailboxDomain: domain, source }
}

const createMapping = route({
  method: 'post',
  path: '/projects/{project}/mappings',
  id: 'createMapping',
  summary: 'Make a mapping entry',
  description:
    'Refused where one of its addresses is known in another entry. If-Match, where sent, is the ETag of the table.',
  tag: 'mappings',
  access: 'mapping.write',
  params: projectParams,
  body: entryBody,
  ifMatch: 'optional',
  problems: ['mapping-conflict'],
  responses: { 201: { description: 'The entry', schema: changedEntry } },
  handler: (context) => {
    const { body, caller, change, checkVersion, now } = context
    const place = placeOf(context)
    return change('mapping.created', async (tx) => {
      const accepted = await acceptedDomains(tx, place)
      const id = newId('mapping')
      const rows = readEntries([body], undefined, accepted).map(({ row, path }) => upsertRow(1, path, row, id))
      const result = await changeEntries(tx, place, {
        rows,
        mode: 'upsert',
        author: authorOf(caller),
        cause: 'change',
        source: 'manual',
        makesNewOnly: true,
        checkRevision: checkVersion,
        now,
      })
      const entry = await demandEntry(tx, place, id)
      return {
        answer: {
          status: 201,
          body: { ...entryView(entry), warnings: warningsOf(accepted) },
          version: entry.revision,
          headers: { Location: `/api/v1/projects/${place.project}/mappings/${id}` },
        },
        object: id,
        after: entry.wire,
        details: { revision: result.revision },
      }
    })
  },
})

const bulkBody = z
  .strictObject({
    upsert: z
      .array(entryBody)
      .max(10_000)
      .default([])
      .meta({ description: 'Each takes the place of the entry with the same presented address, or is a new one.' }),
    remove: z
      .array(searched(1_100))
      .max(10_000)
      .default([])
      .meta({ description: 'Presented addresses of entries that go.' }),
    confirm: confirmQuery.confirm,
  })
  .meta({ id: 'MappingChanges' })

const changeMappings = route({
  method: 'post',
  path: '/projects/{project}/mappings/bulk',
  id: 'changeMappings',
  summary: 'Upsert and remove several entries at once',
  description: 'All or nothing, in one revision. If-Match is the ETag of the table, or `*`.',
  tag: 'mappings',
  access: 'mapping.write',
  params: projectParams,
  body: bulkBody,
  ifMatch: 'needed',
  problems: ['mapping-conflict', 'confirm-count'],
  responses: { 200: { description: 'What changed', schema: tableChangeSchema } },
  handler: async (context) => {
    const { body, caller, change, checkVersion, now, read } = context
    const place = placeOf(context)
    await read((tx) => refreshStatistics(tx, body.upsert.length + body.remove.length))
    return change('mapping.bulk-changed', async (tx) => {
      const accepted = await acceptedDomains(tx, place)
      const upserts = readEntries(body.upsert, 'upsert', accepted)
      const removals = readRemovals(body.remove, new Set(upserts.map(({ row }) => row.presentedKey)))
      const rows = [
        ...upserts.map(({ row, path }, i) => upsertRow(i + 1, path, row)),
        ...removals.map((key, i) => removalRow(upserts.length + i + 1, `remove/${i}`, key)),
      ]
      const result = await changeEntries(tx, place, {
        rows,
        mode: 'upsert',
        author: authorOf(caller),
        cause: 'bulk',
        source: 'manual',
        confirm: body.confirm,
        checkRevision: checkVersion,
        now,
      })
      const { warnings, ...details } = tableChangeBody(result, accepted)
      return { answer: { status: 200, body: { ...details, warnings }, version: result.revision }, details }
    })
  },
})

/** @throws Problem 400 for what is no address, named twice, or to be upserted as well */
function readRemovals(addresses: readonly string[], upserted: ReadonlySet<string>): string[] {
  const seen = new Set<string>()
  const keys = addresses.map((address) => keyOf(address) ?? '')
  const faults = keys.flatMap((key, i) => {
    const pointer = `/remove/${i}`
    if (key === '') return [{ pointer, code: 'R3', detail: 'not an address' }]
    if (upserted.has(key)) return [{ pointer, code: 'named-twice', detail: 'to be upserted as well' }]
    if (seen.has(key)) return [{ pointer, code: 'named-twice', detail: 'removed twice' }]
    seen.add(key)
    return []
  })
  if (faults.length > 0) throw badRequest(faults)
  return keys
}

const getMapping = route({
  method: 'get',
  path: '/projects/{project}/mappings/{mapping}',
  id: 'getMapping',
  summary: 'Read a mapping entry',
  tag: 'mappings',
  access: 'mapping.read',
  params: entryParams,
  responses: { 200: { description: 'The entry', schema: entrySchema } },
  handler: (context) =>
    context.read(async (tx) => {
      const entry = await demandEntry(tx, placeOf(context), context.params.mapping)
      return { status: 200, body: entryView(entry), version: entry.revision }
    }),
})

const replaceMapping = route({
  method: 'put',
  path: '/projects/{project}/mappings/{mapping}',
  id: 'replaceMapping',
  summary: 'Replace a mapping entry',
  description: 'Its presented address may change as well. From then on it counts as written by a person.',
  tag: 'mappings',
  access: 'mapping.write',
  params: entryParams,
  body: entryBody,
  ifMatch: 'needed',
  problems: ['mapping-conflict'],
  responses: { 200: { description: 'The entry', schema: changedEntry } },
  handler: (context) => {
    const { body, caller, change, checkVersion, now, params } = context
    const place = placeOf(context)
    return change('mapping.changed', async (tx) => {
      await lockTable(tx, place)
      const before = await demandEntry(tx, place, params.mapping)
      checkVersion(before.revision)
      const accepted = await acceptedDomains(tx, place)
      const [read] = readEntries([body], undefined, accepted)
      if (read === undefined) throw new Error('unreachable: an entry without faults is read')
      const isRenamed = read.row.presentedKey !== before.presentedKey
      await changeEntries(tx, place, {
        rows: [
          upsertRow(1, read.path, read.row, before.id),
          ...(isRenamed ? [removalRow(2, read.path, before.presentedKey)] : []),
        ],
        renamed: isRenamed ? 1 : 0,
        mode: 'upsert',
        author: authorOf(caller),
        cause: 'change',
        source: 'manual',
        makesNewOnly: true,
        now,
      })
      const entry = await demandEntry(tx, place, before.id)
      return {
        answer: { status: 200, body: { ...entryView(entry), warnings: warningsOf(accepted) }, version: entry.revision },
        object: entry.id,
        before: before.wire,
        after: entry.wire,
        details: { revision: entry.revision },
      }
    })
  },
})

const deleteMapping = route({
  method: 'delete',
  path: '/projects/{project}/mappings/{mapping}',
  id: 'deleteMapping',
  summary: 'Remove a mapping entry',
  tag: 'mappings',
  access: 'mapping.write',
  params: entryParams,
  query: z.strictObject(confirmQuery),
  ifMatch: 'needed',
  problems: ['confirm-count'],
  responses: { 200: { description: 'What changed', schema: tableChangeSchema } },
  handler: (context) => {
    const { caller, change, checkVersion, now, params, query } = context
    const place = placeOf(context)
    return change('mapping.removed', async (tx) => {
      await lockTable(tx, place)
      const before = await demandEntry(tx, place, params.mapping)
      checkVersion(before.revision)
      const result = await changeEntries(tx, place, {
        rows: [removalRow(1, '', before.presentedKey)],
        mode: 'upsert',
        author: authorOf(caller),
        cause: 'change',
        source: 'manual',
        confirm: query.confirm,
        now,
      })
      return {
        answer: { status: 200, body: tableChangeBody(result, await acceptedDomains(tx, place)) },
        object: before.id,
        before: before.wire,
        details: { revision: result.revision },
      }
    })
  },
})

/** @throws Problem 404 */
async function demandEntry(tx: Tx, place: Place, id: string): Promise<StoredEntry> {
  const mapping: MappingId | undefined = parseId('mapping', id)
  const entry = mapping && (await findEntry(tx, place, mapping))
  if (entry === undefined) throw notFound()
  return entry
}
