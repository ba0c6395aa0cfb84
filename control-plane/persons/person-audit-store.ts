// A person in the audit trail: what he did, and what was done with him. Headers stay, payloads are cleared. (AU-4, PR-6)
import { sql } from 'kysely'
import { rowOf } from '../db/database.ts'
import { mentions, withOnly } from './mention.ts'
import { idsOf, spellingsOf } from './person.ts'
import type { Person, Place } from './person.ts'
import { erasure } from './person-source.ts'
import type { At, PersonSource, Row } from './person-source.ts'
import { fetchRows } from './person-table-store.ts'

interface EventRow extends Row {
  readonly sequence: number
  readonly id: string
  readonly time: Date
  readonly action: string
  readonly actor: string
  readonly object: string
  readonly result: string
  readonly payload: string | null
}

const actorsOf = ({ principals, apiKeys }: Person): string[] => [
  ...[...principals].map((principal) => `person:${principal}`),
  ...[...apiKeys].map((key) => `key:${key}`),
]

/** Of the project, and of the organisation as a whole. */
async function* eventsOf({ tx, place }: Pick<At, 'tx' | 'place'>, person: Person): AsyncGenerator<EventRow[]> {
  const names = [...spellingsOf(person), ...idsOf(person)]
  const [actors, objects] = [actorsOf(person), idsOf(person)]
  for await (const rows of fetchRows<EventRow>(tx, candidates(place, { actors, objects, names })))
    yield rows.filter(
      ({ actor, object, payload }) =>
        actors.includes(actor) ||
        objects.includes(object) ||
        (payload !== null && mentions(JSON.parse(payload), names)),
    )
}

function candidates(
  { organisation, project }: Place,
  { actors, objects, names }: Readonly<Record<'actors' | 'objects' | 'names', string[]>>,
) {
  const folded = names.map((name) => JSON.stringify(name).slice(1, -1).toLowerCase())
  return sql`select sequence, id, time, action, actor, object, result, payload from audit_event
    where organisation_id = ${organisation} and project_id in ('', ${project})
      and (actor = any(${actors}::text[]) or object <> '' and object = any(${objects}::text[])
        or payload is not null and exists (select from unnest(${folded}::text[]) as name where strpos(lower(payload), name) > 0))
    order by sequence`
}

export const auditEvents: PersonSource = {
  name: 'audit_event',
  tables: ['audit_event'],
  async *rows(at, person) {
    const actors = new Set(actorsOf(person))
    for await (const rows of eventsOf(at, person))
      yield rows.map(({ payload, ...row }) => ({ ...row, details: detailsOf(payload, actors.has(row.actor), person) }))
  },
  async erase(at, person) {
    const sequences: number[] = []
    const actors = new Set(actorsOf(person))
    // That and how he was erased before stays told: it names nobody.
    const names = ({ action, actor }: EventRow) => actors.has(actor) || !action.startsWith('person.')
    for await (const rows of eventsOf(at, person)) sequences.push(...rows.filter(names).map(({ sequence }) => sequence))
    const cleared = await rowOf<{ count: number }>(
      at.tx,
      sql`select redact_audit_events(${sequences}::bigint[]) as count`,
    )
    return erasure(cleared?.count ?? 0, { audit: sequences.length })
  },
}

/** From where an event was asked for is the actor's own business. */
function detailsOf(payload: string | null, isActor: boolean, person: Person): unknown {
  if (payload === null) return undefined
  const { salt: _salt, sourceAddress, ...details } = JSON.parse(payload) as Record<string, unknown>
  return withOnly({ ...details, ...(isActor ? { sourceAddress } : {}) }, spellingsOf(person))
}
