// Roles: built-in ones stay as they are, own ones hold no more than who makes them, and nobody changes the one he acts through. (AZ-5)
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { sql } from 'kysely'
import { memberRoutes } from '../../../control-plane/access/member-routes.ts'
import { BUILT_IN_ROLES } from '../../../control-plane/access/permissions.ts'
import { shadowsBuiltIn } from '../../../control-plane/access/role.ts'
import { roleRoutes } from '../../../control-plane/access/role-routes.ts'
import { withScope } from '../../../control-plane/db/database.ts'
import { newId } from '../../../control-plane/ids.ts'
import type { OrganisationId, RoleId } from '../../../control-plane/ids.ts'
import { testApi } from '../../harness/api.ts'

const it = await testApi({ after }, () => [...roleRoutes(), ...memberRoutes()])

/** A role put there past the API, and a member who acts through it. */
async function actor(organisation: OrganisationId, permissions: readonly string[], project?: string) {
  const id = newId('role')
  await withScope(it.database.db, { organisation }, (tx) =>
    sql`insert into role (organisation_id, id, name, permissions) values (${organisation}, ${id}, ${id}, ${[...permissions]})`.execute(
      tx,
    ),
  )
  return { role: id, ...(await it.member(organisation, id, project)) }
}

async function made(organisation: OrganisationId, key: string, name: string, permissions: string[]) {
  const reply = await it.request('POST', `/organizations/${organisation}/roles`, { name, permissions }, { key })
  assert.equal(reply.status, 201)
  return {
    id: reply.body.id as RoleId,
    etag: reply.headers.get('etag') ?? '',
    path: `/organizations/${organisation}/roles/${reply.body.id}`,
  }
}

test('a role of one’s own is made, read, changed with its ETag, and deleted', async () => {
  const { id, key } = await it.organisation()
  const role = await made(id, key, 'Relay watchers', ['relay.read', 'project.read'])
  const read = await it.request('GET', role.path, undefined, { key })
  assert.deepEqual(
    [read.body.name, read.body.isBuiltIn, read.body.permissions],
    ['Relay watchers', false, ['project.read', 'relay.read']],
  )
  const change = { permissions: ['relay.read', 'relay.manage', 'project.read'] }
  const changed = await it.request('PATCH', role.path, change, { key, headers: { 'If-Match': role.etag } })
  assert.deepEqual([changed.status, changed.body.permissions], [200, ['project.read', 'relay.read', 'relay.manage']])
  assert.equal((await it.request('PATCH', role.path, change, { key, headers: { 'If-Match': role.etag } })).status, 412)
  const headers = { 'If-Match': changed.headers.get('etag') ?? '' }
  assert.equal((await it.request('DELETE', role.path, undefined, { key, headers })).status, 204)
  assert.equal((await it.request('GET', role.path, undefined, { key })).status, 404)
})

test('changing or deleting a role needs the ETag: 428 without', async () => {
  const { id, key } = await it.organisation()
  const role = await made(id, key, 'Readers', ['project.read'])
  assert.equal((await it.request('PATCH', role.path, { name: 'x' }, { key })).status, 428)
  assert.equal((await it.request('DELETE', role.path, undefined, { key })).status, 428)
})

for (const role of Object.keys(BUILT_IN_ROLES)) {
  test(`AZ-5: the built-in role ${role} can be read, and neither changed nor deleted`, async () => {
    const { id, key } = await it.organisation()
    const path = `/organizations/${id}/roles/${role}`
    assert.equal((await it.request('GET', path, undefined, { key })).body.isBuiltIn, true)
    const headers = { 'If-Match': '*' }
    const changed = await it.request('PATCH', path, { permissions: ['project.read'] }, { key, headers })
    assert.deepEqual([changed.status, changed.body.type], [409, '/problems/built-in-role'])
    const deleted = await it.request('DELETE', path, undefined, { key, headers })
    assert.deepEqual([deleted.status, deleted.body.type], [409, '/problems/built-in-role'])
  })
}

const names: [name: string, shadows: boolean, why: string][] = [
  ['Auditor', true, 'the very name'],
  ['AUDITOR', true, 'another case'],
  ['mail-operator', true, 'its id'],
  ['Mail  operator', true, 'two spaces look like one'],
  ['Mail operator', true, 'a space that does not break'],
  ['Mail‐operator', true, 'another hyphen'],
  ['Ｈｅｌｐ ｄｅｓｋ', true, 'full-width letters'],
  ['Organisation administrator', true, 'the other spelling'],
  ['Support', true, 'what grants give'],
  ['Auditors of Contoso', false, 'a name of its own'],
  ['Help desk, night', false, 'a name of its own'],
]
for (const [name, shadows, why] of names) {
  test(`AZ-5: a role named ${JSON.stringify(name)} ${shadows ? 'would shadow a built-in one' : 'is fine'}: ${why}`, async () => {
    assert.equal(shadowsBuiltIn(name), shadows)
    const { id, key } = await it.organisation()
    const reply = await it.request(
      'POST',
      `/organizations/${id}/roles`,
      { name, permissions: ['project.read'] },
      { key },
    )
    assert.equal(reply.status, shadows ? 409 : 201)
    if (shadows) return
    const other = await made(id, key, 'Other', ['project.read'])
    const renamed = await it.request(
      'PATCH',
      other.path,
      { name: 'auditor' },
      { key, headers: { 'If-Match': other.etag } },
    )
    assert.equal(renamed.body.type, '/problems/built-in-role')
  })
}

test('two roles of an organisation have different names, whatever the case', async () => {
  const { id, key } = await it.organisation()
  await made(id, key, 'Night shift', ['project.read'])
  const other = await made(id, key, 'Day shift', ['project.read'])
  const again = await it.request(
    'POST',
    `/organizations/${id}/roles`,
    { name: 'NIGHT shift', permissions: ['project.read'] },
    { key },
  )
  assert.deepEqual([again.status, again.body.type], [409, '/problems/name-taken'])
  const renamed = await it.request(
    'PATCH',
    other.path,
    { name: 'night Shift' },
    { key, headers: { 'If-Match': other.etag } },
  )
  assert.equal(renamed.body.type, '/problems/name-taken')
})

const badPermissions: [permissions: unknown, why: string][] = [
  [[], 'a role that holds nothing'],
  [['project.read', 'project.read'], 'one twice'],
  [['installation.manage'], 'no organisation can give away the installation'],
  [['project.*'], 'no such permission'],
  [['__proto__'], 'PS-3'],
  ['project.read', 'no list'],
]
for (const [permissions, why] of badPermissions) {
  test(`permissions ${JSON.stringify(permissions)} are refused: ${why}`, async () => {
    const { id, key } = await it.organisation()
    const reply = await it.request('POST', `/organizations/${id}/roles`, { name: 'x', permissions }, { key })
    assert.equal(reply.status, 400)
  })
}

test('AZ-5: nobody makes a role that holds more than he does, and the refusal is audited', async () => {
  const { id, key } = await it.organisation()
  const { key: lesser } = await actor(id, ['organization.read', 'role.manage', 'project.read'])
  const path = `/organizations/${id}/roles`
  const refused = await it.request(
    'POST',
    path,
    { name: 'More', permissions: ['project.read', 'mapping.write'] },
    { key: lesser },
  )
  assert.deepEqual([refused.status, refused.body.permission], [403, 'mapping.write'])
  await made(id, lesser, 'As much', ['project.read'])
  const role = await made(id, key, 'Mappers', ['mapping.write', 'project.read'])
  const headers = { 'If-Match': role.etag }
  for (const [body, why] of [
    [{ permissions: ['project.read', 'mapping.write', 'mapping.import'] }, 'adds what he does not hold'],
    [{ permissions: ['project.read'] }, 'takes away what he does not hold'],
    [{ name: 'Other' }, 'holds what he does not hold'],
  ] as const)
    assert.equal((await it.request('PATCH', role.path, body, { key: lesser, headers })).status, 403, why)
  assert.equal((await it.request('DELETE', role.path, undefined, { key: lesser, headers })).status, 403)
  const denials = await withScope(it.database.db, { organisation: id }, (tx) =>
    sql`select 1 from audit_event where action = 'access.denied'`.execute(tx),
  )
  assert.equal(denials.rows.length, 5)
})

test('AZ-5: permissions that a role of one project gives do not let a person make roles that hold them everywhere', async () => {
  const { id } = await it.organisation()
  const project = await it.project(id)
  const { key, member } = await actor(id, ['organization.read', 'role.manage'])
  await withScope(it.database.db, { organisation: id }, (tx) =>
    sql`insert into role_assignment (organisation_id, member_id, role_id, project_id, assigned_by)
        values (${id}, ${member}, 'organization-administrator', ${project}, 'test')`.execute(tx),
  )
  const body = { name: 'Everywhere', permissions: ['mapping.write'] }
  assert.equal((await it.request('POST', `/organizations/${id}/roles`, body, { key })).status, 403)
})

test('AZ-5: nobody changes or deletes the role he acts through, be it in one project alone', async () => {
  const { id, key } = await it.organisation()
  const own = await actor(id, ['organization.read', 'role.manage', 'project.read'])
  const project = await it.project(id)
  const elsewhere = await made(id, key, 'In a project', ['project.read'])
  await withScope(it.database.db, { organisation: id }, (tx) =>
    sql`insert into role_assignment (organisation_id, member_id, role_id, project_id, assigned_by)
        values (${id}, ${own.member}, ${elsewhere.id}, ${project}, 'test')`.execute(tx),
  )
  for (const role of [own.role, elsewhere.id]) {
    const path = `/organizations/${id}/roles/${role}`
    const headers = { 'If-Match': '*' }
    const changed = await it.request('PATCH', path, { permissions: ['project.read'] }, { key: own.key, headers })
    assert.deepEqual([changed.status, changed.body.type], [409, '/problems/role-in-use'])
    assert.equal(
      (await it.request('DELETE', path, undefined, { key: own.key, headers })).body.type,
      '/problems/role-in-use',
    )
    assert.equal((await it.request('PATCH', path, { name: role }, { key, headers })).status, 200, 'somebody else can')
  }
})

test('a role that somebody has is not deleted', async () => {
  const { id, key } = await it.organisation()
  const { role, member } = await actor(id, ['project.read'])
  const path = `/organizations/${id}/roles/${role}`
  const headers = { 'If-Match': '*' }
  const refused = await it.request('DELETE', path, undefined, { key, headers })
  assert.deepEqual([refused.status, refused.body.type, refused.body.members], [409, '/problems/role-assigned', 1])
  await it.request('PUT', `/organizations/${id}/members/${member}/assignments`, { assignments: [] }, { key, headers })
  assert.equal((await it.request('DELETE', path, undefined, { key, headers })).status, 204)
})

test('a role that is deleted while somebody is given it: one of the two is refused, and nobody is left with a role that is gone', async () => {
  for (let round = 0; round < 8; round++) {
    const { id, key } = await it.organisation()
    const role = await made(id, key, 'Fleeting', ['project.read'])
    const { member } = await it.member(id, 'auditor')
    const headers = { 'If-Match': '*' }
    const assignments = { assignments: [{ role: role.id }] }
    const [deleted, assigned] = await Promise.all([
      it.request('DELETE', role.path, undefined, { key, headers }),
      it.request('PUT', `/organizations/${id}/members/${member}/assignments`, assignments, { key, headers }),
    ])
    assert.deepEqual([deleted.status, assigned.status], deleted.status === 204 ? [204, 400] : [409, 200])
  }
})

test('roles are listed built-in first, page by page, each once', async () => {
  const { id, key } = await it.organisation()
  const own = []
  for (let n = 0; n < 5; n++) own.push((await made(id, key, `Role ${n}`, ['project.read'])).id)
  for (const limit of [1, 3, 5, 10, 100]) {
    const seen: string[] = []
    let path: string | undefined = `/organizations/${id}/roles?limit=${limit}`
    while (path !== undefined) {
      const { body } = await it.request('GET', path, undefined, { key })
      assert.ok(body.items.length <= limit)
      seen.push(...body.items.map((role: { id: string }) => role.id))
      path = body.next?.replace('/api/v1', '')
    }
    assert.deepEqual(seen, [...Object.keys(BUILT_IN_ROLES).toSorted(), ...own.toSorted()], `limit ${limit}`)
  }
  const custom = await it.request('GET', `/organizations/${id}/roles?kind=custom`, undefined, { key })
  assert.equal(custom.body.items.length, 5)
  const builtIn = await it.request('GET', `/organizations/${id}/roles?kind=built-in`, undefined, { key })
  assert.equal(builtIn.body.items.length, Object.keys(BUILT_IN_ROLES).length)
})

test('another organisation’s role is not there', async () => {
  const ours = await it.organisation()
  const theirs = await it.organisation('Fabrikam')
  const role = await made(theirs.id, theirs.key, 'Theirs', ['project.read'])
  const path = `/organizations/${ours.id}/roles/${role.id}`
  assert.equal((await it.request('GET', path, undefined, { key: ours.key })).status, 404)
  assert.equal(
    (await it.request('DELETE', path, undefined, { key: ours.key, headers: { 'If-Match': '*' } })).status,
    404,
  )
})
