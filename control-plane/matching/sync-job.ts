// The periodic pass over what pairs have written: whatever a change missed (a discovery that broke off, an entry that a person has removed, a domain
// that is accepted by now, a tenant that is gone) is put right. Safe at any time, any number of times.
import { appendAudit } from '../audit/audit-store.ts'
import type { ProjectId } from '../ids.ts'
import type { JobHandler } from '../jobs/job.ts'
import type { Place } from '../mapping/mapping.ts'
import { lockPairs } from './pair-store.ts'
import { findStale, projectsWithPairs } from './sync-store.ts'
import { syncPairs } from './sync-pairs.ts'

export interface PairSyncDeps {
  /** ms since the epoch */
  readonly now: () => number
}

export const PAIR_SYNC_EVERY_MS = 5 * 60_000
/** In one transaction, which holds the job: a few seconds. */
const PAIRS_PER_CHANGE = 2_000
/** As the audit trail and the history of the table name what nobody asked for. */
const AUTHOR = 'system:pairs'

/** Of one organisation. */
export function pairSyncJob({ now }: PairSyncDeps): JobHandler {
  return {
    async run({ organisation, read, change, signal }) {
      for (const project of await read((tx) => projectsWithPairs(tx, organisation))) {
        const place: Place = { organisation, project: project as ProjectId }
        for (let looked = PAIRS_PER_CHANGE; looked >= PAIRS_PER_CHANGE;) {
          signal.throwIfAborted()
          looked = await change(async (tx) => {
            // Most often there is nothing, and nobody has to wait for that.
            if ((await findStale(tx, place, 1)).length === 0) return 0
            await lockPairs(tx, place)
            const stale = await findStale(tx, place, PAIRS_PER_CHANGE)
            const { states, ...mapping } = await syncPairs(tx, place, stale, { author: AUTHOR, now: now() })
            if (mapping.created + mapping.changed + mapping.removed > 0) {
              const told = { action: 'pair.mapped', actor: AUTHOR, project: place.project, result: 'done' } as const
              await appendAudit(tx, organisation, { ...told, payload: { ...mapping, states } }, now())
            }
            return stale.length
          })
        }
      }
    },
  }
}
