// Job `webhook.deliver`: posts one delivery, signed, and writes down what the receiver said. At least once: a receiver tells a repetition by the
// delivery's id. What fails is sent again for 24 h; a receiver that fails again and again is let alone for a while.
import type { Log } from '../../common/log.ts'
import { publishEvent } from '../db/outbox.ts'
import { OutboundError, sendOutbound } from '../http/outbound-client.ts'
import type { OutboundDeps } from '../http/outbound-client.ts'
import { parseId } from '../ids.ts'
import type { WebhookId } from '../ids.ts'
import type { JobContext, JobHandler } from '../jobs/job.ts'
import { GiveUp, RetryLater } from '../jobs/retry.ts'
import { KeyServiceUnavailable } from '../keys/key-provider.ts'
import { placeInRow } from '../keys/sealed-columns.ts'
import type { Sealer } from '../keys/sealer.ts'
import { messageOf, PING } from './delivery.ts'
import type { Delivery } from './delivery.ts'
import type { DeliveryFigures } from './delivery-figures.ts'
import { findDelivery, noteAttempt, setUndeliverable } from './delivery-store.ts'
import { PREVIOUS_SECRET_COLUMN, resendWaitMs, restMs, SECRET_COLUMN, signMessage } from './webhook.ts'
import type { Webhook } from './webhook.ts'
import { disable, findSecrets, findWebhookById, letRest, noteFailure, noteSuccess } from './webhook-store.ts'

export interface DeliverDeps {
  readonly outbound: OutboundDeps
  readonly sealer: Sealer
  readonly figures: DeliveryFigures
  readonly log: Log
  /** ms since the epoch */
  readonly now: () => number
  /** In [0, 1). */
  readonly random: () => number
}

const TIMEOUT_MS = 10_000
const MAX_ANSWER_BYTES = 64 * 1024
const KEY_SERVICE_WAIT_MS = 60_000
const GONE = 410

export function deliverWebhookJob(deps: DeliverDeps): JobHandler {
  return {
    async run(job) {
      const id = parseId('delivery', job.object)
      if (id === undefined) throw new GiveUp('no-delivery')
      const found = await job.read(async (tx) => {
        const delivery = await findDelivery(tx, 'webhook_delivery', job.organisation, id)
        const webhook = delivery && (await findWebhookById(tx, job.organisation, delivery.subscription as WebhookId))
        return webhook && { delivery, webhook }
      })
      if (found?.delivery.state !== 'pending') return // its webhook was deleted, or it is done
      await deliver(job, found.delivery, found.webhook, deps)
    },
  }
}

async function deliver(job: JobContext, delivery: Delivery, webhook: Webhook, deps: DeliverDeps): Promise<void> {
  const now = deps.now()
  if (!webhook.isEnabled && delivery.type !== PING)
    return job.finish((tx) => setUndeliverable(tx, 'webhook_delivery', delivery, 'disabled', new Date(now)))
  const rest = (webhook.restsUntil?.getTime() ?? 0) - now
  if (rest > 0 && delivery.type !== PING && now + rest < delivery.retryUntil.getTime())
    throw new RetryLater(rest + resendWaitMs(1, deps.random()))
  const result = await post(job, delivery, webhook, deps)
  if (result.kind === 'delivered') {
    deps.figures.noted('webhook', 'delivered')
    return job.finish(async (tx) => {
      await noteAttempt(tx, 'webhook_delivery', delivery, {
        state: 'delivered',
        fault: undefined,
        status: result.status,
        at: new Date(now),
      })
      await noteSuccess(tx, webhook)
    })
  }
  const { fault, status } = result
  deps.log.info('webhook.not_delivered', {
    webhook: webhook.id,
    delivery: delivery.id,
    attempt: delivery.attempts + 1,
    fault,
    status,
  })
  const waitMs = resendWaitMs(delivery.attempts + 1, deps.random())
  const isLast = fault === 'gone' || delivery.type === PING || now + waitMs > delivery.retryUntil.getTime()
  const at = new Date(now)
  // Whoever sends a ping sees what came of it.
  if (delivery.type !== PING) deps.figures.noted('webhook', isLast ? 'failed' : 'put-off')
  if (!isLast) {
    await job.change(async (tx) => {
      await noteAttempt(tx, 'webhook_delivery', delivery, { state: 'pending', fault, status, at })
      const restingMs = restMs(await noteFailure(tx, webhook))
      if (restingMs > 0) await letRest(tx, webhook, new Date(now + restingMs))
    })
    throw new RetryLater(waitMs)
  }
  await job.finish(async (tx) => {
    await noteAttempt(tx, 'webhook_delivery', delivery, { state: 'failed', fault, status, at })
    if (delivery.type === PING) return
    await noteFailure(tx, webhook)
    const place = { organisation: webhook.organisation, project: webhook.project }
    await publishEvent(tx, place, 'webhook.failed', { webhook: webhook.id, delivery: delivery.id, fault })
    if (fault === 'gone' && (await disable(tx, webhook)))
      await publishEvent(tx, place, 'webhook.disabled', { webhook: webhook.id })
  })
}

type Result =
  | { readonly kind: 'delivered'; readonly status: number }
  | { readonly kind: 'failed'; readonly fault: string; readonly status?: number }

async function post(job: JobContext, delivery: Delivery, webhook: Webhook, deps: DeliverDeps): Promise<Result> {
  const body = messageOf(delivery)
  const secrets = await openSecrets(job, webhook, deps)
  const timestamp = Math.floor(deps.now() / 1000)
  try {
    const { status } = await sendOutbound(
      {
        method: 'POST',
        url: new URL(webhook.url),
        headers: {
          'Content-Type': 'application/json',
          'User-Agent': 'Causeway-Webhook/1',
          'Causeway-Delivery': delivery.id,
          'Causeway-Event': delivery.type,
          'Causeway-Signature': signMessage({ id: delivery.id, timestamp, body }, secrets),
        },
        body,
        timeoutMs: TIMEOUT_MS,
        maxAnswerBytes: MAX_ANSWER_BYTES,
      },
      deps.outbound,
    )
    if (status >= 200 && status < 300) return { kind: 'delivered', status }
    return { kind: 'failed', fault: status === GONE ? 'gone' : 'status', status }
  } catch (error) {
    if (!(error instanceof OutboundError)) throw error
    return { kind: 'failed', fault: error.fault }
  }
}

async function openSecrets(job: JobContext, webhook: Webhook, { sealer, now }: DeliverDeps): Promise<string[]> {
  const place = { organisation: webhook.organisation, project: undefined }
  try {
    return await job.read(async (tx) => {
      const sealed = await findSecrets(tx, webhook.organisation, webhook.id)
      if (sealed === undefined) throw new RetryLater(0) // deleted a moment ago: the next look finds nothing
      const open = async (column: typeof SECRET_COLUMN, value: Buffer) => {
        const { purpose, context } = placeInRow(column, [webhook.id])
        return (await sealer.open(tx, place, purpose, context, value)).toString()
      }
      const secrets = [await open(SECRET_COLUMN, sealed.secret)]
      if (sealed.previous !== null && (sealed.previousUntil?.getTime() ?? 0) > now())
        secrets.push(await open(PREVIOUS_SECRET_COLUMN, sealed.previous))
      return secrets
    })
  } catch (error) {
    if (!(error instanceof KeyServiceUnavailable)) throw error
    throw new RetryLater(error.retryAfterMs ?? KEY_SERVICE_WAIT_MS, { cause: error })
  }
}
