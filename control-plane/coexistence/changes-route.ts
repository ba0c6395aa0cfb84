// `…/coexistence/changes`: the ledger of what was called in the tenants, with before-images. (control-plane.md §2, EC-5)
import { z } from 'zod'
import { pageOf, pageQuery, parsePage, toPage } from '../http/page.ts'
import { route } from '../http/route.ts'
import { time } from '../http/values.ts'
import { placeOf, projectParams } from '../mapping/mapping-schema.ts'
import { existingTenant } from '../tenants/consent-routes.ts'
import { properties, shapeProperties } from './coexistence-shape.ts'
import { listChanges } from './tenant-change-store.ts'
import type { TenantChange } from './tenant-change-store.ts'
import { NOUNS } from './tenant-object.ts'
import type { ObservedObject } from './tenant-object.ts'

const objectSchema = z
  .strictObject({
    guid: z.string(),
    name: z.string(),
    properties,
    isEnabled: z.boolean().optional(),
    priority: z.int().optional(),
    members: z.array(z.string()).optional().meta({ description: 'Guids of recipients.' }),
  })
  .meta({ id: 'TenantObject', description: 'An object of Exchange as it was seen; proof tokens as digests.' })

const changeSchema = z
  .strictObject({
    sequence: z.int().meta({ description: 'Dense in the project, from 1.' }),
    tenant: z.string(),
    noun: z.enum([...NOUNS, 'OrganizationConfig']),
    key: z.string(),
    guid: z.string().optional(),
    cmdlet: z.string(),
    parameters: properties.meta({ description: 'As called; proof tokens as digests.' }),
    before: objectSchema.optional().meta({ description: 'Absent: there was no such object.' }),
    after: objectSchema.optional(),
    state: z.enum(['intent', 'done', 'undone', 'failed']).meta({
      description: '`intent`: it was about to be called, and how that ended is not known yet.',
    }),
    problem: z.string().optional(),
    operation: z.string(),
    by: z.string(),
    createdAt: time,
    settledAt: time.optional(),
  })
  .meta({ id: 'TenantChange' })

export const changesRoute = route({
  method: 'get',
  path: '/projects/{project}/coexistence/changes',
  id: 'listTenantChanges',
  summary: 'List what was changed in the tenants, with before-images',
  description: 'The newest first.',
  tag: 'coexistence',
  access: 'coexistence.read',
  params: projectParams,
  query: z.strictObject({
    ...pageQuery,
    tenant: z.string().max(40).optional(),
    state: changeSchema.shape.state.optional(),
    operation: z.string().max(40).optional().meta({ description: 'Made by this one.' }),
  }),
  responses: { 200: { description: 'A page of changes', schema: pageOf(changeSchema) } },
  handler: (context) => {
    const { query, url } = context
    const page = parsePage(query, 1)
    return context.read(async (tx) => {
      const place = placeOf(context)
      const tenant = query.tenant === undefined ? undefined : (await existingTenant(tx, place, query.tenant)).id
      const { state, operation } = query
      const rows = await listChanges(tx, place, page, { tenant, state, operation })
      return { status: 200, body: toPage(rows, page.limit, shapeChange, ({ sequence }) => [sequence], url) }
    })
  },
})

function shapeChange(change: TenantChange): z.input<typeof changeSchema> {
  const { guid, before, after, problem, settledAt, author, createdAt, parameters, ...rest } = change
  return {
    ...rest,
    ...(guid === undefined ? {} : { guid }),
    parameters: shapeProperties(parameters),
    ...(before === undefined ? {} : { before: shapeObject(before) }),
    ...(after === undefined ? {} : { after: shapeObject(after) }),
    ...(problem === undefined ? {} : { problem }),
    by: author,
    createdAt: createdAt.toISOString(),
    ...(settledAt === undefined ? {} : { settledAt: settledAt.toISOString() }),
  }
}

const shapeObject = ({
  guid,
  name,
  isEnabled,
  priority,
  members,
  ...seen
}: ObservedObject): z.input<typeof objectSchema> => ({
  guid,
  name,
  properties: shapeProperties(seen.properties),
  ...(isEnabled === undefined ? {} : { isEnabled }),
  ...(priority === undefined ? {} : { priority }),
  ...(members === undefined ? {} : { members: [...members] }),
})
