// Webhooks and notifications, of an organisation and of a project: the same at both places.
import { sql } from 'kysely'
import { withScope } from '../../../../control-plane/db/database.ts'
import { done, nothing } from './world.ts'
import type { Example, Examples, World } from './world.ts'

const webhookBody = { url: 'https://hooks.example/x', events: ['*'] }
const notificationBody = { events: ['*'], recipients: ['ops@contoso.example'] }

type Place = (world: World) => string

async function webhook(world: World, at: string): Promise<{ webhook: string }> {
  const { id } = await done(world, 'POST', `${at}/webhooks`, webhookBody)
  return { webhook: id as string }
}

async function notification(world: World, at: string): Promise<{ notification: string }> {
  const { id } = await done(world, 'POST', `${at}/notifications`, notificationBody)
  return { notification: id as string }
}

/** One that failed. */
async function delivery(world: World, at: string): Promise<{ webhook: string; delivery: string }> {
  const made = await webhook(world, at)
  const { id } = await done(world, 'POST', `${at}/webhooks/${made.webhook}/ping`)
  await withScope(world.api.database.db, { organisation: world.organisation }, (tx) =>
    sql`update webhook_delivery set state = 'failed', finished_at = now() where id = ${id}`.execute(tx),
  )
  return { ...made, delivery: id as string }
}

function examplesOf(name: 'Organization' | 'Project', place: Place): Examples {
  const onWebhook =
    (example: Example = {}) =>
    async (world: World): Promise<Example> => ({ ...example, params: await webhook(world, place(world)) })
  const onNotification =
    (example: Example = {}) =>
    async (world: World): Promise<Example> => ({ ...example, params: await notification(world, place(world)) })
  return {
    [`list${name}Webhooks`]: nothing,
    [`create${name}Webhook`]: () => ({ body: webhookBody }),
    [`read${name}Webhook`]: onWebhook(),
    [`change${name}Webhook`]: onWebhook({ body: { description: 'Changed' } }),
    [`delete${name}Webhook`]: onWebhook(),
    [`rotate${name}WebhookSecret`]: onWebhook(),
    [`ping${name}Webhook`]: onWebhook(),
    [`list${name}WebhookDeliveries`]: onWebhook(),
    [`redeliver${name}Webhook`]: async (world) => ({ params: await delivery(world, place(world)) }),
    [`list${name}Notifications`]: nothing,
    [`create${name}Notification`]: () => ({ body: notificationBody }),
    [`read${name}Notification`]: onNotification(),
    [`change${name}Notification`]: onNotification({ body: { isEnabled: false } }),
    [`delete${name}Notification`]: onNotification(),
    [`ping${name}Notification`]: onNotification(),
    [`list${name}NotificationDeliveries`]: onNotification(),
  }
}

export const WEBHOOK_EXAMPLES: Examples = {
  ...examplesOf('Organization', ({ organisation }) => `/organizations/${organisation}`),
  ...examplesOf('Project', ({ project }) => `/projects/${project}`),
}
