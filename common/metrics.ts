// One metrics registry a process. Whoever measures makes his own counters in the registry he is given: `causeway_<area>_<thing>_<unit>`,
// labels only from closed sets, never an address, id or message. (OP-1)
import { AggregatorRegistry, collectDefaultMetrics, Registry } from 'prom-client'

export { Counter, Gauge, Histogram } from 'prom-client'

/** Passed as `registers: [metrics]` when a counter is made. */
export type Metrics = Registry

/** A registry without anything in it: for a test, or a process that measures only what it names. */
export function emptyMetrics(): Metrics {
  return new Registry()
}

/** A registry with the process's own figures: CPU, memory, event-loop delay, open handles. */
export function createMetrics(): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry, prefix: 'causeway_', eventLoopMonitoringPrecision: 20 })
  return registry
}

/** What a registry holds at one moment, as it can be sent to another process. */
export type Figures = Awaited<ReturnType<Metrics['getMetricsAsJSON']>>

/** One registry's worth of several processes' figures, each metric by its `aggregator`: the sum, unless it says otherwise. */
export function mergeFigures(figures: readonly Figures[]): Metrics {
  return AggregatorRegistry.aggregate([...figures])
}
