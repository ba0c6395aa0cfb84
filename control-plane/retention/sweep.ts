// Job `retention.sweep`: what is kept for a time goes when the time is over (PR-4). Features put their sweepers on one list. A sweep of one
// organisation, or of the installation for what belongs to none, is told once in its audit trail, and can be repeated and interrupted anywhere.
import type { Log } from '../../common/log.ts'
import { appendAudit } from '../audit/audit-store.ts'
import type { Tx } from '../db/database.ts'
import { INSTALLATION } from '../ids.ts'
import type { OrganisationId } from '../ids.ts'
import type { JobContext, JobHandler } from '../jobs/job.ts'

export interface SweepContext extends Pick<JobContext, 'organisation' | 'change' | 'signal'> {
  /** ms since the epoch */
  readonly now: number
}

export interface Sweeper {
  /** What goes: the name of its count in the audit trail. */
  readonly name: string
  /** `organisations`: in each, the installation among them; `installation`: once for all. */
  readonly of: 'organisations' | 'installation'
  /** Whether it tells the audit trail itself. */
  readonly isAudited?: boolean
  /** @returns how many went */
  sweep(context: SweepContext): Promise<number>
}

export interface SweepDeps {
  readonly sweepers: readonly Sweeper[]
  readonly log: Log
  /** ms since the epoch */
  readonly now: () => number
}

/** How often it is asked for, of `organisations`. */
export const SWEEP_EVERY_MS = 3_600_000
const BATCH = 5_000

export function retentionSweepJob({ sweepers, log, now }: SweepDeps): JobHandler {
  return {
    async run(job) {
      const { organisation, change, signal } = job
      const swept: Record<string, number> = {}
      const faults: unknown[] = []
      for (const sweeper of sweepers) {
        if (sweeper.of === 'installation' && organisation !== INSTALLATION) continue
        signal.throwIfAborted()
        try {
          const count = await sweeper.sweep({ organisation, change, signal, now: now() })
          if (count > 0 && sweeper.isAudited !== true) swept[sweeper.name] = count
        } catch (error) {
          if (signal.aborted) throw error
          faults.push(error) // the others' turn comes all the same
          log.warn('retention.failed', { sweeper: sweeper.name, organization: organisation, error })
        }
      }
      if (Object.keys(swept).length > 0) await change((tx) => tell(tx, organisation, swept, now()))
      if (faults.length > 0) throw new AggregateError(faults, 'some sweepers failed')
    },
  }
}

/** Batches, each a transaction of its own, until one is not full. @param batch  deletes so many at most @returns how many went */
export async function sweepInBatches(
  { change, signal }: Pick<SweepContext, 'change' | 'signal'>,
  batch: (tx: Tx, limit: number) => Promise<number>,
): Promise<number> {
  let total = 0
  for (;;) {
    signal.throwIfAborted()
    const count = await change((tx) => batch(tx, BATCH))
    total += count
    if (count < BATCH) return total
  }
}

async function tell(
  tx: Tx,
  organisation: OrganisationId,
  swept: Readonly<Record<string, number>>,
  now: number,
): Promise<void> {
  const entry = { action: 'retention.swept', actor: 'system:retention', result: 'done', payload: swept } as const
  await appendAudit(tx, organisation, entry, now)
}
