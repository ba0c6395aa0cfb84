// Operations and live events.
import { sql } from 'kysely'
import { withScope } from '../../../../control-plane/db/database.ts'
import { newId } from '../../../../control-plane/ids.ts'
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

export const OPERATION_EXAMPLES: Examples = {
  readOperation: operation,
  cancelOperation: operation,
  streamOperation: operation,
  listOrganizationOperations: nothing,
  listProjectOperations: nothing,
  streamOrganizationEvents: nothing,
  streamProjectEvents: nothing,
}
