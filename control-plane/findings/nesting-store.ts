// Which groups are members of groups, page by page. Scope: the organisation.
import { sql } from 'kysely'
import { rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { AccountKind } from '../directory/account.ts'
import type { AccountId, TenantId } from '../ids.ts'
import type { ProjectPlace } from '../tenants/tenant-store.ts'

const within = ({ organisation, project }: ProjectPlace, alias: string) =>
  sql`${sql.ref(`${alias}.organisation_id`)} = ${organisation} and ${sql.ref(`${alias}.project_id`)} = ${project}`

export interface GroupMembership {
  /** Object ids. */
  readonly group: string
  readonly member: string
}

/** Groups that are members of groups, by object id of the member. @param after  object ids of the last one read */
export function readGroupsInGroups(
  tx: Tx,
  place: ProjectPlace,
  tenant: TenantId,
  after: GroupMembership | undefined,
  limit: number,
): Promise<GroupMembership[]> {
  const beyond =
    after === undefined ? sql`true` : sql`(m.member_object_id, m.group_object_id) > (${after.member}, ${after.group})`
  return rowsOf<GroupMembership>(
    tx,
    sql`
    select m.group_object_id as "group", m.member_object_id as member
      from account a
      join group_member m on ${within(place, 'm')} and m.tenant_id = a.tenant_id and m.member_object_id = a.object_id and m.valid_to is null
     where ${within(place, 'a')} and a.tenant_id = ${tenant} and a.valid_to is null
       and a.kind = any(${[...NESTING_KINDS]}) and ${after === undefined ? sql`true` : sql`a.object_id >= ${after.member}`} and ${beyond}
     order by m.member_object_id, m.group_object_id limit ${limit}`,
  )
}

const NESTING_KINDS: readonly AccountKind[] = [
  'microsoft-365-group',
  'security-group',
  'mail-enabled-security-group',
  'distribution-list',
]

/** Of these object ids, those in force. */
export function findByObjectIds(
  tx: Tx,
  place: ProjectPlace,
  tenant: TenantId,
  objectIds: readonly string[],
): Promise<{ id: AccountId; objectId: string; sortKey: string }[]> {
  return rowsOf(
    tx,
    sql`select a.id, a.object_id as "objectId", a.sort_key as "sortKey" from account a
         where ${within(place, 'a')} and a.tenant_id = ${tenant} and a.object_id = any(${[...objectIds]}) and a.valid_to is null`,
  )
}
