// Deliveries in the database: of webhooks and of notifications, which have a table each of the same form.
import { sql } from 'kysely'
import type { RawBuilder } from 'kysely'
import { countOf, rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import { fromMicros, microsOf } from '../db/micros.ts'
import type { DeliveryId, OrganisationId, ProjectId } from '../ids.ts'
import type { Delivery, DeliveryState } from './delivery.ts'

export type DeliveryTable = 'webhook_delivery' | 'notification_delivery'

const SUBSCRIPTION = { webhook_delivery: 'webhook_id', notification_delivery: 'notification_id' } as const
const NO_ANSWER = sql`null::timestamptz as last_attempt_at, null::integer as last_status`
const ANSWER = { webhook_delivery: sql`last_attempt_at, last_status`, notification_delivery: NO_ANSWER }

/** Outside any event. */
export async function insertPing(
  tx: Tx,
  table: DeliveryTable,
  delivery: Pick<Delivery, 'id' | 'organisation' | 'project' | 'type' | 'body' | 'subscription'>,
): Promise<void> {
  const { id, organisation, project = '', type, body, subscription } = delivery
  await sql`
    insert into ${sql.table(table)} (organisation_id, id, ${sql.ref(SUBSCRIPTION[table])}, project_id, event_type, body)
    values (${organisation}, ${id}, ${subscription}, ${project}, ${type}, ${JSON.stringify(body)}::jsonb)`.execute(tx)
}

export async function findDelivery(
  tx: Tx,
  table: DeliveryTable,
  organisation: OrganisationId,
  id: DeliveryId,
): Promise<Delivery | undefined> {
  const row = await rowOf<DeliveryRow>(
    tx,
    sql`select ${columnsOf(table)} from ${sql.table(table)} where organisation_id = ${organisation} and id = ${id}`,
  )
  return row && toDelivery(row)
}

/** The newest first. */
export async function listDeliveries(
  tx: Tx,
  table: DeliveryTable,
  of: {
    readonly organisation: OrganisationId
    readonly subscription: string
    readonly state: DeliveryState | undefined
  },
  after: readonly [micros: number, id: string] | undefined,
  limit: number,
): Promise<Delivery[]> {
  const rows = await rowsOf<DeliveryRow>(
    tx,
    sql`select ${columnsOf(table)} from ${sql.table(table)}
         where organisation_id = ${of.organisation} and ${sql.ref(SUBSCRIPTION[table])} = ${of.subscription}
           and ${of.state === undefined ? sql`true` : sql`state = ${of.state}`}
           and ${after === undefined ? sql`true` : sql`(created_at, id) < (${fromMicros(after[0])}, ${after[1]})`}
         order by created_at desc, id desc limit ${limit}`,
  )
  return rows.map(toDelivery)
}

export interface AttemptResult {
  readonly state: DeliveryState
  readonly fault: string | undefined
  readonly status?: number | undefined
  readonly at: Date
}

export async function noteAttempt(
  tx: Tx,
  table: DeliveryTable,
  delivery: Delivery,
  result: AttemptResult,
): Promise<void> {
  const { state, fault = null, status = null, at } = result
  const answer = table === 'webhook_delivery' ? sql`last_attempt_at = ${at}, last_status = ${status},` : sql``
  await sql`
    update ${sql.table(table)}
       set attempts = attempts + 1, state = ${state}, ${answer} last_fault = ${fault},
           finished_at = ${state === 'pending' ? null : at}
     where organisation_id = ${delivery.organisation} and id = ${delivery.id}`.execute(tx)
}

/** Nothing was sent, nor will be. */
export async function setUndeliverable(
  tx: Tx,
  table: DeliveryTable,
  { organisation, id }: Delivery,
  fault: string,
  at: Date,
): Promise<void> {
  await sql`
    update ${sql.table(table)} set state = 'failed', last_fault = ${fault}, finished_at = ${at}
     where organisation_id = ${organisation} and id = ${id}`.execute(tx)
}

/** For another 24 h. @returns false when it isn't finished */
export async function reopen(tx: Tx, { organisation, id }: Delivery): Promise<boolean> {
  const reopened = await countOf(
    tx,
    sql`update webhook_delivery set state = 'pending', finished_at = null, retry_until = now() + interval '24 hours'
         where organisation_id = ${organisation} and id = ${id} and state <> 'pending'`,
  )
  return reopened === 1
}

/** Scope: the organisation. @returns how many went, at most so many */
export function sweepDeliveries(
  tx: Tx,
  table: DeliveryTable,
  organisation: OrganisationId,
  before: Date,
  limit: number,
) {
  return countOf(
    tx,
    sql`delete from ${sql.table(table)} where organisation_id = ${organisation} and id in (
          select id from ${sql.table(table)} where organisation_id = ${organisation} and created_at < ${before} limit ${limit})`,
  )
}

function columnsOf(table: DeliveryTable): RawBuilder<unknown> {
  return sql`organisation_id, id, ${sql.ref(SUBSCRIPTION[table])} as subscription, project_id, event_type, body, state, attempts, ${ANSWER[table]},
    last_fault, retry_until, created_at, ${microsOf('created_at')} as created_micros, finished_at`
}

interface DeliveryRow {
  organisation_id: OrganisationId
  id: DeliveryId
  subscription: string
  project_id: ProjectId | ''
  event_type: string
  body: Record<string, unknown>
  state: DeliveryState
  attempts: number
  last_attempt_at: Date | null
  last_status: number | null
  last_fault: string | null
  retry_until: Date
  created_at: Date
  created_micros: number
  finished_at: Date | null
}

function toDelivery(row: DeliveryRow): Delivery {
  return {
    id: row.id,
    organisation: row.organisation_id,
    subscription: row.subscription,
    project: row.project_id === '' ? undefined : row.project_id,
    type: row.event_type,
    body: row.body,
    state: row.state,
    attempts: row.attempts,
    lastAttemptAt: row.last_attempt_at ?? undefined,
    lastStatus: row.last_status ?? undefined,
    lastFault: row.last_fault ?? undefined,
    retryUntil: row.retry_until,
    createdAt: row.created_at,
    createdMicros: row.created_micros,
    finishedAt: row.finished_at ?? undefined,
  }
}
