// Operations over HTTP: read, cancel, list, watch. An operation is read and cancelled with the permission that started it, at the place that it is
// about; without it, it does not exist. (control-plane.md §1, §4)
import { z } from 'zod'
import type { Permission } from '../access/permissions.ts'
import type { Tx } from '../db/database.ts'
import { withScope } from '../db/database.ts'
import type { EventSourceDeps } from '../events/event-source.ts'
import { parseLastEventId } from '../events/event-source.ts'
import type { StreamAccess } from '../events/stream-access.ts'
import { EVENT_STREAM_HEADERS, sendEvents } from '../http/event-stream.ts'
import { cursorNumber, pageOf, pageQuery, parsePage, toPage } from '../http/page.ts'
import { notFound, Problem } from '../http/problem.ts'
import { route } from '../http/route.ts'
import type { AnyRoute, Context } from '../http/route.ts'
import { parseId } from '../ids.ts'

import { isFinished, OPERATION_STATES, operationShape, shapeOperation } from './operation.ts'
import type { Operation } from './operation.ts'
import { findOperation, listOperations, requestCancel } from './operation-store.ts'
import { watchOperation } from './watch-operation.ts'

export interface OperationRoutesDeps extends EventSourceDeps {
  readonly streamAccess: StreamAccess
}

const tag = 'operations'
const params = z.strictObject({ operation: z.string() })
const query = z.strictObject({
  ...pageQuery,
  state: z
    .enum(OPERATION_STATES)
    .or(z.literal('open'))
    .optional()
    .meta({ description: '`open`: queued, running or being cancelled.' }),
  kind: z.string().max(100).optional().meta({ description: '`mapping.import`' }),
})

export function operationRoutes(deps: OperationRoutesDeps): AnyRoute[] {
  return [
    route({
      method: 'get',
      path: '/operations/{operation}',
      id: 'readOperation',
      summary: 'How far an operation is',
      tag,
      access: 'signed-in',
      params,
      responses: { 200: { description: 'The operation', schema: operationShape } },
      handler: ({ read, ...context }) =>
        read(async (tx) => {
          const operation = await find(tx, context)
          return { status: 200, body: shapeOperation(operation), version: operation.version }
        }),
    }),
    route({
      method: 'post',
      path: '/operations/{operation}/cancel',
      id: 'cancelOperation',
      summary: 'Cancel an operation',
      description:
        'It stops at its next step, within seconds. What it had done by then is kept or taken back, as its kind says.',
      tag,
      access: 'signed-in',
      params,
      responses: { 202: { description: 'It is being cancelled', schema: operationShape } },
      problems: ['operation-finished', 'operation-not-cancellable'],
      handler: ({ change, ...context }) =>
        change('operation.cancelled', async (tx) => {
          const before = await find(tx, context, { isLocked: true })
          if (isFinished(before.state)) throw new Problem('operation-finished', { state: before.state })
          if (before.state !== 'cancelling' && !(await requestCancel(tx, before)))
            throw new Problem('operation-not-cancellable')
          const after = await find(tx, context)
          return {
            answer: { status: 202, body: shapeOperation(after), version: after.version },
            object: before.id,
            before: { state: before.state },
            after: { state: after.state },
            details: { kind: before.kind },
          }
        }),
    }),
    route({
      method: 'get',
      path: '/operations/{operation}/events',
      id: 'streamOperation',
      summary: 'Watch an operation',
      description:
        'Server-sent events of type `operation`, whose `data` is the operation, on every change; the stream ends when the operation does. Opened again with `Last-Event-ID` after the end it is answered 204, so that browsers stop.',
      tag,
      access: 'signed-in',
      params,
      responses: {
        200: { description: 'Events', contentType: EVENT_STREAM_HEADERS['Content-Type'] },
        204: { description: 'It has ended, and you have seen its end' },
      },
      isLongLived: true,
      async handler(context) {
        const { read, caller, organisation, request } = context
        if (caller === undefined) throw new Problem('not-signed-in')
        const last = parseLastEventId(request.headers['last-event-id']) ?? 0
        const operation = await read((tx) => find(tx, context))
        if (isFinished(operation.state) && last >= operation.version) return { status: 204 }
        const { id } = operation
        const place = { caller, access: operation.permission, path: context.params, organisation }
        const load = () => withScope(deps.db, { organisation }, (tx) => findOperation(tx, organisation, id))
        return {
          status: 200,
          headers: EVENT_STREAM_HEADERS,
          async stream(response, signal) {
            await deps.streamAccess.during(place, signal, async (whileAllowed) => {
              const { source, ended } = watchOperation(load, organisation, deps.wakeUps)
              await sendEvents(response, source, last, AbortSignal.any([whileAllowed, ended]))
            })
            response.end()
          },
        }
      },
    }),
    listRoute('/organizations/{organization}/operations', 'listOrganizationOperations', 'organization.read', {
      params: z.strictObject({ organization: z.string() }),
      summary: 'Operations of an organization and its projects',
    }),
    listRoute('/projects/{project}/operations', 'listProjectOperations', 'project.read', {
      params: z.strictObject({ project: z.string() }),
      summary: 'Operations of a project',
    }),
  ]
}

function listRoute(
  path: string,
  id: string,
  access: Permission,
  { params: listParams, summary }: { params: z.ZodObject; summary: string },
): AnyRoute {
  return route({
    method: 'get',
    path,
    id,
    summary,
    description: 'The newest first; only those whose kind of work you may start yourself at this place.',
    tag,
    access,
    params: listParams,
    query,
    responses: { 200: { description: 'Operations', schema: pageOf(operationShape) } },
    handler: ({ read, organisation, project, permissions, query: { state, kind, ...page }, url }) =>
      read(async (tx) => {
        const { after, limit } = parsePage(page, 2)
        const states = state === 'open' ? (['queued', 'running', 'cancelling'] as const) : state && [state]
        const filter = {
          project,
          kind,
          states,
          permissions,
          after: after && ([cursorNumber(after[0]), String(after[1])] as const),
        }
        const rows = await listOperations(tx, organisation, filter, limit + 1)
        return { status: 200, body: toPage(rows, limit, shapeOperation, (row) => [row.createdMicros, row.id], url) }
      }),
  })
}

type Place = Pick<Context<{ operation: string }, unknown, unknown>, 'organisation' | 'permissions' | 'params'>

/** @throws Problem 404 also without the permission that started it */
async function find(
  tx: Tx,
  { organisation, permissions, params: { operation } }: Place,
  options: { readonly isLocked?: boolean } = {},
): Promise<Operation> {
  const id = parseId('operation', operation)
  const found = id && (await findOperation(tx, organisation, id, options))
  if (found === undefined || !permissions.has(found.permission)) throw notFound()
  return found
}
