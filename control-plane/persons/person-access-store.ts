// A person as somebody who may act in the organisation: member, keys, sessions, grants. Nothing of it goes here: whoever may act is known. (PR-6)
import { sql } from 'kysely'
import { rowsOf, setScope } from '../db/database.ts'
import type { MoreOfPerson, Person } from './person.ts'
import { erasure } from './person-source.ts'
import type { At, PersonSource, Row } from './person-source.ts'
import { allRows } from './person-table-store.ts'

/** Whose member he is, by his object id where his tenant is not named. */
export async function recogniseMembers(
  { tx, place: { organisation } }: At,
  { principals, objectIds }: Person,
): Promise<MoreOfPerson> {
  const members = await rowsOf<{ id: string; principal: string }>(
    tx,
    sql`select id, principal from member
         where organisation_id = ${organisation}
           and (principal = any(${[...principals]}::text[]) or split_part(principal, '/', 2) = any(${[...objectIds]}::text[]))`,
  )
  const all = [...new Set([...principals, ...members.map(({ principal }) => principal)])]
  const keys = await rowsOf<{ id: string }>(
    tx,
    sql`select id from api_key where organisation_id = ${organisation} and principal = any(${all}::text[])`,
  )
  return {
    members: members.map(({ id }) => id),
    principals: members.map(({ principal }) => principal),
    objectIds: members.map(({ principal }) => principal.split('/')[1] ?? ''),
    apiKeys: keys.map(({ id }) => id),
  }
}

/** Tables of people that belong to no organisation: each shows a person his own rows. Told of members only. */
function ownRows(
  table: 'session' | 'installation_administrator',
  columns: string,
  reason: 'temporary' | 'membership',
): PersonSource {
  const source: Pick<PersonSource, 'rows'> = {
    async *rows({ tx, place: { organisation } }, { members, principals }) {
      if (members.size === 0) return
      const names = columns.split(' ').map((column) => sql.ref(column))
      for (const principal of principals) {
        await setScope(tx, { organisation, principal })
        const rows = await rowsOf<Row>(
          tx,
          sql`select ${sql.join(names)} from ${sql.table(table)} where principal = ${principal}`,
        )
        await setScope(tx, { organisation })
        if (rows.length > 0) yield rows
      }
    },
  }
  return {
    name: table,
    tables: [table],
    ...source,
    erase: async (at, person) => erasure(0, { [reason]: (await allRows(at, source, person)).length }),
  }
}

export const sessions = ownRows(
  'session',
  'display_name is_break_glass created_at authenticated_at last_used_at expires_at',
  'temporary',
)
export const installationAdministrators = ownRows('installation_administrator', 'display_name added_at', 'membership')
