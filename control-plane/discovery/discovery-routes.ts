// Discoveries over HTTP: start one in a tenant, see how each went. (control-plane.md §2)
import { z } from 'zod'
import { callerName, callerOf } from '../access/caller.ts'
import { sqlState, UNIQUE_VIOLATION } from '../db/database.ts'
import { publishEvent } from '../db/outbox.ts'
import { pageOf, pageQuery, parsePage, toPage } from '../http/page.ts'
import { notFound, Problem } from '../http/problem.ts'
import { route } from '../http/route.ts'
import type { AnyRoute } from '../http/route.ts'
import { newId, parseId } from '../ids.ts'
import type { AccountId } from '../ids.ts'
import { createOperation, operationUrl } from '../operations/operation-store.ts'
import { existingTenant, placeOf } from '../tenants/consent-routes.ts'
import { findConsent } from '../tenants/consent-store.ts'
import { discoverySchema, shapeDiscovery } from './discovery.ts'
import type { Discovery } from './discovery.ts'
import { findCheckpoint, findDiscovery, insertDiscovery, listDiscoveries } from './discovery-store.ts'

const params = z.strictObject({ project: z.string() })
/** A call each, one after the other. */
const MAX_STATISTICS = 500

export function discoveryRoutes(): AnyRoute[] {
  return [listRoute, startRoute, readRoute]
}

const listRoute = route({
  method: 'get',
  path: '/projects/{project}/discoveries',
  id: 'listDiscoveries',
  summary: 'List the discoveries of a project, the newest first',
  tag: 'directory',
  access: 'directory.read',
  params,
  query: z.strictObject({ ...pageQuery, tenant: z.string().optional().meta({ description: 'Only of this one.' }) }),
  responses: { 200: { description: 'Discoveries', schema: pageOf(discoverySchema) } },
  handler: ({ read, organisation, project, query, url }) =>
    read(async (tx) => {
      const request = parsePage(query, 2)
      const place = placeOf(organisation, project)
      const tenant = query.tenant === undefined ? undefined : (await existingTenant(tx, place, query.tenant)).id
      const rows = await listDiscoveries(tx, place, tenant, request)
      const key = ({ startedAt, id }: Discovery) => [startedAt.getTime(), id]
      return { status: 200, body: toPage(rows, request.limit, shapeDiscovery, key, url) }
    }),
})

const startRoute = route({
  method: 'post',
  path: '/projects/{project}/discoveries',
  id: 'startDiscovery',
  summary: 'Read a tenant: accounts, groups and members, contacts, mailboxes, sizes',
  description:
    'Reads only. `delta` (the default) asks for what changed since the last one; the first one is full whatever was asked for. One at a time in a tenant.',
  tag: 'directory',
  access: 'directory.discover',
  params,
  body: z
    .strictObject({
      tenant: z.string(),
      mode: z.enum(['delta', 'full']).default('delta'),
      statisticsFor: z
        .array(z.string().refine((text) => parseId('account', text) !== undefined, 'the id of an account'))
        .max(MAX_STATISTICS)
        .default([])
        .meta({
          description: `Accounts of the tenant, whose mailboxes are asked for their exact sizes, one call each: choose few. Needs Exchange.`,
        }),
    })
    .meta({ id: 'DiscoveryStart' }),
  responses: { 202: { description: 'Started: see Location for its progress', schema: discoverySchema } },
  problems: ['conflict', 'tenant-not-connected', 'not-found'],
  handler: ({ change, organisation, project, body, caller, now }) =>
    change('discovery.started', async (tx) => {
      const place = placeOf(organisation, project)
      const tenant = await existingTenant(tx, place, body.tenant)
      const consent = await findConsent(tx, place, tenant.id)
      if (consent?.state !== 'connected') {
        const { state = 'none', problem } = consent ?? {}
        throw new Problem('tenant-not-connected', { state, ...(problem === undefined ? {} : { code: problem }) })
      }
      const author = callerName(callerOf(caller))
      const users = await findCheckpoint(tx, place, tenant.id, 'users')
      const mode = users?.state === 'done' ? body.mode : 'full'
      const operation = await createOperation(tx, place, {
        kind: 'discovery.run',
        permission: 'directory.discover',
        unit: 'objects',
        isCancellable: true,
        startedBy: author,
      })
      const id = newId('discovery')
      await insertOnce(() =>
        insertDiscovery(tx, place, {
          id,
          tenant: tenant.id,
          mode,
          operation,
          statisticsFor: body.statisticsFor as AccountId[],
          author,
          startedAt: new Date(now),
        }),
      )
      await publishEvent(tx, place, 'discovery.started', { discovery: id, tenant: tenant.id })
      const made = await findDiscovery(tx, place, id)
      if (made === undefined) throw new Error('unreachable: it was just written')
      return {
        answer: { status: 202, body: shapeDiscovery(made), headers: { Location: operationUrl(operation) } },
        object: id,
        details: { tenant: tenant.id, mode },
      }
    }),
})

const readRoute = route({
  method: 'get',
  path: '/projects/{project}/discoveries/{discovery}',
  id: 'readDiscovery',
  summary: 'Read how a discovery went',
  tag: 'directory',
  access: 'directory.read',
  params: z.strictObject({ project: z.string(), discovery: z.string() }),
  responses: { 200: { description: 'The discovery', schema: discoverySchema } },
  handler: ({ read, organisation, project, params: { discovery: text } }) =>
    read(async (tx) => {
      const id = parseId('discovery', text)
      const discovery = id && (await findDiscovery(tx, placeOf(organisation, project), id))
      if (discovery === undefined) throw notFound()
      return { status: 200, body: shapeDiscovery(discovery) }
    }),
})

async function insertOnce(insert: () => Promise<void>): Promise<void> {
  try {
    await insert()
  } catch (error) {
    if (sqlState(error) === UNIQUE_VIOLATION)
      throw new Problem('conflict', { detail: 'A discovery is running in this tenant: wait for it, or cancel it.' })
    throw error
  }
}
