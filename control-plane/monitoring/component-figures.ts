// What /readyz and /status say, as figures: asked for when they are collected, so that an alarm sees within a scrape what is away. (OP-1)
import { Gauge } from '../../common/metrics.ts'
import type { Metrics } from '../../common/metrics.ts'
import { COMPONENTS } from './health.ts'
import type { HealthCheck } from './health.ts'

export function watchComponents(health: Pick<HealthCheck, 'check'>, metrics: Metrics): void {
  const registers = [metrics]
  // Not `causeway_ready`: that is the relay's, which has alarms of its own.
  const ready = new Gauge({
    name: 'causeway_control_plane_ready',
    help: '1 while this process may take work: what its /readyz says.',
    registers,
    async collect() {
      ready.set((await health.check()).isReady ? 1 : 0)
    },
  })
  const up = new Gauge({
    name: 'causeway_component_up',
    help: '1 while this process reaches the component.',
    labelNames: ['component'],
    registers,
    async collect() {
      const { components } = await health.check()
      for (const component of COMPONENTS) up.set({ component }, components[component] === 'up' ? 1 : 0)
    },
  })
}
