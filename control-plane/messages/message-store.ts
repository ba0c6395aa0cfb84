// Events of relays in Postgres, and the search for what became of a message. (control-plane.md §2)
import { sql } from 'kysely'
import type { RawBuilder } from 'kysely'
import { countOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { PageRequest } from '../http/page.ts'
import type { OrganisationId, ProjectId, RelayId } from '../ids.ts'
import type { EventRow, Outcome } from './message-event.ts'
import type { EventSource } from './take-events.ts'

/** @returns ids of those that were not there before */
export async function insertEvents(
  tx: Tx,
  { organisation, project, relay }: EventSource,
  rows: readonly EventRow[],
  at: Date,
): Promise<string[]> {
  const inserted = await rowsOf<{ id: string }>(
    tx,
    sql`with sent as (
          select * from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb)
            as r (id text, time timestamptz, class text, event text, "queueId" text, "messageId" text, sender text, recipients text[], fields jsonb)
        ), stored as (
          insert into message_event (organisation_id, project_id, relay_id, time, id, received_at, class, event, queue_id, message_id, sender, fields)
          select ${organisation}, ${project}, ${relay}, time, id, ${at}, class, event, "queueId", "messageId", sender, fields from sent
          on conflict do nothing
          returning id
        ), named as (
          insert into message_recipient (organisation_id, project_id, address, time, relay_id, queue_id)
          select ${organisation}, ${project}, address, sent.time, ${relay}, sent."queueId"
            from stored join sent using (id) cross join lateral unnest(sent.recipients) as address
           where sent."queueId" is not null
          on conflict do nothing
        )
        select id from stored`,
  )
  return inserted.map(({ id }) => id)
}

/** Of lines that only lead to messages so many are followed, the newest: a search stays quick, and narrower times reach the rest. */
export const MAX_LINES_SEARCHED = 10_000

export interface MessageFilter {
  readonly since: Date
  /** Not included. */
  readonly until: Date
  readonly queueId?: string | undefined
  /** Any of these forms. */
  readonly messageId?: readonly string[] | undefined
  readonly sender?: readonly string[] | undefined
  readonly recipient?: readonly string[] | undefined
  readonly outcome?: Outcome | undefined
  readonly relay?: RelayId | undefined
}

/** A message that a relay accepted. */
export interface AcceptedMessage {
  readonly relay: RelayId
  readonly queueId: string
  readonly acceptedAt: Date
  readonly id: string
  readonly fields: Readonly<Record<string, unknown>>
}

interface AcceptedRow {
  relay_id: RelayId
  queue_id: string
  time: Date
  id: string
  fields: Record<string, unknown>
}

/** Newest first; one more than the page holds where there are more. */
export async function searchMessages(
  tx: Tx,
  { organisation, project }: Place,
  filter: MessageFilter,
  { after, limit }: PageRequest,
): Promise<AcceptedMessage[]> {
  const { since, until, queueId, messageId, sender, recipient, outcome, relay } = filter
  const [time, afterRelay, afterId] = after ?? []
  const ours = (alias: string) =>
    sql`${sql.ref(alias)}.organisation_id = ${organisation} and ${sql.ref(alias)}.project_id = ${project}`
  const candidates = candidatesOf(filter, ours)
  const where = conditions([
    ours('m'),
    sql`m.event = 'accepted' and m.class = 'message' and m.queue_id is not null`,
    sql`m.time >= ${since} and m.time < ${until}`,
    after && sql`(m.time, m.relay_id, m.id) < (${new Date(Number(time))}, ${afterRelay}, ${afterId})`,
    queueId && sql`m.queue_id = ${queueId}`,
    relay && sql`m.relay_id = ${relay}`,
    messageId && sql`m.message_id = any(${[...messageId]}::text[])`,
    sender && sql`m.sender = any(${[...sender]}::text[])`,
    outcome &&
      (outcome === 'delivered' || recipient !== undefined) &&
      sql`exists (select from message_event o where ${ours('o')} and o.queue_id = m.queue_id and o.relay_id = m.relay_id
                     and o.time >= m.time and o.event = ${outcome})`,
  ])
  const columns = sql`m.relay_id, m.queue_id, m.time, m.id, m.fields`
  // Candidates are looked up one by one: they are few, and a planner that thinks otherwise would read all there is.
  const rows = await rowsOf<AcceptedRow>(
    tx,
    candidates === undefined
      ? sql`select ${columns} from message_event m where ${where}
             order by m.time desc, m.relay_id desc, m.id desc limit ${limit + 1}`
      : sql`with candidate as materialized (${candidates})
            select m.* from (select distinct relay_id, queue_id from candidate) c
              cross join lateral (select ${columns} from message_event m
                                   where m.queue_id = c.queue_id and m.relay_id = c.relay_id and ${where} limit 1) m
             order by m.time desc, m.relay_id desc, m.id desc limit ${limit + 1}`,
  )
  return rows.map((row) => ({
    relay: row.relay_id,
    queueId: row.queue_id,
    acceptedAt: row.time,
    id: row.id,
    fields: row.fields,
  }))
}

interface Place {
  readonly organisation: OrganisationId
  readonly project: ProjectId
}

/**
 * What a search begins with where one of its terms leads to few messages; undefined: none does. Nearly every message is delivered, so that this is
 * looked up for each instead.
 */
function candidatesOf(
  { since, recipient, outcome }: MessageFilter,
  ours: (alias: string) => RawBuilder<unknown>,
): RawBuilder<unknown> | undefined {
  if (recipient !== undefined)
    return sql`select r.relay_id, r.queue_id from message_recipient r
                where ${ours('r')} and r.address = any(${[...recipient]}::text[]) and r.time >= ${since}
                order by r.time desc limit ${MAX_LINES_SEARCHED}`
  if (outcome === undefined || outcome === 'delivered') return undefined
  return sql`select o.relay_id, o.queue_id from message_event o
              where ${ours('o')} and o.class = 'message' and o.time >= ${since} and o.event = ${outcome}
                and o.event not in ('accepted', 'delivered') and o.queue_id is not null
              order by o.time desc limit ${MAX_LINES_SEARCHED}`
}

const conditions = (parts: readonly (RawBuilder<unknown> | string | false | undefined)[]): RawBuilder<unknown> =>
  sql.join(
    parts.filter((part) => typeof part === 'object'),
    sql` and `,
  )

export interface RecipientCounts {
  readonly delivered: number
  readonly deferred: number
  readonly failed: number
}

/** How many recipients of each message were last told of with each outcome; by `relay queueId`. */
export async function countRecipients(
  tx: Tx,
  { organisation, project }: Place,
  messages: readonly AcceptedMessage[],
): Promise<ReadonlyMap<string, RecipientCounts>> {
  const oldest = Math.min(...messages.map(({ acceptedAt }) => acceptedAt.getTime()))
  if (messages.length === 0) return new Map()
  const rows = await rowsOf<{ relay_id: RelayId; queue_id: string } & RecipientCounts>(
    tx,
    sql`select relay_id, queue_id,
               count(*) filter (where event = 'delivered') as delivered,
               count(*) filter (where event = 'deferred') as deferred,
               count(*) filter (where event = 'failed') as failed
          from (select distinct on (relay_id, queue_id, fields->>'recipientIndex') relay_id, queue_id, event
                  from message_event
                 where organisation_id = ${organisation} and project_id = ${project} and time >= ${new Date(oldest)}
                   and queue_id = any(${messages.map(({ queueId }) => queueId)}::text[])
                   and class = 'message' and event in ('delivered', 'deferred', 'failed')
                 order by relay_id, queue_id, fields->>'recipientIndex', time desc, id desc) as last
         group by relay_id, queue_id`,
  )
  return new Map(rows.map(({ relay_id, queue_id, ...counts }) => [`${relay_id} ${queue_id}`, counts]))
}

export interface MessageLine {
  readonly id: string
  readonly time: Date
  readonly relay: RelayId
  readonly queueId: string
  readonly event: string
  readonly messageId: string | undefined
  readonly fields: Readonly<Record<string, unknown>>
}

/** All that was told of these queue ids, oldest first. */
export async function listLines(
  tx: Tx,
  { organisation, project }: Place,
  queueIds: readonly string[],
  limit: number,
): Promise<MessageLine[]> {
  const rows = await rowsOf<LineRow>(
    tx,
    sql`select id, time, relay_id, queue_id, event, message_id, fields from message_event
         where organisation_id = ${organisation} and project_id = ${project} and class = 'message' and queue_id = any(${[...queueIds]}::text[])
         order by time, relay_id, id limit ${limit}`,
  )
  return rows.map((row) => ({
    id: row.id,
    time: row.time,
    relay: row.relay_id,
    queueId: row.queue_id,
    event: row.event,
    messageId: row.message_id ?? undefined,
    fields: row.fields,
  }))
}

/** Queue ids under which messages with these Message-IDs were accepted. */
export async function findByMessageId(
  tx: Tx,
  { organisation, project }: Place,
  messageIds: readonly string[],
  limit: number,
): Promise<string[]> {
  if (messageIds.length === 0) return []
  const rows = await rowsOf<{ queue_id: string }>(
    tx,
    sql`select queue_id from message_event
         where organisation_id = ${organisation} and project_id = ${project} and message_id = any(${[...messageIds]}::text[]) and queue_id is not null
         group by queue_id order by min(time) limit ${limit}`,
  )
  return rows.map(({ queue_id }) => queue_id)
}

interface LineRow {
  id: string
  time: Date
  relay_id: RelayId
  queue_id: string
  event: string
  message_id: string | null
  fields: Record<string, unknown>
}

/** What an organisation keeps for less than the days of all are kept (message-partition-store.ts). @returns events deleted, at most `limit` */
export async function sweepMessages(
  tx: Tx,
  organisation: OrganisationId,
  before: Date,
  limit: number,
): Promise<number> {
  await sql`
    delete from message_recipient where (organisation_id, project_id, address, time, relay_id, queue_id) in (
      select organisation_id, project_id, address, time, relay_id, queue_id from message_recipient
       where organisation_id = ${organisation} and time < ${before} limit ${limit})`.execute(tx)
  return countOf(
    tx,
    sql`delete from message_event where (organisation_id, project_id, relay_id, time, id) in (
          select organisation_id, project_id, relay_id, time, id from message_event
           where organisation_id = ${organisation} and time < ${before} limit ${limit})`,
  )
}
