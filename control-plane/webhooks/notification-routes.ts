// Notifications over HTTP, of an organisation and of a project. Recipients are people's addresses: only administrators read them.
import { z } from 'zod'
import { callerName } from '../access/caller.ts'
import type { Tx } from '../db/database.ts'
import { publishEvent, requestJob } from '../db/outbox.ts'
import { pageOf, pageQuery, parsePage, toPage } from '../http/page.ts'
import { notFound, Problem } from '../http/problem.ts'
import { route } from '../http/route.ts'
import type { AnyRoute, Context } from '../http/route.ts'
import { newId, parseId } from '../ids.ts'
import { placeInRow } from '../keys/sealed-columns.ts'
import type { Sealer } from '../keys/sealer.ts'
import { deliveryShape, PING, shapeDelivery } from './delivery.ts'
import { deliveryListRoute } from './delivery-routes.ts'
import { findDelivery, insertPing } from './delivery-store.ts'
import { PLACES } from './event-patterns.ts'
import type { SubscriptionPlace } from './event-patterns.ts'
import {
  notificationBody,
  notificationChange,
  notificationShape,
  RECIPIENTS_COLUMN,
  shapeNotification,
} from './notification.ts'
import type { Notification } from './notification.ts'
import {
  countNotifications,
  deleteNotification,
  findNotification,
  insertNotification,
  listNotifications,
  updateNotification,
} from './notification-store.ts'

export interface NotificationRoutesDeps {
  readonly sealer: Sealer
}

const MAX_NOTIFICATIONS = 100
const tag = 'notifications'

export function notificationRoutes(deps: NotificationRoutesDeps): AnyRoute[] {
  return PLACES.flatMap((place) => routesAt(place, deps))
}

function routesAt({ base, name, params: at }: SubscriptionPlace, { sealer }: NotificationRoutesDeps): AnyRoute[] {
  const path = `${base}/notifications`
  const params = z.strictObject(at)
  const oneParams = z.strictObject({ ...at, notification: z.string() })
  const access = 'organization.manage'
  return [
    route({
      method: 'get',
      path,
      id: `list${name}Notifications`,
      summary: `Notifications of ${name === 'Project' ? 'a project' : 'an organization'}`,
      tag,
      access,
      params,
      query: z.strictObject(pageQuery),
      responses: { 200: { description: 'Notifications', schema: pageOf(notificationShape) } },
      handler: ({ read, organisation, project, query, url }) =>
        read(async (tx) => {
          const { after, limit } = parsePage(query, 1)
          const rows = await listNotifications(tx, organisation, project, String(after?.[0] ?? ''), limit + 1)
          const opened: { id: string; shape: z.input<typeof notificationShape> }[] = []
          for (const row of rows) opened.push({ id: row.id, shape: await shape(tx, row) })
          return {
            status: 200,
            body: toPage(
              opened,
              limit,
              (row) => row.shape,
              ({ id }) => [id],
              url,
            ),
          }
        }),
    }),
    route({
      method: 'post',
      path,
      id: `create${name}Notification`,
      summary: 'Have people told of events by mail',
      tag,
      access,
      params,
      body: notificationBody,
      responses: { 201: { description: 'Made', schema: notificationShape } },
      problems: ['limit-reached'],
      handler: ({ change, organisation, project, body, caller }) =>
        change('notification.created', async (tx) => {
          if ((await countNotifications(tx, organisation)) >= MAX_NOTIFICATIONS)
            throw new Problem('limit-reached', { limit: MAX_NOTIFICATIONS })
          const id = newId('notification')
          const { events, recipients, isEnabled } = body
          const recipientsSealed = await seal(tx, organisation, id, recipients)
          const createdBy = caller === undefined ? '' : callerName(caller)
          await insertNotification(tx, { id, organisation, project, events, isEnabled, recipientsSealed }, createdBy)
          const made = await find(tx, { organisation, project }, id)
          const after = shapeNotification(made, recipients)
          await publishEvent(tx, { organisation, project }, 'notification.created', { notification: id })
          const Location = `/api/v1${base.replace(/\{\w+\}/, project ?? organisation)}/notifications/${id}`
          return {
            answer: { status: 201, body: after, headers: { Location }, version: made.version },
            object: id,
            after,
          }
        }),
    }),
    route({
      method: 'get',
      path: `${path}/{notification}`,
      id: `read${name}Notification`,
      summary: 'One notification',
      tag,
      access,
      params: oneParams,
      responses: { 200: { description: 'The notification', schema: notificationShape } },
      handler: ({ read, params: { notification: id }, ...place }) =>
        read(async (tx) => {
          const found = await find(tx, place, id)
          return { status: 200, body: await shape(tx, found), version: found.version }
        }),
    }),
    route({
      method: 'patch',
      path: `${path}/{notification}`,
      id: `change${name}Notification`,
      summary: 'Change a notification',
      tag,
      access,
      params: oneParams,
      body: notificationChange,
      ifMatch: 'optional',
      responses: { 200: { description: 'Changed', schema: notificationShape } },
      handler: ({ change, checkVersion, body, params: { notification: id }, ...place }) =>
        change('notification.changed', async (tx) => {
          const before = await find(tx, place, id, true)
          checkVersion(before.version)
          const { events = before.events, isEnabled = before.isEnabled, recipients } = body
          const recipientsSealed =
            recipients === undefined
              ? before.recipientsSealed
              : await seal(tx, place.organisation, before.id, recipients)
          await updateNotification(tx, { ...before, events, isEnabled, recipientsSealed })
          const changed = await find(tx, place, id)
          const after = await shape(tx, changed)
          await publishEvent(tx, place, 'notification.changed', { notification: before.id })
          return {
            answer: { status: 200, body: after, version: changed.version },
            object: before.id,
            before: await shape(tx, before),
            after,
          }
        }),
    }),
    route({
      method: 'delete',
      path: `${path}/{notification}`,
      id: `delete${name}Notification`,
      summary: 'Delete a notification',
      tag,
      access,
      params: oneParams,
      ifMatch: 'optional',
      responses: { 204: { description: 'Deleted' } },
      handler: ({ change, checkVersion, params: { notification: id }, ...place }) =>
        change('notification.deleted', async (tx) => {
          const before = await find(tx, place, id, true)
          checkVersion(before.version)
          await deleteNotification(tx, before)
          await publishEvent(tx, place, 'notification.deleted', { notification: before.id })
          return { answer: { status: 204 }, object: before.id, before: { id: before.id, events: before.events } }
        }),
    }),
    route({
      method: 'post',
      path: `${path}/{notification}/ping`,
      id: `ping${name}Notification`,
      summary: 'Send a test mail',
      tag,
      access,
      params: oneParams,
      responses: { 202: { description: 'It is being sent', schema: deliveryShape } },
      handler: ({ change, params: { notification: id }, ...place }) =>
        change('notification.pinged', async (tx) => {
          const { organisation, project } = place
          const { id: subscription } = await find(tx, place, id)
          const delivery = newId('delivery')
          const body = { notification: subscription }
          await insertPing(tx, 'notification_delivery', {
            id: delivery,
            organisation,
            project,
            type: PING,
            body,
            subscription,
          })
          await requestJob(tx, { organisation, project }, 'notification.send', delivery)
          const made = await findDelivery(tx, 'notification_delivery', organisation, delivery)
          if (made === undefined) throw new Error('unreachable: it was inserted')
          return { answer: { status: 202, body: shapeDelivery(made) }, object: subscription }
        }),
    }),
    deliveryListRoute(
      { path: `${path}/{notification}/deliveries`, id: `list${name}NotificationDeliveries`, params: oneParams, tag },
      'notification_delivery',
      async (tx, place, { notification = '' }) => (await find(tx, place, notification)).id,
    ),
  ]

  async function shape(tx: Tx, notification: Notification): Promise<z.input<typeof notificationShape>> {
    return shapeNotification(notification, await openRecipients(tx, notification, sealer))
  }

  function seal(
    tx: Tx,
    organisation: Notification['organisation'],
    id: string,
    recipients: readonly string[],
  ): Promise<Buffer> {
    const { purpose, context } = placeInRow(RECIPIENTS_COLUMN, [id])
    const plain = Buffer.from(JSON.stringify(recipients))
    return sealer.seal(tx, { organisation, project: undefined }, purpose, context, plain)
  }
}

/** @throws KeyServiceUnavailable, KeyUnusable */
export async function openRecipients(tx: Tx, notification: Notification, sealer: Sealer): Promise<string[]> {
  const { organisation, id, recipientsSealed } = notification
  const { purpose, context } = placeInRow(RECIPIENTS_COLUMN, [id])
  const plain = await sealer.open(tx, { organisation, project: undefined }, purpose, context, recipientsSealed)
  return JSON.parse(plain.toString()) as string[]
}

type At = Pick<Context<unknown, unknown, unknown>, 'organisation' | 'project'>

async function find(tx: Tx, { organisation, project }: At, text: string, isLocked = false): Promise<Notification> {
  const id = parseId('notification', text)
  const notification = id && (await findNotification(tx, organisation, project, id, { isLocked }))
  if (notification === undefined) throw notFound()
  return notification
}
