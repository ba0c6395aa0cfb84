// Batches of the simulated Graph: each member is a request of its own.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startGraph } from './graph-server.ts'
import type { GraphUnderTest } from './graph-server.ts'
import { ANNA, BEN, SALES, TENANT } from './tiny-tenant.ts'

interface Part {
  readonly id: string
  readonly status: number
  readonly headers: Record<string, string>
  readonly body: Record<string, unknown> & { readonly error: { readonly code: string } }
}

const get = (id: string, url: string, more: Record<string, unknown> = {}) => ({ id, method: 'GET', url, ...more })

async function batch(graph: GraphUnderTest, requests: readonly unknown[], roles?: readonly string[]) {
  const { status, body } = await graph.post('/v1.0/$batch', { requests }, roles === undefined ? {} : { roles })
  const responses = (body.responses ?? []) as Part[]
  return { status, body, responses, byId: new Map(responses.map((part) => [part.id, part])) }
}

test('every member has its own answer, in any order', async (t) => {
  const graph = await startGraph(t)
  const { status, responses, byId } = await batch(graph, [
    get('1', `/users/${ANNA}/manager?$select=id`),
    get('2', `users/${BEN}/manager`),
    get('3', `/groups/${SALES}/members?$top=1`),
    get('4', "/reports/getMailboxUsageDetail(period='D7')"),
  ])
  assert.equal(status, 200)
  assert.notDeepEqual(
    responses.map(({ id }) => id),
    ['1', '2', '3', '4'],
  )
  assert.deepEqual([byId.get('1')?.status, byId.get('1')?.body['id']], [200, BEN])
  assert.equal(byId.get('1')?.headers['Content-Type'], 'application/json')
  assert.deepEqual([byId.get('2')?.status, byId.get('2')?.body.error.code], [404, 'Request_ResourceNotFound'])
  const next = await graph.get(byId.get('3')?.body['@odata.nextLink'] as string)
  assert.equal(next.status, 200)
  assert.equal(byId.get('4')?.status, 302)
  assert.match(byId.get('4')?.headers['Location'] ?? '', /^https:/)
})

test('every member needs its own permission', async (t) => {
  const graph = await startGraph(t)
  const { byId } = await batch(graph, [get('1', `/users/${ANNA}`), get('2', '/domains')], ['User.Read.All'])
  assert.deepEqual([byId.get('1')?.status, byId.get('2')?.status], [200, 403])
})

test('a member that is not as published is recorded, and the others are answered', async (t) => {
  const graph = await startGraph(t, { allowsViolations: true })
  const { byId } = await batch(graph, [get('1', '/nothing'), get('2', `/users/${ANNA}`), get('3', '/users?$skip=1')])
  assert.deepEqual([byId.get('1')?.status, byId.get('2')?.status, byId.get('3')?.status], [400, 200, 400])
  assert.deepEqual(
    graph.services.record.violations.map(({ rule }) => rule),
    ['unknown-operation', 'unknown-query-option'],
  )
})

test('members are throttled alone, and the batch is not', async (t) => {
  const graph = await startGraph(t)
  graph.state.throttling.limit(0.01)
  graph.state.throttling.retryAfterForm = 'fractional'
  // 35 units at five each: the eighth is one too many.
  const requests = Array.from({ length: 9 }, (_, index) => get(String(index), `/groups/${SALES}/transitiveMembers`))
  const { status, byId } = await batch(graph, requests)
  assert.equal(status, 200)
  const statuses = requests.map(({ id }) => byId.get(id)?.status)
  assert.deepEqual(statuses, [200, 200, 200, 200, 200, 200, 200, 429, 429])
  assert.match(byId.get('8')?.headers['Retry-After'] ?? '', /^\d+\.\d{3}$/)
  assert.equal(byId.get('8')?.headers['x-ms-resource-unit'], '5')
})

test('a member waits for those it depends on, and fails with them', async (t) => {
  const graph = await startGraph(t)
  const { byId } = await batch(graph, [
    get('1', `/users/${ANNA}`),
    get('2', `/users/${ANNA}/manager`, { dependsOn: ['1'] }),
    get('3', `/users/${BEN}/manager`),
    get('4', `/users/${ANNA}`, { dependsOn: ['2', '3'] }),
    get('5', `/users/${ANNA}`, { dependsOn: ['4'] }),
  ])
  assert.deepEqual(
    ['1', '2', '3', '4', '5'].map((id) => byId.get(id)?.status),
    [200, 200, 404, 424, 424],
  )
})

const refusals: [requests: readonly unknown[], why: string][] = [
  [[], 'nothing in it'],
  [Array.from({ length: 21 }, (_, index) => get(String(index), '/organization')), 'more than twenty'],
  [[get('1', '/organization'), get('1', '/domains')], 'two of one id'],
  [[get('1', '/organization', { dependsOn: ['2'] })], 'dependence on nobody'],
  [[get('1', '/organization', { dependsOn: ['1'] })], 'dependence on itself'],
]
for (const [requests, why] of refusals) {
  test(`a batch is refused whole with 400: ${why}`, async (t) => {
    const graph = await startGraph(t, { allowsViolations: true })
    assert.equal((await batch(graph, requests)).status, 400)
  })
}

test('a batch in a batch is refused', async (t) => {
  const graph = await startGraph(t)
  const { byId } = await batch(graph, [{ id: '1', method: 'POST', url: '/$batch', body: { requests: [] } }])
  assert.equal(byId.get('1')?.status, 400)
})

test('a fault hits the member it is for', async (t) => {
  const graph = await startGraph(t)
  const operation = 'GET /users/{user-id}/manager'
  graph.services.faults.add({
    tenantId: TENANT,
    operation,
    nth: 2,
    when: 'before',
    effect: { kind: 'status', status: 503, retryAfter: '7' },
  })
  const { byId } = await batch(graph, [get('1', `/users/${ANNA}/manager`), get('2', `/users/${ANNA}/manager`)])
  assert.deepEqual([byId.get('1')?.status, byId.get('2')?.status], [200, 503])
  assert.equal(byId.get('2')?.headers['Retry-After'], '7')
  graph.services.faults.add({ operation, when: 'after', effect: { kind: 'reset' } })
  await assert.rejects(batch(graph, [get('1', `/users/${ANNA}/manager`)]))
})
