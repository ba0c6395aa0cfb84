// The Graph client against a server that does what it should not: where tokens go, what is followed, repeated, believed and waited for.
// (microsoft-365.md §1, §3)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { MicrosoftError } from '../../../control-plane/microsoft/microsoft-error.ts'
import type { MicrosoftErrorCode } from '../../../control-plane/microsoft/microsoft-error.ts'
import { GRAPH_ORIGIN, json, listening, scene } from '../microsoft/scene.ts'
import type { Play, Scene, SceneOptions } from '../microsoft/scene.ts'

const USERS = { operation: 'GET /users' }
const ok: Play = (_, response) => json(response, { value: [{ id: '1' }] })

const failure = async (asked: Promise<unknown>): Promise<MicrosoftError> => {
  const error: unknown = await asked.then(
    () => undefined,
    (fault: unknown) => fault,
  )
  assert.ok(error instanceof MicrosoftError, String(error))
  return error
}
const codeOf = async (asked: Promise<unknown>): Promise<MicrosoftErrorCode> => (await failure(asked)).code

test('each request says who we are and how to find it again, and asks for a compressed answer', async (t) => {
  const { graph, asked, logLines } = await scene(t, (_, response) =>
    json(response, { value: [] }, 200, { 'request-id': 'r-1' }),
  )
  await graph.page(
    { path: '/users' },
    { ...USERS, query: { $filter: "mail eq 'a b@x'" }, headers: { ConsistencyLevel: 'eventual' } },
  )
  const [one] = asked
  assert.equal(one?.path, '/v1.0/users?$filter=mail%20eq%20%27a%20b%40x%27')
  const { headers } = one ?? { headers: {} }
  assert.equal(headers.authorization, 'Bearer token-1')
  assert.match(headers['user-agent'] ?? '', /^NONISV\|Causeway\|Causeway\/\d/)
  assert.equal(headers['accept-encoding'], 'gzip')
  assert.equal(headers['return-client-request-id'], 'true')
  assert.equal(headers['x-ms-throttle-priority'], 'low')
  assert.equal(headers['consistencylevel'], 'eventual')
  const line = JSON.parse(logLines.at(-1) ?? '{}') as Record<string, unknown>
  assert.equal(line['clientRequestId'], headers['client-request-id'])
  assert.deepEqual(
    [line['event'], line['operation'], line['status'], line['serviceRequestId']],
    ['microsoft.request', 'GET /users', 200, 'r-1'],
  )
})

test('what is compressed is read, and counted as long as it unpacks to', async (t) => {
  const page = JSON.stringify({ value: [{ id: 'x'.repeat(50_000) }] })
  const play: Play = (_, response) =>
    response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' }).end(gzipSync(page))
  const { graph } = await scene(t, play)
  assert.equal((await graph.page({ path: '/users' }, USERS)).items.length, 1)
  const { graph: small, asked } = await scene(t, play, { jsonLimits: { timeoutMs: 5_000, maxBytes: 40_000 } })
  const error = await failure(small.page({ path: '/users' }, USERS))
  assert.deepEqual([error.code, error.serviceCode, error.status], ['UNEXPECTED', 'too-long', 200])
  assert.equal(asked.length, 1, 'the next answer would be as long')
})

const hostileLinks: [link: unknown, why: string][] = [
  ['https://attacker.example/v1.0/users?$skiptoken=1', 'another host'],
  ['https://graph.sandbox.test@attacker.example/v1.0/users', 'credentials'],
  ['https://graph.sandbox.test:8443/v1.0/users', 'another port'],
  ['http://127.0.0.1:1/v1.0/users', 'this machine'],
  ['https://graph.microsoft.com/v1.0/users', 'the real Graph, from a sandbox'],
  ['https://outlook.sandbox.test/v1.0/users', 'another service'],
  [`${GRAPH_ORIGIN}/v1.0/users?$top=1`, 'its own page: it would be asked for ever'],
  [7, 'no text'],
]
for (const [link, why] of hostileLinks) {
  test(`a next page at ${JSON.stringify(link)} is refused before anybody keeps it: ${why}`, async (t) => {
    const { graph, asked } = await scene(t, (_, response) => json(response, { value: [], '@odata.nextLink': link }))
    const asking = graph.page({ path: '/users' }, { ...USERS, query: { $top: '1' } })
    assert.equal(await codeOf(asking), 'LINK_REFUSED')
    if (typeof link === 'string' && !link.startsWith(GRAPH_ORIGIN + '/'))
      assert.equal(await codeOf(graph.page({ link }, USERS)), 'LINK_REFUSED')
    assert.equal(asked.length, 1)
  })
}

test('a hostile delta link is refused like a hostile next link', async (t) => {
  const { graph } = await scene(t, (_, response) =>
    json(response, { value: [], '@odata.deltaLink': 'https://attacker.example/v1.0/d' }),
  )
  assert.equal(await codeOf(graph.page({ path: '/users/delta()' }, USERS)), 'LINK_REFUSED')
})

test('pages are followed verbatim to the delta link', async (t) => {
  const next = `${GRAPH_ORIGIN}/v1.0/users/delta()?$skiptoken=a%20b+c%2F`
  const delta = `${GRAPH_ORIGIN}/v1.0/users/delta()?$deltatoken=z`
  const { graph, asked } = await scene(t, ({ path }, response) =>
    json(
      response,
      path.includes('skiptoken') ? { value: [2], '@odata.deltaLink': delta } : { value: [1], '@odata.nextLink': next },
    ),
  )
  const first = await graph.page<number>({ path: '/users/delta()' }, USERS)
  assert.deepEqual(first, { items: [1], next, delta: undefined })
  assert.deepEqual(await graph.page({ link: next }, USERS), { items: [2], next: undefined, delta })
  assert.equal(asked[1]?.path, '/v1.0/users/delta()?$skiptoken=a%20b+c%2F')
})

test('redirects of a read are followed on the own host with the token, five times at most, and never in a circle', async (t) => {
  const to = (response: Parameters<Play>[1], location: string, status = 308) =>
    response.writeHead(status, { location: location.startsWith('/') ? GRAPH_ORIGIN + location : location }).end()
  const hops =
    (n: number): Play =>
    (_, response, nth) =>
      nth <= n ? to(response, `/v1.0/hop${nth}`) : json(response, { id: 1 })
  const five = await scene(t, hops(5))
  assert.deepEqual(await five.graph.get('/x', USERS), { id: 1 })
  assert.ok(five.asked.every(({ headers }) => headers.authorization === 'Bearer token-1'))
  const six = await scene(t, hops(6))
  assert.equal(await codeOf(six.graph.get('/x', USERS)), 'LINK_REFUSED')
  assert.equal(six.asked.length, 6)
  const circle = await scene(t, ({ path }, response) => to(response, path.endsWith('a') ? '/v1.0/b' : '/v1.0/a', 302))
  assert.equal(await codeOf(circle.graph.get('/a', USERS)), 'LINK_REFUSED')
  assert.equal(circle.asked.length, 2)
  const nowhere = await scene(t, (_, response) => response.writeHead(302).end())
  assert.equal(await codeOf(nowhere.graph.get('/a', USERS)), 'LINK_REFUSED')
})

test('a redirect to anywhere else gets neither token nor request', async (t) => {
  let stolen = 0
  const thief = await listening(t, (_, response) => {
    stolen++
    json(response, { value: [] })
  })
  for (const location of [thief, `${thief}/v1.0/users`, 'https://attacker.example/v1.0/x', '/v1.0/relative']) {
    const { graph } = await scene(t, (_, response) => response.writeHead(307, { location }).end())
    assert.equal(await codeOf(graph.get('/x', USERS)), 'LINK_REFUSED', location)
  }
  assert.equal(stolen, 0)
})

test('a change is sent once, whatever comes of it', async (t) => {
  const plays: [play: Play, code: MicrosoftErrorCode, why: string][] = [
    [(_, response) => json(response, {}, 500), 'TRANSIENT', 'a fault'],
    [(_, response) => response.destroy(), 'TRANSIENT', 'a connection that broke'],
    [(_, response) => json(response, {}, 429, { 'retry-after': '1' }), 'THROTTLED', 'too much'],
    [(_, response) => json(response, {}, 401), 'AUTH_TOKEN', 'a token that is no good'],
    [(_, response) => json(response, {}, 409), 'CONFLICT', 'taken'],
    [
      (_, response) => response.writeHead(308, { location: `${GRAPH_ORIGIN}/v1.0/y` }).end(),
      'UNEXPECTED',
      'a redirect',
    ],
    [
      (_, response) => response.writeHead(201, { 'content-type': 'application/json' }).end('{"id":'),
      'TRANSIENT',
      'half an answer',
    ],
  ]
  for (const [play, code, why] of plays) {
    const { graph, asked } = await scene(t, play)
    const write = graph.write('POST', '/users', { displayName: 'x' }, { operation: 'POST /users' })
    const { code: got, waitMs } = await failure(write)
    assert.equal(got, code, why)
    if (code === 'THROTTLED') assert.equal(waitMs, 1_000)
    assert.equal(asked.length, 1, why)
  }
})

test('a change that went well gives its answer, or nothing', async (t) => {
  const { graph, asked } = await scene(t, ({ method }, response) =>
    method === 'POST' ? json(response, { id: '7' }, 201) : response.writeHead(204).end(),
  )
  const created = await graph.write('POST', '/groups', { displayName: 'x' }, { operation: 'POST /groups' })
  assert.deepEqual(created, { id: '7' })
  const patched = await graph.write('PATCH', '/beta/groups/7', { a: 1 }, { operation: 'PATCH /groups/{group-id}' })
  assert.equal(patched, undefined)
  await graph.write('DELETE', '/groups/7', undefined, { operation: 'DELETE /groups/{group-id}' })
  assert.deepEqual(
    asked.map(({ method, path, body, headers }) => [method, path, body, headers['content-type']]),
    [
      ['POST', '/v1.0/groups', '{"displayName":"x"}', 'application/json; charset=utf-8'],
      ['PATCH', '/beta/groups/7', '{"a":1}', 'application/json; charset=utf-8'],
      ['DELETE', '/v1.0/groups/7', '', undefined],
    ],
  )
})

test('401: one new token, one more try, then it is for an administrator', async (t) => {
  const once = await scene(t, (one, response) =>
    one.headers.authorization === 'Bearer token-1' ? json(response, {}, 401) : json(response, { id: 1 }),
  )
  assert.deepEqual(await once.graph.get('/organization', USERS), { id: 1 })
  assert.equal(once.tokensGiven(), 2)
  const always = await scene(t, (_, response) => json(response, { error: { code: 'InvalidAuthenticationToken' } }, 401))
  const error = await failure(always.graph.get('/organization', USERS))
  assert.deepEqual(
    [error.code, error.recovery, error.serviceCode],
    ['AUTH_TOKEN', 'admin', 'InvalidAuthenticationToken'],
  )
  assert.equal(always.asked.length, 2)
})

const faults: [name: string, play: Play][] = [
  ['500', (_, response) => json(response, {}, 500)],
  ['502 with HTML', (_, response) => response.writeHead(502, { 'content-type': 'text/html' }).end('<html>')],
  ['a reset before the answer', (_, response) => response.destroy()],
  [
    'a reset in the middle',
    (_, response) =>
      response
        .writeHead(200, { 'content-type': 'application/json', 'content-length': '100' })
        .end('{"value":[', () => response.destroy()),
  ],
  ['a page that is no JSON', (_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<html>')],
  [
    'JSON called something else',
    (_, response) => response.writeHead(200, { 'content-type': 'text/plain' }).end('{"value":[]}'),
  ],
  [
    'half of the JSON',
    (_, response) => response.writeHead(200, { 'content-type': 'application/json' }).end('{"value":['),
  ],
  [
    'JSON that is not UTF-8',
    (_, response) =>
      response.writeHead(200, { 'content-type': 'application/json' }).end(Buffer.from('{"value":["\xff"]}', 'latin1')),
  ],
  ['no page', (_, response) => json(response, { value: { 0: 'x' } })],
  ['nothing', (_, response) => response.writeHead(200).end()],
]
for (const [name, fault] of faults) {
  test(`a read is repeated after ${name}: eight times, ever more slowly, and then it is told`, async (t) => {
    const { graph, asked, pace } = await scene(t, (one, response, nth) =>
      nth < 3 ? fault(one, response, nth) : ok(one, response, nth),
    )
    assert.equal((await graph.page({ path: '/users' }, USERS)).items.length, 1)
    assert.deepEqual(pace.waits, [2_000, 4_000])
    assert.equal(asked.length, 3)
    const hopeless = await scene(t, fault)
    assert.equal(await codeOf(hopeless.graph.page({ path: '/users' }, USERS)), 'TRANSIENT')
    assert.deepEqual(hopeless.pace.waits, [2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000])
    assert.equal(hopeless.asked.length, 8)
  })
}

test('an answer that comes drop by drop is given up in time, as is one that never begins', async (t) => {
  const limits: SceneOptions = { jsonLimits: { timeoutMs: 150, maxBytes: 1_000_000 } }
  const drip: Play = (_, response) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    const timer = setInterval(() => response.write(' '), 20)
    response.on('close', () => clearInterval(timer))
  }
  for (const play of [drip, (() => {}) as Play]) {
    const { graph, asked } = await scene(t, play, limits)
    const error = await failure(graph.write('POST', '/users', {}, { operation: 'POST /users' }))
    assert.deepEqual([error.code, error.serviceCode], ['TRANSIENT', 'timeout'])
    assert.equal(asked.length, 1)
  }
})

test('429: the budget rests as long as it is told, for everybody who needs it', async (t) => {
  const { graph, asked, pace } = await scene(t, (one, response, nth) =>
    nth === 1 ? json(response, {}, 429, { 'retry-after': '2.128' }) : ok(one, response, nth),
  )
  await graph.page({ path: '/users' }, USERS)
  assert.equal(pace.monotonicMs(), 2_128)
  assert.equal(asked.length, 2)
  await graph.page({ path: '/users' }, USERS)
  assert.equal(pace.monotonicMs(), 2_128)
})

test('429 without Retry-After, and 503, rest too; what takes more than a minute is given back with its time', async (t) => {
  const untold = await scene(t, (one, response, nth) =>
    nth <= 2 ? json(response, {}, nth === 1 ? 429 : 503) : ok(one, response, nth),
  )
  await untold.graph.page({ path: '/users' }, USERS)
  assert.equal(untold.pace.monotonicMs(), 45_000)
  const long = await scene(t, (_, response) => json(response, {}, 429, { 'retry-after': '300' }))
  const error = await failure(long.graph.page({ path: '/users' }, USERS))
  assert.deepEqual([error.code, error.waitMs, error.operation], ['THROTTLED', 300_000, 'GET /users'])
  const other = await failure(long.graph.get('/organization', { operation: 'GET /organization' }))
  assert.deepEqual([other.code, other.waitMs, other.operation], ['THROTTLED', 300_000, 'GET /organization'])
  assert.equal(long.asked.length, 1, 'nobody else is sent into it')
  assert.equal(long.pace.monotonicMs(), 0)
})

test('a tenant is never asked for more than its budget in any ten seconds', async (t) => {
  const at: number[] = []
  const running: Scene = await scene(
    t,
    (one, response, nth) => (at.push(running.pace.monotonicMs()), ok(one, response, nth)),
    { budgets: 'directory-small=35/10' },
  )
  for (let each = 0; each < 60; each++) await running.graph.page({ path: '/users' }, USERS)
  for (const from of at) {
    const units = 2 * at.filter((one) => one >= from && one < from + 10_000).length
    assert.ok(units <= 35 * 0.9, `${units} units from ${from} ms`)
  }
  assert.ok((at.at(-1) ?? 0) >= 30_000 && (at.at(-1) ?? 0) <= 40_000)
})

test('a delta that is gone is told, from whatever the service says it by', async (t) => {
  const link = `${GRAPH_ORIGIN}/v1.0/users/delta()?$deltatoken=old`
  for (const [status, body] of [
    [410, {}],
    [400, { error: { code: 'SyncStateNotFound' } }],
  ] as const) {
    const { graph, asked } = await scene(t, (_, response) => json(response, body, status))
    assert.equal(await codeOf(graph.page({ link }, USERS)), 'DELTA_RESET')
    assert.equal(asked.length, 1)
  }
})

test('who loses interest gets his own reason, at once, and leaves nothing behind', async (t) => {
  const reason = new Error('enough')
  const aborter = new AbortController()
  const { graph } = await scene(t, (_, __, nth) => {
    if (nth === 1) aborter.abort(reason)
  })
  await assert.rejects(graph.get('/x', { ...USERS, signal: aborter.signal }), reason)
  await assert.rejects(graph.get('/x', { ...USERS, signal: aborter.signal }), reason)
})

test('figures: requests by operation and what became of each, tokens among them; names that are none are counted together', async (t) => {
  const { graph, metrics } = await scene(t, (_, response, nth) => json(response, { value: [] }, nth === 1 ? 404 : 200))
  await failure(graph.get('/users/u', { operation: 'GET /users/{user-id}' }))
  await graph.get('/users/u', { operation: 'GET /users/{user-id}' })
  await graph.get('/users/u', { operation: 'whatever I like' })
  const text = await metrics.metrics()
  for (const line of [
    'service="graph",operation="GET /users/{user-id}",outcome="NOT_FOUND"} 1',
    'service="graph",operation="GET /users/{user-id}",outcome="done"} 1',
    'service="graph",operation="other",outcome="done"} 1',
    'service="entra",operation="POST /oauth2/v2.0/token",outcome="done"} 1',
    'causeway_microsoft_wait_seconds_count{service="graph"} 3',
  ])
    assert.ok(text.includes(line), line)
})

test('neither log nor error holds a token, an address or what was asked about', async (t) => {
  const { graph, logLines, metrics } = await scene(t, (_, response) =>
    json(response, { error: { code: 'x', message: 'alice@contoso.com' } }, 400),
  )
  const error = await failure(
    graph.get('/users/alice%40contoso.com', { operation: 'GET /users/{user-id}', query: { $filter: 'secret' } }),
  )
  await failure(graph.get('/x', { operation: 'GET /users/alice@contoso.com?secret' }))
  const told = JSON.stringify([logLines, error.message, error, await metrics.metrics()])
  assert.doesNotMatch(told, /alice|secret|token-1|127\.0\.0\.1/)
  assert.match(told, /outcome=\\"UNEXPECTED\\"/)
})

test('paths are ours: what is none is a fault of ours', async (t) => {
  const { graph, asked } = await scene(t, ok)
  for (const path of ['users', '//x/../../..', '/users?$top=1', '/users#x', '/users/../groups', '/a\\b'])
    await assert.rejects(graph.get(path, USERS), /unreachable/, path)
  assert.equal(asked.length, 0)
})
