// Organisations, members, roles, support grants, installation administrators.
import { sql } from 'kysely'
import { withScope } from '../../../../control-plane/db/database.ts'
import { newId } from '../../../../control-plane/ids.ts'
import type { OrganisationId } from '../../../../control-plane/ids.ts'
import { certificate } from './project-examples.ts'
import { ANY, nothing, person } from './world.ts'
import type { Examples, World } from './world.ts'

const member = async ({ api, organisation }: World) => ({ member: (await api.member(organisation, 'auditor')).member })

async function role({ api, organisation }: World): Promise<{ role: string }> {
  const id = newId('role')
  await withScope(api.database.db, { organisation }, (tx) =>
    sql`insert into role (organisation_id, id, name, permissions) values (${organisation}, ${id}, ${id}, '{project.read}')`.execute(
      tx,
    ),
  )
  return { role: id }
}

async function grant({ api, organisation }: World): Promise<{ grant: string }> {
  const id = newId('support-grant')
  await withScope(api.database.db, { organisation }, (tx) =>
    sql`insert into support_grant (organisation_id, id, principal, reason, granted_by, expires_at)
        values (${organisation}, ${id}, 'x/x', 'x', 'test', now() + interval '1 hour')`.execute(tx),
  )
  return { grant: id }
}

const noDeletion = ({ api, organisation }: World) =>
  withScope(api.database.db, { organisation }, (tx) =>
    sql`update organisation set deletion_requested_at = null where organisation_id = ${organisation}`.execute(tx),
  )

const pendingDeletion = ({ api, organisation }: World) =>
  withScope(api.database.db, { organisation }, (tx) =>
    sql`update organisation set deletion_requested_at = now(), deletion_requested_by = 'test' where organisation_id = ${organisation}`.execute(
      tx,
    ),
  )

export const ORGANISATION_EXAMPLES: Examples = {
  listOrganizations: nothing,
  createOrganization: () => ({ body: { name: 'New', administrator: person() } }),
  readOrganization: nothing,
  renameOrganization: async (world) => {
    await noDeletion(world)
    return { body: { name: 'Renamed' } }
  },
  requestOrganizationDeletion: async (world) => {
    await noDeletion(world)
    return {}
  },
  undoOrganizationDeletion: async (world) => {
    await pendingDeletion(world)
    return {}
  },
  readOrganizationSettings: nothing,
  replaceOrganizationSettings: () => ({ body: {} }),
  listOrganizationDeletionCertificates: nothing,
  readOrganizationDeletionCertificate: async ({ api }) => ({
    params: await certificate(api, 'installation' as OrganisationId),
  }),
}

export const ACCESS_EXAMPLES: Examples = {
  listMembers: nothing,
  addMember: () => ({ body: { ...person(), displayName: 'Ada' } }),
  readMember: async (world) => ({ params: await member(world) }),
  changeMember: async (world) => ({ params: await member(world), body: { displayName: 'Ada' } }),
  assignRoles: async (world) => ({
    params: await member(world),
    headers: ANY,
    body: { assignments: [{ role: 'help-desk' }] },
  }),
  removeMember: async (world) => ({ params: await member(world) }),
  listRoles: nothing,
  createRole: () => ({ body: { name: `Role ${crypto.randomUUID()}`, permissions: ['project.read'] } }),
  readRole: async (world) => ({ params: await role(world) }),
  changeRole: async (world) => ({
    params: await role(world),
    headers: ANY,
    body: { permissions: ['project.read', 'tenant.read'] },
  }),
  deleteRole: async (world) => ({ params: await role(world), headers: ANY }),
  listSupportGrants: nothing,
  grantSupport: () => ({ body: { ...person(), reason: 'Ticket', hours: 1 } }),
  readSupportGrant: async (world) => ({ params: await grant(world) }),
  revokeSupport: async (world) => ({ params: await grant(world) }),
  listInstallationAdministrators: nothing,
  addInstallationAdministrator: () => ({ body: person() }),
  removeInstallationAdministrator: async ({ api }) => {
    const [tid = '', oid = ''] = (await api.installationAdministrator()).principal.split('/')
    return { params: { tenant: tid, object: oid } }
  },
}
