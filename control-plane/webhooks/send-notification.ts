// Job `notification.send`: mails one event to the people of a notification. What the mail server doesn't take now is sent again for 24 h.
import type { Log } from '../../common/log.ts'
import { parseId } from '../ids.ts'
import type { NotificationId } from '../ids.ts'
import type { JobHandler } from '../jobs/job.ts'
import { GiveUp, RetryLater } from '../jobs/retry.ts'
import { KeyServiceUnavailable } from '../keys/key-provider.ts'
import type { Sealer } from '../keys/sealer.ts'
import { PING } from './delivery.ts'
import type { DeliveryFigures } from './delivery-figures.ts'
import { findDelivery, noteAttempt, setUndeliverable } from './delivery-store.ts'
import type { Mailer } from './mailer.ts'
import { mailOf } from './notification.ts'
import { openRecipients } from './notification-routes.ts'
import { findNotificationById } from './notification-store.ts'
import { resendWaitMs } from './webhook.ts'

export interface SendNotificationDeps {
  /** undefined: no mail server is set. */
  readonly mailer: Mailer | undefined
  readonly sealer: Sealer
  readonly publicUrl: URL
  readonly figures: DeliveryFigures
  readonly log: Log
  /** ms since the epoch */
  readonly now: () => number
  /** In [0, 1). */
  readonly random: () => number
}

const KEY_SERVICE_WAIT_MS = 60_000

export function sendNotificationJob(deps: SendNotificationDeps): JobHandler {
  const { mailer, sealer, publicUrl, figures, log, random } = deps
  return {
    async run(job) {
      const id = parseId('delivery', job.object)
      if (id === undefined) throw new GiveUp('no-delivery')
      const found = await job.read(async (tx) => {
        const delivery = await findDelivery(tx, 'notification_delivery', job.organisation, id)
        const notification =
          delivery && (await findNotificationById(tx, job.organisation, delivery.subscription as NotificationId))
        return notification && { delivery, notification }
      })
      if (found?.delivery.state !== 'pending') return // its notification was deleted, or it is done
      const { delivery, notification } = found
      const now = deps.now()
      const at = new Date(now)
      const fault =
        mailer === undefined
          ? 'no-mail-server'
          : !notification.isEnabled && delivery.type !== PING
            ? 'disabled'
            : undefined
      if (mailer === undefined || fault !== undefined) {
        if (fault === 'no-mail-server' && delivery.type !== PING) figures.noted('notification', 'failed')
        return job.finish((tx) => setUndeliverable(tx, 'notification_delivery', delivery, fault ?? '', at))
      }
      const to = await job
        .read((tx) => openRecipients(tx, notification, sealer))
        .catch((error: unknown) => {
          if (!(error instanceof KeyServiceUnavailable)) throw error
          throw new RetryLater(error.retryAfterMs ?? KEY_SERVICE_WAIT_MS, { cause: error })
        })
      const result = await mailer({
        messageId: `${delivery.id}@${publicUrl.hostname}`,
        to,
        ...mailOf(delivery, publicUrl),
      })
      if (result.kind === 'sent') {
        figures.noted('notification', 'delivered')
        const refused = result.refused === 0 ? undefined : `refused-${result.refused}`
        return job.finish((tx) =>
          noteAttempt(tx, 'notification_delivery', delivery, { state: 'delivered', fault: refused, at }),
        )
      }
      log.info('notification.not_sent', { notification: notification.id, delivery: delivery.id, fault: result.fault })
      const waitMs = resendWaitMs(delivery.attempts + 1, random())
      const isLast = result.kind === 'refused' || delivery.type === PING || now + waitMs > delivery.retryUntil.getTime()
      if (delivery.type !== PING) figures.noted('notification', isLast ? 'failed' : 'put-off')
      if (isLast)
        return job.finish((tx) =>
          noteAttempt(tx, 'notification_delivery', delivery, { state: 'failed', fault: result.fault, at }),
        )
      await job.change((tx) =>
        noteAttempt(tx, 'notification_delivery', delivery, { state: 'pending', fault: result.fault, at }),
      )
      throw new RetryLater(waitMs)
    },
  }
}
