// What became of attempts to bring events to those who asked for them, as a figure. (OP-1)
import { Counter } from '../../common/metrics.ts'
import type { Metrics } from '../../common/metrics.ts'

export const DELIVERY_KINDS = ['webhook', 'notification'] as const
export const DELIVERY_OUTCOMES = ['delivered', 'put-off', 'failed'] as const

export interface DeliveryFigures {
  /** `put-off`: it is tried again; `failed`: it is not. */
  noted(kind: (typeof DELIVERY_KINDS)[number], outcome: (typeof DELIVERY_OUTCOMES)[number]): void
}

export function createDeliveryFigures(metrics: Metrics): DeliveryFigures {
  const deliveries = new Counter({
    name: 'causeway_deliveries_total',
    help: 'Attempts to deliver an event by webhook or mail, by what came of them.',
    labelNames: ['kind', 'outcome'],
    registers: [metrics],
  })
  // From the start, so that the first failure is an increase.
  for (const kind of DELIVERY_KINDS) for (const outcome of DELIVERY_OUTCOMES) deliveries.inc({ kind, outcome }, 0)
  return { noted: (kind, outcome) => deliveries.inc({ kind, outcome }) }
}
