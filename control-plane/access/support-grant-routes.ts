// Support grants over HTTP: given with a fresh sign-in (AZ-6), seen by everybody of the organisation, taken back at once (AZ-7).
import { z } from 'zod'
import { publishEvent } from '../db/outbox.ts'
import { cursorTime, pageOf, pageQuery, parsePage, toPage } from '../http/page.ts'
import { notFound } from '../http/problem.ts'
import { route } from '../http/route.ts'
import type { AnyRoute } from '../http/route.ts'
import { newId, parseId } from '../ids.ts'
import { callerName, callerOf, principalOf } from './caller.ts'
import { grantBody, grantExpiry, grantSchema, grantState, shapeGrant } from './support-grant.ts'
import type { SupportGrant } from './support-grant.ts'
import { findGrant, insertGrant, listGrants, revokeGrant } from './support-grant-store.ts'

const params = z.strictObject({ organization: z.string() })
const oneParams = z.strictObject({ organization: z.string(), grant: z.string() })

export function supportGrantRoutes(): AnyRoute[] {
  return [
    route({
      method: 'get',
      path: '/organizations/{organization}/support-grants',
      id: 'listSupportGrants',
      summary: 'List support grants, the one that ends last first',
      tag: 'access',
      access: 'organization.read',
      params,
      query: z.strictObject({
        ...pageQuery,
        state: z.enum(['active', 'ended']).optional().meta({ description: 'In force, or expired or revoked.' }),
      }),
      responses: { 200: { description: 'Grants', schema: pageOf(grantSchema) } },
      handler: ({ read, organisation, query, url, now }) =>
        read(async (tx) => {
          const { after, limit } = parsePage(query, 2)
          const from = after && ([cursorTime(after[0]), String(after[1])] as const)
          const isActive = query.state === undefined ? undefined : query.state === 'active'
          const rows = await listGrants(tx, organisation, isActive, new Date(now), from, limit + 1)
          const keyOf = ({ expiresAt, id }: SupportGrant) => [expiresAt.getTime(), id]
          return { status: 200, body: toPage(rows, limit, (grant) => shapeGrant(grant, now), keyOf, url) }
        }),
    }),
    route({
      method: 'post',
      path: '/organizations/{organization}/support-grants',
      id: 'grantSupport',
      summary: 'Let somebody outside see metadata for a while',
      tag: 'access',
      access: 'support.grant',
      params,
      body: grantBody,
      isDangerous: true,
      responses: { 201: { description: 'Granted', schema: grantSchema } },
      handler: ({ change, organisation, body, caller, now }) =>
        change('support.granted', async (tx) => {
          const grant: SupportGrant = {
            id: newId('support-grant'),
            principal: principalOf(body.tenantId, body.objectId),
            reason: body.reason,
            grantedBy: callerName(callerOf(caller)),
            createdAt: new Date(now),
            expiresAt: grantExpiry(now, body.hours),
            revokedAt: undefined,
          }
          await insertGrant(tx, organisation, grant)
          await publishEvent(tx, { organisation }, 'support.granted', { grant: grant.id })
          const Location = `/api/v1/organizations/${organisation}/support-grants/${grant.id}`
          return {
            answer: { status: 201, body: shapeGrant(grant, now), headers: { Location } },
            object: grant.id,
            after: shapeGrant(grant, now),
            details: { principal: grant.principal, hours: body.hours },
          }
        }),
    }),
    route({
      method: 'get',
      path: '/organizations/{organization}/support-grants/{grant}',
      id: 'readSupportGrant',
      summary: 'Read a support grant',
      tag: 'access',
      access: 'organization.read',
      params: oneParams,
      responses: { 200: { description: 'The grant', schema: grantSchema } },
      handler: ({ read, organisation, params: { grant: text }, now }) =>
        read(async (tx) => {
          const id = parseId('support-grant', text)
          const grant = id && (await findGrant(tx, organisation, id))
          if (grant === undefined) throw notFound()
          return { status: 200, body: shapeGrant(grant, now) }
        }),
    }),
    route({
      method: 'delete',
      path: '/organizations/{organization}/support-grants/{grant}',
      id: 'revokeSupport',
      summary: 'Take a support grant back; it stays in the list',
      tag: 'access',
      access: 'support.grant',
      params: oneParams,
      responses: { 200: { description: 'Over', schema: grantSchema } },
      handler: ({ change, organisation, params: { grant: text }, now }) =>
        change('support.revoked', async (tx) => {
          const id = parseId('support-grant', text)
          const before = id && (await findGrant(tx, organisation, id))
          if (before === undefined) throw notFound()
          // Again, or after its end: it is over, as asked.
          const after = grantState(before, now) === 'active' ? { ...before, revokedAt: new Date(now) } : before
          if (after !== before) {
            await revokeGrant(tx, organisation, before.id, new Date(now))
            await publishEvent(tx, { organisation }, 'support.revoked', { grant: before.id })
          }
          return {
            answer: { status: 200, body: shapeGrant(after, now) },
            object: before.id,
            before: shapeGrant(before, now),
            after: shapeGrant(after, now),
          }
        }),
    }),
  ]
}
