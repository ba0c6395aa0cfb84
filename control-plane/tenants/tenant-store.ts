// Tenants of a project in the database. Scope: the organisation.
import { sql } from 'kysely'
import { rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { OrganisationId, ProjectId, TenantId } from '../ids.ts'
import type { Tenant } from './tenant.ts'

export interface ProjectPlace {
  readonly organisation: OrganisationId
  readonly project: ProjectId
}

interface Row extends Omit<Tenant, 'clientId' | 'initialDomain'> {
  readonly clientId: string | null
  readonly initialDomain: string | null
}

const toTenant = (row: Row): Tenant => ({
  ...row,
  clientId: row.clientId ?? undefined,
  initialDomain: row.initialDomain ?? undefined,
})

const COLUMNS = sql`id, side, label, name, cloud, entra_tenant_id as "entraTenantId", app_model as "appModel",
  client_id as "clientId", accepted_domains as "acceptedDomains", initial_domain as "initialDomain", version, created_at as "createdAt"`

/** By label. @param side  only these */
export async function listTenants(
  tx: Tx,
  { organisation, project }: ProjectPlace,
  side?: Tenant['side'],
  after?: string,
  limit?: number,
): Promise<Tenant[]> {
  const rows = await rowsOf<Row>(
    tx,
    sql`
    select ${COLUMNS} from tenant_connection
     where organisation_id = ${organisation} and project_id = ${project}
       and ${side === undefined ? sql`true` : sql`side = ${side}`}
       and ${after === undefined ? sql`true` : sql`label collate "C" > ${after}`}
     order by label collate "C"
     ${limit === undefined ? sql`` : sql`limit ${limit}`}`,
  )
  return rows.map(toTenant)
}

export async function findTenant(
  tx: Tx,
  { organisation, project }: ProjectPlace,
  id: TenantId,
): Promise<Tenant | undefined> {
  const row = await rowOf<Row>(
    tx,
    sql`select ${COLUMNS} from tenant_connection
         where organisation_id = ${organisation} and project_id = ${project} and id = ${id}`,
  )
  return row && toTenant(row)
}

/** @param by  `callerName` */
export async function insertTenant(tx: Tx, place: ProjectPlace, tenant: Tenant, by: string): Promise<void> {
  await sql`
    insert into tenant_connection (organisation_id, project_id, id, side, label, name, cloud, entra_tenant_id, app_model, client_id,
                                   accepted_domains, initial_domain, version, created_at, created_by)
    values (${place.organisation}, ${place.project}, ${tenant.id}, ${tenant.side}, ${tenant.label}, ${tenant.name}, ${tenant.cloud},
            ${tenant.entraTenantId}, ${tenant.appModel}, ${tenant.clientId ?? null}, ${[...tenant.acceptedDomains]},
            ${tenant.initialDomain ?? null}, ${tenant.version}, ${tenant.createdAt}, ${by})`.execute(tx)
}

export async function updateTenant(tx: Tx, { organisation, project }: ProjectPlace, tenant: Tenant): Promise<void> {
  await sql`
    update tenant_connection set name = ${tenant.name}, app_model = ${tenant.appModel}, client_id = ${tenant.clientId ?? null},
           accepted_domains = ${[...tenant.acceptedDomains]}, initial_domain = ${tenant.initialDomain ?? null}, version = ${tenant.version}
     where organisation_id = ${organisation} and project_id = ${project} and id = ${tenant.id}`.execute(tx)
}

export async function deleteTenant(tx: Tx, { organisation, project }: ProjectPlace, id: TenantId): Promise<void> {
  await sql`delete from tenant_connection where organisation_id = ${organisation} and project_id = ${project} and id = ${id}`.execute(
    tx,
  )
}

// ── Whose a tenant is (EC-3) ───────────────────────────────────────────────────────────────────────────────────────

/**
 * Makes the tenant the organisation's, unless it is another's. Lock the organisation before: a release in another project must not cross.
 * @returns false when it is another's, of which nothing more can be seen from here
 */
export async function claimTenant(tx: Tx, organisation: OrganisationId, entraTenantId: string): Promise<boolean> {
  await sql`insert into tenant_claim (entra_tenant_id, organisation_id) values (${entraTenantId}, ${organisation})
            on conflict do nothing`.execute(tx)
  const row = await rowOf(
    tx,
    sql`select 1 from tenant_claim where organisation_id = ${organisation} and entra_tenant_id = ${entraTenantId}`,
  )
  return row !== undefined
}

/** Whether `claimTenant` would do. Lock the organisation before. */
export async function canClaimTenant(tx: Tx, organisation: OrganisationId, entraTenantId: string): Promise<boolean> {
  const mine = sql`organisation_id = ${organisation} and entra_tenant_id = ${entraTenantId}`
  if ((await rowOf(tx, sql`select 1 from tenant_claim where ${mine}`)) !== undefined) return true
  const isFree = await claimTenant(tx, organisation, entraTenantId)
  if (isFree) await sql`delete from tenant_claim where ${mine}`.execute(tx)
  return isFree
}

/** Gives up claims on tenants that no project of the organisation has any more. Lock the organisation before. */
export async function releaseClaims(tx: Tx, organisation: OrganisationId): Promise<void> {
  await sql`
    delete from tenant_claim c
     where c.organisation_id = ${organisation}
       and not exists (select from tenant_connection t
                        where t.organisation_id = c.organisation_id and t.entra_tenant_id = c.entra_tenant_id)`.execute(
    tx,
  )
}
