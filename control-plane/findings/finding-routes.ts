// Findings over HTTP: list, count, read, acknowledge. (control-plane.md §2)
import { z } from 'zod'
import { publishEvent } from '../db/outbox.ts'
import type { Tx } from '../db/database.ts'
import { pageOf, pageQuery, parsePage, toPage } from '../http/page.ts'
import { notFound, Problem } from '../http/problem.ts'
import { route } from '../http/route.ts'
import type { AnyRoute } from '../http/route.ts'
import { readableText } from '../http/values.ts'
import { parseId } from '../ids.ts'
import { authorOf, placeOf, projectParams } from '../mapping/mapping-schema.ts'
import { existingTenant } from '../tenants/consent-routes.ts'
import type { ProjectPlace } from '../tenants/tenant-store.ts'
import { FINDING_STATES, findingSchema, shapeFinding, stateOf } from './finding.ts'
import type { Finding } from './finding.ts'
import { SEVERITIES } from './finding-kind.ts'
import { FINDING_CODES } from './finding-kinds.ts'
import { findFinding, keyOf, listFindings, setAcknowledged } from './finding-store.ts'
import { summarise, summarySchema } from './finding-summary.ts'

const tag = 'findings'
const params = z.strictObject({ project: z.string(), finding: z.string() })

/** In this order: a fixed word comes before an id. */
export function findingRoutes(): AnyRoute[] {
  return [listRoute, summaryRoute, readRoute, acknowledgeRoute]
}

const listRoute = route({
  method: 'get',
  path: '/projects/{project}/findings',
  id: 'listFindings',
  summary: 'List findings',
  description:
    'The worst first, then by kind and name. Judged anew after each discovery, matching and change of a consent.',
  tag,
  access: 'directory.read',
  params: projectParams,
  query: z.strictObject({
    ...pageQuery,
    severity: z.enum(SEVERITIES).optional(),
    code: z.enum(FINDING_CODES).optional(),
    tenant: z.string().max(40).optional(),
    account: z.string().max(40).optional().meta({ description: 'About this account; the second of a pair too.' }),
    state: z
      .enum(FINDING_STATES)
      .optional()
      .meta({ description: 'Left out: those that are there, acknowledged or not.' }),
  }),
  responses: { 200: { description: 'A page of findings', schema: pageOf(findingSchema) } },
  handler: (context) => {
    const { query, url } = context
    const page = parsePage(query, 4)
    return context.read(async (tx) => {
      const place = placeOf(context)
      const tenant = query.tenant === undefined ? undefined : (await existingTenant(tx, place, query.tenant)).id
      const account = query.account === undefined ? undefined : parseId('account', query.account)
      if (query.account !== undefined && account === undefined) return { status: 200, body: { items: [] } }
      const { severity, code, state } = query
      const rows = await listFindings(tx, place, { severity, code, tenant, account, state }, page)
      return { status: 200, body: toPage(rows, page.limit, shapeFinding, keyOf, url) }
    })
  },
})

const summaryRoute = route({
  method: 'get',
  path: '/projects/{project}/findings/summary',
  id: 'summariseFindings',
  summary: 'Count findings by severity and kind',
  tag,
  access: 'directory.read',
  params: projectParams,
  query: z.strictObject({ tenant: z.string().max(40).optional() }),
  responses: { 200: { description: 'The counts', schema: summarySchema } },
  handler: (context) =>
    context.read(async (tx) => {
      const place = placeOf(context)
      const { tenant: text } = context.query
      const tenant = text === undefined ? undefined : (await existingTenant(tx, place, text)).id
      return { status: 200, body: await summarise(tx, place, tenant) }
    }),
})

const readRoute = route({
  method: 'get',
  path: '/projects/{project}/findings/{finding}',
  id: 'getFinding',
  summary: 'Read a finding',
  tag,
  access: 'directory.read',
  params,
  responses: { 200: { description: 'The finding', schema: findingSchema } },
  handler: (context) =>
    context.read(async (tx) => {
      const finding = await demandFinding(tx, placeOf(context), context.params.finding)
      return { status: 200, body: shapeFinding(finding), version: finding.version }
    }),
})

/** @throws Problem 404 */
async function demandFinding(tx: Tx, place: ProjectPlace, text: string, lock?: 'lock'): Promise<Finding> {
  const id = parseId('finding', text)
  const finding = id && (await findFinding(tx, place, id, lock))
  if (finding === undefined) throw notFound()
  return finding
}

const acknowledgeRoute = route({
  method: 'patch',
  path: '/projects/{project}/findings/{finding}',
  id: 'acknowledgeFinding',
  summary: 'Acknowledge a finding, or take that back',
  description:
    'It stays acknowledged as long as it is there. One that goes and comes again has to be acknowledged anew.',
  tag,
  access: 'directory.match',
  params,
  body: z
    .strictObject({
      acknowledged: z.boolean(),
      note: readableText(0, 1_000).optional().meta({ description: 'Why it may stay, for those who come later.' }),
    })
    .meta({ id: 'FindingAcknowledgement' }),
  ifMatch: 'optional',
  problems: ['conflict'],
  responses: { 200: { description: 'The finding', schema: findingSchema } },
  handler: (context) => {
    const { body, caller, change, now } = context
    const place = placeOf(context)
    return change(body.acknowledged ? 'finding.acknowledged' : 'finding.reopened', async (tx) => {
      const before = await demandFinding(tx, place, context.params.finding, 'lock')
      context.checkVersion(before.version)
      if (before.resolvedAt !== undefined) throw new Problem('conflict', { detail: 'It is resolved.' })
      const by = body.acknowledged ? authorOf(caller) : undefined
      const note = body.acknowledged ? (body.note ?? before.note) : ''
      await setAcknowledged(tx, place, before.id, { by, note, at: new Date(now) })
      const after = await demandFinding(tx, place, before.id)
      await publishEvent(tx, place, 'finding.changed', { finding: before.id, state: stateOf(after) })
      return {
        answer: { status: 200, body: shapeFinding(after), version: after.version },
        object: before.id,
        before: stateOf(before),
        after: stateOf(after),
        details: { code: before.code },
      }
    })
  },
})
