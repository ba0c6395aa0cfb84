// Figures of jobs for the metrics, asked for when they are collected. (OP-1)
import type { Log } from '../../common/log.ts'
import { Gauge } from '../../common/metrics.ts'
import type { Metrics } from '../../common/metrics.ts'
import type { Db } from '../db/database.ts'
import { countJobs } from './dispatch-store.ts'

export function watchJobs({
  db,
  metrics,
  log,
}: {
  readonly db: Db
  readonly metrics: Metrics
  readonly log: Log
}): void {
  const states = new Gauge({
    name: 'causeway_jobs',
    help: 'Jobs by state; of failed ones somebody must look at each.',
    labelNames: ['state'],
    registers: [metrics],
    async collect() {
      try {
        const { waiting, running, failed, oldestWaiting } = await countJobs(db)
        states.set({ state: 'waiting' }, waiting)
        states.set({ state: 'running' }, running)
        states.set({ state: 'failed' }, failed)
        oldest.set(oldestWaiting)
      } catch (error) {
        states.reset()
        log.debug('jobs.not_counted', { error })
      }
    },
  })
  const oldest = new Gauge({
    name: 'causeway_jobs_oldest_waiting_seconds',
    help: 'How long the oldest job waits that should have begun.',
    registers: [metrics],
  })
}
