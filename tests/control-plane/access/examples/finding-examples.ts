// Findings and the assessment report.
import { sql } from 'kysely'
import { withScope } from '../../../../control-plane/db/database.ts'
import { newId } from '../../../../control-plane/ids.ts'
import { tenantBody } from './project-examples.ts'
import { done, nothing } from './world.ts'
import type { Examples, World } from './world.ts'

async function found(world: World): Promise<{ project: string; finding: string }> {
  const { api, organisation } = world
  const project = await api.project(organisation, 'Judged')
  const tenant = (await done(world, 'POST', `/projects/${project}/tenants`, tenantBody('source'))) as { id: string }
  const finding = newId('finding')
  await withScope(api.database.db, { organisation }, (tx) =>
    sql`insert into finding (organisation_id, project_id, id, fingerprint, pass, code, severity, about, tenant_id, sort_key, first_seen_at, last_seen_at)
        values (${organisation}, ${project}, ${finding}, ${Buffer.from(finding)}, 'tenants', 'tenant-synced', 'notice', 'tenant', ${tenant.id}, '',
                now(), now())`.execute(tx),
  )
  return { project, finding }
}

export const FINDING_EXAMPLES: Examples = {
  listFindings: nothing,
  summariseFindings: nothing,
  getFinding: async (world) => ({ params: await found(world) }),
  acknowledgeFinding: async (world) => ({ params: await found(world), body: { acknowledged: true } }),
  readAssessmentReport: () => ({ audits: ['done'] }),
}
