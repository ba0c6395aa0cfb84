// What the database says of a caller in one organisation, looked up for each request so that a revocation holds at once (AZ-2, AZ-4).
import { sql } from 'kysely'
import { rowOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { OperationId, OrganisationId, ProjectId } from '../ids.ts'
import { capOf } from './caller.ts'
import type { Caller } from './caller.ts'
import { permissionsAt } from './permissions.ts'
import type { Assignment, Cap, Permission, Standing } from './permissions.ts'

const HOUR_MS = 3_600_000
const NO_STANDING: Standing = { isMember: false, assignments: [], customRoles: new Map(), hasSupportGrant: false }

/**
 * What the person is here. Nobody is anything in an organisation whose deletion has begun, nor members of tenants that its sign-in policy
 * leaves out. The transaction's scope must be the organisation.
 */
export async function loadStanding(
  tx: Tx,
  organisation: OrganisationId,
  principal: string,
  now: number,
): Promise<Standing> {
  const row = await rowOf<{
    is_member: boolean
    assignments: Assignment[]
    custom_roles: { id: string; permissions: string[] }[]
    has_support_grant: boolean
    max_session_hours: number | null
  }>(
    tx,
    sql`
    select exists (select from member m join organisation o on o.organisation_id = m.organisation_id
                    where m.organisation_id = ${organisation} and m.principal = ${principal}
                      and m.disabled_at is null and o.deletion_started_at is null
                      and (coalesce(jsonb_array_length(o.settings->'signIn'->'tenants'), 0) = 0
                           or o.settings->'signIn'->'tenants' ? split_part(m.principal, '/', 1))) as is_member,
           coalesce((select json_agg(json_build_object('role', a.role_id, 'project', a.project_id))
                       from role_assignment a join member m on m.organisation_id = a.organisation_id and m.id = a.member_id
                      where a.organisation_id = ${organisation} and m.principal = ${principal}), '[]') as assignments,
           coalesce((select json_agg(json_build_object('id', r.id, 'permissions', r.permissions))
                       from role r where r.organisation_id = ${organisation}), '[]') as custom_roles,
           exists (select from support_grant g join organisation o on o.organisation_id = g.organisation_id
                    where g.organisation_id = ${organisation} and g.principal = ${principal} and o.deletion_started_at is null
                      and g.revoked_at is null and g.expires_at > ${new Date(now)}) as has_support_grant,
           (select (settings->'signIn'->>'maxSessionHours')::integer from organisation
             where organisation_id = ${organisation}) as max_session_hours`,
  )
  if (row === undefined) throw new Error('unreachable: a select without from gives a row')
  return {
    isMember: row.is_member,
    assignments: row.assignments,
    customRoles: new Map(row.custom_roles.map(({ id, permissions }) => [id, permissions])),
    hasSupportGrant: row.has_support_grant,
    ...(row.max_session_hours === null ? {} : { maxSessionMs: row.max_session_hours * HOUR_MS }),
  }
}

/** A caller's standing in the organisation, and what his credential narrows it to. The transaction's scope must be the organisation. */
export async function loadCallerStanding(
  tx: Tx,
  organisation: OrganisationId,
  caller: Caller,
  now: number,
): Promise<{ standing: Standing; cap: Cap }> {
  const cap = capOf(caller)
  if (caller.kind === 'api-key' ? caller.organisation !== organisation : caller.isBreakGlass)
    return { standing: NO_STANDING, cap }
  if (caller.kind === 'session' || !caller.isService)
    return { standing: await loadStanding(tx, organisation, caller.principal, now), cap }
  const isOpen = await rowOf(
    tx,
    sql`select 1 from organisation where organisation_id = ${organisation} and deletion_started_at is null`,
  )
  if (isOpen === undefined) return { standing: NO_STANDING, cap }
  const service = { role: 'service', project: '' }
  const customRoles = new Map([['service', [...caller.permissions]]])
  return { standing: { isMember: true, assignments: [service], customRoles, hasSupportGrant: false }, cap }
}

/** What the caller holds in the whole organisation, or in one project of it. The transaction's scope must be the organisation. */
export async function loadHeld(
  tx: Tx,
  organisation: OrganisationId,
  caller: Caller,
  now: number,
): Promise<(project?: string) => ReadonlySet<Permission>> {
  const { standing, cap } = await loadCallerStanding(tx, organisation, caller, now)
  return (project) => permissionsAt(standing, project, cap)
}

/** Whose project it is; undefined also once its deletion has begun. The transaction's scope must be the project (and no organisation). */
export async function findOrganisationOf(tx: Tx, project: ProjectId): Promise<OrganisationId | undefined> {
  const row = await rowOf<{ organisation_id: OrganisationId }>(
    tx,
    sql`select organisation_id from project where id = ${project} and deletion_started_at is null`,
  )
  return row?.organisation_id
}

/** Whose operation it is. The transaction's scope must be the operation (and no organisation). */
export async function findPlaceOfOperation(
  tx: Tx,
  operation: OperationId,
): Promise<{ organisation: OrganisationId; project: ProjectId | undefined } | undefined> {
  const row = await rowOf<{ organisation_id: OrganisationId; project_id: ProjectId | '' }>(
    tx,
    sql`select organisation_id, project_id from operation where id = ${operation}`,
  )
  if (row === undefined) return undefined
  return { organisation: row.organisation_id, project: row.project_id === '' ? undefined : row.project_id }
}

/** The transaction's scope must be the principal. */
export async function isInstallationAdministrator(tx: Tx, principal: string): Promise<boolean> {
  const row = await rowOf(tx, sql`select 1 from installation_administrator where principal = ${principal}`)
  return row !== undefined
}
