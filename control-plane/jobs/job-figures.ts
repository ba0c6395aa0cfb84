// Figures of jobs for the metrics, asked for when they are collected. (OP-1)
import type { Log } from '../../common/log.ts'
import { Gauge } from '../../common/metrics.ts'
import type { Metrics } from '../../common/metrics.ts'
import type { Db } from '../db/database.ts'
import { sharedLook } from '../monitoring/shared-look.ts'
import { countJobs, oldestInOutbox } from './dispatch-store.ts'

export function watchJobs({
  db,
  metrics,
  log,
}: {
  readonly db: Db
  readonly metrics: Metrics
  readonly log: Log
}): void {
  const look = sharedLook(() => countJobs(db))
  const states = new Gauge({
    name: 'causeway_jobs',
    help: 'Jobs by state; of failed ones somebody must look at each.',
    labelNames: ['state'],
    registers: [metrics],
    async collect() {
      try {
        const { waiting, running, failed } = await look()
        states.set({ state: 'waiting' }, waiting)
        states.set({ state: 'running' }, running)
        states.set({ state: 'failed' }, failed)
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
    async collect() {
      try {
        oldest.set((await look()).oldestWaiting)
      } catch (error) {
        oldest.reset()
        log.debug('jobs.not_counted', { error })
      }
    },
  })
  const outbox = new Gauge({
    name: 'causeway_outbox_oldest_seconds',
    help: 'How long the oldest change waits for its jobs to be made.',
    registers: [metrics],
    async collect() {
      try {
        outbox.set(await oldestInOutbox(db))
      } catch (error) {
        outbox.reset()
        log.debug('outbox.not_measured', { error })
      }
    },
  })
}
