// Rows that name a person within JSON that says other things as well: operations, settings, facts, news. Shown is where he is named, no more. (PR-6)
import { sql } from 'kysely'
import type { RawBuilder } from 'kysely'
import { countOf } from '../db/database.ts'
import { mentions, placesOf, without } from './mention.ts'
import { idsOf, spellingsOf } from './person.ts'
import type { Person, Place } from './person.ts'
import { erasure } from './person-source.ts'
import type { PersonSource, Reason, Row } from './person-source.ts'
import { fetchRows } from './person-table-store.ts'

export interface MentionTable {
  readonly table: string
  /** Of its primary key, beside the organisation; names with a space between. */
  readonly key: string
  /** Shown beside the key. */
  readonly columns?: string
  /** JSON columns where he may be named. */
  readonly in: readonly string[]
  /** How: by address, or by opaque ids. */
  readonly by: 'addresses' | 'ids'
  readonly of?: 'project' | 'organisation'
  /** Rows that are left as they are: all, or those for which this holds (SQL over the table's columns). */
  readonly stays?: { readonly where?: string; readonly reason: Reason }
}

interface Found {
  readonly row: Row
  readonly isKept: boolean
}

export function mentionSource({
  table,
  key,
  columns = '',
  in: searched,
  by,
  of = 'project',
  stays,
}: MentionTable): PersonSource {
  const keys = key.split(' ')
  const told = [...keys, ...columns.split(' ').filter((column) => column !== '')]
  const read = [...told, ...searched]
  const kept =
    stays === undefined
      ? sql`false`
      : stays.where === undefined
        ? sql`true`
        : sql`coalesce(${sql.raw(stays.where)}, false)`
  const namesOf = (person: Person): string[] => (by === 'ids' ? idsOf(person) : spellingsOf(person))

  /** The database looks for the letters, and here it is seen whether they are the name. */
  async function* found(
    tx: Parameters<typeof fetchRows>[0],
    place: Place,
    names: readonly string[],
  ): AsyncGenerator<Found[]> {
    if (names.length === 0) return
    const statement = sql`select ${sql.join(read.map((column) => sql.ref(`t.${column}`)))}, ${kept} as "isKept"
                            from ${sql.table(table)} t where ${within(place, names)}`
    for await (const rows of fetchRows<Row & { isKept: boolean }>(tx, statement)) {
      yield rows
        .filter((row) => searched.some((column) => mentions(row[column], names)))
        .map(({ isKept, ...row }) => ({ row, isKept }))
    }
  }

  const within = ({ organisation, project }: Place, names: readonly string[]): RawBuilder<unknown> => {
    const folded = names.map((name) => JSON.stringify(name).slice(1, -1).toLowerCase())
    const any = searched.map(
      (column) =>
        sql`exists (select from unnest(${folded}::text[]) as name where strpos(lower(${sql.ref(`t.${column}`)}::text), name) > 0)`,
    )
    const ofProject = of === 'project' ? sql`and t.project_id = ${project}` : sql``
    return sql`t.organisation_id = ${organisation} ${ofProject} and (${sql.join(any, sql` or `)})`
  }

  return {
    name: table,
    tables: [table],
    async *rows({ tx, place }, person) {
      const names = namesOf(person)
      for await (const rows of found(tx, place, names))
        yield rows.map(({ row }) => ({
          ...Object.fromEntries(told.map((column) => [column, row[column]])),
          named: searched.flatMap((column) => placesOf(row[column], names, `/${column}`)),
        }))
    },
    async erase({ tx, place }, person) {
      const names = namesOf(person)
      let erased = 0
      let left = 0
      const changed: Row[] = []
      for await (const rows of found(tx, place, names)) {
        for (const { row, isKept } of rows) {
          if (isKept) left++
          else changed.push(row)
        }
      }
      for (const row of changed) {
        const news = searched.map(
          (column) =>
            sql`${sql.ref(column)} = ${row[column] === null ? null : JSON.stringify(without(row[column], names))}::jsonb`,
        )
        const same = keys.map((column) => sql`${sql.ref(column)} = ${row[column]}`)
        erased += await countOf(
          tx,
          sql`update ${sql.table(table)} set ${sql.join(news)}
               where organisation_id = ${place.organisation} and ${sql.join(same, sql` and `)}`,
        )
      }
      return erasure(erased, stays && { [stays.reason]: left })
    },
  }
}
