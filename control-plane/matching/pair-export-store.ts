// Pairs as a mapping file names them: what the import takes, read out of the database. Scope: the organisation. (migration-semantics.md §3.6)
import { sql } from 'kysely'
import type { RawBuilder } from 'kysely'
import { rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { Place } from '../mapping/mapping.ts'

const of = ({ organisation, project }: Place, alias: string): RawBuilder<unknown> => {
  const name = sql.ref(alias)
  return sql`${name}.organisation_id = ${organisation} and ${name}.project_id = ${project}`
}

export interface ExportedRow {
  readonly source: string
  readonly target: string
  readonly collection: string
  readonly action: 'pair' | 'exclude'
}

/**
 * How a file names an account: its user principal name or primary address where no other account of the side has it, any other address of its own,
 * or its object id.
 */
const reference = (place: Place, account: string, tenants: readonly string[]): RawBuilder<unknown> => sql`
  coalesce(
    (select b.key from account_address b
      where ${of(place, 'b')} and b.account_id = ${sql.ref(`${account}.id`)} and b.kind in ('smtp', 'upn')
        and not exists (select from account_address o
                         where ${of(place, 'o')} and o.key = b.key and o.tenant_id = any(${[...tenants]}) and o.kind in ('smtp', 'upn')
                           and o.account_id <> b.account_id)
      order by b.kind = 'smtp', b.key is distinct from ${sql.ref(`${account}.primary_key`)}, b.key limit 1),
    ${sql.ref(`${account}.object_id`)})`

const latest = (place: Place, alias: string, id: string): RawBuilder<unknown> => sql`
  lateral (select * from account a where ${of(place, 'a')} and a.id = ${sql.ref(id)} order by a.valid_from desc limit 1) as ${sql.ref(alias)}`

const EXPORT_BATCH = 2_000

/** Confirmed pairs by name of the source account, one row for each collection that it is in; then what is excluded. */
export async function* exportRows(
  tx: Tx,
  place: Place,
  tenants: Readonly<Record<'source' | 'target', readonly string[]>>,
): AsyncGenerator<readonly ExportedRow[]> {
  for (let after: readonly [string, string, string] | undefined; ;) {
    const rows: (ExportedRow & { sort_key: string; id: string; collection_key: string })[] = await rowsOf(
      tx,
      sql`select ${reference(place, 's', tenants.source)} as source, ${reference(place, 't', tenants.target)} as target,
                 coalesce(c.name, '') as collection, 'pair' as action, p.sort_key, p.id, coalesce(c.name_key, '') as collection_key
            from pair p
            join ${latest(place, 's', 'p.source_account_id')} on true
            join ${latest(place, 't', 'p.target_account_id')} on true
            left join lateral (
                   select c.name, c.name_key from collection_member m
                     join collection c on ${of(place, 'c')} and c.id = m.collection_id
                    where ${of(place, 'm')} and m.account_id = p.source_account_id) as c on true
           where ${of(place, 'p')} and p.state = 'confirmed'
             ${after === undefined ? sql`` : sql`and (p.sort_key, p.id, coalesce(c.name_key, '')) > (${after[0]}, ${after[1]}, ${after[2]})`}
           order by p.sort_key, p.id, coalesce(c.name_key, '') limit ${EXPORT_BATCH}`,
    )
    if (rows.length > 0) yield rows
    const last = rows.at(-1)
    if (rows.length < EXPORT_BATCH || last === undefined) break
    after = [last.sort_key, last.id, last.collection_key]
  }
  yield await rowsOf<ExportedRow>(
    tx,
    sql`select case when a.tenant_id = any(${[...tenants.source]}) then ${reference(place, 'a', tenants.source)} else '' end as source,
               case when a.tenant_id = any(${[...tenants.target]}) then ${reference(place, 'a', tenants.target)} else '' end as target,
               '' as collection, 'exclude' as action
          from match_exclusion x
          join account a on ${of(place, 'a')} and a.id = x.account_id and a.valid_to is null
         where ${of(place, 'x')}
         order by a.sort_key, a.id`,
  )
}
