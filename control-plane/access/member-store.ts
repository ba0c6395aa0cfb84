// Members and their role assignments in the database. Scope: the organisation.
import { sql } from 'kysely'
import { rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { MemberId, OrganisationId } from '../ids.ts'
import type { Member } from './member.ts'
import type { Assignment } from './permissions.ts'
import { ORGANISATION_ADMINISTRATOR } from './role.ts'

export interface MemberFilter {
  readonly principal?: string | undefined
  readonly role?: string | undefined
  /** With a role in this very project. */
  readonly project?: string | undefined
}

interface MemberRow {
  readonly id: MemberId
  readonly principal: string
  readonly display_name: string
  readonly version: number
  readonly created_at: Date
  readonly disabled_at: Date | null
  readonly assignments: Assignment[]
}

const toMember = (row: MemberRow): Member => ({
  id: row.id,
  principal: row.principal,
  displayName: row.display_name,
  assignments: row.assignments,
  version: row.version,
  createdAt: row.created_at,
  disabledAt: row.disabled_at ?? undefined,
})

const COLUMNS = sql`m.id, m.principal, m.display_name, m.version, m.created_at, m.disabled_at,
  coalesce((select json_agg(json_build_object('role', a.role_id, 'project', a.project_id) order by a.role_id, a.project_id)
              from role_assignment a where a.organisation_id = m.organisation_id and a.member_id = m.id), '[]') as assignments`

/** By id, which is random. */
export async function listMembers(
  tx: Tx,
  organisation: OrganisationId,
  { principal, role, project }: MemberFilter,
  after: string | undefined,
  limit: number,
): Promise<Member[]> {
  const having = (column: ReturnType<typeof sql.ref>, value: string | undefined) =>
    value === undefined
      ? sql`true`
      : sql`exists (select from role_assignment a where a.organisation_id = m.organisation_id
                       and a.member_id = m.id and ${column} = ${value})`
  const rows = await rowsOf<MemberRow>(
    tx,
    sql`
    select ${COLUMNS} from member m
     where m.organisation_id = ${organisation} and m.id > ${after ?? ''}
       and ${principal === undefined ? sql`true` : sql`m.principal = ${principal}`}
       and ${having(sql.ref('a.role_id'), role)} and ${having(sql.ref('a.project_id'), project)}
     order by m.id
     limit ${limit}`,
  )
  return rows.map(toMember)
}

export async function findMember(tx: Tx, organisation: OrganisationId, id: MemberId): Promise<Member | undefined> {
  const row = await rowOf<MemberRow>(
    tx,
    sql`select ${COLUMNS} from member m where m.organisation_id = ${organisation} and m.id = ${id}`,
  )
  return row && toMember(row)
}

export async function findMemberOf(
  tx: Tx,
  organisation: OrganisationId,
  principal: string,
): Promise<Member | undefined> {
  const [member] = await listMembers(tx, organisation, { principal }, undefined, 1)
  return member
}

/** With its assignments. @param by  `callerName` */
export async function insertMember(tx: Tx, organisation: OrganisationId, member: Member, by: string): Promise<void> {
  await sql`
    insert into member (organisation_id, id, principal, display_name, invited_by, version, created_at)
    values (${organisation}, ${member.id}, ${member.principal}, ${member.displayName}, ${by}, ${member.version},
            ${member.createdAt})`.execute(tx)
  await insertAssignments(tx, organisation, member.id, member.assignments, by, member.createdAt)
}

/** All but its assignments. */
export async function updateMember(tx: Tx, organisation: OrganisationId, member: Member): Promise<void> {
  await sql`
    update member set display_name = ${member.displayName}, disabled_at = ${member.disabledAt ?? null}, version = ${member.version}
     where organisation_id = ${organisation} and id = ${member.id}`.execute(tx)
}

export async function deleteMember(tx: Tx, organisation: OrganisationId, id: MemberId): Promise<void> {
  await sql`delete from member where organisation_id = ${organisation} and id = ${id}`.execute(tx)
}

export async function insertAssignments(
  tx: Tx,
  organisation: OrganisationId,
  member: MemberId,
  assignments: readonly Assignment[],
  by: string,
  at: Date,
): Promise<void> {
  for (const { role, project } of assignments) {
    await sql`
      insert into role_assignment (organisation_id, member_id, role_id, project_id, assigned_by, assigned_at)
      values (${organisation}, ${member}, ${role}, ${project}, ${by}, ${at})`.execute(tx)
  }
}

export async function deleteAssignments(
  tx: Tx,
  organisation: OrganisationId,
  member: MemberId,
  assignments: readonly Assignment[],
): Promise<void> {
  for (const { role, project } of assignments) {
    await sql`
      delete from role_assignment where organisation_id = ${organisation} and member_id = ${member}
         and role_id = ${role} and project_id = ${project}`.execute(tx)
  }
}

/**
 * Administrators of the whole organisation who can act: enabled, and let in by the sign-in policy. Lock the organisation before, so that the number
 * stays true until the commit (AZ-5).
 */
export async function countAdministrators(tx: Tx, organisation: OrganisationId): Promise<number> {
  const row = await rowOf<{ administrators: number }>(
    tx,
    sql`
    select count(*) as administrators
      from role_assignment a
      join member m on m.organisation_id = a.organisation_id and m.id = a.member_id
      join organisation o on o.organisation_id = m.organisation_id
     where a.organisation_id = ${organisation} and a.role_id = ${ORGANISATION_ADMINISTRATOR} and a.project_id = ''
       and m.disabled_at is null
       and (coalesce(jsonb_array_length(o.settings->'signIn'->'tenants'), 0) = 0
            or o.settings->'signIn'->'tenants' ? split_part(m.principal, '/', 1))`,
  )
  return row?.administrators ?? 0
}

/** Those of the ids that are projects of the organisation and not being deleted. */
export async function existingProjects(
  tx: Tx,
  organisation: OrganisationId,
  ids: readonly string[],
): Promise<ReadonlySet<string>> {
  const rows = await rowsOf<{ id: string }>(
    tx,
    sql`select id from project where organisation_id = ${organisation} and id = any(${[...ids]}) and deletion_started_at is null`,
  )
  return new Set(rows.map(({ id }) => id))
}
