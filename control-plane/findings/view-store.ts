// What judging knows of a project beside its accounts, read at once. Scope: the organisation.
import { sql } from 'kysely'
import { rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { GapCode } from '../discovery/discovery.ts'
import { latestFacts } from '../discovery/discovery-store.ts'
import type { TenantId } from '../ids.ts'
import { findConsent } from '../tenants/consent-store.ts'
import { mappedDomains } from '../tenants/mapped-domains-store.ts'
import { listTenants } from '../tenants/tenant-store.ts'
import type { ProjectPlace } from '../tenants/tenant-store.ts'
import { viewProject } from './project-view.ts'
import type { KnownTenant, ProjectView } from './project-view.ts'

/** @param now  ms since the epoch */
export async function readProjectView(tx: Tx, place: ProjectPlace, now: number): Promise<ProjectView> {
  const discoveries = await readDiscoveries(tx, place)
  const certificates = await readCertificates(tx, place)
  const known: KnownTenant[] = []
  for (const tenant of await listTenants(tx, place)) {
    const found = discoveries.get(tenant.id)
    known.push({
      tenant,
      facts: await latestFacts(tx, place, tenant.id),
      consent: await findConsent(tx, place, tenant.id),
      completed:
        found?.finishedAt === null || found === undefined
          ? undefined
          : { finishedAt: found.finishedAt, gaps: found.gaps },
      hasFailedSince: found?.hasFailedSince ?? false,
      certificateExpiresAt: certificates.get(tenant.id),
    })
  }
  return viewProject(known, await mappedDomains(tx, place), now)
}

interface DiscoveryRow {
  readonly tenant: TenantId
  /** null: none went to its end. */
  readonly finishedAt: Date | null
  readonly gaps: readonly GapCode[]
  readonly hasFailedSince: boolean
}

async function readDiscoveries(tx: Tx, { organisation, project }: ProjectPlace): Promise<Map<TenantId, DiscoveryRow>> {
  const rows = await rowsOf<DiscoveryRow>(
    tx,
    sql`
    select t.id as tenant, c.finished_at as "finishedAt", coalesce(c.gaps, '[]') as gaps,
           exists (select from discovery f where f.organisation_id = t.organisation_id and f.project_id = t.project_id and f.tenant_id = t.id
                      and f.state = 'failed' and f.number > coalesce(c.number, 0)) as "hasFailedSince"
      from tenant_connection t
      left join lateral (
        select d.number, d.finished_at, d.gaps from discovery d
         where d.organisation_id = t.organisation_id and d.project_id = t.project_id and d.tenant_id = t.id and d.state = 'completed'
         order by d.number desc limit 1) c on true
     where t.organisation_id = ${organisation} and t.project_id = ${project}`,
  )
  return new Map(rows.map((row) => [row.tenant, row]))
}

async function readCertificates(tx: Tx, { organisation, project }: ProjectPlace): Promise<Map<TenantId, Date>> {
  const rows = await rowsOf<{ tenant: TenantId; end: Date }>(
    tx,
    sql`select tenant_id as tenant, max(expires_at) as "end" from connection_certificate
         where organisation_id = ${organisation} and project_id = ${project} and state = 'active' group by tenant_id`,
  )
  return new Map(rows.map(({ tenant, end }) => [tenant, end]))
}
