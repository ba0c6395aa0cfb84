// Appends to an audit chain, in the transaction of the change that it tells of (AU-2). The chain's head is locked from here to the commit: append
// last.
import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import { rowOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import { requestJob } from '../db/outbox.ts'
import { newId } from '../ids.ts'
import type { OrganisationId } from '../ids.ts'
import { chainEvent } from './audit.ts'
import type { AuditEntry, AuditHeader } from './audit.ts'
import { CHECKPOINT_EVERY_EVENTS } from './checkpoint.ts'

const SALT_BYTES = 16

/** The transaction's scope must be the organisation whose chain it is. @returns the event's id */
export async function appendAudit(
  tx: Tx,
  organisation: OrganisationId,
  entry: AuditEntry,
  now: number,
): Promise<string> {
  const head = await rowOf<{ size: number; head: Buffer }>(
    tx,
    sql`select size, head from audit_chain where organisation_id = ${organisation} for update`,
  )
  if (head === undefined) throw new Error('unreachable: the organisation has no audit chain')
  const id = newId('event')
  const event = chainEvent({ chain: organisation, ...head }, entry, {
    id,
    time: new Date(now).toISOString(),
    salt: randomBytes(SALT_BYTES).toString('base64url'),
  })
  const { header } = event
  const columns = searchColumns(header)
  await sql`
    insert into audit_event (organisation_id, sequence, id, time, action, actor, project_id, object, result, header, payload, hash)
    values (${organisation}, ${header.sequence}, ${id}, ${header.time}, ${columns.action}, ${columns.actor}, ${columns.project_id},
            ${columns.object}, ${header.result}, ${event.headerText}, ${event.payloadText}, ${event.hash})`.execute(tx)
  await sql`
    update audit_chain set size = ${header.sequence}, head = ${event.hash}
     where organisation_id = ${organisation}`.execute(tx)
  // AU-3: by the number of events here, by the clock in checkpoint-job.ts.
  if (header.sequence % CHECKPOINT_EVERY_EVENTS === 0) await requestJob(tx, { organisation }, 'audit.checkpoint')
  return id
}

/**
 * Texts of a header as the columns hold them that events are searched by. Postgres has no NUL in a text and no half of a surrogate pair; the
 * header, which is what counts, has them escaped.
 */
export function searchColumns({ action, actor, project, object }: AuditHeader): Readonly<Record<SearchColumn, string>> {
  return {
    action: storable(action),
    actor: storable(actor),
    project_id: storable(project),
    object: storable(object),
  }
}
type SearchColumn = 'action' | 'actor' | 'project_id' | 'object'

const storable = (text: string): string => text.toWellFormed().replaceAll('\0', '\uFFFD')

/**
 * Clears the payloads of events before a time, by the one role that may, and tells the trail so: hashes and headers stay (AU-4). The
 * transaction's scope must be the organisation. Repeated, it finds nothing and tells nothing.
 * @returns how many were cleared
 */
export async function redactAudit(tx: Tx, organisation: OrganisationId, before: Date, now: number): Promise<number> {
  const row = await rowOf<{ count: number }>(tx, sql`select redact_audit_payloads(${before}) as count`)
  const count = row?.count ?? 0
  if (count > 0) {
    const entry: AuditEntry = {
      action: 'audit.redacted',
      actor: 'system:retention',
      result: 'done',
      payload: { before: before.toISOString(), count },
    }
    await appendAudit(tx, organisation, entry, now)
  }
  return count
}
