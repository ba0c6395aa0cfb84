// Who am I, and what may I do where: as this credential, and as of now.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from 'kysely'
import { ORGANISATION_PERMISSIONS, SUPPORT_PERMISSIONS } from '../../../control-plane/access/permissions.ts'
import { withScope } from '../../../control-plane/db/database.ts'
import { newId } from '../../../control-plane/ids.ts'
import type { OrganisationId } from '../../../control-plane/ids.ts'
import { ALICE, CONTOSO } from '../../harness/entra-seed.ts'
import { ALICE_PRINCIPAL, aScene } from './session-scene.ts'
import type { Scene } from './session-scene.ts'

const HOUR = 3_600_000

async function makeMember(
  { api }: Scene,
  organisation: OrganisationId,
  roles: readonly [role: string, project: string][],
) {
  const member = newId('member')
  await withScope(api.database.db, { organisation }, async (tx) => {
    await sql`insert into member (organisation_id, id, principal, invited_by) values (${organisation}, ${member}, ${ALICE_PRINCIPAL}, 'test')`.execute(
      tx,
    )
    for (const [role, project] of roles)
      await sql`insert into role_assignment (organisation_id, member_id, role_id, project_id, assigned_by)
                values (${organisation}, ${member}, ${role}, ${project}, 'test')`.execute(tx)
  })
  return member
}

test('a person sees his permissions in every organisation and project of his, and no others', async (t) => {
  const scene = await aScene(t)
  const { api } = scene
  const whole = await api.organisation('Able')
  const part = await api.organisation('Baker')
  const guest = await api.organisation('Charlie')
  await api.organisation('Delta')
  const project = await api.project(part.id, 'Merger')
  await api.project(part.id, 'Secret')
  await makeMember(scene, whole.id, [['organization-administrator', '']])
  await makeMember(scene, part.id, [['help-desk', project]])
  const until = new Date(scene.clock.now + HOUR)
  await withScope(api.database.db, { organisation: guest.id }, (tx) =>
    sql`insert into support_grant (organisation_id, id, principal, reason, granted_by, created_at, expires_at)
        values (${guest.id}, ${newId('support-grant')}, ${ALICE_PRINCIPAL}, 'r', 'test', ${new Date(scene.clock.now)}, ${until})`.execute(
      tx,
    ),
  )
  const browser = await scene.signedIn()
  const me = async () => (await browser.call('GET', '/me')).body
  const { organizations, ...identity } = await me()
  assert.deepEqual(identity, {
    kind: 'person',
    tenantId: CONTOSO,
    objectId: ALICE.oid,
    displayName: ALICE.name,
    isInstallationAdministrator: false,
  })
  const [able, baker, charlie, ...others] = organizations
  assert.deepEqual(others, [])
  assert.deepEqual([able.name, able.permissions, able.projects], ['Able', ORGANISATION_PERMISSIONS, []])
  assert.deepEqual([baker.name, baker.permissions], ['Baker', []])
  assert.deepEqual(
    baker.projects.map(({ name }: { name: string }) => name),
    ['Merger'],
  )
  assert.ok(baker.projects[0].permissions.includes('message.trace'))
  assert.deepEqual(
    [charlie.permissions.toSorted(), charlie.supportUntil],
    [[...SUPPORT_PERMISSIONS].toSorted(), until.toISOString()],
  )
  scene.clock.now += HOUR
  const later = await scene.signedIn()
  assert.equal((await later.call('GET', '/me')).body.organizations.length, 2, 'the support has ended')
})

test('an installation administrator is told so, and is nobody in organisations for that', async (t) => {
  const scene = await aScene(t)
  await scene.api.organisation()
  await withScope(scene.api.database.db, { purpose: 'administration' }, (tx) =>
    sql`insert into installation_administrator (principal, added_by) values (${ALICE_PRINCIPAL}, 'test')`.execute(tx),
  )
  const { body } = await (await scene.signedIn()).call('GET', '/me')
  assert.deepEqual([body.isInstallationAdministrator, body.organizations], [true, []])
})

test('an API key sees what it may do itself: its owner’s permissions within its own', async (t) => {
  const { api } = await aScene(t)
  const { id } = await api.organisation()
  const project = await api.project(id)
  const desk = await api.member(id, 'help-desk')
  const narrow = await api.request(
    'POST',
    `/organizations/${id}/api-keys`,
    { name: 'n', project, permissions: ['mapping.read'] },
    { key: desk.key },
  )
  const { body } = await api.request('GET', '/me', undefined, { key: narrow.body.secret })
  assert.deepEqual(
    [body.kind, `${body.tenantId}/${body.objectId}`, body.apiKey, body.displayName, body.isInstallationAdministrator],
    ['person', desk.principal, narrow.body.key.id, undefined, false],
  )
  assert.deepEqual(body.organizations, [
    {
      id,
      name: 'Contoso',
      permissions: [],
      projects: [{ id: project, name: 'Merger', permissions: ['mapping.read'] }],
      needsNewerSignIn: false,
    },
  ])
})

test('organisations come in pages by name', async (t) => {
  const scene = await aScene(t)
  for (const name of ['c', 'A', 'b', 'D'])
    await makeMember(scene, (await scene.api.organisation(name)).id, [['auditor', '']])
  const browser = await scene.signedIn()
  const names: string[] = []
  for (let next: string | undefined = '/me?limit=3'; next !== undefined;) {
    const { body } = await browser.call('GET', next.replace('/api/v1', ''))
    names.push(...body.organizations.map(({ name }: { name: string }) => name))
    next = body.next as string | undefined
  }
  assert.deepEqual(names, ['A', 'b', 'c', 'D'])
})

test('an organisation that wants newer sign-ins than this one says so', async (t) => {
  const scene = await aScene(t)
  const { id } = await scene.api.organisation()
  await makeMember(scene, id, [['auditor', '']])
  await withScope(scene.api.database.db, { organisation: id }, (tx) =>
    sql`update organisation set settings = '{"signIn":{"maxSessionHours":1}}' where organisation_id = ${id}`.execute(
      tx,
    ),
  )
  const browser = await scene.signedIn()
  const needsNewer = async () => (await browser.call('GET', '/me')).body.organizations[0].needsNewerSignIn as boolean
  assert.equal(await needsNewer(), false)
  for (let n = 0; n < 4; n++) {
    scene.clock.now += HOUR / 4
    await needsNewer()
  }
  scene.clock.now += 1
  assert.equal(await needsNewer(), true)
})
