// What became of the deliveries of a webhook or notification: the same list for both.
import { z } from 'zod'
import type { Tx } from '../db/database.ts'
import { cursorNumber, pageOf, pageQuery, parsePage, toPage } from '../http/page.ts'
import { route } from '../http/route.ts'
import type { AnyRoute, Context } from '../http/route.ts'
import { DELIVERY_STATES, deliveryShape, shapeDelivery } from './delivery.ts'
import { listDeliveries } from './delivery-store.ts'
import type { DeliveryTable } from './delivery-store.ts'

type At = Pick<Context<unknown, unknown, unknown>, 'organisation' | 'project'>

/** @param find  id of the webhook or notification of the path @throws Problem 404 */
export function deliveryListRoute(
  spec: { readonly path: string; readonly id: string; readonly params: z.ZodObject; readonly tag: string },
  table: DeliveryTable,
  find: (tx: Tx, place: At, params: Readonly<Record<string, string>>) => Promise<string>,
): AnyRoute {
  return route({
    ...spec,
    method: 'get',
    summary: 'What became of its messages',
    description: 'The newest first; kept for 30 days.',
    access: 'organization.read',
    query: z.strictObject({ ...pageQuery, state: z.enum(DELIVERY_STATES).optional() }),
    responses: { 200: { description: 'Deliveries', schema: pageOf(deliveryShape) } },
    handler: ({ read, params, query: { state, ...page }, url, ...place }) =>
      read(async (tx) => {
        const { after, limit } = parsePage(page, 2)
        const subscription = await find(tx, place, params as Record<string, string>)
        const of = { organisation: place.organisation, subscription, state }
        const from = after && ([cursorNumber(after[0]), String(after[1])] as const)
        const rows = await listDeliveries(tx, table, of, from, limit + 1)
        return { status: 200, body: toPage(rows, limit, shapeDelivery, (row) => [row.createdMicros, row.id], url) }
      }),
  })
}
