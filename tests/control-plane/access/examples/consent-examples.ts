// Connecting tenants: manifest, consent, certificates, health.
import { sql } from 'kysely'
import { withScope } from '../../../../control-plane/db/database.ts'
import { tenantBody } from './project-examples.ts'
import { done } from './world.ts'
import type { Examples, World } from './world.ts'

/** One with an application of its own, that nobody has consented to. */
async function tenant(world: World): Promise<{ project: string; tenant: string }> {
  const project = await world.api.project(world.organisation)
  const own = { ...tenantBody('source'), appModel: 'single-tenant', clientId: crypto.randomUUID() }
  const body = (await done(world, 'POST', `/projects/${project}/tenants`, own)) as { id: string }
  return { project, tenant: body.id }
}

async function withCertificate(world: World): Promise<{ project: string; tenant: string; certificate: string }> {
  const at = await tenant(world)
  const path = `/projects/${at.project}/tenants/${at.tenant}/certificates`
  return { ...at, certificate: ((await done(world, 'POST', path)) as { id: string }).id }
}

async function proved(world: World): Promise<{ project: string; tenant: string }> {
  const at = await tenant(world)
  const { organisation } = world
  await withScope(world.api.database.db, { organisation }, (tx) =>
    sql`insert into consent (organisation_id, project_id, tenant_id, state, choices, proved_at, proved_by)
        values (${organisation}, ${at.project}, ${at.tenant}, 'checking', '{"capabilities":[],"optional":[]}', now(), 'x/y')`.execute(
      tx,
    ),
  )
  return at
}

const visit = () => ({ query: '?state=none', expects: 400 })

export const CONSENT_EXAMPLES: Examples = {
  startConsent: () => ({ query: '?link=none', expects: 400 }),
  finishConsent: visit,
  finishConsentSignIn: visit,
  readPermissionManifest: async (world) => ({ params: await tenant(world) }),
  readTenantConsent: async (world) => ({ params: await tenant(world) }),
  askTenantConsent: async (world) => {
    const { certificate: _, ...params } = await withCertificate(world)
    return { params, body: { capabilities: [{ capability: 'discovery' }] } }
  },
  checkTenant: async (world) => ({ params: await proved(world) }),
  readTenantHealth: async (world) => ({ params: await tenant(world) }),
  listConnectionCertificates: async (world) => ({ params: await tenant(world) }),
  makeConnectionCertificate: async (world) => ({ params: await tenant(world) }),
  readConnectionCertificate: async (world) => ({ params: await withCertificate(world) }),
  activateConnectionCertificate: async (world) => {
    const params = await withCertificate(world)
    // Another one would be tried at Entra first, which can't be reached from here.
    await withScope(world.api.database.db, { organisation: world.organisation }, (tx) =>
      sql`update connection_certificate set state = 'active', activated_at = now() where id = ${params.certificate}`.execute(
        tx,
      ),
    )
    return { params }
  },
  retireConnectionCertificate: async (world) => ({ params: await withCertificate(world) }),
}
