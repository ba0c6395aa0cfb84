// A person in the mapping table: entries with their history, and rules that name him. What is in force stays, unless somebody insists; of history it
// is taken out, and with it the tables before. (PR-6, control-plane.md §3)
import { sql } from 'kysely'
import { countOf, rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import { lockTable } from '../mapping/change-store.ts'
import { changeEntries, removalRow } from '../mapping/entry-change.ts'
import { raiseHorizon } from '../mapping/revision-store.ts'
import { mentions } from './mention.ts'
import { spellingsOf } from './person.ts'
import type { MoreOfPerson, Person, Place } from './person.ts'
import { erasure } from './person-source.ts'
import type { At, EraseOptions, Erasure, PersonSource, Row } from './person-source.ts'
import { fetchRows, selected } from './person-table-store.ts'

const entriesOf = ({ organisation, project }: Place, { keys, mappings }: Person) =>
  sql`t.organisation_id = ${organisation} and t.project_id = ${project}
      and (t.keys && ${[...keys]}::text[] or t.id = any(${[...mappings]}::text[]))`

export const mappingEntries: PersonSource = {
  name: 'mapping_entry',
  tables: ['mapping_entry', 'mapping_address'],
  recognise,
  rows: ({ tx, place }, person) =>
    fetchRows(
      tx,
      selected(
        'mapping_entry',
        'id valid_from valid_to wire source source_ref author created_at',
        entriesOf(place, person),
      ),
    ),
  async erase(at, person, options) {
    await lockTable(at.tx, at.place)
    const inForce = await entriesInForce(at.tx, at.place, person)
    const paired = inForce.filter(({ isPaired }) => isPaired).length
    const removable = inForce.filter(({ isPaired }) => !isPaired).map(({ key }) => key)
    if (options.isForced) await removeEntries(at, removable, options)
    const ended = await deleteEnded(at.tx, at.place, 'mapping_entry', entriesOf(at.place, person))
    return erasure(ended, { paired, 'in-force': options.isForced ? 0 : removable.length })
  },
}

/** What the entry says in which one of the addresses is known now: addresses pass from one person to the next, so history makes nobody known. */
async function recognise({ tx, place: { organisation, project } }: At, { keys }: Person): Promise<MoreOfPerson> {
  const rows = await rowsOf<{ id: string; keys: string[]; wire: string }>(
    tx,
    sql`select e.id, e.keys, e.wire from mapping_address a
          join mapping_entry e on e.organisation_id = a.organisation_id and e.project_id = a.project_id and e.id = a.entry_id and e.valid_to is null
         where a.organisation_id = ${organisation} and a.project_id = ${project} and a.key = any(${[...keys]}::text[])`,
  )
  const written = rows.map(({ wire }) => JSON.parse(wire) as { known: string[]; x500?: string[] })
  return {
    mappings: rows.map(({ id }) => id),
    keys: rows.flatMap((row) => row.keys),
    addresses: written.flatMap(({ known, x500 = [] }) => [...known, ...x500]),
  }
}

function entriesInForce(tx: Tx, place: Place, person: Person): Promise<{ key: string; isPaired: boolean }[]> {
  return rowsOf(
    tx,
    sql`select t.presented_key as key, t.source = 'pair' as "isPaired" from mapping_entry t
         where ${entriesOf(place, person)} and t.valid_to is null order by t.presented_key`,
  )
}

async function removeEntries({ tx, place, now }: At, keys: readonly string[], { author }: EraseOptions): Promise<void> {
  if (keys.length === 0) return
  const rows = keys.map((key, index) => removalRow(index + 1, `remove/${index}`, key))
  await changeEntries(tx, place, {
    rows,
    mode: 'upsert',
    author,
    cause: 'bulk',
    source: 'manual',
    confirm: keys.length,
    now,
  })
}

export const mappingRules: PersonSource = {
  name: 'mapping_rule',
  tables: ['mapping_rule'],
  rows: ({ tx, place }, person) => rulesNaming(tx, place, person),
  async erase({ tx, place }, person): Promise<Erasure> {
    await lockTable(tx, place)
    const rules: Row[] = []
    for await (const found of rulesNaming(tx, place, person)) rules.push(...found)
    const ended = rules.filter((rule) => rule['valid_to'] !== null)
    const which = sql`t.organisation_id = ${place.organisation} and t.project_id = ${place.project}
      and (t.id, t.valid_from) in (select * from unnest(${ended.map((rule) => String(rule['id']))}::text[], ${ended.map((rule) => Number(rule['valid_from']))}::bigint[]))`
    const erased = await deleteEnded(tx, place, 'mapping_rule', which)
    return erasure(erased, { 'in-force': rules.length - ended.length })
  },
}

async function* rulesNaming(tx: Tx, { organisation, project }: Place, person: Person): AsyncGenerator<Row[]> {
  const names = spellingsOf(person)
  const all = selected(
    'mapping_rule',
    'id valid_from valid_to kind wire author created_at',
    sql`t.organisation_id = ${organisation} and t.project_id = ${project}`,
  )
  for await (const rows of fetchRows(tx, all)) {
    const naming = rows.filter((rule) => mentions(JSON.parse(String(rule['wire'])), names))
    if (naming.length > 0) yield naming
  }
}

/** Tables of revisions before would lack him without saying so: they can't be had any more. */
async function deleteEnded(
  tx: Tx,
  place: Place,
  table: 'mapping_entry' | 'mapping_rule',
  which: ReturnType<typeof entriesOf>,
): Promise<number> {
  const ended = sql`${which} and t.valid_to is not null`
  const last = await rowOf<{ revision: number | null }>(
    tx,
    sql`select max(t.valid_to) as revision from ${sql.table(table)} t where ${ended}`,
  )
  if (last?.revision === null || last === undefined) return 0
  await raiseHorizon(tx, place, last.revision)
  return countOf(tx, sql`delete from ${sql.table(table)} t where ${ended}`)
}
