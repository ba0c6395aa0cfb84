// When a change had reached all live relays of its project (control-plane.md §3.7): noted as it happens, asked for by revision or version.
import { sql } from 'kysely'
import { countOf, rowOf, rowsOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import { publishEvent } from '../db/outbox.ts'
import type { OrganisationId, ProjectId } from '../ids.ts'
import { commonlyApplied } from './relay.ts'
import type { ProjectVersions, Relay } from './relay.ts'
import { listLiveRelays } from './relay-store.ts'

/** What relays are to have: of the table, while it is held (mapping/held-table-store.ts), the revision before. */
export async function loadProjectVersions(
  tx: Tx,
  organisation: OrganisationId,
  project: ProjectId,
): Promise<ProjectVersions | undefined> {
  const row = await rowOf<{ snapshot_version: number; mapping_revision: number; settings_version: number }>(
    tx,
    sql`select snapshot_version, coalesce(held_revision, mapping_revision) as mapping_revision, settings_version from project
         where organisation_id = ${organisation} and id = ${project}`,
  )
  return (
    row && {
      snapshotVersion: row.snapshot_version,
      mappingRevision: row.mapping_revision,
      settingsVersion: row.settings_version,
    }
  )
}

/**
 * Until the commit nobody else of the project notes what was applied: of two relays that acknowledge at once, the second sees the first.
 *
 * @returns the relays that are waited for
 */
export async function lockLiveRelays(
  tx: Tx,
  organisation: OrganisationId,
  project: ProjectId,
  now: number,
): Promise<Relay[]> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`applied ${project}`}, 0))`.execute(tx)
  return listLiveRelays(tx, organisation, project, now)
}

/** Notes what all live relays have by now, and tells when that is news. @param live  from `lockLiveRelays` */
export async function noteApplied(
  tx: Tx,
  organisation: OrganisationId,
  project: ProjectId,
  live: readonly Relay[],
  now: number,
): Promise<void> {
  const wanted = await loadProjectVersions(tx, organisation, project)
  const common = commonlyApplied(live.map(({ report }) => report))
  if (wanted === undefined || common === undefined) return
  // No relay has what was never made: one that says so says it of itself only.
  const snapshotVersion = Math.min(common.snapshotVersion, wanted.snapshotVersion)
  const revision = Math.min(common.mappingRevision, wanted.mappingRevision)
  const settingsVersion = Math.min(common.settingsVersion, wanted.settingsVersion)
  const noted = await countOf(
    tx,
    sql`insert into snapshot_applied (organisation_id, project_id, snapshot_version, mapping_revision, settings_version, relays, applied_at)
        select ${organisation}, ${project}, ${snapshotVersion}::bigint, ${revision}, ${settingsVersion}, ${live.length}, ${new Date(now)}
         where not exists (select from snapshot_applied
                            where organisation_id = ${organisation} and project_id = ${project} and snapshot_version >= ${snapshotVersion})`,
  )
  if (noted === 0) return
  await publishEvent(tx, { organisation, project }, 'snapshot.applied', {
    snapshotVersion,
    revision,
    settingsVersion,
    relays: live.length,
  })
}

/** undefined: not every live relay has it yet, or there is none. */
export async function findAppliedAt(
  tx: Tx,
  organisation: OrganisationId,
  project: ProjectId,
  what: { readonly revision: number } | { readonly settingsVersion: number } | { readonly snapshotVersion: number },
): Promise<Date | undefined> {
  const [column, value] =
    'revision' in what
      ? (['mapping_revision', what.revision] as const)
      : 'settingsVersion' in what
        ? (['settings_version', what.settingsVersion] as const)
        : (['snapshot_version', what.snapshotVersion] as const)
  const row = await rowOf<{ applied_at: Date }>(
    tx,
    sql`select applied_at from snapshot_applied
         where organisation_id = ${organisation} and project_id = ${project} and ${sql.ref(column)} >= ${value}
         order by ${sql.ref(column)}, snapshot_version limit 1`,
  )
  return row?.applied_at
}

/** When revisions of the table were made; those that are no more there are left out. */
export async function revisionTimes(
  tx: Tx,
  organisation: OrganisationId,
  project: ProjectId,
  revisions: readonly number[],
): Promise<ReadonlyMap<number, Date>> {
  const wanted = [...new Set(revisions)]
  if (wanted.length === 0) return new Map()
  const rows = await rowsOf<{ revision: number; created_at: Date }>(
    tx,
    sql`select revision, created_at from mapping_revision
         where organisation_id = ${organisation} and project_id = ${project} and revision = any(${wanted}::bigint[])`,
  )
  return new Map(rows.map(({ revision, created_at }) => [revision, created_at]))
}
