// Work that comes by the clock, asked for by one process a period, however many look.
import { sql } from 'kysely'
import { countOf, rowOf, rowsOf, setScope, withScope } from '../db/database.ts'
import type { Db } from '../db/database.ts'
import { requestJob } from '../db/outbox.ts'
import { INSTALLATION } from '../ids.ts'
import type { OrganisationId } from '../ids.ts'
import { isPending } from './dispatch-store.ts'
import type { JobName } from './job-names.ts'

/** Work that is asked for by the clock, for every organisation that there is. */
export interface PeriodicJob {
  readonly kind: JobName
  readonly everyMs: number
  /** `installation`: once for all; `organisations`: for each, the installation among them. */
  readonly of: 'installation' | 'organisations'
}

/** Asks for it where its period is over and it isn't under way still. @returns how many were asked for */
export function requestDue(db: Db, { kind, everyMs, of }: PeriodicJob): Promise<number> {
  return withScope(db, { purpose: 'reconcile' }, async (tx) => {
    const isDue = await countOf(
      tx,
      sql`
      insert into job_schedule (name, requested_at) values (${kind}, now())
      on conflict (name) do update set requested_at = now()
        where job_schedule.requested_at <= now() - ${everyMs} * interval '1 millisecond'`,
    )
    if (isDue === 0) return 0
    const organisations =
      of === 'installation'
        ? [{ organisation_id: INSTALLATION }]
        : await rowsOf<{ organisation_id: OrganisationId }>(tx, sql`select organisation_id from organisation`)
    let requested = 0
    for (const { organisation_id: organisation } of organisations) {
      await setScope(tx, { organisation })
      const row = await rowOf<{ is_pending: boolean }>(
        tx,
        sql`select ${isPending(organisation, kind, '')} as is_pending`,
      )
      if (row?.is_pending === true) continue
      await requestJob(tx, { organisation }, kind)
      requested++
    }
    return requested
  })
}
