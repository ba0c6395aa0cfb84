// What every route gets without asking: permissions, parsing, one audit event a change, safe retries, checked answers. (control-plane.md §1)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { sql } from 'kysely'
import { z } from 'zod'
import { countOf, rowsOf, withScope } from '../../../control-plane/db/database.ts'
import { Problem } from '../../../control-plane/http/problem.ts'
import { route } from '../../../control-plane/http/route.ts'
import type { OrganisationId } from '../../../control-plane/ids.ts'
import { testApi } from '../../harness/api.ts'
import type { TestApi } from '../../harness/api.ts'

const params = z.strictObject({ organization: z.string() })
const body = z.strictObject({ name: z.string().min(1), count: z.int() })
const answer = z.strictObject({ name: z.string(), secret: z.string() })

function api(t: TestContext): Promise<TestApi> {
  let calls = 0
  return testApi(t, () => [
    route({
      method: 'post',
      path: '/organizations/{organization}/things',
      id: 'makeThing',
      summary: 'Make a thing',
      tag: 'things',
      access: 'organization.manage',
      params,
      body,
      responses: { 201: { description: 'Made', schema: answer } },
      problems: ['conflict'],
      handler: ({ change, body: { name, count } }) =>
        change('thing.made', async (tx) => {
          calls++
          if (count < 0) throw new Problem('conflict', { detail: 'negative' })
          const renamed = await countOf(tx, sql`update organisation set name = ${name} where name <> ${name}`)
          if (renamed === 0) throw new Problem('conflict', { detail: 'there is one of this name' })
          return { answer: { status: 201, body: { name, secret: `s${calls}` } }, object: name, after: { name } }
        }),
    }),
    route({
      method: 'get',
      path: '/organizations/{organization}/things',
      id: 'readThing',
      summary: 'Read the thing',
      tag: 'things',
      access: 'organization.read',
      params,
      query: z.strictObject({ broken: z.literal('yes').optional() }),
      responses: { 200: { description: 'It', schema: answer } },
      handler: ({ query }) =>
        Promise.resolve({ status: 200, body: query.broken === 'yes' ? { wrong: 1 } : { name: 'n', secret: 's' } }),
    }),
  ])
}

const eventsOf = (it: TestApi, organisation: OrganisationId) =>
  withScope(it.database.db, { organisation }, (tx) =>
    rowsOf<{ action: string; result: string }>(tx, sql`select action, result from audit_event order by sequence`),
  )

test('AU-1: a change that happened is told exactly once, one that did not is not', async (t) => {
  const it = await api(t)
  const { id, key } = await it.organisation()
  const path = `/organizations/${id}/things`
  assert.equal((await it.request('POST', path, { name: 'a', count: 1 }, { key })).status, 201)
  assert.equal((await it.request('POST', path, { name: 'a', count: -1 }, { key })).status, 409)
  assert.deepEqual(await eventsOf(it, id), [{ action: 'thing.made', result: 'done' }])
})

test('AZ-4: without a credential 401, from elsewhere 404, with a lesser role 403 that names the permission and is audited', async (t) => {
  const it = await api(t)
  const ours = await it.organisation()
  const theirs = await it.organisation('Fabrikam')
  const auditor = await it.member(ours.id, 'auditor')
  const path = `/organizations/${ours.id}/things`
  const thing = { name: 'a', count: 1 }
  assert.equal((await it.request('POST', path, thing)).status, 401)
  assert.equal((await it.request('POST', path, thing, { key: `${ours.key}x` })).status, 401)
  assert.equal((await it.request('POST', path, thing, { key: theirs.key })).status, 404)
  assert.equal((await it.request('POST', '/organizations/org_nonsense/things', thing, { key: ours.key })).status, 404)
  const refused = await it.request('POST', path, thing, { key: auditor.key })
  assert.equal(refused.status, 403)
  assert.equal(refused.body.permission, 'organization.manage')
  assert.deepEqual(await eventsOf(it, ours.id), [{ action: 'access.denied', result: 'denied' }])
})

test('every fault of a request is told, each with its place', async (t) => {
  const it = await api(t)
  const { id, key } = await it.organisation()
  const { status, body: problem } = await it.request(
    'POST',
    `/organizations/${id}/things`,
    { name: '', other: 1 },
    { key },
  )
  assert.equal(status, 400)
  assert.equal(problem.type, '/problems/bad-request')
  assert.deepEqual(problem.faults.map(({ pointer }: { pointer: string }) => pointer).toSorted(), [
    '/count',
    '/name',
    '/other',
  ])
})

const bodies: [body: string, type: string, status: number, why: string][] = [
  ['{"name":"a","count":1', 'application/json', 400, 'cut short'],
  [`${'['.repeat(40)}${']'.repeat(40)}`, 'application/json', 400, 'nested deeper than 32'],
  ['name=a', 'application/x-www-form-urlencoded', 415, 'what a form of another site could send'],
  [`{"name":"${'a'.repeat(1024 * 1024)}","count":1}`, 'application/json', 413, 'over 1 MiB'],
  ['{"__proto__":{"count":1},"name":"a"}', 'application/json', 400, 'PS-3: no name reaches the prototype'],
]
for (const [text, type, status, why] of bodies) {
  test(`a body ${why} is answered ${status}`, async (t) => {
    const it = await api(t)
    const { id, key } = await it.organisation()
    const reply = await it.request('POST', `/organizations/${id}/things`, text, {
      key,
      headers: { 'Content-Type': type },
    })
    assert.equal(reply.status, status)
    assert.match(reply.headers.get('content-type') ?? '', /^application\/problem\+json/)
  })
}

test('a POST repeated with its Idempotency-Key, at once or later, gets the first answer and changes nothing; another request under the key is refused', async (t) => {
  const it = await api(t)
  const { id, key } = await it.organisation()
  const path = `/organizations/${id}/things`
  const options = { key, headers: { 'Idempotency-Key': 'k1' } }
  const all = await Promise.all(
    Array.from({ length: 5 }, () => it.request('POST', path, { name: 'a', count: 1 }, options)),
  )
  const [first] = all
  for (const reply of all) assert.deepEqual([reply.status, reply.body], [201, first?.body])
  const later = await it.request('POST', path, { name: 'a', count: 1 }, options)
  assert.deepEqual([later.status, later.body], [201, first?.body])
  assert.equal((await eventsOf(it, id)).length, 1)
  assert.equal((await it.request('POST', path, { name: 'b', count: 1 }, options)).status, 409)
  const stored = await rowsOf<{ answer_sealed: Buffer }>(
    it.database.owner.db as never,
    sql`select answer_sealed from idempotency_key`,
  )
  assert.ok(
    stored.every(({ answer_sealed }) => !answer_sealed.includes('secret')),
    'an answer may hold a secret',
  )
})

test('WS-6: an answer that breaks its own description is a bare 500 with a request id, and logged', async (t) => {
  const it = await api(t)
  const { id, key } = await it.organisation()
  const { status, body: problem } = await it.request('GET', `/organizations/${id}/things?broken=yes`, undefined, {
    key,
  })
  assert.equal(status, 500)
  assert.deepEqual(Object.keys(problem).toSorted(), ['requestId', 'status', 'title', 'type'])
  assert.ok(it.lines.some((line) => line.includes('request.failed') && line.includes(problem.requestId)))
})

test('unknown paths are 404, unknown methods 405 with Allow, and every answer carries the security headers (WS-1)', async (t) => {
  const it = await api(t)
  const missing = await it.request('GET', '/nothing')
  assert.equal(missing.status, 404)
  const wrong = await it.request('PATCH', '/organizations/x/things')
  assert.deepEqual([wrong.status, wrong.headers.get('allow')], [405, 'GET, POST'])
  for (const { headers } of [missing, wrong]) {
    assert.match(headers.get('content-security-policy') ?? '', /^default-src 'none';script-src 'self'/)
    assert.equal(headers.get('x-content-type-options'), 'nosniff')
    assert.equal(headers.get('referrer-policy'), 'no-referrer')
    assert.equal(headers.get('x-powered-by'), null)
  }
})

test('the description names every route, its permission and its problems', async (t) => {
  const it = await api(t)
  const { body: document } = await it.request('GET', '/openapi.json')
  assert.equal(document.openapi, '3.1.0')
  const operation = document.paths['/api/v1/organizations/{organization}/things'].post
  assert.equal(operation['x-permission'], 'organization.manage')
  for (const status of ['201', '400', '401', '403', '404', '409', '413', '415', '429', '500', '503'])
    assert.ok(operation.responses[status] !== undefined, status)
})
