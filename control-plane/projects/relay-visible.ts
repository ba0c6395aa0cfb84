// Every change that a project's relays must be told of goes through here: the snapshot's version grows in the change's own transaction, and the
// relays' streams are woken by its commit. (RC-2, product.md §5)
import { sql } from 'kysely'
import { rowOf } from '../db/database.ts'
import type { Tx } from '../db/database.ts'
import { wakeStreams } from '../db/outbox.ts'
import type { OrganisationId, ProjectId } from '../ids.ts'

export interface SnapshotVersions {
  readonly snapshotVersion: number
  readonly mappingRevision: number
  readonly settingsVersion: number
}

/**
 * Locks the project's row until the commit: changes of one project come one after another.
 * @param of  what changed: the table, or what relays are told beside it
 */
export async function bumpSnapshot(
  tx: Tx,
  organisation: OrganisationId,
  project: ProjectId,
  of: 'mapping' | 'settings' | 'relays',
): Promise<SnapshotVersions> {
  const row = await rowOf<{ snapshot_version: number; mapping_revision: number; settings_version: number }>(
    tx,
    sql`update project
           set snapshot_version = snapshot_version + 1,
               mapping_revision = mapping_revision + ${of === 'mapping' ? 1 : 0},
               settings_version = settings_version + ${of === 'settings' ? 1 : 0}
         where organisation_id = ${organisation} and id = ${project}
     returning snapshot_version, mapping_revision, settings_version`,
  )
  if (row === undefined) throw new Error('unreachable: no such project in this scope')
  await wakeStreams(tx, { organisation, project })
  return {
    snapshotVersion: row.snapshot_version,
    mappingRevision: row.mapping_revision,
    settingsVersion: row.settings_version,
  }
}
