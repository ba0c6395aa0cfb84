// How the relays of all projects stand, as figures: asked for when they are collected. (OP-1, OP-2)
import type { Log } from '../../common/log.ts'
import { Gauge } from '../../common/metrics.ts'
import type { Metrics } from '../../common/metrics.ts'
import { withScope } from '../db/database.ts'
import type { Db } from '../db/database.ts'
import { sharedLook } from '../monitoring/shared-look.ts'
import { SinceSeen } from '../monitoring/since-seen.ts'
import { judgeFleet, STANDINGS } from './relay.ts'
import { listFleet } from './relay-store.ts'

export interface RelayFiguresDeps {
  readonly db: Db
  readonly metrics: Metrics
  readonly log: Log
  /** ms since the epoch */
  readonly now: () => number
  /** ms, monotonic */
  readonly monotonicMs: () => number
}

export function watchRelayFigures({ db, metrics, log, now, monotonicMs }: RelayFiguresDeps): void {
  const behindSince = new SinceSeen()
  const registers = [metrics]
  const look = sharedLook(async () => {
    const fleet = await withScope(db, { purpose: 'reconcile' }, listFleet)
    const { counts, behind } = judgeFleet(fleet, now())
    return { counts, lagMs: behindSince.longest(behind, monotonicMs()) }
  })
  const standings = new Gauge({
    name: 'causeway_relays',
    help: 'Relays that are not revoked, by how they stand to what their projects are at.',
    labelNames: ['standing'],
    registers,
    async collect() {
      standings.reset()
      await measured(async () => {
        const { counts } = await look()
        for (const standing of STANDINGS) standings.set({ standing }, counts[standing])
      })
    },
  })
  const lag = new Gauge({
    name: 'causeway_relay_lag_seconds',
    help: 'How long the relay that lags most, of those that are heard, lacks the version after the one that it has.',
    registers,
    async collect() {
      await measured(async () => {
        lag.set((await look()).lagMs / 1_000)
      })
    },
  })

  async function measured(work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      log.debug('relays.not_counted', { error })
    }
  }
}
