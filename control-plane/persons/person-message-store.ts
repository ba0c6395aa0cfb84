// A person in what relays told of mail, in whatever form the project's privacy keeps addresses. (PR-2, PR-6)
import { sql } from 'kysely'
import { countOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import { addressForms } from '../messages/address-tags.ts'
import { findMarker } from '../relays/relay-secret-store.ts'
import { mentions, without, withOnly } from './mention.ts'
import type { Person, Place } from './person.ts'
import { erasure } from './person-source.ts'
import type { PersonSource, Row } from './person-source.ts'
import { fetchRows } from './person-table-store.ts'

/** Of mail that he sent, or that was for him; of any other mail nothing. */
const eventsOf = ({ organisation, project }: Place, { forms }: Person) => {
  const any = sql`any(${[...forms]}::text[])`
  return sql`select e.relay_id, e.time, e.id, e.event, e.queue_id, e.sender, e.fields from message_event e
    where e.organisation_id = ${organisation} and e.project_id = ${project}
      and (e.sender = ${any}
        or (e.relay_id, e.queue_id) in (
             select r.relay_id, r.queue_id from message_recipient r
              where r.organisation_id = ${organisation} and r.project_id = ${project} and r.address = ${any})
        or (e.relay_id, e.queue_id) in (
             select s.relay_id, s.queue_id from message_event s
              where s.organisation_id = ${organisation} and s.project_id = ${project} and s.sender = ${any} and s.queue_id is not null))
    order by e.time, e.relay_id, e.id`
}

interface EventRow extends Row {
  readonly relay_id: string
  readonly time: Date
  readonly id: string
  readonly sender: string | null
  readonly fields: unknown
}

export const messageEvents: PersonSource = {
  name: 'message_event',
  tables: ['message_event', 'message_recipient'],
  /** Last of all: what they are made of has to be known. */
  async recognise({ tx, sealer, place }, { addresses, keys }) {
    const marker = await findMarker(tx, sealer, place)
    const secrets =
      marker === undefined ? [] : [marker.secret, marker.previousSecret].filter((each) => each !== undefined)
    const written = [...new Set([...addresses, ...keys])].filter((address) => address.includes('@'))
    return { forms: written.flatMap((address) => addressForms(address, secrets)) }
  },
  async *rows({ tx, place }, person) {
    const forms = [...person.forms]
    if (forms.length === 0) return
    for await (const rows of fetchRows<EventRow>(tx, eventsOf(place, person)))
      yield rows.map(({ sender, fields, ...row }) => ({
        ...row,
        isSender: sender !== null && person.forms.has(sender),
        fields: withOnly(fields, forms),
      }))
  },
  async erase({ tx, place }, person) {
    const forms = [...person.forms]
    if (forms.length === 0) return erasure(0)
    const naming: EventRow[] = []
    for await (const rows of fetchRows<EventRow>(tx, eventsOf(place, person)))
      naming.push(...rows.filter(({ sender, fields }) => isOf(person, sender) || mentions(fields, forms)))
    const events = await writeEvents(
      tx,
      place,
      naming.map(({ relay_id, time, id, sender, fields }) => ({
        relay: relay_id,
        time: time.toISOString(),
        id,
        sender: isOf(person, sender) ? null : sender,
        fields: without(fields, forms),
      })),
    )
    const recipients = await countOf(
      tx,
      sql`delete from message_recipient
           where organisation_id = ${place.organisation} and project_id = ${place.project} and address = any(${forms}::text[])`,
    )
    return erasure(events + recipients)
  },
}

const isOf = ({ forms }: Person, sender: string | null): boolean => sender !== null && forms.has(sender)

const ROWS_PER_UPDATE = 1_000

async function writeEvents(tx: Tx, { organisation, project }: Place, rows: readonly Row[]): Promise<number> {
  let written = 0
  for (let from = 0; from < rows.length; from += ROWS_PER_UPDATE) {
    const some = JSON.stringify(rows.slice(from, from + ROWS_PER_UPDATE))
    written += await countOf(
      tx,
      sql`update message_event e set sender = n.sender, fields = n.fields
            from jsonb_to_recordset(${some}::jsonb) as n (relay text, time timestamptz, id text, sender text, fields jsonb)
           where e.organisation_id = ${organisation} and e.project_id = ${project}
             and e.relay_id = n.relay and e.time = n.time and e.id = n.id`,
    )
  }
  return written
}
