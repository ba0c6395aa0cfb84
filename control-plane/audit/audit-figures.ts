// How the audit chains are, as figures: asked for when they are collected. (OP-1, OP-2, AU-3)
import type { Log } from '../../common/log.ts'
import { Gauge } from '../../common/metrics.ts'
import type { Metrics } from '../../common/metrics.ts'
import { withScope } from '../db/database.ts'
import type { Db } from '../db/database.ts'
import { sharedLook } from '../monitoring/shared-look.ts'
import { SinceSeen } from '../monitoring/since-seen.ts'
import { chainsDue } from './checkpoint-job.ts'
import { oldestUnexported } from './checkpoint-store.ts'
import { readVerificationFigures } from './verification-store.ts'

export interface AuditFiguresDeps {
  readonly db: Db
  readonly metrics: Metrics
  readonly log: Log
  /** Whether checkpoints are exported anywhere. */
  readonly exports: boolean
  /** ms since the epoch */
  readonly now: () => number
  /** ms, monotonic */
  readonly monotonicMs: () => number
}

export function watchAudit({ db, metrics, log, exports, now, monotonicMs }: AuditFiguresDeps): void {
  const registers = [metrics]
  const dueSince = new SinceSeen()
  const verification = sharedLook(() =>
    withScope(db, { purpose: 'reconcile' }, (tx) => readVerificationFigures(tx, new Date(now()))),
  )
  const holds = new Gauge({
    name: 'causeway_audit_chain_ok',
    help: '0 when a chain of audit events was found not to hold.',
    registers,
    async collect() {
      await measured(async () => {
        holds.set((await verification()).broken === 0 ? 1 : 0)
      })
    },
  })
  holds.set(1) // until somebody has looked: nothing is known to be broken
  const verified = new Gauge({
    name: 'causeway_audit_verified_seconds',
    help: 'How long ago the chain that waits longest was verified to its end.',
    registers,
    async collect() {
      await measured(async () => {
        verified.set((await verification()).oldest)
      })
    },
  })
  const overdue = new Gauge({
    name: 'causeway_audit_checkpoint_overdue_seconds',
    help: 'How long the chain that waits longest is due for a signed checkpoint.',
    registers,
    async collect() {
      await measured(async () => {
        const due = new Map<string, string>()
        for await (const chain of chainsDue(db, now(), false)) due.set(chain, 'due')
        overdue.set(dueSince.longest(due, monotonicMs()) / 1_000)
      })
    },
  })
  const unexported = new Gauge({
    name: 'causeway_audit_export_overdue_seconds',
    help: 'Age of the oldest checkpoint that write-once storage lacks; 0 where there is none.',
    registers,
    async collect() {
      if (!exports) return
      await measured(async () => {
        const oldest = await withScope(db, { purpose: 'reconcile' }, oldestUnexported)
        unexported.set(oldest === undefined ? 0 : Math.max(0, now() - oldest.getTime()) / 1_000)
      })
    },
  })

  /** While the database is away figures stay as they were: that has an alarm of its own. */
  async function measured(work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      log.debug('audit.not_measured', { error })
    }
  }
}
