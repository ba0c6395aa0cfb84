// Webhooks over HTTP, of an organisation and of a project: made, changed, tried out, and what became of their deliveries. (control-plane.md §2)
import { z } from 'zod'
import { callerName } from '../access/caller.ts'
import type { Tx } from '../db/database.ts'
import { publishEvent, requestJob } from '../db/outbox.ts'
import { judgeUrl } from '../http/outbound-client.ts'
import type { AddressRules } from '../http/outbound-address.ts'
import { pageOf, pageQuery, parsePage, toPage } from '../http/page.ts'
import { badRequest, notFound, Problem } from '../http/problem.ts'
import { route } from '../http/route.ts'
import type { AnyRoute, Context } from '../http/route.ts'
import { newId, parseId } from '../ids.ts'
import { placeInRow } from '../keys/sealed-columns.ts'
import type { SealedColumn } from '../keys/sealed-columns.ts'
import type { Sealer } from '../keys/sealer.ts'
import { PING, shapeDelivery, deliveryShape } from './delivery.ts'
import { findDelivery, insertPing, reopen } from './delivery-store.ts'
import { deliveryListRoute } from './delivery-routes.ts'
import { PLACES } from './event-patterns.ts'
import type { SubscriptionPlace } from './event-patterns.ts'
import {
  newSecret,
  PREVIOUS_SECRET_COLUMN,
  SECRET_COLUMN,
  shapeWebhook,
  webhookBody,
  webhookChange,
  webhookShape,
  webhookWithSecret,
} from './webhook.ts'
import type { Webhook } from './webhook.ts'
import {
  countWebhooks,
  deleteWebhook,
  findSecrets,
  findWebhook,
  insertWebhook,
  listWebhooks,
  replaceSecret,
  updateWebhook,
} from './webhook-store.ts'

export interface WebhookRoutesDeps {
  readonly sealer: Sealer
  /** Of the outbound client: a URL that it would refuse anyway is refused at once. */
  readonly rules: AddressRules
}

const MAX_WEBHOOKS = 100
/** A secret that was replaced signs as well for so long. */
const OVERLAP_MS = 24 * 3_600_000
const tag = 'webhooks'

export function webhookRoutes(deps: WebhookRoutesDeps): AnyRoute[] {
  return PLACES.flatMap((place) => routesAt(place, deps))
}

function routesAt({ base, name, params: at }: SubscriptionPlace, { sealer, rules }: WebhookRoutesDeps): AnyRoute[] {
  const path = `${base}/webhooks`
  const params = z.strictObject(at)
  const oneParams = z.strictObject({ ...at, webhook: z.string() })
  return [
    route({
      method: 'get',
      path,
      id: `list${name}Webhooks`,
      summary: `Webhooks of ${name === 'Project' ? 'a project' : 'an organization'}`,
      tag,
      access: 'organization.read',
      params,
      query: z.strictObject(pageQuery),
      responses: { 200: { description: 'Webhooks', schema: pageOf(webhookShape) } },
      handler: ({ read, organisation, project, permissions, query, url }) =>
        read(async (tx) => {
          const { after, limit } = parsePage(query, 1)
          const rows = await listWebhooks(tx, organisation, project, String(after?.[0] ?? ''), limit + 1)
          const isWhole = permissions.has('organization.manage')
          return {
            status: 200,
            body: toPage(
              rows,
              limit,
              (row) => shapeWebhook(row, isWhole),
              ({ id }) => [id],
              url,
            ),
          }
        }),
    }),
    route({
      method: 'post',
      path,
      id: `create${name}Webhook`,
      summary: 'Have events posted to a URL',
      description:
        'The answer shows the secret that signs the messages, this once. Each message is a POST with `Causeway-Delivery` (its id, the same in every attempt), `Causeway-Event` and `Causeway-Signature`: `t=<seconds>,v1=<hex>`, where v1 is HMAC-SHA-256 with the secret over `<t>.<id>.<body>`. Take a message when a v1 is right and t is at most 5 minutes old. Any status of 200 to 299 within 10 seconds takes it; otherwise it is sent again for 24 hours; 410 disables the webhook. Redirects are not followed, private addresses not reached.',
      tag,
      access: 'organization.manage',
      params,
      body: webhookBody,
      responses: { 201: { description: 'Made', schema: webhookWithSecret } },
      problems: ['limit-reached'],
      handler: ({ change, organisation, project, body, caller }) =>
        change('webhook.created', async (tx) => {
          demandUrl(body.url)
          if ((await countWebhooks(tx, organisation)) >= MAX_WEBHOOKS)
            throw new Problem('limit-reached', { limit: MAX_WEBHOOKS })
          const id = newId('webhook')
          const secret = newSecret()
          const secretSealed = await seal(tx, organisation, SECRET_COLUMN, id, secret)
          const createdBy = caller === undefined ? '' : callerName(caller)
          await insertWebhook(tx, { ...body, id, organisation, project, secretSealed, createdBy })
          const webhook = await find(tx, { organisation, project }, id)
          const shape = shapeWebhook(webhook, true)
          await publishEvent(tx, { organisation, project }, 'webhook.created', { webhook: id })
          const Location = `/api/v1${base.replace(/\{\w+\}/, project ?? organisation)}/webhooks/${id}`
          return {
            answer: { status: 201, body: { ...shape, secret }, headers: { Location }, version: webhook.version },
            object: id,
            after: shape,
          }
        }),
    }),
    route({
      method: 'get',
      path: `${path}/{webhook}`,
      id: `read${name}Webhook`,
      summary: 'One webhook',
      tag,
      access: 'organization.read',
      params: oneParams,
      responses: { 200: { description: 'The webhook', schema: webhookShape } },
      handler: ({ read, params: { webhook: id }, permissions, ...place }) =>
        read(async (tx) => {
          const webhook = await find(tx, place, id)
          return {
            status: 200,
            body: shapeWebhook(webhook, permissions.has('organization.manage')),
            version: webhook.version,
          }
        }),
    }),
    route({
      method: 'patch',
      path: `${path}/{webhook}`,
      id: `change${name}Webhook`,
      summary: 'Change a webhook',
      tag,
      access: 'organization.manage',
      params: oneParams,
      body: webhookChange,
      ifMatch: 'optional',
      responses: { 200: { description: 'Changed', schema: webhookShape } },
      handler: ({ change, checkVersion, body, params: { webhook: id }, ...place }) =>
        change('webhook.changed', async (tx) => {
          const before = await find(tx, place, id, true)
          checkVersion(before.version)
          if (body.url !== undefined) demandUrl(body.url)
          await updateWebhook(tx, { ...before, ...given(body) })
          const after = await find(tx, place, id)
          await publishEvent(tx, place, 'webhook.changed', { webhook: after.id })
          const shape = shapeWebhook(after, true)
          return {
            answer: { status: 200, body: shape, version: after.version },
            object: after.id,
            before: shapeWebhook(before, true),
            after: shape,
          }
        }),
    }),
    route({
      method: 'delete',
      path: `${path}/{webhook}`,
      id: `delete${name}Webhook`,
      summary: 'Delete a webhook and its deliveries',
      tag,
      access: 'organization.manage',
      params: oneParams,
      ifMatch: 'optional',
      responses: { 204: { description: 'Deleted' } },
      handler: ({ change, checkVersion, params: { webhook: id }, ...place }) =>
        change('webhook.deleted', async (tx) => {
          const before = await find(tx, place, id, true)
          checkVersion(before.version)
          await deleteWebhook(tx, before)
          await publishEvent(tx, place, 'webhook.deleted', { webhook: before.id })
          return { answer: { status: 204 }, object: before.id, before: shapeWebhook(before, true) }
        }),
    }),
    route({
      method: 'post',
      path: `${path}/{webhook}/rotate-secret`,
      id: `rotate${name}WebhookSecret`,
      summary: 'Replace the secret',
      description: 'For 24 hours messages are signed with both, so that receivers can change over.',
      tag,
      access: 'organization.manage',
      params: oneParams,
      responses: { 200: { description: 'The new secret', schema: webhookWithSecret } },
      handler: ({ change, params: { webhook: id }, now, ...place }) =>
        change('webhook.secret-rotated', async (tx) => {
          const { organisation } = place
          const webhook = await find(tx, place, id, true)
          const sealed = await findSecrets(tx, organisation, webhook.id)
          if (sealed === undefined) throw notFound()
          const { purpose, context } = placeInRow(SECRET_COLUMN, [webhook.id])
          const previous = await sealer.open(tx, { organisation, project: undefined }, purpose, context, sealed.secret)
          const secret = newSecret()
          await replaceSecret(tx, webhook, await seal(tx, organisation, SECRET_COLUMN, webhook.id, secret), {
            sealed: await seal(tx, organisation, PREVIOUS_SECRET_COLUMN, webhook.id, previous.toString()),
            until: new Date(now + OVERLAP_MS),
          })
          const after = await find(tx, place, id)
          await publishEvent(tx, place, 'webhook.changed', { webhook: after.id })
          return {
            answer: { status: 200, body: { ...shapeWebhook(after, true), secret }, version: after.version },
            object: after.id,
          }
        }),
    }),
    route({
      method: 'post',
      path: `${path}/{webhook}/ping`,
      id: `ping${name}Webhook`,
      summary: 'Send a test message',
      description: 'Once, also to a disabled webhook; the list of deliveries says what came of it.',
      tag,
      access: 'organization.manage',
      params: oneParams,
      responses: { 202: { description: 'It is being sent', schema: deliveryShape } },
      handler: ({ change, params: { webhook: id }, ...place }) =>
        change('webhook.pinged', async (tx) => {
          const { organisation, project } = place
          const webhook = await find(tx, place, id)
          const delivery = newId('delivery')
          const ping = { id: delivery, organisation, project, type: PING, body: { webhook: webhook.id } }
          await insertPing(tx, 'webhook_delivery', { ...ping, subscription: webhook.id })
          await requestJob(tx, { organisation, project }, 'webhook.deliver', delivery)
          const made = await findDelivery(tx, 'webhook_delivery', organisation, delivery)
          if (made === undefined) throw new Error('unreachable: it was inserted')
          return { answer: { status: 202, body: shapeDelivery(made) }, object: webhook.id }
        }),
    }),
    deliveryListRoute(
      { path: `${path}/{webhook}/deliveries`, id: `list${name}WebhookDeliveries`, params: oneParams, tag },
      'webhook_delivery',
      async (tx, place, { webhook = '' }) => (await find(tx, place, webhook)).id,
    ),
    route({
      method: 'post',
      path: `${path}/{webhook}/deliveries/{delivery}/redeliver`,
      id: `redeliver${name}Webhook`,
      summary: 'Send a message again',
      tag,
      access: 'organization.manage',
      params: oneParams.extend({ delivery: z.string() }),
      responses: { 202: { description: 'It is being sent', schema: deliveryShape } },
      problems: ['delivery-pending'],
      handler: ({ change, params: { webhook: id, delivery: text }, ...place }) =>
        change('webhook.redelivered', async (tx) => {
          const { organisation, project } = place
          const webhook = await find(tx, place, id)
          const deliveryId = parseId('delivery', text)
          const delivery = deliveryId && (await findDelivery(tx, 'webhook_delivery', organisation, deliveryId))
          if (delivery === undefined || delivery.subscription !== webhook.id) throw notFound()
          if (!(await reopen(tx, delivery))) throw new Problem('delivery-pending')
          await requestJob(tx, { organisation, project }, 'webhook.deliver', delivery.id)
          const after = { ...delivery, state: 'pending', finishedAt: undefined } as const
          return { answer: { status: 202, body: shapeDelivery(after) }, object: delivery.id }
        }),
    }),
  ]

  function demandUrl(text: string): void {
    const fault = judgeUrl(text, rules)
    if (fault !== undefined) throw badRequest([{ pointer: '/url', code: 'url', detail: fault }])
  }

  function seal(
    tx: Tx,
    organisation: Webhook['organisation'],
    column: SealedColumn,
    id: string,
    secret: string,
  ): Promise<Buffer> {
    const { purpose, context } = placeInRow(column, [id])
    return sealer.seal(tx, { organisation, project: undefined }, purpose, context, Buffer.from(secret))
  }
}

type At = Pick<Context<unknown, unknown, unknown>, 'organisation' | 'project'>

async function find(tx: Tx, { organisation, project }: At, text: string, isLocked = false): Promise<Webhook> {
  const id = parseId('webhook', text)
  const webhook = id && (await findWebhook(tx, organisation, project, id, { isLocked }))
  if (webhook === undefined) throw notFound()
  return webhook
}

/** Members that were given: an absent one changes nothing. */
function given<T extends object>(body: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>
  }
}
