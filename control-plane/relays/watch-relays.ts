// Relays that fell silent: told once, and not waited for any more. Run by the clock, in any number of processes. (control-plane.md §3.7)
import { appendAudit } from '../audit/audit-store.ts'
import { withScope } from '../db/database.ts'
import type { Db } from '../db/database.ts'
import { publishEvent } from '../db/outbox.ts'
import { lockLiveRelays, noteApplied } from './applied-store.ts'
import { listSilentRelays, markStale } from './relay-store.ts'

const BATCH = 500

/** @param now  ms since the epoch. @returns how many were told */
export async function watchRelays(db: Db, now: number): Promise<number> {
  const silent = await withScope(db, { purpose: 'reconcile' }, (tx) => listSilentRelays(tx, now, BATCH))
  let told = 0
  for (const place of silent) {
    const { organisation, project, relay } = place
    await withScope(db, { organisation }, async (tx) => {
      if (!(await markStale(tx, place, now))) return
      told++
      await publishEvent(tx, { organisation, project }, 'relay.stale', { relay })
      // What only this one lacked has reached all that are waited for.
      await noteApplied(tx, organisation, project, await lockLiveRelays(tx, organisation, project, now), now)
      const entry = {
        action: 'relay.stale',
        actor: 'system:watch-relays',
        project,
        object: relay,
        result: 'done' as const,
        payload: {},
      }
      await appendAudit(tx, organisation, entry, now)
    })
  }
  return told
}
