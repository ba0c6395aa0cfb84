// `…/relay-enrolments`: one-time codes that let a relay in. (RC-1)
import { z } from 'zod'
import { callerName } from '../access/caller.ts'
import { pageOf, pageQuery, parsePage, toPage } from '../http/page.ts'
import { notFound, Problem } from '../http/problem.ts'
import { route } from '../http/route.ts'
import type { AnyRoute } from '../http/route.ts'
import { newId, parseId } from '../ids.ts'
import { CODE_LIFE_MS, ENROLMENT_STATES, enrolmentState, newEnrolmentCode } from './enrolment.ts'
import { addEnrolment, cancelEnrolment, listEnrolments, lockEnrolment } from './enrolment-store.ts'
import type { Enrolment } from './enrolment-store.ts'
import { placeOf, projectParams } from './project-params.ts'

const enrolmentMembers = {
  id: z.string(),
  name: z.string(),
  state: z.enum(ENROLMENT_STATES),
  createdAt: z.iso.datetime(),
  createdBy: z.string(),
  expiresAt: z.iso.datetime(),
  usedAt: z.iso.datetime().optional(),
  relay: z.string().optional().meta({ description: 'The relay that used it.' }),
  cancelledAt: z.iso.datetime().optional(),
}
const enrolmentSchema = z.strictObject(enrolmentMembers).meta({ id: 'RelayEnrolment' })
const newEnrolmentSchema = z
  .strictObject({ ...enrolmentMembers, code: z.string().meta({ description: 'Shown this once.' }) })
  .meta({ id: 'NewRelayEnrolment' })

export function enrolmentRoutes(): AnyRoute[] {
  return [
    route({
      method: 'post',
      path: '/projects/{project}/relay-enrolments',
      id: 'createRelayEnrolment',
      summary: 'Make a code that lets one relay in within 15 minutes',
      tag: 'relays',
      access: 'relay.manage',
      params: projectParams,
      body: z.strictObject({
        name: z.string().max(100).default('').meta({ description: 'For whom it is, in your words.' }),
      }),
      responses: { 201: { description: 'The code, shown once', schema: newEnrolmentSchema } },
      handler: (context) =>
        context.change('relay-enrolment.created', async (tx) => {
          const { organisation, project } = placeOf(context)
          const { now, caller, body } = context
          if (caller === undefined) throw new Error('unreachable: the route asks for a permission')
          const code = newEnrolmentCode()
          const enrolment = {
            id: newId('enrolment'),
            name: body.name,
            createdAt: new Date(now),
            createdBy: callerName(caller),
            expiresAt: new Date(now + CODE_LIFE_MS),
          }
          await addEnrolment(tx, organisation, project, { ...enrolment, codeHash: code.hash })
          const shape = shapeOf({ ...enrolment, cancelledAt: undefined, usedAt: undefined, relay: undefined }, now)
          return {
            answer: { status: 201, body: { ...shape, code: code.text }, headers: { 'Cache-Control': 'no-store' } },
            object: enrolment.id,
            after: { name: body.name, expiresAt: enrolment.expiresAt },
          }
        }),
    }),
    route({
      method: 'get',
      path: '/projects/{project}/relay-enrolments',
      id: 'listRelayEnrolments',
      summary: 'List enrolment codes, without the codes',
      description: 'Newest first.',
      tag: 'relays',
      access: 'relay.read',
      params: projectParams,
      query: z.strictObject(pageQuery),
      responses: {
        200: { description: 'A page of them', schema: pageOf(enrolmentSchema).meta({ id: 'RelayEnrolmentPage' }) },
      },
      handler: async (context) => {
        const { organisation, project } = placeOf(context)
        const { query, url, now } = context
        const page = parsePage(query, 2)
        const rows = await context.read((tx) => listEnrolments(tx, organisation, project, page))
        const body = toPage(
          rows,
          page.limit,
          (row) => shapeOf(row, now),
          ({ createdAt, id }) => [createdAt.getTime(), id],
          url,
        )
        return { status: 200, body }
      },
    }),
    route({
      method: 'delete',
      path: '/projects/{project}/relay-enrolments/{enrolment}',
      id: 'cancelRelayEnrolment',
      summary: 'Cancel a code that was not used yet',
      tag: 'relays',
      access: 'relay.manage',
      params: projectParams.extend({ enrolment: z.string() }),
      responses: { 200: { description: 'Cancelled', schema: enrolmentSchema } },
      problems: ['conflict'],
      handler: (context) =>
        context.change('relay-enrolment.cancelled', async (tx) => {
          const { organisation, project } = placeOf(context)
          const id = parseId('enrolment', context.params.enrolment)
          const at = new Date(context.now)
          const before = id && (await lockEnrolment(tx, organisation, project, id))
          if (before === undefined) throw notFound()
          if (!(await cancelEnrolment(tx, organisation, project, before.id, at)))
            throw new Problem('conflict', {
              detail:
                before.usedAt === undefined ? 'It was cancelled before.' : 'A relay has used it: revoke the relay.',
            })
          return {
            answer: { status: 200, body: shapeOf({ ...before, cancelledAt: at }, context.now) },
            object: before.id,
          }
        }),
    }),
  ]
}

function shapeOf(enrolment: Enrolment, now: number): z.input<typeof enrolmentSchema> {
  const { id, name, createdAt, createdBy, expiresAt, usedAt, relay, cancelledAt } = enrolment
  return {
    id,
    name,
    state: enrolmentState(enrolment, now),
    createdAt: createdAt.toISOString(),
    createdBy,
    expiresAt: expiresAt.toISOString(),
    ...(usedAt && { usedAt: usedAt.toISOString() }),
    ...(relay && { relay }),
    ...(cancelledAt && { cancelledAt: cancelledAt.toISOString() }),
  }
}
