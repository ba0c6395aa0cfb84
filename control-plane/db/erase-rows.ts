// Takes away every row of a project or an organisation, found through the catalogue: a table that comes later can't be forgotten (PR-5). In
// batches, each a transaction of its own, so that a million rows hold up nobody and an interrupted run goes on where it was.
import { sql } from 'kysely'
import { countOf, rowsOf } from './database.ts'
import type { Tx } from './database.ts'

const BATCH_ROWS = 5_000

/** A transaction that sees the organisation. */
export type Change = <T>(work: (tx: Tx) => Promise<T>) => Promise<T>

export interface EraseOptions {
  /** Tables that are left alone. */
  readonly keep: ReadonlySet<string>
  /** Between batches. */
  readonly signal?: AbortSignal | undefined
  readonly batchRows?: number
}

/**
 * Rows with this `project_id`, or all with this `organisation_id`; of tables from which the service may delete, those that refer to others first.
 * @returns rows taken away, by table, where there were any
 * @throws the signal's reason
 */
export async function eraseRows(
  change: Change,
  of: { readonly organisation: string; readonly project?: string },
  { keep, signal, batchRows = BATCH_ROWS }: EraseOptions,
): Promise<Record<string, number>> {
  const tables = await change((tx) => erasableTables(tx, of.project === undefined ? 'organisation_id' : 'project_id'))
  const erased: Record<string, number> = {}
  for (const table of tables.filter((name) => !keep.has(name))) {
    for (;;) {
      signal?.throwIfAborted()
      const rows = await change((tx) => eraseBatch(tx, table, of, batchRows))
      if (rows === 0) break
      erased[table] = (erased[table] ?? 0) + rows
    }
  }
  return erased
}

async function eraseBatch(
  tx: Tx,
  table: string,
  { organisation, project }: { readonly organisation: string; readonly project?: string },
  batchRows: number,
): Promise<number> {
  const theirs = sql`organisation_id = ${organisation} ${project === undefined ? sql`` : sql`and project_id = ${project}`}`
  // By place in the file, which is the fastest. In a partitioned table other partitions have rows at the same places: hence their owner again.
  return countOf(
    tx,
    sql`delete from ${sql.id(table)} where ${theirs}
           and ctid = any(array(select ctid from ${sql.id(table)} where ${theirs} limit ${batchRows}))`,
  )
}

/** Tables with the column from which the current role may delete; each before those that it refers to. */
async function erasableTables(tx: Tx, column: 'organisation_id' | 'project_id'): Promise<string[]> {
  const tables = await rowsOf<{ name: string; refersTo: string[] }>(
    tx,
    sql`
    select c.relname as name,
           coalesce((select json_agg(distinct r.relname) from pg_constraint f join pg_class r on r.oid = f.confrelid
                      where f.conrelid = c.oid and f.contype = 'f' and f.confrelid <> f.conrelid), '[]') as "refersTo"
      from pg_class c
      join pg_attribute a on a.attrelid = c.oid and a.attname = ${column} and not a.attisdropped
     where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
       and has_table_privilege(c.oid, 'delete')
     order by c.relname`,
  )
  return referringFirst(new Map(tables.map(({ name, refersTo }) => [name, refersTo])))
}

/** An order in which each table comes before those that it refers to. Pure. @throws Error when they refer in a circle */
export function referringFirst(refersTo: ReadonlyMap<string, readonly string[]>): string[] {
  const ordered: string[] = []
  const visit = (table: string, trail: readonly string[]): void => {
    if (ordered.includes(table)) return
    if (trail.includes(table))
      throw new Error(`tables refer to each other in a circle: ${[...trail, table].join(' → ')}`)
    for (const [other, targets] of refersTo) if (targets.includes(table)) visit(other, [...trail, table])
    ordered.push(table)
  }
  for (const table of refersTo.keys()) visit(table, [])
  return ordered
}
