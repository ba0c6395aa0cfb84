// Rows of a table that are about a person by one of their columns: most tables need no more than to say which. (PR-6)
import { sql } from 'kysely'
import type { RawBuilder } from 'kysely'
import { countOf, rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { Identifier, Person, Place } from './person.ts'
import { erasure } from './person-source.ts'
import type { At, PersonSource, Reason, Row } from './person-source.ts'

export interface PersonTable {
  readonly table: string
  /** Shown; names with a space between. */
  readonly columns: string
  /** Column → what it would have to be, or for lists to hold, any of. */
  readonly by: Readonly<Record<string, Identifier>>
  /** `organisation`: of the project's organisation as a whole. */
  readonly of?: 'project' | 'organisation'
  /** Rows that don't go: all, or those for which this holds (SQL over the table's columns). */
  readonly stays?: { readonly where?: string; readonly reason: Reason; readonly goesWhenForced?: boolean }
  readonly recognise?: PersonSource['recognise']
}

const FETCHED = 1_000

export function tableSource({ table, columns, by, of = 'project', stays, recognise }: PersonTable): PersonSource {
  const about = ({ organisation, project }: Place, person: Person): RawBuilder<unknown> => {
    const any = Object.entries(by).map(
      ([column, identifier]) => sql`${sql.ref(`t.${column}`)} = any(${[...person[identifier]]}::text[])`,
    )
    const ofProject = of === 'project' ? sql`and t.project_id = ${project}` : sql``
    return sql`t.organisation_id = ${organisation} ${ofProject} and (${sql.join(any, sql` or `)})`
  }
  return {
    name: table,
    tables: [table],
    ...(recognise && { recognise }),
    rows: ({ tx, place }, person) => fetchRows(tx, selected(table, columns, about(place, person))),
    async erase({ tx, place }, person, { isForced }) {
      const mine = about(place, person)
      const goes =
        stays === undefined || (isForced && stays.goesWhenForced === true)
          ? sql`true`
          : stays.where === undefined
            ? sql`false`
            : sql`not coalesce(${sql.raw(stays.where)}, false)`
      const left =
        stays &&
        (await rowOf<{ rows: number }>(
          tx,
          sql`select count(*) as rows from ${sql.table(table)} t where ${mine} and not ${goes}`,
        ))
      // A table of which nothing ever goes may be one from which nobody may delete.
      const isKept = stays !== undefined && stays.where === undefined && stays.goesWhenForced !== true
      const erased = isKept ? 0 : await countOf(tx, sql`delete from ${sql.table(table)} t where ${mine} and ${goes}`)
      return erasure(erased, stays && { [stays.reason]: left?.rows ?? 0 })
    },
  }
}

/** As JSON has them. */
export function selected(table: string, columns: string, where: RawBuilder<unknown>): RawBuilder<unknown> {
  const names = columns.split(' ').map((column) => sql.ref(`t.${column}`))
  return sql`select ${sql.join(names)} from ${sql.table(table)} t where ${where}`
}

/** Batches of a statement's rows, however many there are. */
export async function* fetchRows<R extends Row = Row>(tx: Tx, statement: RawBuilder<unknown>): AsyncGenerator<R[]> {
  const name = sql.id(`person_rows_${crypto.randomUUID().replaceAll('-', '')}`)
  await sql`declare ${name} no scroll cursor for ${statement}`.execute(tx)
  for (;;) {
    const rows = await rowsOf<R>(tx, sql`fetch ${sql.lit(FETCHED)} from ${name}`)
    if (rows.length > 0) yield rows
    if (rows.length < FETCHED) break
  }
  await sql`close ${name}`.execute(tx)
}

/** Whoever reads what is sent meanwhile may rest for so long. */
export async function allowRest(tx: Tx, ms: number): Promise<void> {
  await sql`select set_config('idle_in_transaction_session_timeout', ${`${ms}ms`}, true)`.execute(tx)
}

/** All of them, where they are few. */
export async function allRows(at: At, source: Pick<PersonSource, 'rows'>, person: Person): Promise<Row[]> {
  const all: Row[] = []
  for await (const rows of source.rows(at, person)) all.push(...rows)
  return all
}
