// Discoveries and accounts.
import { sql } from 'kysely'
import { withScope } from '../../../../control-plane/db/database.ts'
import { newId } from '../../../../control-plane/ids.ts'
import { tenantBody } from './project-examples.ts'
import { done } from './world.ts'
import type { Examples, World } from './world.ts'

/** A connected tenant with a discovery that found one group. */
async function discovered(
  world: World,
): Promise<{ project: string; tenant: string; discovery: string; account: string }> {
  const { api, organisation } = world
  const project = await api.project(organisation)
  const { id: tenant } = (await done(world, 'POST', `/projects/${project}/tenants`, tenantBody('source'))) as {
    id: string
  }
  const [discovery, account, object] = [newId('discovery'), newId('account'), crypto.randomUUID()]
  const snapshot = {
    objectId: object,
    kind: 'security-group',
    displayName: 'G',
    addresses: [],
    x500: [],
    otherAddresses: [],
  }
  const whole = { ...snapshot, isSynced: false, attributes: {}, licences: [], group: { members: 0 } }
  await withScope(api.database.db, { organisation }, async (tx) => {
    await sql`insert into consent (organisation_id, project_id, tenant_id, state, choices, proved_at, proved_by)
              values (${organisation}, ${project}, ${tenant}, 'connected', '{"capabilities":[],"optional":[]}', now(), 'x/y')`.execute(
      tx,
    )
    await sql`insert into discovery (organisation_id, project_id, id, tenant_id, number, mode, state, operation_id, author, started_at, finished_at)
              values (${organisation}, ${project}, ${discovery}, ${tenant}, 1, 'full', 'completed', 'opr_x', 'test', now(), now())`.execute(
      tx,
    )
    await sql`insert into account (organisation_id, project_id, tenant_id, id, object_id, valid_from, kind, display_name, sort_key, is_synced,
                                   snapshot, digest, created_at)
              values (${organisation}, ${project}, ${tenant}, ${account}, ${object}, 1, 'security-group', 'G', 'g', false,
                      ${JSON.stringify(whole)}::jsonb, ''::bytea, now())`.execute(tx)
  })
  return { project, tenant, discovery, account }
}

const account = async (world: World) => {
  const { project, account: id } = await discovered(world)
  return { params: { project, account: id } }
}
const discovery = async (world: World) => {
  const { project, discovery: id } = await discovered(world)
  return { params: { project, discovery: id } }
}

export const DIRECTORY_EXAMPLES: Examples = {
  listDiscoveries: async (world) => ({ params: { project: (await discovered(world)).project } }),
  startDiscovery: async (world) => {
    const { project, tenant } = await discovered(world)
    return { params: { project }, body: { tenant } }
  },
  readDiscovery: discovery,
  listDiscoveryChanges: discovery,
  listAccounts: async (world) => ({ params: { project: (await discovered(world)).project } }),
  readAccount: account,
  listAccountVersions: account,
  listGroupMembers: account,
}
