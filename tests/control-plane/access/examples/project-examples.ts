// Projects, their deletion and its certificates, tenants.
import { sql } from 'kysely'
import { withScope } from '../../../../control-plane/db/database.ts'
import { newId } from '../../../../control-plane/ids.ts'
import type { OrganisationId } from '../../../../control-plane/ids.ts'
import type { TestApi } from '../../../harness/api.ts'
import { nothing } from './world.ts'
import type { Examples, World } from './world.ts'

async function pendingProject({ api, organisation }: World): Promise<{ project: string }> {
  const project = await api.project(organisation)
  await withScope(api.database.db, { organisation }, (tx) =>
    sql`update project set deletion_requested_at = now(), deletion_requested_by = 'test' where id = ${project}`.execute(
      tx,
    ),
  )
  return { project }
}

export const tenantBody = (side: 'source' | 'target') => ({
  side,
  label: `t-${crypto.randomUUID().slice(0, 8)}`,
  tenantId: crypto.randomUUID(),
})

async function tenant({ api, organisation, key }: World): Promise<{ project: string; tenant: string }> {
  const project = await api.project(organisation)
  const { body } = await api.request('POST', `/projects/${project}/tenants`, tenantBody('source'), { key })
  return { project, tenant: body.id as string }
}

export async function certificate(api: TestApi, home: OrganisationId): Promise<{ certificate: string }> {
  const id = newId('deletion-certificate')
  const at = new Date().toISOString()
  const document = {
    format: 'causeway-deletion-certificate/1',
    id,
    organization: home,
    subject: {
      kind: 'project',
      id: newId('project'),
    },
    requestedAt: at,
    requestedBy: 'x',
    forcedBy: [],
    startedAt: at,
    completedAt: at,
    steps: [],
    backupsExpireAt: at,
  }
  await withScope(api.database.db, { organisation: home }, (tx) =>
    sql`insert into deletion_certificate (organisation_id, id, subject, document, created_at)
        values (${home}, ${id}, ${document.subject.id}, ${JSON.stringify(document)}, now())`.execute(tx),
  )
  return { certificate: id }
}

export const PROJECT_EXAMPLES: Examples = {
  exportPerson: () => ({ body: { addresses: ['nobody@contoso.example'] }, audits: ['done'] }),
  erasePerson: () => ({ body: { addresses: ['nobody@contoso.example'], confirm: 0 } }),
  listProjects: nothing,
  createProject: () => ({ body: { name: 'Merger' } }),
  readProject: nothing,
  changeProject: () => ({ body: { description: 'Changed' } }),
  requestProjectDeletion: async ({ api, organisation }) => ({ params: { project: await api.project(organisation) } }),
  readProjectDeletion: async (world) => ({ params: await pendingProject(world) }),
  undoProjectDeletion: async (world) => ({ params: await pendingProject(world) }),
  forceProjectDeletion: async (world) => ({ params: await pendingProject(world) }),
  listDeletionCertificates: nothing,
  readDeletionCertificate: async ({ api, organisation }) => ({ params: await certificate(api, organisation) }),
  listTenants: nothing,
  registerTenant: () => ({ body: tenantBody('source') }),
  readTenant: async (world) => ({ params: await tenant(world) }),
  changeTenant: async (world) => ({ params: await tenant(world), body: { name: 'Contoso' } }),
  removeTenant: async (world) => ({ params: await tenant(world) }),
}
