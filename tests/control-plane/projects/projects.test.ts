// Projects: created, listed to whom they concern, changed, and asked to be deleted. (control-plane.md §2, KM-3)
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { sql } from 'kysely'
import { newApiKey } from '../../../control-plane/access/api-key.ts'
import { memberRoutes } from '../../../control-plane/access/member-routes.ts'
import { rowsOf, withScope } from '../../../control-plane/db/database.ts'
import { newId } from '../../../control-plane/ids.ts'
import type { OrganisationId } from '../../../control-plane/ids.ts'
import { deletionRoutes } from '../../../control-plane/projects/deletion-routes.ts'
import { projectRoutes } from '../../../control-plane/projects/project-routes.ts'
import { testApi } from '../../harness/api.ts'

const it = await testApi({ after }, () => [...projectRoutes(), ...deletionRoutes(), ...memberRoutes()])

const names = (body: { items: { name: string }[] }) => body.items.map(({ name }) => name)
const jobsOf = (organisation: OrganisationId) =>
  withScope(it.database.db, { organisation }, (tx) =>
    rowsOf<{ kind: string; object_id: string }>(tx, sql`select kind, object_id from outbox`),
  )

test('a project is created, read and changed; each is one audit event and one live event', async () => {
  const { id, key } = await it.organisation()
  const created = await it.request(
    'POST',
    `/organizations/${id}/projects`,
    { name: 'Merger', description: 'a\nb' },
    { key },
  )
  assert.equal(created.status, 201)
  const path = `/projects/${created.body.id}`
  assert.equal(created.headers.get('location'), `/api/v1${path}`)
  assert.deepEqual(
    [created.body.organization, created.body.mappingRevision, created.body.showsTitles, created.body.deletion],
    [id, 0, false, undefined],
  )
  const changed = await it.request('PATCH', path, { showsTitles: true }, { key, headers: { 'If-Match': '"1"' } })
  assert.deepEqual([changed.status, changed.body.name, changed.body.showsTitles], [200, 'Merger', true])
  assert.equal((await it.request('PATCH', path, { name: 'x' }, { key, headers: { 'If-Match': '"1"' } })).status, 412)
  const read = await it.request('GET', path, undefined, { key })
  assert.deepEqual([read.body, read.headers.get('etag')], [changed.body, '"2"'])
  await withScope(it.database.db, { organisation: id }, async (tx) => {
    const audited = await rowsOf(tx, sql`select action, object from audit_event order by sequence`)
    assert.deepEqual(audited, [
      { action: 'project.created', object: created.body.id },
      { action: 'project.changed', object: created.body.id },
    ])
    const events = await rowsOf<{ type: string }>(tx, sql`select type from event order by id`)
    assert.deepEqual(
      events.map(({ type }) => type),
      ['project.created', 'project.changed'],
    )
  })
})

test('a list shows those that the caller may read: all by a role in the organisation, one by a role in it', async () => {
  const { id, key } = await it.organisation()
  const [first, second] = [await it.project(id, 'First'), await it.project(id, 'Second')]
  const path = `/organizations/${id}/projects`
  const list = async (of: string) => {
    const reply = await it.request('GET', path, undefined, { key: of })
    return reply.status === 200 ? names(reply.body) : reply.status
  }
  assert.deepEqual(await list(key), ['First', 'Second'])
  assert.deepEqual(await list((await it.member(id, 'auditor')).key), ['First', 'Second'])
  assert.deepEqual(await list((await it.member(id, 'mail-operator', second)).key), ['Second'])
  const theirs = await it.organisation('Fabrikam')
  assert.equal(await list(theirs.key), 404)
  assert.equal((await it.request('GET', `/projects/${first}`, undefined, { key: theirs.key })).status, 404)
  const noReader = newId('role')
  await withScope(it.database.db, { organisation: id }, (tx) =>
    sql`insert into role (organisation_id, id, name, permissions) values (${id}, ${noReader}, 'x', '{preview.use}')`.execute(
      tx,
    ),
  )
  assert.deepEqual(await list((await it.member(id, noReader, first)).key), [], 'a role that reads no project')
})

test('a key that is for one project lists that project, be it a person’s or a service’s', async () => {
  const { id } = await it.organisation()
  const [mine] = [await it.project(id, 'Mine'), await it.project(id, 'Other')]
  const owner = await it.member(id, 'migration-administrator')
  for (const isService of [false, true]) {
    const key = newApiKey()
    await withScope(it.database.db, { organisation: id }, (tx) =>
      sql`insert into api_key (organisation_id, id, name, prefix, key_hash, principal, is_service, member_id, permissions, project_id, expires_at)
          values (${id}, ${newId('api-key')}, 'x', ${key.prefix}, ${key.hash}, ${owner.principal}, ${isService},
                  ${isService ? null : owner.member}, '{project.read}', ${mine}, now() + interval '1 day')`.execute(tx),
    )
    const reply = await it.request('GET', `/organizations/${id}/projects`, undefined, { key: key.text })
    assert.deepEqual([reply.status, names(reply.body)], [200, ['Mine']], `isService ${isService}`)
  }
})

test('a list is by name in any case, page by page, each once; found by the beginning of the name and by deletion', async () => {
  const { id, key } = await it.organisation()
  const written = ['delta', 'Alpha', 'éclair', 'alpha', 'Beta %', 'İstanbul', 'Alphabet']
  for (const name of written) await it.project(id, name)
  const path = `/organizations/${id}/projects`
  for (const limit of [1, 2, 7]) {
    const seen: string[] = []
    let next: string | undefined = `${path}?limit=${limit}`
    while (next !== undefined) {
      const { body } = await it.request('GET', next, undefined, { key })
      seen.push(...names(body))
      next = body.next?.replace('/api/v1', '')
    }
    assert.deepEqual(seen.toSorted(), written.toSorted(), `limit ${limit}`)
    assert.deepEqual(
      seen.slice(0, 5).map((name) => name.toLowerCase()),
      ['alpha', 'alpha', 'alphabet', 'beta %', 'delta'],
    )
  }
  const found = async (query: string) => names((await it.request('GET', `${path}?${query}`, undefined, { key })).body)
  assert.deepEqual((await found('name=ALPHA')).toSorted(), ['Alpha', 'Alphabet', 'alpha'])
  assert.deepEqual(await found('name=%25'), [], 'no wildcard')
  assert.deepEqual(await found('name=beta%20%25'), ['Beta %'])
  const [beta] = (await it.request('GET', `${path}?name=beta`, undefined, { key })).body.items
  await it.request('DELETE', `/projects/${beta.id}`, undefined, { key })
  assert.deepEqual(await found('deletion=requested'), ['Beta %'])
  assert.equal((await found('deletion=none')).length, 6)
  assert.equal((await it.request('GET', `${path}?name=%00`, undefined, { key })).status, 400)
})

test('TI-1: a project of another organisation is not there, by any method', async () => {
  const ours = await it.organisation()
  const theirs = await it.organisation('Fabrikam')
  const project = await it.project(theirs.id)
  for (const [method, suffix, body] of [
    ['GET', '', undefined],
    ['PATCH', '', { name: 'x' }],
    ['DELETE', '', undefined],
    ['GET', '/deletion', undefined],
    ['DELETE', '/deletion', undefined],
    ['POST', '/deletion/force', undefined],
  ] as const)
    assert.equal(
      (await it.request(method, `/projects/${project}${suffix}`, body, { key: ours.key })).status,
      404,
      `${method} ${suffix}`,
    )
})

const badBodies: [body: unknown, pointer: string, why: string][] = [
  [{}, '/name', 'without a name'],
  [{ name: 'x', id: 'prj_x' }, '/id', 'WS-4: mass assignment'],
  [{ name: 'x', mappingRevision: 9 }, '/mappingRevision', 'WS-4: mass assignment'],
  [{ name: 'x', description: 'a\u0007b' }, '/description', 'a bell'],
  [{ name: 'x', description: 'a\u001b[31m' }, '/description', 'an escape sequence'],
  [{ name: 'x', description: 'a'.repeat(2001) }, '/description', 'one too long'],
  [{ name: 'x', showsTitles: 'yes' }, '/showsTitles', 'no boolean'],
]
for (const [body, pointer, why] of badBodies) {
  test(`a project is not created with a wrong ${pointer.slice(1)}: ${why}`, async () => {
    const { id, key } = await it.organisation()
    const refused = await it.request('POST', `/organizations/${id}/projects`, body, { key })
    assert.deepEqual(
      [refused.status, refused.body.faults.map((fault: { pointer: string }) => fault.pointer)],
      [400, [pointer]],
    )
  })
}

test('KM-3: deletion is asked for, stands in the project, stops its changes, and is undone', async () => {
  const { id, key } = await it.organisation()
  const path = `/projects/${await it.project(id)}`
  assert.equal(
    (await it.request('GET', `${path}/deletion`, undefined, { key })).body.type,
    '/problems/deletion-not-requested',
  )
  const asked = await it.request('DELETE', path, undefined, { key })
  assert.equal(asked.status, 202)
  const { deletion } = asked.body
  assert.deepEqual((await it.request('GET', `${path}/deletion`, undefined, { key })).body, deletion)
  assert.equal(Date.parse(deletion.undoableUntil) - Date.parse(deletion.requestedAt), 7 * 86_400_000)
  assert.deepEqual([deletion.forcedBy, deletion.isForced], [[], false])
  assert.equal((await it.request('DELETE', path, undefined, { key })).body.type, '/problems/deletion-pending')
  assert.equal((await it.request('PATCH', path, { name: 'x' }, { key })).body.type, '/problems/deletion-pending')
  const undone = await it.request('DELETE', `${path}/deletion`, undefined, { key })
  assert.deepEqual([undone.status, undone.body.deletion], [200, undefined])
  assert.equal(
    (await it.request('DELETE', `${path}/deletion`, undefined, { key })).body.type,
    '/problems/deletion-not-requested',
  )
  assert.deepEqual(await jobsOf(id), [], 'nothing was set going')
})

test('KM-3: two different people force a deletion; one person with two keys is one', async () => {
  const { id, key } = await it.organisation()
  const project = await it.project(id)
  const path = `/projects/${project}`
  const [a, b] = [await it.member(id, 'migration-administrator'), await it.member(id, 'migration-administrator')]
  assert.equal(
    (await it.request('POST', `${path}/deletion/force`, undefined, { key })).body.type,
    '/problems/deletion-not-requested',
  )
  await it.request('DELETE', path, undefined, { key })
  for (let n = 0; n < 2; n++) {
    const once = await it.request('POST', `${path}/deletion/force`, undefined, { key: a.key })
    assert.deepEqual([once.status, once.body.deletion.isForced], [202, false])
  }
  const sameInBrowser = it.session({ principal: a.principal })
  const same = await it.request('POST', `${path}/deletion/force`, undefined, sameInBrowser)
  assert.deepEqual([same.status, same.body.deletion.forcedBy, same.body.deletion.isForced], [202, [a.principal], false])
  assert.deepEqual(await jobsOf(id), [])
  const twice = await it.request('POST', `${path}/deletion/force`, undefined, { key: b.key })
  assert.deepEqual([twice.body.deletion.isForced, twice.body.deletion.forcedBy], [true, [a.principal, b.principal]])
  assert.deepEqual(await jobsOf(id), [{ kind: 'project.delete', object_id: project }])
})

test('KM-3: what was forced once is forgotten when the deletion is undone', async () => {
  const { id, key } = await it.organisation()
  const path = `/projects/${await it.project(id)}`
  const [a, b] = [await it.member(id, 'migration-administrator'), await it.member(id, 'migration-administrator')]
  await it.request('DELETE', path, undefined, { key })
  await it.request('POST', `${path}/deletion/force`, undefined, { key: a.key })
  await it.request('DELETE', `${path}/deletion`, undefined, { key })
  await it.request('DELETE', path, undefined, { key })
  const forced = await it.request('POST', `${path}/deletion/force`, undefined, { key: b.key })
  assert.deepEqual([forced.body.deletion.forcedBy, forced.body.deletion.isForced], [[b.principal], false])
})

test('AZ-6: asking for deletion and forcing it need a fresh sign-in; undoing it does not', async () => {
  const { id, key } = await it.organisation()
  const path = `/projects/${await it.project(id)}`
  const stale = it.session({ authenticatedAt: Date.now() - 301_000 })
  const [tenantId, objectId] = stale.principal.split('/')
  const assignments = [{ role: 'organization-administrator' }]
  await it.request('POST', `/organizations/${id}/members`, { tenantId, objectId, assignments }, { key })
  assert.equal((await it.request('DELETE', path, undefined, stale)).status, 401)
  await it.request('DELETE', path, undefined, { key })
  assert.equal((await it.request('POST', `${path}/deletion/force`, undefined, stale)).status, 401)
  assert.equal((await it.request('DELETE', `${path}/deletion`, undefined, stale)).status, 200)
})
