// Parts of accounts and memberships as they come in, page by page. Scope: the organisation; everything within one transaction of a page.
import { hash } from 'node:crypto'
import { sql } from 'kysely'
import { countOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import { canonicalJson } from '../audit/audit.ts'
import type { TenantId } from '../ids.ts'
import type { ProjectPlace } from '../tenants/tenant-store.ts'
import type { AccountParts } from './compose-account.ts'
import type { DirectoryPart, MemberChange } from './directory-object.ts'

export type PartSource = keyof AccountParts

/** Where parts go: a tenant, and the discovery by whose number they count. */
export interface PartPlace extends ProjectPlace {
  readonly tenant: TenantId
  readonly number: number
}

export interface PartRow {
  readonly objectId: string
  readonly part: object
  /** Of a user. */
  readonly upnKey?: string | undefined
}

const of = ({ organisation, project, tenant }: PartPlace) =>
  sql`organisation_id = ${organisation} and project_id = ${project} and tenant_id = ${tenant}`

/**
 * Writes those that are new or differ. The last of several of one object counts.
 * @param marksSeen  also touches those that are as they were, so that `dropUnseen` can tell the rest
 */
export async function putParts(
  tx: Tx,
  at: PartPlace,
  source: PartSource,
  rows: readonly PartRow[],
  marksSeen: boolean,
): Promise<void> {
  if (rows.length === 0) return
  const last = new Map(rows.map((row) => [row.objectId, row] as const))
  const values = [...last.values()].map(({ objectId, part, upnKey = null }) => ({
    o: objectId,
    p: part,
    u: upnKey,
    d: hash('sha256', canonicalJson(part), 'hex'),
  }))
  await sql`
    insert into account_part as a (organisation_id, project_id, tenant_id, object_id, source, part, upn_key, digest, changed_in, seen_in)
    select ${at.organisation}, ${at.project}, ${at.tenant}, r.o, ${source}, r.p, r.u, decode(r.d, 'hex'), ${at.number}, ${at.number}
      from jsonb_to_recordset(${JSON.stringify(values)}::jsonb) as r(o text, p jsonb, u text, d text)
    on conflict (organisation_id, project_id, tenant_id, object_id, source) do update
       set part = excluded.part, upn_key = excluded.upn_key, digest = excluded.digest, seen_in = excluded.seen_in,
           changed_in = case when a.digest is distinct from excluded.digest then excluded.changed_in else a.changed_in end
     where a.digest is distinct from excluded.digest or (${marksSeen} and a.seen_in < excluded.seen_in)`.execute(tx)
}

/** Parts of users that a report names by their user principal names; of others nothing is known. @returns object ids */
export async function putReported(
  tx: Tx,
  at: PartPlace,
  source: 'mailbox-report' | 'drive-report',
  rows: readonly { readonly upnKey: string; readonly part: object }[],
): Promise<string[]> {
  if (rows.length === 0) return []
  const owners = await rowsOf<{ object: string; upn: string }>(
    tx,
    sql`select object_id as object, upn_key as upn from account_part
         where ${of(at)} and source = 'directory' and upn_key = any(${rows.map(({ upnKey }) => upnKey)})`,
  )
  const byName = new Map(rows.map(({ upnKey, part }) => [upnKey, part] as const))
  const parts = owners.flatMap(({ object, upn }) => {
    const part = byName.get(upn)
    return part === undefined ? [] : [{ objectId: object, part }]
  })
  await putParts(tx, at, source, parts, false)
  return parts.map(({ objectId }) => objectId)
}

export async function dropParts(
  tx: Tx,
  at: PartPlace,
  source: PartSource,
  objectIds: readonly string[],
): Promise<void> {
  if (objectIds.length === 0) return
  await sql`update account_part set part = null, digest = null, upn_key = null, changed_in = ${at.number}
             where ${of(at)} and source = ${source} and object_id = any(${[...objectIds]}) and part is not null`.execute(
    tx,
  )
}

/** After a whole enumeration: what did not come is not there. @param type  of directory objects */
export async function dropUnseen(tx: Tx, at: PartPlace, type: DirectoryPart['type']): Promise<void> {
  await sql`update account_part set part = null, digest = null, upn_key = null, changed_in = ${at.number}
             where ${of(at)} and source = 'directory' and part ->> 'type' = ${type} and seen_in < ${at.number}`.execute(
    tx,
  )
}

/** The same for what is read whole each time, whose ids the reader remembers. `<> all` is hashed; a join with so many ids would be guessed to be small. */
export async function dropAllBut(tx: Tx, at: PartPlace, source: PartSource, seen: ReadonlySet<string>): Promise<void> {
  await sql`update account_part set part = null, digest = null, changed_in = ${at.number}
             where ${of(at)} and source = ${source} and part is not null and object_id <> all(${[...seen]}::text[])`.execute(
    tx,
  )
}

/** Somebody came into a group or left it: what is told of the group changes. */
export async function touchGroups(tx: Tx, at: PartPlace, groups: readonly string[]): Promise<void> {
  if (groups.length === 0) return
  await sql`update account_part set changed_in = ${at.number}
             where ${of(at)} and source = 'directory' and object_id = any(${[...groups]})`.execute(tx)
}

// ── Memberships ────────────────────────────────────────────────────────────────────────────────────────────────────

export interface GroupChange extends MemberChange {
  readonly group: string
}

/** @returns groups whose members are others now */
export async function changeMembers(
  tx: Tx,
  at: PartPlace,
  changes: readonly GroupChange[],
  marksSeen: boolean,
): Promise<string[]> {
  const added = changes.filter((change) => !change.isRemoved)
  const removed = changes.filter((change) => change.isRemoved)
  if (removed.length > 0) await endMembers(tx, at, sql`(m.group_object_id, m.member_object_id) in (${pairs(removed)})`)
  const left = removed.map(({ group }) => group)
  if (added.length === 0) return [...new Set(left)]
  if (marksSeen) {
    await sql`update group_member m set seen_in = ${at.number}
               where ${of(at)} and m.valid_to is null and seen_in < ${at.number}
                 and (m.group_object_id, m.member_object_id) in (${pairs(added)})`.execute(tx)
  }
  const joined = await rowsOf<{ group: string }>(
    tx,
    sql`
    insert into group_member (organisation_id, project_id, tenant_id, group_object_id, member_object_id, valid_from, seen_in)
    select ${at.organisation}, ${at.project}, ${at.tenant}, r.g, r.m, ${at.number}, ${at.number}
      from jsonb_to_recordset(${JSON.stringify(added.map(({ group, member }) => ({ g: group, m: member })))}::jsonb) as r(g text, m text)
     where not exists (select from group_member m where ${of(at)} and m.group_object_id = r.g and m.member_object_id = r.m and m.valid_to is null)
    on conflict (organisation_id, project_id, tenant_id, group_object_id, member_object_id, valid_from) do update
       set valid_to = null, seen_in = excluded.seen_in
    returning group_object_id as "group"`,
  )
  return [...new Set([...left, ...joined.map(({ group }) => group)])]
}

/** After a whole enumeration of groups. @returns groups that somebody left */
export async function dropUnseenMembers(tx: Tx, at: PartPlace): Promise<string[]> {
  const rows = await rowsOf<{ group: string }>(
    tx,
    sql`select distinct group_object_id as "group" from group_member
         where ${of(at)} and valid_to is null and seen_in < ${at.number}`,
  )
  if (rows.length > 0) await endMembers(tx, at, sql`m.seen_in < ${at.number}`)
  return rows.map(({ group }) => group)
}

/** Of groups that are gone. */
export async function endMembersOf(tx: Tx, at: PartPlace, groups: readonly string[]): Promise<void> {
  if (groups.length > 0) await endMembers(tx, at, sql`m.group_object_id = any(${[...groups]})`)
}

/** One that began with this very discovery was never there for anybody who looks at discoveries. */
async function endMembers(tx: Tx, at: PartPlace, which: ReturnType<typeof sql>): Promise<void> {
  await sql`delete from group_member m where ${of(at)} and m.valid_to is null and m.valid_from = ${at.number} and ${which}`.execute(
    tx,
  )
  await sql`update group_member m set valid_to = ${at.number}
             where ${of(at)} and m.valid_to is null and m.valid_from < ${at.number} and ${which}`.execute(tx)
}

function pairs(changes: readonly GroupChange[]) {
  const values = changes.map(({ group, member }) => ({ g: group, m: member }))
  return sql`select r.g, r.m from jsonb_to_recordset(${JSON.stringify(values)}::jsonb) as r(g text, m text)`
}

/** Groups that changed since the last discovery that went to its end: whose owners have to be read. By id. */
export function changedGroups(
  tx: Tx,
  at: PartPlace,
  since: number,
  after: string,
  limit: number,
): Promise<{ objectId: string }[]> {
  return rowsOf(
    tx,
    sql`select object_id as "objectId" from account_part
         where ${of(at)} and changed_in > ${since} and object_id > ${after} and source = 'directory' and part ->> 'type' = 'group'
         order by object_id limit ${limit}`,
  )
}

/** Of these accounts, those that Exchange knows a mailbox of. */
export function mailboxesOf(
  tx: Tx,
  at: PartPlace,
  accounts: readonly string[],
): Promise<{ objectId: string; hasArchive: boolean }[]> {
  return rowsOf(
    tx,
    sql`select p.object_id as "objectId", coalesce((p.part #>> '{mailbox,hasArchive}')::boolean, false) as "hasArchive"
          from account_part p
         where ${of(at)} and p.source = 'exchange' and p.part ? 'mailbox'
           and p.object_id in (select a.object_id from account a
                                where a.organisation_id = ${at.organisation} and a.project_id = ${at.project} and a.tenant_id = ${at.tenant}
                                  and a.id = any(${[...accounts]}) and a.valid_to is null)
         order by p.object_id`,
  )
}

/** At the end: what told accounts of a removal has done so. */
export function purgeParts(tx: Tx, at: PartPlace): Promise<number> {
  return countOf(tx, sql`delete from account_part where ${of(at)} and part is null`)
}
