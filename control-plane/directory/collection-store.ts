// Collections in the database. Scope: the organisation.
import { sql } from 'kysely'
import type { RawBuilder } from 'kysely'
import { countOf, rowOf, rowsOf, sqlState, UNIQUE_VIOLATION } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import { fromMicros, microsOf } from '../db/micros.ts'
import { cursorNumber } from '../http/page.ts'
import type { PageRequest } from '../http/page.ts'
import { Problem } from '../http/problem.ts'
import type { AccountId, CollectionId } from '../ids.ts'
import type { Place } from '../mapping/mapping.ts'
import { matchKey } from './account.ts'
import { MAX_COLLECTIONS } from './collection.ts'
import type { Collection } from './collection.ts'

const of = ({ organisation, project }: Place, alias = 'c'): RawBuilder<unknown> => {
  const name = sql.ref(alias)
  return sql`${name}.organisation_id = ${organisation} and ${name}.project_id = ${project}`
}

const collections = (place: Place): RawBuilder<unknown> => sql`
  select c.id, c.name, c.name_key as "nameKey", c.version, c.created_by as "createdBy", c.created_at as "createdAt",
         (select count(*) from collection_member m where ${of(place, 'm')} and m.collection_id = c.id) as members
    from collection c`

/** By name; one more than the page holds where there are more. */
export function listCollections(
  tx: Tx,
  place: Place,
  { account }: { readonly account: string | undefined },
  { after, limit }: PageRequest,
): Promise<Collection[]> {
  return rowsOf<Collection>(
    tx,
    sql`${collections(place)}
         where ${of(place)}
           ${after === undefined ? sql`` : sql`and c.name_key > ${after[0]}`}
           ${
             account === undefined
               ? sql``
               : sql`and c.id in (select m.collection_id from collection_member m where ${of(place, 'm')} and m.account_id = ${account})`
           }
         order by c.name_key limit ${limit + 1}`,
  )
}

export function findCollection(tx: Tx, place: Place, id: CollectionId): Promise<Collection | undefined> {
  return rowOf<Collection>(tx, sql`${collections(place)} where ${of(place)} and c.id = ${id}`)
}

/** @throws Problem 409 for a name that is taken, or too many */
export async function insertCollection(
  tx: Tx,
  place: Place,
  { id, name }: { readonly id: CollectionId; readonly name: string },
  author: string,
  now: number,
): Promise<void> {
  await demandRoom(tx, place, 1)
  await unlessTaken(() =>
    sql`insert into collection (organisation_id, project_id, id, name, name_key, created_by, created_at)
        values (${place.organisation}, ${place.project}, ${id}, ${name}, ${matchKey(name)}, ${author}, ${new Date(now)})`.execute(
      tx,
    ),
  )
}

/** @throws Problem 409 when there would be more than can be */
export async function demandRoom(tx: Tx, place: Place, added: number): Promise<void> {
  const row = await rowOf<{ count: number }>(tx, sql`select count(*) as count from collection c where ${of(place)}`)
  if ((row?.count ?? 0) + added > MAX_COLLECTIONS) throw new Problem('limit-reached', { limit: MAX_COLLECTIONS })
}

/** @returns false when it is at another version by now @throws Problem 409 for a name that is taken */
export async function renameCollection(
  tx: Tx,
  place: Place,
  id: CollectionId,
  name: string,
  version: number,
): Promise<boolean> {
  return unlessTaken(async () => {
    const renamed = await countOf(
      tx,
      sql`update collection c set name = ${name}, name_key = ${matchKey(name)}, version = c.version + 1
           where ${of(place)} and c.id = ${id} and c.version = ${version}`,
    )
    return renamed > 0
  })
}

async function unlessTaken<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (sqlState(error) === UNIQUE_VIOLATION) throw new Problem('name-taken')
    throw error
  }
}

/** @returns false when it is at another version by now */
export async function deleteCollection(tx: Tx, place: Place, id: CollectionId, version: number): Promise<boolean> {
  return (
    (await countOf(tx, sql`delete from collection c where ${of(place)} and c.id = ${id} and c.version = ${version}`)) >
    0
  )
}

export interface Member {
  readonly id: AccountId
  readonly addedMicros: number
}

/** In the order they were added. */
export function listMembers(tx: Tx, place: Place, id: CollectionId, { after, limit }: PageRequest): Promise<Member[]> {
  return rowsOf<Member>(
    tx,
    sql`select m.account_id as id, ${microsOf('m.added_at')} as "addedMicros" from collection_member m
         where ${of(place, 'm')} and m.collection_id = ${id}
           ${after === undefined ? sql`` : sql`and (m.added_at, m.account_id) > (${fromMicros(cursorNumber(after[0]))}, ${after[1]})`}
         order by m.added_at, m.account_id limit ${limit + 1}`,
  )
}

/** Accounts that there are; others are left to the caller to refuse. @returns how many are new */
export function addMembers(
  tx: Tx,
  place: Place,
  id: CollectionId,
  accounts: readonly string[],
  now: number,
): Promise<number> {
  return countOf(
    tx,
    sql`insert into collection_member (organisation_id, project_id, collection_id, account_id, tenant_id, added_at)
        select a.organisation_id, a.project_id, ${id}, a.id, a.tenant_id, ${new Date(now)}::timestamptz
          from account a where ${of(place, 'a')} and a.id = any(${[...accounts]}) and a.valid_to is null
            on conflict do nothing`,
  )
}

/** @returns how many were in it */
export function removeMembers(tx: Tx, place: Place, id: CollectionId, accounts: readonly string[]): Promise<number> {
  return countOf(
    tx,
    sql`delete from collection_member m where ${of(place, 'm')} and m.collection_id = ${id} and m.account_id = any(${[...accounts]})`,
  )
}

/** Those of these that no tenant has. */
export async function unknownAccounts(tx: Tx, place: Place, accounts: readonly string[]): Promise<ReadonlySet<string>> {
  const rows = await rowsOf<{ id: string }>(
    tx,
    sql`select wanted.id from unnest(${[...accounts]}::text[]) as wanted(id)
         where not exists (select from account a where ${of(place, 'a')} and a.id = wanted.id and a.valid_to is null)`,
  )
  return new Set(rows.map(({ id }) => id))
}
