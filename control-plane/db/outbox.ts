// What a change leaves behind, in its own transaction: work for the queue, news for those who watch, and a wake-up for both. (JQ-1)
// Losing a wake-up is harmless: whoever waits for one looks by the clock as well.
import { sql } from 'kysely'
import type { OrganisationId, ProjectId } from '../ids.ts'
import type { JobName } from '../jobs/job-names.ts'
import { countOf } from './database.ts'
import type { Tx } from './database.ts'

export interface Place {
  readonly organisation: OrganisationId
  readonly project?: ProjectId | undefined
}

/** Work to be done after the commit, at least once; the job is told ids and nothing else (JQ-4). */
export async function requestJob(
  tx: Tx,
  { organisation, project = '' as ProjectId }: Place,
  kind: JobName,
  object = '',
): Promise<void> {
  await sql`
    insert into outbox (organisation_id, project_id, kind, object_id)
    values (${organisation}, ${project}, ${kind}, ${object})`.execute(tx)
  await wake(tx, 'outbox', { organisation, project })
}

/**
 * An event that people and scripts may watch over SSE: ids, states, counts; no personal data. Webhooks and notifications that ask for it get a
 * delivery each, in the same transaction; those of webhooks themselves go to notifications only, or a broken receiver would hear of itself.
 */
export async function publishEvent(
  tx: Tx,
  { organisation, project = '' as ProjectId }: Place,
  type: string,
  body: Readonly<Record<string, unknown>>,
): Promise<void> {
  const requested = await countOf(
    tx,
    sql`
    with published as (
      insert into event (organisation_id, project_id, type, body)
      values (${organisation}, ${project}, ${type}, ${JSON.stringify(body)}::jsonb)
      returning organisation_id, project_id, type, body
    ), posted as (
      insert into webhook_delivery (organisation_id, id, webhook_id, project_id, event_type, body)
      select p.organisation_id, 'dlv_' || left(replace(gen_random_uuid()::text, '-', ''), 24), w.id, p.project_id, p.type, p.body
        from published p join webhook w on w.organisation_id = p.organisation_id and w.project_id in ('', p.project_id)
       where w.is_enabled and takes_event(w.events, p.type) and p.type not like 'webhook.%'
      returning organisation_id, project_id, id
    ), mailed as (
      insert into notification_delivery (organisation_id, id, notification_id, project_id, event_type, body)
      select p.organisation_id, 'dlv_' || left(replace(gen_random_uuid()::text, '-', ''), 24), n.id, p.project_id, p.type, p.body
        from published p join notification n on n.organisation_id = p.organisation_id and n.project_id in ('', p.project_id)
       where n.is_enabled and takes_event(n.events, p.type)
      returning organisation_id, project_id, id
    )
    insert into outbox (organisation_id, project_id, kind, object_id)
    select organisation_id, project_id, ${'webhook.deliver' satisfies JobName}, id from posted
    union all
    select organisation_id, project_id, ${'notification.send' satisfies JobName}, id from mailed`,
  )
  await wake(tx, 'event', { organisation, project })
  if (requested > 0) await wake(tx, 'outbox', { organisation, project })
}

/** Something that relays of the project must be told changed: their streams look at once. */
export async function wakeStreams(tx: Tx, place: Required<Place> & { readonly project: ProjectId }): Promise<void> {
  await wake(tx, 'snapshot', place)
}

export const WAKE_CHANNEL = 'causeway'
export type WakeTopic = 'outbox' | 'event' | 'snapshot' | 'session' | 'operation'

/** Told to every process when the transaction commits; twice the same in one transaction is told once. */
export async function wake(tx: Tx, topic: WakeTopic, place: Place): Promise<void> {
  const told = JSON.stringify({ topic, organisation: place.organisation, project: place.project ?? '' })
  await sql`select pg_notify(${WAKE_CHANNEL}, ${told})`.execute(tx)
}
