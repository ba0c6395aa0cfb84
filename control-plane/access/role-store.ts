// An organisation's own roles in the database. Scope: the organisation.
import { sql } from 'kysely'
import { countOf, rowOf, rowsOf, sqlState, UNIQUE_VIOLATION } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import { Problem } from '../http/problem.ts'
import type { OrganisationId, RoleId } from '../ids.ts'
import type { Permission } from './permissions.ts'
import type { CustomRole } from './role.ts'

const COLUMNS = sql`id, name, permissions, version, created_at as "createdAt"`

/** By id, which is random. */
export async function listRoles(
  tx: Tx,
  organisation: OrganisationId,
  after: string | undefined,
  limit: number,
): Promise<CustomRole[]> {
  return rowsOf(
    tx,
    sql`select ${COLUMNS} from role where organisation_id = ${organisation} and id > ${after ?? ''} order by id limit ${limit}`,
  )
}

export async function findRole(tx: Tx, organisation: OrganisationId, id: RoleId): Promise<CustomRole | undefined> {
  return rowOf(tx, sql`select ${COLUMNS} from role where organisation_id = ${organisation} and id = ${id}`)
}

/** Permissions of each of the organisation's own roles. */
export async function loadCustomRoles(
  tx: Tx,
  organisation: OrganisationId,
): Promise<ReadonlyMap<string, readonly Permission[]>> {
  const rows = await rowsOf<{ id: string; permissions: Permission[] }>(
    tx,
    sql`select id, permissions from role where organisation_id = ${organisation}`,
  )
  return new Map(rows.map(({ id, permissions }) => [id, permissions]))
}

/** @throws Problem when another role has the name */
export async function insertRole(tx: Tx, organisation: OrganisationId, role: CustomRole): Promise<void> {
  await refusingTakenName(
    sql`
    insert into role (organisation_id, id, name, permissions, version, created_at)
    values (${organisation}, ${role.id}, ${role.name}, ${[...role.permissions]}, ${role.version}, ${role.createdAt})`.execute(
      tx,
    ),
  )
}

/** @throws Problem when another role has the name */
export async function updateRole(tx: Tx, organisation: OrganisationId, role: CustomRole): Promise<void> {
  await refusingTakenName(
    sql`
    update role set name = ${role.name}, permissions = ${[...role.permissions]}, version = ${role.version}
     where organisation_id = ${organisation} and id = ${role.id}`.execute(tx),
  )
}

export async function deleteRole(tx: Tx, organisation: OrganisationId, id: RoleId): Promise<void> {
  await countOf(tx, sql`delete from role where organisation_id = ${organisation} and id = ${id}`)
}

/** How many members have it, anywhere in the organisation. */
export async function countAssigned(tx: Tx, organisation: OrganisationId, id: RoleId): Promise<number> {
  const row = await rowOf<{ members: number }>(
    tx,
    sql`select count(distinct member_id) as members from role_assignment where organisation_id = ${organisation} and role_id = ${id}`,
  )
  return row?.members ?? 0
}

/** Whether the person acts through this role anywhere in the organisation. */
export async function actsThrough(
  tx: Tx,
  organisation: OrganisationId,
  principal: string,
  id: RoleId,
): Promise<boolean> {
  const row = await rowOf(
    tx,
    sql`
    select 1 from role_assignment a join member m on m.organisation_id = a.organisation_id and m.id = a.member_id
     where a.organisation_id = ${organisation} and a.role_id = ${id} and m.principal = ${principal} limit 1`,
  )
  return row !== undefined
}

async function refusingTakenName(writing: Promise<unknown>): Promise<void> {
  try {
    await writing
  } catch (error) {
    if (sqlState(error) === UNIQUE_VIOLATION) throw new Problem('name-taken', {}, { cause: error })
    throw error
  }
}
