// Faults in the way of the simulated Graph, and its throttling, as they look on the wire.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startGraph } from './graph-server.ts'
import { ANNA, TENANT } from './tiny-tenant.ts'

const USERS = '/v1.0/users?$select=id'

test('a status stands in place of the answer, with what goes with it', async (t) => {
  const { services, get } = await startGraph(t)
  services.faults.add({ when: 'before', times: 2, effect: { kind: 'status', status: 503, retryAfter: '2.128' } })
  services.faults.add({
    when: 'after',
    effect: { kind: 'status', status: 502, body: '<h1>Bad gateway</h1>', headers: { via: 'x' } },
  })
  for (const _ of [1, 2]) {
    const { status, headers, body } = await get(USERS)
    assert.deepEqual([status, headers.get('retry-after'), typeof body.error.code], [503, '2.128', 'string'])
  }
  const gateway = await get(USERS)
  assert.deepEqual([gateway.status, gateway.headers.get('via'), gateway.text], [502, 'x', '<h1>Bad gateway</h1>'])
  assert.equal((await get(USERS)).status, 200)
})

for (const kind of ['reset', 'cut'] as const) {
  for (const when of ['before', 'after'] as const) {
    test(`a connection breaks: ${kind}, ${when} the effect`, async (t) => {
      const { services, get } = await startGraph(t)
      services.faults.add({ when, effect: { kind } })
      await assert.rejects(get(USERS))
      assert.equal((await get(USERS)).status, 200)
    })
  }
}

test('a body may be another one, or hold everything twice', async (t) => {
  const { services, get } = await startGraph(t)
  services.faults.add({ when: 'before', effect: { kind: 'wrong-body', body: '{"value":{}}' } })
  assert.deepEqual((await get(USERS)).body, { value: {} })
  services.faults.add({ when: 'after', effect: { kind: 'twice' } })
  const { body } = await get(USERS)
  assert.deepEqual(body.value.slice(0, 2), [{ id: ANNA }, { id: ANNA }])
})

test('a slow answer comes late and whole', async (t) => {
  const { services, get } = await startGraph(t)
  for (const when of ['before', 'after'] as const) services.faults.add({ when, effect: { kind: 'slow', ms: 30 } })
  const before = performance.now()
  assert.equal((await get(USERS)).body.value.length, 4)
  assert.equal((await get(USERS)).body.value.length, 4)
  assert.ok(performance.now() - before >= 59)
})

test('a fault waits for its tenant, its operation and its turn', async (t) => {
  const { services, get } = await startGraph(t)
  services.faults.add({ service: 'exchange', when: 'before', effect: { kind: 'reset' } })
  services.faults.add({ tenantId: 'another', when: 'before', effect: { kind: 'reset' } })
  services.faults.add({
    service: 'graph',
    tenantId: TENANT,
    operation: 'GET /users',
    nth: 2,
    when: 'before',
    effect: { kind: 'status', status: 500 },
  })
  const statuses = []
  for (const target of [USERS, '/v1.0/domains', USERS, USERS]) statuses.push((await get(target)).status)
  assert.deepEqual(statuses, [200, 200, 500, 200])
})

test('whoever is over budget gets 429, an envelope and the cost, and passes when he waited', async (t) => {
  const graph = await startGraph(t)
  graph.state.throttling.limit(0.01)
  graph.state.throttling.retryAfterForm = 'integer'
  const target = '/v1.0/subscribedSkus'
  let answer = await graph.get(target)
  for (let count = 1; answer.status === 200; count++) {
    assert.equal(answer.headers.get('x-ms-resource-unit'), '3')
    assert.ok(count <= 11, '35 units at three each')
    answer = await graph.get(target)
  }
  assert.deepEqual([answer.status, answer.body.error.code], [429, 'TooManyRequests'])
  assert.equal(answer.headers.get('x-ms-throttle-information'), 'ResourceUnitLimitExceeded')
  const afterS = Number(answer.headers.get('retry-after'))
  assert.ok(Number.isInteger(afterS) && afterS > 0)
  graph.services.clock.advance(afterS * 1_000)
  assert.equal((await graph.get(target)).status, 200)
})

test('a date in Retry-After is read against the date of its answer', async (t) => {
  const graph = await startGraph(t)
  graph.services.clock.advance(400 * 86_400_000)
  graph.state.throttling.limit(0.001)
  graph.state.throttling.retryAfterForm = 'date'
  let answer = await graph.get('/v1.0/subscribedSkus')
  while (answer.status === 200) answer = await graph.get('/v1.0/subscribedSkus')
  const waitMs = Date.parse(answer.headers.get('retry-after') ?? '') - Date.parse(answer.headers.get('date') ?? '')
  assert.ok(waitMs > 0 && waitMs < 60_000, String(waitMs))
})

test('faults cut compressed answers, too', async (t) => {
  const { services, get } = await startGraph(t)
  services.faults.add({ when: 'after', effect: { kind: 'cut' } })
  await assert.rejects(get('/v1.0/groups', { headers: { 'accept-encoding': 'gzip' } }))
})
