// Relays, their settings and keys, and what they tell of messages.
import { readFileSync } from 'node:fs'
import { sql } from 'kysely'
import { withScope } from '../../../../control-plane/db/database.ts'
import { newId } from '../../../../control-plane/ids.ts'
import { TestAuthority } from '../../../harness/certificates.ts'
import { ANY, done, nothing } from './world.ts'
import type { Examples, World } from './world.ts'

const fresh = ({ api, organisation }: World) => api.project(organisation, 'Relayed')

async function relay({ api, organisation, project }: World): Promise<{ relay: string }> {
  const id = newId('relay')
  await withScope(api.database.db, { organisation }, (tx) =>
    sql`insert into relay (organisation_id, project_id, id, name, state, signing_key, sealing_key, software_version, enrolled_at,
                           state_changed_at, pinned_key, seen_at)
        values (${organisation}, ${project}, ${id}, 'relay', 'active', 'k', 'k', '1', now(), now(), 'k', now())`.execute(
      tx,
    ),
  )
  return { relay: id }
}

async function enrolment(world: World): Promise<{ enrolment: string }> {
  const { id } = await done(world, 'POST', `/projects/${world.project}/relay-enrolments`, {})
  return { enrolment: id as string }
}

async function tenant(world: World): Promise<{ project: string; tenant: string }> {
  const { organisation, api } = world
  const project = await fresh(world)
  const id = newId('tenant')
  const guid = crypto.randomUUID()
  await withScope(api.database.db, { organisation }, async (tx) => {
    await sql`insert into tenant_claim (entra_tenant_id, organisation_id) values (${guid}, ${organisation})`.execute(tx)
    await sql`insert into tenant_connection (organisation_id, project_id, id, side, label, cloud, entra_tenant_id, app_model, created_by)
              values (${organisation}, ${project}, ${id}, 'source', 'contoso', 'global', ${guid}, 'multi-tenant', 'test')`.execute(
      tx,
    )
  })
  return { project, tenant: id }
}

async function dkimKey(world: World): Promise<{ project: string; dkimKey: string }> {
  const project = await fresh(world)
  const body = { domain: 'contoso.example', algorithm: 'ed25519' }
  const { id } = await done(world, 'POST', `/projects/${project}/dkim-keys`, body)
  return { project, dkimKey: id as string }
}

async function traced({ api, organisation, project }: World): Promise<{ queueId: string }> {
  const queueId = crypto.randomUUID()
  const { relay: at } = await relay({ api, organisation, project, key: '' })
  await withScope(api.database.db, { organisation }, async (tx) => {
    await sql`select make_message_partition((now() at time zone 'UTC')::date)`.execute(tx)
    await sql`insert into message_event (organisation_id, project_id, relay_id, time, id, received_at, class, event, queue_id, fields)
              values (${organisation}, ${project}, ${at}, now(), ${queueId}, now(), 'message', 'accepted', ${queueId}, '{}')`.execute(
      tx,
    )
  })
  return { queueId }
}

const LISTENER = { purpose: 'listener', names: ['mx.contoso.example'] }

async function certificate(world: World): Promise<{ project: string; certificate: string }> {
  const project = await fresh(world)
  const { id } = await done(world, 'POST', `/projects/${project}/certificates`, LISTENER)
  return { project, certificate: id as string }
}

let uploaded: { readonly key: string; readonly chain: string } | undefined

function keyAndChain(): { key: string; chain: string } {
  using authority = new TestAuthority()
  const made = authority.issue({ names: LISTENER.names.map((name) => `DNS:${name}`) })
  return { key: readFileSync(made.key, 'utf8'), chain: readFileSync(made.certificate, 'utf8') }
}

async function issued(world: World): Promise<{ project: string; certificate: string }> {
  const project = await fresh(world)
  uploaded ??= keyAndChain()
  const { id } = await done(world, 'POST', `/projects/${project}/certificates`, { ...LISTENER, ...uploaded })
  return { project, certificate: id as string }
}

export const RELAY_EXAMPLES: Examples = {
  listRelays: nothing,
  readRelay: async (world) => ({ params: await relay(world) }),
  drainRelay: async (world) => ({ params: await relay(world) }),
  resumeRelay: async (world) => ({ params: await relay(world) }),
  revokeRelay: async (world) => ({ params: await relay(world) }),
  createRelayEnrolment: () => ({ body: { name: 'For the first machine' } }),
  listRelayEnrolments: nothing,
  cancelRelayEnrolment: async (world) => ({ params: await enrolment(world) }),
  readRelaySettings: nothing,
  replaceRelaySettings: () => ({ body: {}, headers: ANY }),
  listRelaySettingsVersions: nothing,
  readRelaySettingsVersion: async (world) => {
    const { version } = await done(world, 'PUT', `/projects/${world.project}/relay-settings`, {}, ANY)
    return { params: { version: String(version) } }
  },
  listProofTokens: nothing,
  readProofTokens: async (world) => ({ params: await tenant(world) }),
  rotateProofToken: async (world) => ({ params: await tenant(world), headers: ANY, body: { direction: 'out' } }),
  endPreviousProofToken: async (world) => ({ params: await tenant(world), headers: ANY, body: { direction: 'in' } }),
  readRelayMarker: nothing,
  rotateRelayMarker: async (world) => ({
    params: { project: await fresh(world) },
    headers: ANY,
    body: { what: 'token' },
  }),
  createRelayNonce: async (world) => ({ params: { project: await fresh(world) }, body: {} }),
  listRelayNonces: nothing,
  deleteRelayNonce: async (world) => {
    const project = await fresh(world)
    const { id } = await done(world, 'POST', `/projects/${project}/relay-settings/nonces`, {})
    return { params: { project, nonce: id as string } }
  },
  createDkimKey: async (world) => ({
    params: { project: await fresh(world) },
    body: { domain: 'contoso.example', algorithm: 'ed25519' },
  }),
  listDkimKeys: nothing,
  readDkimKey: async (world) => ({ params: await dkimKey(world) }),
  checkDkimKey: async (world) => ({ params: await dkimKey(world) }),
  activateDkimKey: async (world) => ({ params: await dkimKey(world), body: { force: true } }),
  rotateDkimKey: async (world) => ({ params: await dkimKey(world), body: { selector: 'next' } }),
  retireDkimKey: async (world) => ({ params: await dkimKey(world) }),
  listCertificates: nothing,
  createCertificate: async (world) => ({ params: { project: await fresh(world) }, body: LISTENER }),
  readCertificate: async (world) => ({ params: await certificate(world) }),
  putCertificateChain: async (world) => {
    const params = await issued(world)
    return { params, body: { chain: uploaded?.chain } }
  },
  activateCertificate: async (world) => ({ params: await issued(world) }),
  rotateCertificate: async (world) => ({ params: await certificate(world), body: {} }),
  retireCertificate: async (world) => ({ params: await certificate(world) }),
  searchMessages: nothing,
  traceMessage: async (world) => ({ params: await traced(world) }),
}
