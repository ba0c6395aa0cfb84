// When checkpoints are made: after so many events (audit-store.ts asks for the job), and by the clock. (AU-3)
import { withScope } from '../db/database.ts'
import type { Db } from '../db/database.ts'
import type { OrganisationId } from '../ids.ts'
import type { JobHandler } from '../jobs/job.ts'
import type { Reconciler } from '../jobs/reconcile-all.ts'
import { RetryLater } from '../jobs/retry.ts'
import { KeyServiceUnavailable } from '../keys/key-provider.ts'
import { isCheckpointDue } from './checkpoint.ts'
import { listOpenChains, requestCheckpoint } from './checkpoint-store.ts'
import type { ChainState } from './checkpoint-store.ts'
import { runAuditCheckpoint } from './make-checkpoint.ts'
import type { CheckpointDeps } from './make-checkpoint.ts'

const CHAINS_A_PAGE = 500
const KEY_SERVICE_WAIT_MS = 60_000

/** `audit.checkpoint` of one organisation, or of the installation. */
export function auditCheckpointJob(deps: CheckpointDeps): JobHandler {
  return {
    async run({ organisation, signal }) {
      try {
        await runAuditCheckpoint(organisation, deps, signal)
      } catch (error) {
        if (!(error instanceof KeyServiceUnavailable)) throw error
        throw new RetryLater(error.retryAfterMs ?? KEY_SERVICE_WAIT_MS, { cause: error })
      }
    },
  }
}

/** Asks for the job where a chain is due and nobody has asked: by the clock, after a job that failed, for storage that was away. */
export function auditReconciler({ now, storages }: Pick<CheckpointDeps, 'now' | 'storages'>): Reconciler {
  return {
    name: 'audit.checkpoint',
    async reconcile(db) {
      for await (const organisation of chainsDue(db, now(), storages.length > 0)) {
        await withScope(db, { organisation }, (tx) => requestCheckpoint(tx, organisation))
      }
    },
  }
}

/** @param exports  whether there are storages */
export async function* chainsDue(db: Db, now: number, exports: boolean): AsyncGenerator<OrganisationId> {
  let after = ''
  let page: ChainState[]
  do {
    const from = after
    page = await withScope(db, { purpose: 'reconcile' }, (tx) => listOpenChains(tx, from, CHAINS_A_PAGE))
    for (const { organisation, size, last, hasUnexported } of page) {
      if (isCheckpointDue(size, last, now) || (exports && hasUnexported)) yield organisation
      after = organisation
    }
  } while (page.length === CHAINS_A_PAGE)
}
