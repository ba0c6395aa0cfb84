// Alarms before keys and certificates end (KM-7): in the log, as an event for whoever watches or is notified, each once however many workers look; and
// the days left as a figure, so that an alarm can be raised from metrics too (OP-1).
import type { Log } from '../../common/log.ts'
import { Gauge } from '../../common/metrics.ts'
import type { Metrics } from '../../common/metrics.ts'
import { withScope } from '../db/database.ts'
import type { Db } from '../db/database.ts'
import { publishEvent } from '../db/outbox.ts'
import type { OrganisationId, ProjectId } from '../ids.ts'
import type { Reconciler } from '../jobs/reconcile-all.ts'
import { dueAlarms } from './key-inventory.ts'
import type { AlarmDays, InventoryEntry } from './key-inventory.ts'
import { listExpiring, nearestEnds, recordAlarm } from './key-inventory-store.ts'

const BATCH = 500
const DAY_MS = 86_400_000
/** Days left from which an alarm wakes somebody, rather than being read in the morning. */
const URGENT_DAYS = 1

export interface ExpiryAlarmsDeps {
  readonly log: Log
  readonly now: () => Date
}

export function expiryAlarms({ log, now }: ExpiryAlarmsDeps): Reconciler {
  return {
    name: 'keys.expiry',
    async reconcile(db) {
      let isMore: boolean
      do {
        const at = now()
        const found = await withScope(db, { purpose: 'reconcile' }, (tx) => listExpiring(tx, at, BATCH))
        let raised = 0
        for (const { entry, days } of dueAlarms(found, at)) {
          if (!(await raise(db, entry, days))) continue
          tell(log, entry, days)
          raised++
        }
        isMore = found.length === BATCH && raised > 0 // else another worker is at it, and the next pass looks again
      } while (isMore)
    },
  }
}

/** @returns false when another worker has done it, or the key was renewed */
async function raise(db: Db, entry: InventoryEntry, days: AlarmDays): Promise<boolean> {
  const { kind, id, owner, expiresAt } = entry
  // The store reads them from columns that refer to organisations and projects.
  const organisation = entry.organisation as OrganisationId
  const project = entry.project as ProjectId | undefined
  return withScope(db, { organisation }, async (tx) => {
    if (!(await recordAlarm(tx, entry, days))) return false
    const body = { kind, id, owner, days, expiresAt: expiresAt?.toISOString() }
    await publishEvent(tx, { organisation, project }, days > 0 ? 'key.expiring' : 'key.expired', body)
    return true
  })
}

function tell(log: Log, { organisation, project, kind, id, expiresAt }: InventoryEntry, days: AlarmDays): void {
  const rank = days <= URGENT_DAYS ? 'error' : 'warn'
  log[rank](days > 0 ? 'key.expiring' : 'key.expired', {
    organization: organisation,
    project,
    kind,
    key: id,
    days,
    expiresAt,
  })
}

/** Asked for when figures are collected. */
export function watchExpiry({
  db,
  metrics,
  log,
  now,
}: ExpiryAlarmsDeps & { readonly db: Db; readonly metrics: Metrics }): void {
  const days = new Gauge({
    name: 'causeway_key_expiry_days',
    help: 'Days until the next key or certificate of the kind ends; negative: it has ended.',
    labelNames: ['kind'],
    aggregator: 'min',
    registers: [metrics],
    async collect() {
      days.reset() // a kind of which nothing ends any more has no figure
      try {
        const ends = await withScope(db, { purpose: 'reconcile' }, nearestEnds)
        for (const [kind, end] of ends) days.set({ kind }, (end.getTime() - now().getTime()) / DAY_MS)
      } catch (error) {
        log.debug('keys.expiry_not_read', { error })
      }
    },
  })
}
