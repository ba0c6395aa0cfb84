// Members: who is in an organisation with which roles; nobody gives more than he holds, and the last administrator stays. (AZ-5, AZ-7)
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { sql } from 'kysely'
import { memberRoutes } from '../../../control-plane/access/member-routes.ts'
import { roleRoutes } from '../../../control-plane/access/role-routes.ts'
import { supportGrantRoutes } from '../../../control-plane/access/support-grant-routes.ts'
import { rowsOf, withScope } from '../../../control-plane/db/database.ts'
import { newId } from '../../../control-plane/ids.ts'
import type { OrganisationId } from '../../../control-plane/ids.ts'
import { testApi } from '../../harness/api.ts'

const it = await testApi({ after }, () => [...memberRoutes(), ...roleRoutes(), ...supportGrantRoutes()])

const person = () => ({ tenantId: crypto.randomUUID(), objectId: crypto.randomUUID() })
const ADMINISTRATOR = { role: 'organization-administrator' }
const ANY = { 'If-Match': '*' }

/** A member with a role of these permissions, put there past the API. */
async function actor(organisation: OrganisationId, permissions: readonly string[]) {
  const role = newId('role')
  await withScope(it.database.db, { organisation }, (tx) =>
    sql`insert into role (organisation_id, id, name, permissions) values (${organisation}, ${role}, ${role}, ${[...permissions]})`.execute(
      tx,
    ),
  )
  return it.member(organisation, role)
}

async function administratorOf(id: OrganisationId, key: string): Promise<string> {
  const { body } = await it.request('GET', `/organizations/${id}/members?role=organization-administrator`, undefined, {
    key,
  })
  return body.items[0].id as string
}

test('a person is added by tenant and object id, in any case, with roles in the organisation and in single projects', async () => {
  const { id, key } = await it.organisation()
  const project = await it.project(id)
  const { tenantId, objectId } = person()
  const body = {
    tenantId: tenantId.toUpperCase(),
    objectId,
    displayName: 'Grace',
    assignments: [
      { role: 'auditor' },
      {
        role: 'mail-operator',
        project,
      },
    ],
  }
  const added = await it.request('POST', `/organizations/${id}/members`, body, { key })
  assert.equal(added.status, 201)
  assert.deepEqual([added.body.tenantId, added.body.displayName], [tenantId, 'Grace'])
  const read = await it.request('GET', `/organizations/${id}/members/${added.body.id}`, undefined, { key })
  assert.deepEqual(read.body.assignments, [{ role: 'auditor' }, { role: 'mail-operator', project }])
  const again = await it.request('POST', `/organizations/${id}/members`, { tenantId, objectId }, { key })
  assert.deepEqual([again.status, again.body.member], [409, added.body.id])
})

test('faults of assignments are told one by one, each with its place', async () => {
  const { id, key } = await it.organisation()
  const theirs = await it.organisation('Fabrikam')
  const foreign = await it.project(theirs.id)
  const assignments = [
    { role: 'auditor' },
    { role: 'rol_000000000000000000000000' },
    { role: 'auditor', project: foreign },
  ]
  const refused = await it.request('POST', `/organizations/${id}/members`, { ...person(), assignments }, { key })
  assert.equal(refused.status, 400)
  assert.deepEqual(
    refused.body.faults.map(({ pointer, code }: Record<string, string>) => [pointer, code]),
    [
      ['/assignments/1/role', 'unknown-role'],
      ['/assignments/2/project', 'unknown-project'],
    ],
  )
})

const badBodies: [body: Record<string, unknown>, pointer: string, why: string][] = [
  [{ tenantId: 'contoso.com', objectId: crypto.randomUUID() }, '/tenantId', 'AZ-1: never a name or address'],
  [{ ...person(), objectId: 'ada@contoso.com' }, '/objectId', 'AZ-1: never an address'],
  [{ ...person(), email: 'ada@contoso.com' }, '/email', 'unknown member'],
  [{ ...person(), displayName: 'Ada\nAdmin' }, '/displayName', 'a line break'],
  [{ ...person(), assignments: [{ role: 'auditor' }, { role: 'auditor' }] }, '/assignments', 'one twice'],
  [{ ...person(), assignments: [{ role: "x' or 1=1" }] }, '/assignments/0/role', 'no id'],
  [
    { ...person(), assignments: Array.from({ length: 201 }, (_, n) => ({ role: `r${n}` })) },
    '/assignments',
    'too many',
  ],
]
for (const [body, pointer, why] of badBodies) {
  test(`a member with ${pointer.slice(1)} that is wrong is refused: ${why}`, async () => {
    const { id, key } = await it.organisation()
    const refused = await it.request('POST', `/organizations/${id}/members`, body, { key })
    assert.deepEqual([refused.status, refused.body.faults[0].pointer], [400, pointer])
  })
}

test('AZ-5: nobody gives or takes a role that holds more than he does', async () => {
  const { id, key } = await it.organisation()
  const { key: lesser } = await actor(id, ['organization.read', 'member.manage', 'project.read'])
  const path = `/organizations/${id}/members`
  const give = await it.request('POST', path, { ...person(), assignments: [ADMINISTRATOR] }, { key: lesser })
  assert.equal(give.status, 403)
  assert.equal((await it.request('POST', path, person(), { key: lesser })).status, 201, 'somebody without roles')

  const boss = await administratorOf(id, key)
  await it.member(id, 'organization-administrator')
  for (const [method, suffix, body, why] of [
    ['DELETE', '', undefined, 'removes an administrator'],
    ['PATCH', '', { isDisabled: true }, 'disables an administrator'],
    ['PUT', '/assignments', { assignments: [] }, 'takes the role of an administrator'],
    ['PUT', '/assignments', { assignments: [ADMINISTRATOR, { role: 'auditor' }] }, 'adds a role that holds more'],
  ] as const)
    assert.equal(
      (await it.request(method, `${path}/${boss}${suffix}`, body, { key: lesser, headers: ANY })).status,
      403,
      why,
    )
  const unchanged = { assignments: [ADMINISTRATOR] }
  const kept = await it.request('PUT', `${path}/${boss}/assignments`, unchanged, { key: lesser, headers: ANY })
  assert.equal(kept.status, 200, 'what stays as it is needs nothing')
})

test('AZ-5: who holds more in one project alone gives it in that project alone', async () => {
  const { id } = await it.organisation()
  const [mine, other] = [await it.project(id), await it.project(id, 'Other')]
  const { key, member } = await actor(id, ['organization.read', 'member.manage'])
  await withScope(it.database.db, { organisation: id }, (tx) =>
    sql`insert into role_assignment (organisation_id, member_id, role_id, project_id, assigned_by)
        values (${id}, ${member}, 'mail-operator', ${mine}, 'test')`.execute(tx),
  )
  const give = (project?: string) =>
    it.request(
      'POST',
      `/organizations/${id}/members`,
      { ...person(), assignments: [{ role: 'mail-operator', project }] },
      { key },
    )
  assert.equal((await give(mine)).status, 201)
  assert.equal((await give(other)).status, 403)
  assert.equal((await give()).status, 403)
})

test('changing roles needs the ETag: 428 without, 412 with an old one', async () => {
  const { id, key } = await it.organisation()
  const { member } = await it.member(id, 'auditor')
  const path = `/organizations/${id}/members/${member}`
  const body = { assignments: [{ role: 'help-desk' }] }
  assert.equal((await it.request('PUT', `${path}/assignments`, body, { key })).status, 428)
  const etag = (await it.request('GET', path, undefined, { key })).headers.get('etag') ?? ''
  assert.equal(
    (await it.request('PUT', `${path}/assignments`, body, { key, headers: { 'If-Match': etag } })).status,
    200,
  )
  assert.equal(
    (await it.request('PUT', `${path}/assignments`, body, { key, headers: { 'If-Match': etag } })).status,
    412,
  )
  assert.equal((await it.request('DELETE', path, undefined, { key, headers: { 'If-Match': etag } })).status, 412)
})

test('a revocation holds from the next request on: role taken, member disabled, enabled again, removed', async () => {
  const { id, key } = await it.organisation()
  const auditor = await it.member(id, 'auditor')
  const path = `/organizations/${id}/members/${auditor.member}`
  const sees = async () =>
    (await it.request('GET', `/organizations/${id}/members`, undefined, { key: auditor.key })).status
  assert.equal(await sees(), 200)
  await it.request('PUT', `${path}/assignments`, { assignments: [] }, { key, headers: ANY })
  assert.equal(await sees(), 404)
  await it.request('PUT', `${path}/assignments`, { assignments: [{ role: 'auditor' }] }, { key, headers: ANY })
  assert.equal(await sees(), 200)
  await it.request('PATCH', path, { isDisabled: true }, { key })
  assert.equal(await sees(), 404)
  await it.request('PATCH', path, { isDisabled: false }, { key })
  assert.equal(await sees(), 200)
  assert.equal((await it.request('DELETE', path, undefined, { key })).status, 204)
  assert.equal(await sees(), 401, 'the key went with its owner')
})

for (const [how, method, suffix, body] of [
  ['removed', 'DELETE', '', undefined],
  ['disabled', 'PATCH', '', { isDisabled: true }],
  ['left without the role', 'PUT', '/assignments', { assignments: [{ role: 'auditor' }] }],
  ['left with the role in one project', 'PUT', '/assignments', 'project'],
] as const) {
  test(`AZ-5: the last administrator is not ${how}, but the last but one is`, async () => {
    const { id, key } = await it.organisation()
    const project = await it.project(id)
    const last = await administratorOf(id, key)
    const sent = body === 'project' ? { assignments: [{ ...ADMINISTRATOR, project }] } : body
    const act = (member: string) =>
      it.request(method, `/organizations/${id}/members/${member}${suffix}`, sent, { key, headers: ANY })
    const refused = await act(last)
    assert.deepEqual([refused.status, refused.body.type], [409, '/problems/last-administrator'])
    const { member: disabled } = await it.member(id, 'organization-administrator')
    await it.request('PATCH', `/organizations/${id}/members/${disabled}`, { isDisabled: true }, { key })
    assert.equal((await act(last)).status, 409, 'a disabled one does not count')
    const { member } = await it.member(id, 'organization-administrator')
    assert.ok((await act(member)).status < 300)
  })
}

test('AZ-5: two administrators remove each other at once: exactly one is left, every time', async () => {
  for (let round = 0; round < 10; round++) {
    const { id } = await it.organisation()
    await withScope(it.database.db, { organisation: id }, (tx) =>
      sql`delete from member where organisation_id = ${id}`.execute(tx),
    )
    const a = await it.member(id, 'organization-administrator')
    const b = await it.member(id, 'organization-administrator')
    const path = `/organizations/${id}/members`
    const replies = await Promise.all([
      it.request('DELETE', `${path}/${b.member}`, undefined, { key: a.key }),
      it.request('DELETE', `${path}/${a.member}`, undefined, { key: b.key }),
    ])
    const left = await withScope(it.database.db, { organisation: id }, (tx) =>
      rowsOf<{ id: string }>(tx, sql`select id from member`),
    )
    assert.equal(left.length, 1)
    assert.equal(
      replies.filter(({ status }) => status === 204).length,
      1,
      replies.map(({ status }) => status).join(' '),
    )
  }
})

test('AZ-5: two administrators step back at once: one of them is refused', async () => {
  for (let round = 0; round < 10; round++) {
    const { id } = await it.organisation()
    await withScope(it.database.db, { organisation: id }, (tx) =>
      sql`delete from member where organisation_id = ${id}`.execute(tx),
    )
    const both = [await it.member(id, 'organization-administrator'), await it.member(id, 'organization-administrator')]
    const replies = await Promise.all(
      both.map(({ key, member }) =>
        it.request(
          'PUT',
          `/organizations/${id}/members/${member}/assignments`,
          { assignments: [] },
          { key, headers: ANY },
        ),
      ),
    )
    assert.deepEqual(new Set(replies.map(({ status }) => status)), new Set([200, 409]))
  }
})

test('members are listed page by page, and found by person, role and project', async () => {
  const { id, key } = await it.organisation()
  const project = await it.project(id)
  const auditors = [await it.member(id, 'auditor'), await it.member(id, 'auditor')]
  const operator = await it.member(id, 'mail-operator', project)
  const ids = async (query: string) => {
    const found: string[] = []
    let path: string | undefined = `/organizations/${id}/members?limit=1&${query}`
    while (path !== undefined) {
      const { status, body } = await it.request('GET', path, undefined, { key })
      assert.equal(status, 200)
      found.push(...body.items.map((member: { id: string }) => member.id))
      path = body.next?.replace('/api/v1', '')
    }
    return found
  }
  assert.equal((await ids('')).length, 4)
  assert.deepEqual(await ids('role=auditor'), auditors.map(({ member }) => member).toSorted())
  assert.deepEqual(await ids(`project=${project}`), [operator.member])
  const [tenantId, objectId] = operator.principal.split('/')
  assert.deepEqual(await ids(`tenantId=${tenantId}&objectId=${objectId}`), [operator.member])
  assert.equal(
    (await it.request('GET', `/organizations/${id}/members?tenantId=${tenantId}`, undefined, { key })).status,
    400,
  )
})

const badCursors: [cursor: string, why: string][] = [
  ['x', 'no JSON'],
  [Buffer.from('[]').toString('base64url'), 'of a list with another order'],
  [Buffer.from('["\\u0000"]').toString('base64url'), 'NUL, which Postgres takes as no text'],
  [Buffer.from('[{"a":1}]').toString('base64url'), 'no key value'],
]
for (const [cursor, why] of badCursors) {
  test(`a made-up cursor is a bad request, not a fault of ours: ${why}`, async () => {
    const { id, key } = await it.organisation()
    const reply = await it.request('GET', `/organizations/${id}/members?cursor=${cursor}`, undefined, { key })
    assert.deepEqual([reply.status, reply.body.faults[0].pointer], [400, '/query/cursor'])
  })
}

test('another organisation’s member is not there, whoever asks', async () => {
  const ours = await it.organisation()
  const theirs = await it.organisation('Fabrikam')
  const { member } = await it.member(theirs.id, 'auditor')
  const path = `/organizations/${ours.id}/members/${member}`
  for (const [method, suffix, body] of [
    ['GET', '', undefined],
    ['PATCH', '', { displayName: 'x' }],
    ['PUT', '/assignments', { assignments: [] }],
    ['DELETE', '', undefined],
  ] as const)
    assert.equal((await it.request(method, path + suffix, body, { key: ours.key, headers: ANY })).status, 404, method)
})

test('AZ-7: whom support was granted to sees members by id, not by name', async () => {
  const { id, key } = await it.organisation()
  await it.request('POST', `/organizations/${id}/members`, { ...person(), displayName: 'Canary Name' }, { key })
  const support = it.session()
  const [tenantId, objectId] = support.principal.split('/')
  const grant = { tenantId, objectId, reason: 'Ticket 7', hours: 1 }
  await it.request('POST', `/organizations/${id}/support-grants`, grant, { key })
  const list = await it.request('GET', `/organizations/${id}/members`, undefined, support)
  assert.equal(list.body.items.length, 2)
  assert.ok(!JSON.stringify(list.body).includes('Canary'))
  const own = await it.request('GET', `/organizations/${id}/members`, undefined, { key })
  assert.ok(JSON.stringify(own.body).includes('Canary Name'))
})
