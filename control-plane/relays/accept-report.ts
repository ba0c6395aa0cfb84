// A relay's report: what it has is stored, news of it is told, and what all have by now is noted. (control-plane.md §3.7, product.md §5)
import type { RelayReport } from '../../common/relay-contract.ts'
import { withScope } from '../db/database.ts'
import type { Db } from '../db/database.ts'
import { publishEvent, wakeStreams } from '../db/outbox.ts'
import { Problem } from '../http/problem.ts'
import { lockLiveRelays, noteApplied } from './applied-store.ts'
import type { RelayPlace } from './relay.ts'
import { findRelay, storeReport } from './relay-store.ts'

/** @throws Problem 410 when it was revoked meanwhile */
export async function acceptReport(db: Db, place: RelayPlace, report: RelayReport, now: number): Promise<void> {
  const { organisation, project, relay } = place
  await withScope(db, { organisation }, async (tx) => {
    const before = await findRelay(tx, place, 'lock')
    if (before === undefined || before.state === 'revoked') throw new Problem('relay-revoked')
    await storeReport(tx, place, report, new Date(now))
    const isNews = before.report?.version !== report.version
    const isRefusal = report.refused !== undefined && before.report?.refused?.version !== report.refused.version
    // The stream that waits for this may be another process's.
    if (isNews || isRefusal) await wakeStreams(tx, { organisation, project })
    if (isRefusal) {
      const { version: snapshotVersion, reason } = report.refused
      await publishEvent(tx, { organisation, project }, 'relay.refused', { relay, snapshotVersion, reason })
    }
    if (!isNews) return
    const live = await lockLiveRelays(tx, organisation, project, now)
    await publishEvent(tx, { organisation, project }, 'relay.applied', {
      relay,
      revision: report.revision,
      snapshotVersion: report.version,
      relays: live.length,
      relaysApplied: live.filter((each) => (each.report?.version ?? -1) >= report.version).length,
    })
    await noteApplied(tx, organisation, project, live, now)
  })
}
