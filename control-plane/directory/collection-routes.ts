// Collections over HTTP: CRUD and members. (control-plane.md §2)
import { z } from 'zod'
import type { Tx } from '../db/database.ts'
import { pageOf, pageQuery, parsePage, toPage } from '../http/page.ts'
import { badRequest, notFound, Problem } from '../http/problem.ts'
import { route } from '../http/route.ts'
import type { AnyRoute, Answer } from '../http/route.ts'
import { time } from '../http/values.ts'
import { newId, parseId } from '../ids.ts'
import { authorOf, placeOf, projectParams } from '../mapping/mapping-schema.ts'
import type { Place } from '../mapping/mapping.ts'
import { accountShape, findSummaries, idText, unknownAccount } from './account-summary.ts'
import { collectionName, collectionSchema, shapeCollection } from './collection.ts'
import type { Collection } from './collection.ts'
import {
  addMembers,
  deleteCollection,
  findCollection,
  insertCollection,
  listCollections,
  listMembers,
  removeMembers,
  renameCollection,
  unknownAccounts,
} from './collection-store.ts'

const tag = 'collections'
const params = z.strictObject({ project: z.string(), collection: z.string() })
const MAX_ACCOUNTS = 1_000
const nameBody = z.strictObject({ name: collectionName }).meta({ id: 'CollectionBody' })

export function collectionRoutes(): AnyRoute[] {
  return [list, create, read, rename, remove, members, changeMembers]
}

const list = route({
  method: 'get',
  path: '/projects/{project}/collections',
  id: 'listCollections',
  summary: 'List collections',
  description: 'By name.',
  tag,
  access: 'directory.read',
  params: projectParams,
  query: z.strictObject({
    ...pageQuery,
    account: idText.optional().meta({ description: 'Those that this account is in.' }),
  }),
  responses: { 200: { description: 'A page of collections', schema: pageOf(collectionSchema) } },
  handler: (context) => {
    const { query, url } = context
    const page = parsePage(query, 1)
    return context.read(async (tx) => {
      const rows = await listCollections(tx, placeOf(context), { account: query.account }, page)
      return { status: 200, body: toPage(rows, page.limit, shapeCollection, ({ nameKey }) => [nameKey], url) }
    })
  },
})

const create = route({
  method: 'post',
  path: '/projects/{project}/collections',
  id: 'createCollection',
  summary: 'Make a collection',
  tag,
  access: 'directory.match',
  params: projectParams,
  body: nameBody,
  problems: ['name-taken', 'limit-reached'],
  responses: { 201: { description: 'The collection', schema: collectionSchema } },
  handler: (context) => {
    const { body, caller, now } = context
    const place = placeOf(context)
    return context.change('collection.created', async (tx) => {
      const id = newId('collection')
      await insertCollection(tx, place, { id, name: body.name }, authorOf(caller), now)
      const made = await demandCollection(tx, place, id)
      return {
        answer: {
          ...answerOf(made, 201),
          headers: { Location: `/api/v1/projects/${place.project}/collections/${id}` },
        },
        object: id,
      }
    })
  },
})

const answerOf = (collection: Collection, status = 200): Answer => ({
  status,
  body: shapeCollection(collection),
  version: collection.version,
})

const read = route({
  method: 'get',
  path: '/projects/{project}/collections/{collection}',
  id: 'getCollection',
  summary: 'Read a collection',
  tag,
  access: 'directory.read',
  params,
  responses: { 200: { description: 'The collection', schema: collectionSchema } },
  handler: (context) =>
    context.read(async (tx) => answerOf(await demandCollection(tx, placeOf(context), context.params.collection))),
})

/** @throws Problem 404 */
async function demandCollection(tx: Tx, place: Place, text: string): Promise<Collection> {
  const id = parseId('collection', text)
  const collection = id && (await findCollection(tx, place, id))
  if (collection === undefined) throw notFound()
  return collection
}

const rename = route({
  method: 'patch',
  path: '/projects/{project}/collections/{collection}',
  id: 'renameCollection',
  summary: 'Rename a collection',
  tag,
  access: 'directory.match',
  params,
  body: nameBody,
  ifMatch: 'optional',
  problems: ['name-taken'],
  responses: { 200: { description: 'The collection', schema: collectionSchema } },
  handler: (context) => {
    const place = placeOf(context)
    return context.change('collection.renamed', async (tx) => {
      const before = await demandCollection(tx, place, context.params.collection)
      context.checkVersion(before.version)
      if (!(await renameCollection(tx, place, before.id, context.body.name, before.version)))
        throw new Problem('stale-etag')
      const after = await demandCollection(tx, place, before.id)
      return { answer: answerOf(after), object: before.id, before: before.name, after: after.name }
    })
  },
})

const remove = route({
  method: 'delete',
  path: '/projects/{project}/collections/{collection}',
  id: 'deleteCollection',
  summary: 'Delete a collection',
  description: 'Its accounts stay what they are.',
  tag,
  access: 'directory.match',
  params,
  ifMatch: 'optional',
  responses: { 204: { description: 'It is gone' } },
  handler: (context) => {
    const place = placeOf(context)
    return context.change('collection.deleted', async (tx) => {
      const before = await demandCollection(tx, place, context.params.collection)
      context.checkVersion(before.version)
      if (!(await deleteCollection(tx, place, before.id, before.version))) throw new Problem('stale-etag')
      return { answer: { status: 204 }, object: before.id, details: { members: before.members } }
    })
  },
})

const memberSchema = z
  .strictObject({ account: accountShape, addedAt: time })
  .meta({ id: 'CollectionMember', description: 'An account in a collection.' })

const members = route({
  method: 'get',
  path: '/projects/{project}/collections/{collection}/members',
  id: 'listCollectionMembers',
  summary: 'List the accounts of a collection',
  description: 'In the order they were added.',
  tag,
  access: 'directory.read',
  params,
  query: z.strictObject(pageQuery),
  responses: { 200: { description: 'A page of accounts', schema: pageOf(memberSchema) } },
  handler: (context) => {
    const page = parsePage(context.query, 2)
    return context.read(async (tx) => {
      const place = placeOf(context)
      const { id } = await demandCollection(tx, place, context.params.collection)
      const rows = await listMembers(tx, place, id, page)
      const accounts = await findSummaries(
        tx,
        place,
        rows.map((row) => row.id),
      )
      const shape = ({ id: account, addedMicros }: (typeof rows)[number]) => ({
        account: accounts.get(account) ?? unknownAccount(account),
        addedAt: new Date(addedMicros / 1_000).toISOString(),
      })
      return {
        status: 200,
        body: toPage(rows, page.limit, shape, (row) => [row.addedMicros, row.id], context.url),
      }
    })
  },
})

const accountIds = z.array(idText).max(MAX_ACCOUNTS).default([])
const membersBody = z
  .strictObject({
    add: accountIds.meta({ description: 'Account ids. What is in it already stays.' }),
    remove: accountIds.meta({ description: 'Account ids. What is not in it is let be.' }),
  })
  .meta({ id: 'CollectionMembersChange' })

const changeMembers = route({
  method: 'post',
  path: '/projects/{project}/collections/{collection}/members',
  id: 'changeCollectionMembers',
  summary: 'Add accounts to a collection, and remove others',
  description: 'All or nothing.',
  tag,
  access: 'directory.match',
  params,
  body: membersBody,
  responses: {
    200: {
      description: 'What changed',
      schema: z
        .strictObject({ added: z.int(), removed: z.int(), members: z.int() })
        .meta({ id: 'CollectionMembersChanged' }),
    },
  },
  handler: (context) => {
    const { add, remove: gone } = context.body
    const place = placeOf(context)
    return context.change('collection.members-changed', async (tx) => {
      const { id } = await demandCollection(tx, place, context.params.collection)
      const unknown = await unknownAccounts(tx, place, add)
      const faults = add.flatMap((account, i) =>
        unknown.has(account)
          ? [{ pointer: `/add/${i}`, code: 'unknown-account', detail: 'no account of the project' }]
          : [],
      )
      if (faults.length > 0) throw badRequest(faults)
      const removed = await removeMembers(tx, place, id, gone)
      const added = await addMembers(tx, place, id, add, context.now)
      const { members: count } = await demandCollection(tx, place, id)
      return {
        answer: { status: 200, body: { added, removed, members: count } },
        object: id,
        details: { added, removed },
      }
    })
  },
})
