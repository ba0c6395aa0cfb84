// Events of a relay come at least once and are stored once (RC-7). Those for the audit trail go there too, in the transaction that stores them first.
import type { RelayEvent } from '../../common/relay-contract.ts'
import { appendAudit } from '../audit/audit-store.ts'
import { readEvidence } from '../coexistence/evidence.ts'
import { keepEvidence } from '../coexistence/evidence-store.ts'
import { sqlState, withScope } from '../db/database.ts'
import type { Db, Tx } from '../db/database.ts'
import type { OrganisationId, ProjectId, RelayId } from '../ids.ts'
import { dayOf, toEventRow } from './message-event.ts'
import type { EventRow } from './message-event.ts'
import { makePartitions } from './message-partition-store.ts'
import { insertEvents } from './message-store.ts'

export interface EventSource {
  readonly organisation: OrganisationId
  readonly project: ProjectId
  readonly relay: RelayId
}

/** A row that no partition takes. */
const CHECK_VIOLATION = '23514'

/** Durable on return. What is older than 30 days, or of tomorrow's morrow, is not kept. @param now  ms since the epoch */
export async function storeEvents(
  db: Db,
  source: EventSource,
  events: readonly RelayEvent[],
  now: number,
): Promise<void> {
  const rows = events.map((event) => toEventRow(event, now)).filter((row) => row !== undefined)
  if (rows.length === 0) return
  try {
    await store(db, source, rows, now)
  } catch (error) {
    // The clock makes them ahead; events from before a long outage may need one that isn't there.
    if (sqlState(error) !== CHECK_VIOLATION) throw error
    await makePartitions(
      db,
      rows.map(({ time }) => dayOf(time)),
    )
    await store(db, source, rows, now)
  }
}

async function store(db: Db, source: EventSource, rows: readonly EventRow[], now: number): Promise<void> {
  const { organisation, project, relay } = source
  await withScope(db, { organisation }, async (tx) => {
    const isNew = new Set(await insertEvents(tx, source, rows, new Date(now)))
    await noteEvidence(
      tx,
      source,
      rows.filter(({ id }) => isNew.has(id)),
    )
    for (const row of rows) {
      if (row.class !== 'audit' || !isNew.delete(row.id)) continue
      const entry = {
        action: `relay.${row.event}`,
        actor: `relay:${relay}`,
        project,
        object: relay,
        // A relay tells of what it refused.
        result: 'denied' as const,
        payload: { ...row.fields, time: row.time },
      }
      await appendAudit(tx, organisation, entry, now)
    }
  })
}

/** Of probes and validation mail: what waits for them looks again. */
async function noteEvidence(tx: Tx, source: EventSource, rows: readonly EventRow[]): Promise<void> {
  const seen = rows.flatMap(({ class: eventClass, event, fields, time }) => {
    const evidence = eventClass === 'message' ? readEvidence(event, fields) : undefined
    return evidence === undefined ? [] : [{ ...evidence, at: new Date(time) }]
  })
  if (seen.length === 0) return
  await keepEvidence(tx, source, source.relay, seen)
}
