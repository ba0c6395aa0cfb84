// Days of events: each is a partition, made ahead and dropped whole after 30 days. (PR-4)
import { sql } from 'kysely'
import { appendAudit } from '../audit/audit-store.ts'
import { rowOf, withScope } from '../db/database.ts'
import type { Db } from '../db/database.ts'
import { INSTALLATION } from '../ids.ts'
import { KEEP_DAYS } from './message-event.ts'

const DAY_MS = 86_400_000
const DAYS_AHEAD = 2

const dayAt = (ms: number): string => new Date(ms).toISOString().slice(0, 10)

/** Makes what is missing of these days (`2026-11-28`). Not inside another transaction: it locks what all writers need. */
export async function makePartitions(db: Db, days: Iterable<string>): Promise<void> {
  for (const day of new Set(days))
    await withScope(db, {}, (tx) => sql`select make_message_partition(${day}::date)`.execute(tx))
}

/** For the clock: today and the next days. */
export function makePartitionsAhead(db: Db, now: number): Promise<void> {
  return makePartitions(
    db,
    Array.from({ length: DAYS_AHEAD + 1 }, (_, ahead) => dayAt(now + ahead * DAY_MS)),
  )
}

/** For the clock: drops the days that are over, of all organisations; audited in the installation's trail. @returns how many days went */
export async function dropOldPartitions(db: Db, now: number): Promise<number> {
  const before = dayAt(now - KEEP_DAYS * DAY_MS)
  return withScope(db, { organisation: INSTALLATION }, async (tx) => {
    const row = await rowOf<{ dropped: string[] }>(tx, sql`select drop_message_partitions(${before}::date) as dropped`)
    const dropped = row?.dropped ?? []
    if (dropped.length > 0) {
      const payload = { before, days: dropped.length }
      await appendAudit(
        tx,
        INSTALLATION,
        { action: 'retention.messages', actor: 'system:retention', result: 'done', payload },
        now,
      )
    }
    return dropped.length
  })
}
