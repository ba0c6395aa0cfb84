// The tour's client of the REST API against a server that misbehaves: lost answers, busy servers, versions that somebody else has changed.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { ApiClient, ApiRefused } from '../../../cli/tour/api-client.ts'

interface Seen {
  readonly method: string
  readonly url: string
  readonly headers: IncomingMessage['headers']
}

async function server(t: TestContext, answers: readonly ((response: ServerResponse) => void)[]) {
  const seen: Seen[] = []
  const listening = createServer((request, response) => {
    request.resume()
    const answer = answers[seen.length] ?? answers.at(-1)
    seen.push({ method: request.method ?? '', url: request.url ?? '', headers: request.headers })
    answer?.(response)
  })
  await new Promise<void>((up) => listening.listen(0, '127.0.0.1', up))
  t.after(() => {
    listening.closeAllConnections()
    listening.close()
  })
  const { port } = listening.address() as { port: number }
  return {
    api: new ApiClient({ url: `http://127.0.0.1:${port}/api/v1`, headers: { Authorization: 'Bearer k' } }),
    seen,
  }
}

const json =
  (status: number, body: unknown, headers: Record<string, string> = {}) =>
  (response: ServerResponse): void => {
    response.writeHead(status, { 'Content-Type': 'application/json', ...headers })
    response.end(JSON.stringify(body))
  }
const cut = (response: ServerResponse): void => void response.destroy()

test('a POST whose answer got lost is sent again with the same key', async (t) => {
  const { api, seen } = await server(t, [cut, json(503, {}), json(201, { id: 'x' })])
  const { body } = await api.post('/things', { name: 'a' })
  assert.equal(body['id'], 'x')
  const keys = new Set(seen.map(({ headers }) => headers['idempotency-key']))
  assert.equal(seen.length, 3)
  assert.equal(keys.size, 1)
  assert.match([...keys][0] as string, /^[0-9a-f-]{36}$/)
})

test('what is refused is told with its reasons, and not tried again', async (t) => {
  const problem = { title: 'The request is wrong', faults: [{ pointer: '/name', detail: 'is too long' }] }
  const { api, seen } = await server(t, [json(400, problem)])
  await assert.rejects(api.post('/things'), (error: unknown) => {
    assert.ok(error instanceof ApiRefused)
    assert.equal(error.message, 'POST /things was answered 400: The request is wrong: /name is too long')
    return true
  })
  assert.equal(seen.length, 1)
})

test('a change is made of the version that is there, and anew when somebody was faster', async (t) => {
  const { api, seen } = await server(t, [
    json(200, { n: 1 }, { ETag: '"1"' }),
    json(412, { title: 'stale' }),
    json(200, { n: 2 }, { ETag: '"2"' }),
    json(200, { n: 3 }, { ETag: '"3"' }),
  ])
  const { body } = await api.put('/thing', ({ n }) => ({ n: Number(n) + 1 }))
  assert.equal(body['n'], 3)
  assert.deepEqual(
    seen.map(({ method, headers }) => [method, headers['if-match']]),
    [
      ['GET', undefined],
      ['PUT', '"1"'],
      ['GET', undefined],
      ['PUT', '"2"'],
    ],
  )
})

test('a list is read to its last page', async (t) => {
  const { api, seen } = await server(t, [
    json(200, { items: [{ n: 1 }], next: '/api/v1/things?cursor=c' }),
    json(200, { items: [{ n: 2 }] }),
  ])
  assert.deepEqual(await api.list('/things?limit=1'), [{ n: 1 }, { n: 2 }])
  assert.deepEqual(
    seen.map(({ url }) => url),
    ['/api/v1/things?limit=1', '/api/v1/things?cursor=c'],
  )
})

test('an operation is watched by its events until it has ended', async (t) => {
  const running = { kind: 'k', state: 'running' }
  const events = (response: ServerResponse): void => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' })
    response.write(': hello\n\nid: 1\nevent: operation\ndata: {"progress":{"done":1,')
    response.end('"total":2,"unit":"objects","step":"users"}}\n\n')
  }
  const { api } = await server(t, [json(200, running), events, json(200, { ...running, state: 'succeeded' })])
  const told: string[] = []
  const operation = await api.finished('op_1', 5_000, (text) => told.push(text))
  assert.equal(operation['state'], 'succeeded')
  assert.deepEqual(told, ['1 of 2 objects, users'])
})

for (const [state, why] of [
  ['failed', /op k failed|k failed: \{"title":"no"\}/],
  ['cancelled', /cancelled/],
] as const)
  test(`an operation that ${state} is a failure`, async (t) => {
    const { api } = await server(t, [json(200, { kind: 'k', state, problem: { title: 'no' } })])
    await assert.rejects(
      api.finished('op_1', 5_000, () => {}),
      why,
    )
  })
