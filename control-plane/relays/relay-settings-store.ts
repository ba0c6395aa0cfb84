// Settings documents in Postgres, every version kept, and the rest that relays' settings are made of.
import { sql } from 'kysely'
import { countOf, rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import type { PageRequest } from '../http/page.ts'
import type { OrganisationId, ProjectId, TenantId } from '../ids.ts'
import type { SettingsTenant } from './relay-settings.ts'
import { DEFAULT_DOCUMENT, settingsDocumentSchema } from './settings-document.ts'
import type { SettingsDocument } from './settings-document.ts'

export interface StoredSettings {
  /** 0: nobody has written any; the defaults hold. */
  readonly version: number
  readonly document: SettingsDocument
  readonly createdAt: Date | undefined
  readonly createdBy: string | undefined
}

/** The document in force. */
export async function loadSettings(tx: Tx, organisation: OrganisationId, project: ProjectId): Promise<StoredSettings> {
  const row = await rowOf<SettingsRow>(
    tx,
    sql`select version, document, created_at, created_by from relay_settings
         where organisation_id = ${organisation} and project_id = ${project}
         order by version desc limit 1`,
  )
  return row === undefined
    ? { version: 0, document: DEFAULT_DOCUMENT, createdAt: undefined, createdBy: undefined }
    : toSettings(row)
}

export async function findSettingsVersion(
  tx: Tx,
  organisation: OrganisationId,
  project: ProjectId,
  version: number,
): Promise<StoredSettings | undefined> {
  const row = await rowOf<SettingsRow>(
    tx,
    sql`select version, document, created_at, created_by from relay_settings
         where organisation_id = ${organisation} and project_id = ${project} and version = ${version}`,
  )
  return row && toSettings(row)
}

/** Newest first, without the documents; one more than the page holds where there are more. */
export async function listSettingsVersions(
  tx: Tx,
  organisation: OrganisationId,
  project: ProjectId,
  { after, limit }: PageRequest,
): Promise<Omit<StoredSettings, 'document'>[]> {
  const rows = await rowsOf<Omit<SettingsRow, 'document'>>(
    tx,
    sql`select version, created_at, created_by from relay_settings
         where organisation_id = ${organisation} and project_id = ${project}
           and ${after === undefined ? sql`true` : sql`version < ${Number(after[0])}`}
         order by version desc limit ${limit + 1}`,
  )
  return rows.map(({ version, created_at, created_by }) => ({ version, createdAt: created_at, createdBy: created_by }))
}

export async function addSettings(
  tx: Tx,
  organisation: OrganisationId,
  project: ProjectId,
  {
    version,
    document,
    createdAt,
    createdBy,
  }: { version: number; document: SettingsDocument; createdAt: Date; createdBy: string },
): Promise<void> {
  await sql`insert into relay_settings (organisation_id, project_id, version, document, created_at, created_by)
            values (${organisation}, ${project}, ${version}, ${JSON.stringify(document)}::jsonb, ${createdAt}, ${createdBy})`.execute(
    tx,
  )
}

/**
 * Documents that another one took the place of before that time, but for those that a relay still works by.
 * @returns how many went, at most `limit`
 */
export function sweepSettings(tx: Tx, organisation: OrganisationId, before: Date, limit: number): Promise<number> {
  return countOf(
    tx,
    sql`delete from relay_settings where (organisation_id, project_id, version) in (
          select s.organisation_id, s.project_id, s.version from relay_settings s
           cross join lateral (
             select n.version, n.created_at from relay_settings n
              where n.organisation_id = s.organisation_id and n.project_id = s.project_id and n.version > s.version
              order by n.version limit 1) as next
           where s.organisation_id = ${organisation} and next.created_at < ${before}
             and not exists (
               select from relay r
                where r.organisation_id = s.organisation_id and r.project_id = s.project_id and r.state <> 'revoked'
                  and r.settings_version >= s.version and r.settings_version < next.version)
           limit ${limit})`,
  )
}

export async function listSettingsTenants(
  tx: Tx,
  organisation: OrganisationId,
  project: ProjectId,
): Promise<(SettingsTenant & { cloud: string })[]> {
  const rows = await rowsOf<{
    id: TenantId
    label: string
    cloud: string
    entra_tenant_id: string
    accepted_domains: string[]
    initial_domain: string | null
  }>(
    tx,
    sql`select id, label, cloud, entra_tenant_id, accepted_domains, initial_domain from tenant_connection
         where organisation_id = ${organisation} and project_id = ${project} order by label`,
  )
  return rows.map((row) => ({
    id: row.id,
    label: row.label,
    cloud: row.cloud,
    entraTenantId: row.entra_tenant_id,
    acceptedDomains: row.accepted_domains,
    initialDomain: row.initial_domain ?? undefined,
  }))
}

interface SettingsRow {
  version: number
  document: unknown
  created_at: Date
  created_by: string
}

const toSettings = ({ version, document, created_at, created_by }: SettingsRow): StoredSettings => ({
  version,
  // Read as if it were sent: what an older version wrote lacks members that have defaults by now.
  document: settingsDocumentSchema.parse(document),
  createdAt: created_at,
  createdBy: created_by,
})
