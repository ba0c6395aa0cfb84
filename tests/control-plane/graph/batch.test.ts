// Batches: 20 a request, each member with its own outcome, only failed ones sent again. (microsoft-365.md §3)
import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { test } from 'node:test'
import type { BatchCall, BatchOutcome } from '../../../control-plane/microsoft/clients.ts'
import { json, scene } from '../microsoft/scene.ts'
import type { Asked } from '../microsoft/scene.ts'

const MANAGER = { operation: 'GET /users/{user-id}/manager' }
const calls = (n: number): BatchCall[] =>
  Array.from({ length: n }, (_, index) => ({ id: `call-${index}`, method: 'GET', url: `/users/u${index}/manager` }))

interface Member {
  readonly id: string
  readonly method: string
  readonly url: string
  readonly headers?: Record<string, string>
}
const membersOf = ({ body }: Asked): Member[] => (JSON.parse(body) as { requests: Member[] }).requests

type Answer = { status: number; body?: unknown; headers?: Record<string, string> } | undefined

/** Answers in reverse, as Graph may. */
const reply = (asked: Asked, response: ServerResponse, answer: (url: string) => Answer) =>
  json(response, {
    responses: membersOf(asked)
      .map(({ id, url }) => ({ id, ...answer(url) }))
      .filter((each) => 'status' in each)
      .toReversed(),
  })

const brief = (outcomes: readonly BatchOutcome[]) =>
  outcomes.map((outcome) => (outcome.kind === 'done' ? [outcome.id, outcome.status] : [outcome.id, outcome.error.code]))

test('any number of calls goes out 20 at a time, and outcomes come in the order asked', async (t) => {
  const { graph, asked } = await scene(t, (one, response) =>
    reply(one, response, (url) => ({ status: 200, body: { url } })),
  )
  const outcomes = await graph.batch(calls(45), { ...MANAGER, headers: { ConsistencyLevel: 'eventual' } })
  assert.deepEqual(
    asked.map((one) => membersOf(one).length),
    [20, 20, 5],
  )
  assert.ok(asked.every(({ method, path }) => method === 'POST' && path === '/v1.0/$batch'))
  assert.deepEqual(membersOf(asked[2] as Asked)[4], {
    id: '4',
    method: 'GET',
    url: '/users/u44/manager',
    headers: { ConsistencyLevel: 'eventual' },
  })
  assert.deepEqual(
    outcomes.map(({ id }) => id),
    calls(45).map(({ id }) => id),
  )
  assert.deepEqual(outcomes[44], { id: 'call-44', kind: 'done', status: 200, body: { url: '/users/u44/manager' } })
  assert.deepEqual(await graph.batch([], MANAGER), [])
})

test('what each member met is its own', async (t) => {
  const answers: Record<string, Answer> = {
    '/users/u0/manager': { status: 200, body: {} },
    '/users/u1/manager': { status: 404, body: { error: { code: 'Request_ResourceNotFound' } } },
    '/users/u2/manager': { status: 403, body: { error: { code: 'Authorization_RequestDenied' } } },
    '/users/u3/manager': { status: 400, body: 'nonsense' },
  }
  const { graph, asked } = await scene(t, (one, response) => reply(one, response, (url) => answers[url]))
  assert.deepEqual(brief(await graph.batch(calls(4), MANAGER)), [
    ['call-0', 200],
    ['call-1', 'NOT_FOUND'],
    ['call-2', 'CONSENT_MISSING'],
    ['call-3', 'UNEXPECTED'],
  ])
  assert.equal(asked.length, 1)
})

test('only members that failed for a passing reason are sent again: throttled, faulty, of a failed dependency, forgotten', async (t) => {
  const passing: Record<string, Answer> = {
    '/users/u1/manager': { status: 429, headers: { 'Retry-After': '7' } },
    '/users/u2/manager': { status: 500 },
    '/users/u3/manager': { status: 424 },
    '/users/u4/manager': undefined,
  }
  const { graph, asked, pace } = await scene(t, (one, response, nth) =>
    reply(one, response, (url) => (nth === 1 && url in passing ? passing[url] : { status: 200, body: {} })),
  )
  const outcomes = await graph.batch(calls(6), MANAGER)
  assert.deepEqual(
    brief(outcomes),
    calls(6).map(({ id }) => [id, 200]),
  )
  assert.deepEqual(
    membersOf(asked[1] as Asked).map(({ url }) => url),
    Object.keys(passing),
  )
  assert.equal(asked.length, 2)
  assert.equal(pace.monotonicMs(), 7_000)
})

test('a member that has to wait for minutes fails with the time; the others are done', async (t) => {
  const { graph, asked, pace } = await scene(t, (one, response) =>
    reply(one, response, (url) =>
      url.includes('u1') ? { status: 429, headers: { 'retry-after': '300' } } : { status: 200, body: {} },
    ),
  )
  const [done, failed] = await graph.batch(calls(2), MANAGER)
  assert.equal(done?.kind, 'done')
  assert.ok(failed?.kind === 'failed')
  assert.deepEqual(
    [failed.error.code, failed.error.waitMs, failed.error.operation],
    ['THROTTLED', 300_000, MANAGER.operation],
  )
  assert.equal(asked.length, 1)
  await assert.rejects(graph.batch(calls(1), MANAGER), { code: 'THROTTLED' }, 'its budget rests')
  assert.equal(pace.monotonicMs(), 0)
})

test('a member that never gets better is given up after eight attempts', async (t) => {
  const { graph, asked } = await scene(t, (one, response) => reply(one, response, () => ({ status: 502 })))
  assert.deepEqual(brief(await graph.batch(calls(1), MANAGER)), [['call-0', 'TRANSIENT']])
  assert.equal(asked.length, 8)
})

test('answers that are there twice, for nobody, or without a status are not believed', async (t) => {
  const odd = [
    { id: '0', status: 200, body: 'first' },
    { id: '0', status: 404 },
    { id: '7', status: 200 },
    { id: '1', status: '200' },
    null,
    'x',
  ]
  const { graph, asked } = await scene(t, (one, response, nth) =>
    nth === 1 ? json(response, { responses: odd }) : reply(one, response, () => ({ status: 404 })),
  )
  const [first, second] = await graph.batch(calls(2), MANAGER)
  assert.deepEqual(first, { id: 'call-0', kind: 'done', status: 200, body: 'first' })
  assert.deepEqual(brief([second as BatchOutcome]), [['call-1', 'NOT_FOUND']])
  assert.deepEqual(
    membersOf(asked[1] as Asked).map(({ url }) => url),
    ['/users/u1/manager'],
  )
})

test('an envelope is no bigger than its budget, so that members are not throttled by us ourselves', async (t) => {
  const { graph, asked, pace } = await scene(
    t,
    (one, response) => reply(one, response, () => ({ status: 200, body: {} })),
    { budgets: 'directory-small=10/10' },
  )
  await graph.batch(calls(20), MANAGER)
  assert.deepEqual(
    asked.map((one) => membersOf(one).length),
    [9, 9, 2],
  )
  assert.equal(pace.monotonicMs(), 20_000)
})

test('calls of one id keep their places, and paths that are none are a fault of ours', async (t) => {
  const { graph, asked } = await scene(t, (one, response) =>
    reply(one, response, (url) => ({ status: 200, body: url })),
  )
  const twice: BatchCall[] = ['a', 'b'].map((name) => ({
    id: 'same',
    method: 'GET',
    url: `/users/${name}/manager?$select=id`,
  }))
  const outcomes = await graph.batch(twice, MANAGER)
  assert.deepEqual(
    outcomes.map((outcome) => (outcome.kind === 'done' ? outcome.body : undefined)),
    ['/users/a/manager?$select=id', '/users/b/manager?$select=id'],
  )
  for (const url of ['users/a', '//attacker.example/x', 'https://attacker.example/x', '/a#b', '/a\\b'])
    await assert.rejects(graph.batch([{ id: 'x', method: 'GET', url }], MANAGER), /unreachable/, url)
  assert.equal(asked.length, 1)
})
