// What tests of webhooks and notifications stand on: the API, keys that really seal, a worker, and a clock that can be moved.
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { emptyMetrics } from '../../../common/metrics.ts'
import type { Metrics } from '../../../common/metrics.ts'
import { withScope } from '../../../control-plane/db/database.ts'
import { publishEvent } from '../../../control-plane/db/outbox.ts'
import { WakeUps } from '../../../control-plane/db/wake-ups.ts'
import { addressRules } from '../../../control-plane/http/outbound-address.ts'
import type { OrganisationId, ProjectId } from '../../../control-plane/ids.ts'
import { migrateQueue, openQueue } from '../../../control-plane/jobs/queue-backend.ts'
import { startJobs } from '../../../control-plane/jobs/start-jobs.ts'
import { openKeyDirectory } from '../../../control-plane/keys/file-provider.ts'
import { KeyCache } from '../../../control-plane/keys/key-cache.ts'
import { KeyUses } from '../../../control-plane/keys/key-uses.ts'
import { createSealer } from '../../../control-plane/keys/sealer.ts'
import { deliverWebhookJob } from '../../../control-plane/webhooks/deliver-webhook.ts'
import type { Mailer } from '../../../control-plane/webhooks/mailer.ts'
import { notificationRoutes } from '../../../control-plane/webhooks/notification-routes.ts'
import { sendNotificationJob } from '../../../control-plane/webhooks/send-notification.ts'
import { createDeliveryFigures } from '../../../control-plane/webhooks/delivery-figures.ts'
import { webhookRoutes } from '../../../control-plane/webhooks/webhook-routes.ts'
import { testApi } from '../../harness/api.ts'
import type { TestApi } from '../../harness/api.ts'
import { allHandlers, TIMING } from '../jobs/queues.ts'

export interface Subscriptions extends TestApi {
  /** Of the handlers, not of the database. */
  readonly clock: { offsetMs: number }
  readonly metrics: Metrics
  publish(organisation: OrganisationId, project: ProjectId | undefined, type: string, body?: object): Promise<void>
  /** Jobs that wait for their next attempt need not. */
  hasten(): Promise<void>
}

export interface Received {
  readonly headers: IncomingHttpHeaders
  readonly text: string
  // oxlint-disable-next-line typescript/no-explicit-any -- tests look into it
  readonly body: any
}

export async function subscriptions(t: TestContext, mailer?: Mailer): Promise<Subscriptions> {
  const closing: (() => Promise<void>)[] = []
  t.after(async () => {
    for (const close of closing.toReversed()) await close()
  })
  const clock = { offsetMs: 0 }
  const metrics = emptyMetrics()
  const now = () => Date.now() + clock.offsetMs
  const api = await testApi(t, async ({ database, log }) => {
    const { db } = database
    const directory = mkdtempSync(join(tmpdir(), 'causeway-keys-'))
    t.after(() => rmSync(directory, { recursive: true, force: true }))
    const provider = await openKeyDirectory(join(directory, 'keys'), now)
    const uses = new KeyUses({ db, log, now: () => new Date(now()) })
    const sealer = createSealer({ db, provider, cache: new KeyCache(now), uses, now: () => new Date(now()) })
    const wakeUps = new WakeUps(database.connection, log)
    await wakeUps.start()
    await migrateQueue(database.ownerConnection)
    const queue = openQueue({ log, connection: database.connection })
    const rules = addressRules(['127.0.0.1'])
    const random = () => 0.5
    const figures = createDeliveryFigures(metrics)
    const jobs = startJobs({
      db,
      queue,
      wakeUps,
      log,
      metrics,
      handlers: allHandlers({
        'webhook.deliver': deliverWebhookJob({ outbound: { rules }, sealer, figures, log, now, random }),
        'notification.send': sendNotificationJob({
          mailer,
          sealer,
          publicUrl: new URL('https://causeway.example'),
          figures,
          log,
          now,
          random,
        }),
      }),
      periodic: [],
      reconcilers: [],
      random,
      monotonicMs: () => performance.now(),
      timing: TIMING,
    })
    closing.push(
      () => wakeUps.close(),
      () => queue.close(),
      () => jobs.stop(2_000),
    )
    return [...webhookRoutes({ sealer, rules }), ...notificationRoutes({ sealer })]
  })
  return {
    ...api,
    clock,
    metrics,
    publish: (organisation, project, type, body = {}) =>
      withScope(api.database.db, { organisation }, (tx) =>
        publishEvent(tx, { organisation, project }, type, { ...body }),
      ),
    async hasten() {
      await api.database.owner.pool.query(`update job set run_after = now() where state = 'queued'`)
      await api.database.owner.pool.query(`update webhook set rests_until = null`)
    },
  }
}

/** Where webhooks are posted to. @param statusOf  of the answer to the n-th message, from 0 */
export async function receiver(
  t: TestContext,
  statusOf: (n: number) => number = () => 204,
): Promise<{ url: string; received: Received[] }> {
  const received: Received[] = []
  const server = createServer((request, response) => {
    let text = ''
    request.on('data', (chunk: Buffer) => (text += chunk.toString()))
    request.on('end', () => {
      received.push({ headers: request.headers, text, body: JSON.parse(text) })
      response.writeHead(statusOf(received.length - 1)).end()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook?token=s3cret`, received }
}
