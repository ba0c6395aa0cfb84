// Operations, failed jobs and live events.
import { sql } from 'kysely'
import { withScope } from '../../../../control-plane/db/database.ts'
import { INSTALLATION, newId } from '../../../../control-plane/ids.ts'
import type { OrganisationId } from '../../../../control-plane/ids.ts'
import { nothing } from './world.ts'
import type { Example, Examples, World } from './world.ts'

/** Of the world's project, started with `mapping.import`: without that it isn't there. */
async function operation({ api, organisation, project }: World): Promise<Example> {
  const id = newId('operation')
  await withScope(api.database.db, { organisation }, (tx) =>
    sql`insert into operation (organisation_id, id, project_id, kind, permission, state, started_by, is_cancellable)
        values (${organisation}, ${id}, ${project}, 'mapping.import', 'mapping.import', 'queued', 'test', true)`.execute(
      tx,
    ),
  )
  return { params: { operation: id }, verdict: (_, held) => (held.has('mapping.import') ? 'allowed' : 404) }
}

async function failedJob({ api }: World, organisation: OrganisationId): Promise<Example> {
  const id = ++failedJobs
  await sql`insert into job (organisation_id, id, kind, state, attempts, failed_reason, failed_at)
            values (${organisation}, ${id}, 'keys.rewrap', 'failed', 5, 'TypeError', now())`.execute(
    api.database.owner.db,
  )
  return { params: { job: String(id) } }
}
/** Beyond those of the outbox. */
let failedJobs = 1_000_000

export const OPERATION_EXAMPLES: Examples = {
  readOperation: operation,
  cancelOperation: operation,
  streamOperation: operation,
  listOrganizationOperations: nothing,
  listProjectOperations: nothing,
  listFailedJobs: nothing,
  retryFailedJob: (world) => failedJob(world, world.organisation),
  discardFailedJob: (world) => failedJob(world, world.organisation),
  listInstallationFailedJobs: nothing,
  retryInstallationFailedJob: (world) => failedJob(world, INSTALLATION),
  discardInstallationFailedJob: (world) => failedJob(world, INSTALLATION),
  streamOrganizationEvents: nothing,
  streamProjectEvents: nothing,
}
