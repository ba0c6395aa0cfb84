// The queue's figures. Labels come from closed sets: results, routes of the configuration, and `mx` for whatever domain. (OP-1)
import { Counter, Gauge, Histogram } from '../../common/metrics.ts'
import type { Metrics } from '../../common/metrics.ts'
import type { DeliveryResult } from '../delivery-event.ts'
import type { RouteName } from '../message-record.ts'

export const QUEUE_PLACES = ['active', 'ready', 'waiting', 'held', 'dead'] as const
/**
 * Where a message is: in an attempt, due but without a connection (its next hop is busy or given up for a while), waiting for its time, held
 * by the operator, or a dead letter.
 */
export type QueuePlace = (typeof QUEUE_PLACES)[number]

export interface QueueCensus {
  readonly messages: Readonly<Record<QueuePlace, number>>
  /** Of messages that are neither held nor dead; 0 when there are none. */
  readonly oldestMs: number
}

export interface QueueMetrics {
  recipientDone(result: DeliveryResult, route: RouteName): void
  /** From acceptance to the next hop's reply. */
  delivered(afterMs: number): void
  reportMade(): void
}

/** @param takeCensus  called at each scrape */
export function queueMetrics(metrics: Metrics, takeCensus: () => QueueCensus): QueueMetrics {
  const registers = [metrics]
  const messages = new Gauge({
    name: 'causeway_queue_messages',
    help: 'Messages in the queue, by place',
    labelNames: ['place'],
    registers,
    collect() {
      const census = takeCensus()
      for (const place of QUEUE_PLACES) messages.set({ place }, census.messages[place])
      oldest.set(census.oldestMs / 1000)
    },
  })
  const oldest = new Gauge({
    name: 'causeway_queue_oldest_seconds',
    help: 'Age of the oldest message that waits for delivery',
    aggregator: 'max',
    registers,
  })
  const recipients = new Counter({
    name: 'causeway_delivery_recipients_total',
    help: 'Recipients by result of an attempt',
    labelNames: ['result', 'route'],
    registers,
  })
  const seconds = new Histogram({
    name: 'causeway_delivery_seconds',
    help: 'From acceptance of a message to its delivery',
    buckets: [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 60, 300, 900, 3600, 21_600, 86_400],
    registers,
  })
  const reports = new Counter({ name: 'causeway_queue_reports_total', help: 'Reports made for senders', registers })
  return {
    recipientDone: (result, route) => recipients.inc({ result, route }),
    delivered: (afterMs) => seconds.observe(afterMs / 1000),
    reportMade: () => reports.inc(),
  }
}
