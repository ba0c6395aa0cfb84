// Times as keys of a list: µs since the epoch, as exact as Postgres keeps them and still whole numbers for a cursor.
import { sql } from 'kysely'
import type { RawBuilder } from 'kysely'

/** @param column  a timestamptz, ours */
export const microsOf = (column: string): RawBuilder<number> =>
  sql`(extract(epoch from ${sql.ref(column)}) * 1000000)::bigint`

export const fromMicros = (micros: number): RawBuilder<Date> =>
  sql`(timestamptz 'epoch' + ${micros}::double precision * interval '1 microsecond')`
