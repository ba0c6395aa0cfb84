// New versions of accounts from the parts that changed. Scope: the organisation; a slice of objects a transaction.
import { hash } from 'node:crypto'
import { sql } from 'kysely'
import { rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import { canonicalJson } from '../audit/audit.ts'
import { matchKey } from '../directory/account.ts'
import type { AccountSnapshot } from '../directory/account.ts'
import { newId } from '../ids.ts'
import type { AccountId } from '../ids.ts'
import type { AccountParts } from './compose-account.ts'
import type { DiscoveryCounts } from './discovery.ts'
import type { PartPlace } from './part-store.ts'

export interface ChangedObject {
  readonly objectId: string
  readonly parts: AccountParts
  readonly members: number
  /** In force; undefined: none. */
  readonly account: AccountId | null
  readonly digest: Buffer | null
  /** Of an object that was there before, and went. */
  readonly earlier: AccountId | null
}

const of = ({ organisation, project, tenant }: PartPlace, alias: string) =>
  sql`${sql.ref(`${alias}.organisation_id`)} = ${organisation} and ${sql.ref(`${alias}.project_id`)} = ${project}
      and ${sql.ref(`${alias}.tenant_id`)} = ${tenant}`

/** Where a walk over changed objects is: `account_part` by its index, so that each slice costs as much as the first. */
export interface ChangePlace {
  readonly changedIn: number
  readonly objectId: string
}

export interface Slice {
  /** One that changed in several discoveries comes once for each. */
  readonly objects: readonly ChangedObject[]
  /** undefined: there are no more. */
  readonly last: ChangePlace | undefined
}

/** @param after  to begin with, `changedIn`: number of the last discovery that went to its end */
export async function changedObjects(tx: Tx, at: PartPlace, after: ChangePlace, limit: number): Promise<Slice> {
  const places = await rowsOf<ChangePlace>(
    tx,
    sql`select p.changed_in as "changedIn", p.object_id as "objectId" from account_part p
         where ${of(at, 'p')} and (p.changed_in, p.object_id) > (${after.changedIn}, ${after.objectId})
         group by p.changed_in, p.object_id order by p.changed_in, p.object_id limit ${limit}`,
  )
  const last = places.at(-1)
  if (last === undefined) return { objects: [], last }
  const ids = [...new Set(places.map(({ objectId }) => objectId))]
  const objects = await rowsOf<ChangedObject>(
    tx,
    sql`
    select c.object_id as "objectId", p.parts, m.members, a.id as account, a.digest, e.id as earlier
      from unnest(${ids}::text[]) as c(object_id)
     cross join lateral (
       select coalesce(jsonb_object_agg(p.source, p.part), '{}') as parts from account_part p
        where ${of(at, 'p')} and p.object_id = c.object_id and p.part is not null) p
     cross join lateral (
       select count(*) as members from group_member m
        where ${of(at, 'm')} and m.group_object_id = c.object_id and m.valid_to is null) m
      left join lateral (
       select a.id, a.digest from account a
        where ${of(at, 'a')} and a.object_id = c.object_id and a.valid_to is null) a on true
     cross join lateral (
       -- All versions of an object have one id. No limit: a planner that hopes to meet one soon walks along all the others.
       select (array_agg(e.id))[1] as id from account e
        where a.id is null and ${of(at, 'e')} and e.object_id = c.object_id) e`,
  )
  return { objects, last }
}

/** So that the planner knows of what was just written: worth it after a thousand rows or so, of a tenant that has not twice as many. */
export async function refreshStatistics(tx: Tx, about: 'parts' | 'accounts'): Promise<void> {
  await sql`select refresh_directory_statistics(${about})`.execute(tx)
}

export interface VersionChange {
  readonly object: ChangedObject
  /** undefined: it is gone. */
  readonly snapshot: AccountSnapshot | undefined
}

/** @returns ids of accounts that came, changed or went */
export async function writeVersions(
  tx: Tx,
  at: PartPlace,
  changes: readonly VersionChange[],
  now: Date,
): Promise<AccountId[]> {
  const written = changes.flatMap(({ object, snapshot }) => {
    const digest = snapshot && hash('sha256', canonicalJson(snapshot), 'buffer')
    if (digest === undefined ? object.account === null : object.digest?.equals(digest) === true) return []
    return [
      { id: object.account ?? object.earlier ?? newId('account'), isNew: object.account === null, snapshot, digest },
    ]
  })
  const ended = written.filter(({ isNew }) => !isNew).map(({ id }) => id)
  if (ended.length > 0) await endVersions(tx, at, ended)
  const begun = written.flatMap(({ id, snapshot, digest }) =>
    snapshot === undefined || digest === undefined ? [] : [versionOf(id, snapshot, digest)],
  )
  if (begun.length > 0) await beginVersions(tx, at, begun, now)
  return written.map(({ id }) => id)
}

/** A version of this very discovery is written anew: its attempt before was ended. */
async function endVersions(tx: Tx, at: PartPlace, ids: readonly AccountId[]): Promise<void> {
  await sql`delete from account a where ${of(at, 'a')} and a.id = any(${[...ids]}) and a.valid_to is null and a.valid_from = ${at.number}`.execute(
    tx,
  )
  await sql`update account a set valid_to = ${at.number}
             where ${of(at, 'a')} and a.id = any(${[...ids]}) and a.valid_to is null`.execute(tx)
  await sql`delete from account_address a where a.organisation_id = ${at.organisation} and a.project_id = ${at.project}
               and a.account_id = any(${[...ids]})`.execute(tx)
}

const MAX_SORT_KEY = 200

interface Version {
  readonly id: AccountId
  readonly o: string
  readonly kind: string
  readonly name: string
  readonly upn: string | null
  readonly mail: string | null
  readonly pk: string | null
  readonly sort: string
  readonly sync: boolean
  readonly s: AccountSnapshot
  readonly d: string
  readonly keys: readonly { readonly k: string; readonly t: 'smtp' | 'upn' | 'x500' }[]
}

function versionOf(id: AccountId, snapshot: AccountSnapshot, digest: Buffer): Version {
  const { objectId, kind, displayName, userPrincipalName, mail, addresses, x500, isSynced } = snapshot
  const keys = [
    ...new Set(addresses.map(matchKey)).values().map((k) => ({ k, t: 'smtp' as const })),
    ...(userPrincipalName === undefined ? [] : [{ k: matchKey(userPrincipalName), t: 'upn' as const }]),
    ...new Set(x500.map(matchKey)).values().map((k) => ({ k, t: 'x500' as const })),
  ]
  return {
    id,
    o: objectId,
    kind,
    name: displayName,
    upn: userPrincipalName ?? null,
    mail: mail ?? null,
    pk: addresses[0] === undefined ? null : matchKey(addresses[0]),
    sort: displayName.normalize('NFC').toLowerCase().slice(0, MAX_SORT_KEY).toWellFormed(),
    sync: isSynced,
    s: snapshot,
    d: digest.toString('hex'),
    // A name longer than an index takes is no address that anybody has.
    keys: keys.filter(({ k }) => k.length > 0 && k.length <= 1_000),
  }
}

async function beginVersions(tx: Tx, at: PartPlace, versions: readonly Version[], now: Date): Promise<void> {
  await sql`
    insert into account (organisation_id, project_id, tenant_id, id, object_id, valid_from, kind, display_name, user_principal_name, mail,
                         primary_key, sort_key, is_synced, snapshot, digest, created_at)
    select ${at.organisation}, ${at.project}, ${at.tenant}, r.id, r.o, ${at.number}, r.kind, r.name, r.upn, r.mail, r.pk, r.sort, r.sync,
           r.s, decode(r.d, 'hex'), ${now}
      from jsonb_to_recordset(${JSON.stringify(versions)}::jsonb)
             as r(id text, o text, kind text, name text, upn text, mail text, pk text, sort text, sync boolean, s jsonb, d text)`.execute(
    tx,
  )
  const keys = versions.flatMap(({ id, keys: own }) => own.map((key) => ({ ...key, a: id })))
  await sql`
    insert into account_address (organisation_id, project_id, tenant_id, key, kind, account_id)
    select ${at.organisation}, ${at.project}, ${at.tenant}, r.k, r.t, r.a
      from jsonb_to_recordset(${JSON.stringify(keys)}::jsonb) as r(k text, t text, a text)
    on conflict do nothing`.execute(tx)
}

/** From the versions themselves: so the same however often a slice was written. */
export async function countVersions(tx: Tx, at: PartPlace): Promise<DiscoveryCounts> {
  const kinds = await rowsOf<{ kind: string; count: number }>(
    tx,
    sql`select a.kind, count(*) as count from account a where ${of(at, 'a')} and a.valid_to is null group by a.kind order by a.kind`,
  )
  const changes = await rowOf<{ created: number; changed: number; removed: number }>(
    tx,
    sql`
    select (select count(*) from account a where ${of(at, 'a')} and a.valid_from = ${at.number}
               and not exists (select from account b where ${of(at, 'b')} and b.id = a.id and b.valid_from < a.valid_from)) as created,
           (select count(*) from account a where ${of(at, 'a')} and a.valid_from = ${at.number}
               and exists (select from account b where ${of(at, 'b')} and b.id = a.id and b.valid_from < a.valid_from)) as changed,
           (select count(*) from account a where ${of(at, 'a')} and a.valid_to = ${at.number}
               and not exists (select from account b where ${of(at, 'b')} and b.id = a.id and b.valid_from = ${at.number})) as removed`,
  )
  return {
    kinds: Object.fromEntries(kinds.map(({ kind, count }) => [kind, count])),
    created: changes?.created ?? 0,
    changed: changes?.changed ?? 0,
    removed: changes?.removed ?? 0,
  }
}
