// Every problem type is documented where its name points to, and shows nothing that a feature did not mean to show. (control-plane.md §1, WS-6)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { badRequest, Problem, PROBLEMS } from '../../../control-plane/http/problem.ts'
import type { ProblemName } from '../../../control-plane/http/problem.ts'
import { route } from '../../../control-plane/http/route.ts'
import { KeyServiceUnavailable } from '../../../control-plane/keys/key-provider.ts'
import { testApi } from '../../harness/api.ts'

const names = Object.keys(PROBLEMS) as ProblemName[]

test('every problem type is explained at its own address, to anybody', async (t) => {
  const it = await testApi(t, () => [])
  assert.ok(names.length > 15)
  for (const name of names) {
    const { status, headers, body } = await it.request('GET', `//problems/${name}`)
    const [problemStatus, title, description] = PROBLEMS[name]
    assert.deepEqual([status, body], [200, { type: `/problems/${name}`, status: problemStatus, title, description }])
    assert.match(headers.get('content-type') ?? '', /^application\/json/)
  }
  for (const name of ['nothing', 'toString', '__proto__', 'constructor', '%00', '..%2f', '%ff'])
    assert.equal((await it.request('GET', `//problems/${name}`)).status, 404, name)
})

test('types are names, titles hold no data, every one has an explanation that says more', () => {
  for (const name of names) {
    const [status, title, description]: readonly [number, string, string] = PROBLEMS[name]
    assert.match(name, /^[a-z]+(-[a-z]+)*$/)
    assert.ok(status >= 400 && status < 600)
    assert.ok(title.length > 5 && !title.endsWith('.'), name)
    assert.ok(description.length > 10 && description !== title, name)
  }
})

test('a problem in JSON: type, title, status, its members, and the id of the request', () => {
  const faults = [{ pointer: '/a', code: 'c', detail: 'd' }]
  assert.deepEqual(badRequest(faults).toJson('req_1'), {
    type: '/problems/bad-request',
    title: PROBLEMS['bad-request'][1],
    status: 400,
    faults,
    requestId: 'req_1',
  })
})

test('WS-6: an error that is no problem shows nothing of itself; one of a database or key service that is away says to come back', async (t) => {
  const secret = 'canary-7f3a'
  const failures: [error: Error, status: number][] = [
    [new Error(secret), 500],
    [Object.assign(new Error(secret), { code: 'ECONNREFUSED' }), 503],
    [Object.assign(new Error(secret), { code: '57P01' }), 503],
    [new KeyServiceUnavailable(secret), 503],
    [new Error(`Connection terminated unexpectedly ${secret}`), 503],
    [Object.assign(new Error(secret), { status: 418, expose: true }), 500],
    [new Problem('conflict', { detail: 'shown' }, { cause: new Error(secret) }), 409],
  ]
  let next = 0
  const it = await testApi(t, () => [
    route({
      method: 'get',
      path: '/failures',
      id: 'fail',
      summary: 'Fail',
      tag: 'things',
      access: 'public',
      responses: { 204: { description: 'Never' } },
      handler: () => Promise.reject(failures[next]?.[0] ?? new Error('unreachable: no more failures')),
    }),
  ])
  for (const [index, [, status]] of failures.entries()) {
    next = index
    const { status: answered, headers, body } = await it.request('GET', '/failures')
    assert.equal(answered, status)
    assert.ok(!JSON.stringify(body).includes(secret))
    assert.equal(headers.get('content-type'), 'application/problem+json; charset=utf-8')
    assert.equal(body.requestId, headers.get('x-request-id'))
    assert.equal(headers.get('retry-after'), status === 503 ? '5' : null)
    const isLogged = it.lines.some((line) => line.includes('request.failed') && line.includes(String(body.requestId)))
    assert.equal(isLogged, status >= 500, 'what is our fault is logged, what is the client’s is not')
  }
})
