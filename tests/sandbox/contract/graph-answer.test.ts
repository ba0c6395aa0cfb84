// Whether the simulated Graph answers as the published types say: it must not be kinder than the real one.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { judgeGraphAnswer } from '../../../sandbox/contract/graph-answer.ts'
import { CONTRACTS, operation } from './published.ts'

const ID = '0e5b1f4c-9a1f-4d0d-8c2e-3b7a0d6f1a22'
const error = {
  error: { code: 'Request_ResourceNotFound', message: 'gone', innerError: { date: 'x', 'request-id': ID } },
}
const typed = (type: string, members: object) => ({ '@odata.type': `#microsoft.graph.${type}`, id: ID, ...members })

const ANSWERS: [why: string, method: string, path: string, status: number, body: unknown, broken: string[]][] = [
  [
    'a list',
    'GET',
    '/users',
    200,
    { '@odata.context': 'x', '@odata.nextLink': 'y', value: [{ id: ID, mail: null }] },
    [],
  ],
  ['a list without value', 'GET', '/users', 200, { '@odata.context': 'x' }, ['missing-member value']],
  ['a bare list', 'GET', '/users', 200, [{ id: ID }], ['wrong-type']],
  ['a list that is none', 'GET', '/users', 200, { value: { id: ID } }, ['wrong-type value']],
  ['nothing in place of a list', 'GET', '/users', 200, undefined, ['missing-member value']],
  ['more than a list', 'GET', '/users', 200, { value: [], next: 'y' }, ['unknown-member next']],
  ['a wrong item', 'GET', '/users', 200, { value: [{ id: ID }, { id: 7 }] }, ['wrong-type value[1].id']],
  ['an item with more', 'GET', '/users', 200, { value: [{ id: ID, age: 3 }] }, ['unknown-member value[0].age']],
  ['one object', 'GET', '/users/x', 200, { '@odata.context': 'x', id: ID, accountEnabled: true }, []],
  ['a manager, with his type', 'GET', '/users/x/manager', 200, typed('user', { userPrincipalName: 'a@b' }), []],
  [
    'a manager without his type',
    'GET',
    '/users/x/manager',
    200,
    { id: ID, userPrincipalName: 'a@b' },
    ['unknown-member userPrincipalName'],
  ],
  [
    'members of many types',
    'GET',
    '/groups/x/members',
    200,
    {
      value: [
        typed('user', { mail: 'a@b' }),
        typed('group', { mailEnabled: true }),
        typed('orgContact', { mail: 'c' }),
      ],
    },
    [],
  ],
  [
    'a member with another type’s members',
    'GET',
    '/groups/x/members',
    200,
    { value: [typed('group', { userPrincipalName: 'a@b' })] },
    ['unknown-member value[0].userPrincipalName'],
  ],
  [
    'a delta: what was removed, and members that changed',
    'GET',
    '/groups/delta',
    200,
    {
      '@odata.deltaLink': 'y',
      value: [
        { id: ID, '@removed': { reason: 'changed' } },
        {
          id: ID,
          'members@delta': [{ '@odata.type': '#microsoft.graph.user', id: ID, '@removed': { reason: 'deleted' } }],
        },
      ],
    },
    [],
  ],
  [
    'annotations of a member that is none',
    'GET',
    '/groups/delta',
    200,
    { value: [{ id: ID, 'mebers@delta': [] }] },
    ['unknown-member value[0].mebers@delta'],
  ],
  ['a count', 'GET', '/users/$count', 200, '42', []],
  ['a count that is none', 'GET', '/users/$count', 200, { count: 42 }, ['wrong-type']],
  ['a flag of an action', 'POST', '/users/x/revokeSignInSessions', 200, { value: true }, []],
  [
    'text of an action that gives a flag',
    'POST',
    '/users/x/revokeSignInSessions',
    200,
    { value: 'yes' },
    ['wrong-type value'],
  ],
  ['ids', 'POST', '/users/x/getMemberGroups', 200, { value: [ID] }, []],
  ['numbers in place of ids', 'POST', '/users/x/getMemberGroups', 200, { value: [1] }, ['wrong-type value']],
  ['references', 'GET', '/groups/x/members/$ref', 200, { value: [{ '@odata.id': 'x' }] }, []],
  ['a report, which is text', 'GET', "/reports/getMailboxUsageDetail(period='D7')", 200, 'a,b\n', []],
  ['a redirect', 'GET', "/reports/getMailboxUsageDetail(period='D7')", 302, undefined, []],
  ['nothing after a change', 'PATCH', '/users/x', 204, undefined, []],
  ['something where nothing is published', 'DELETE', '/users/x', 200, { id: ID }, ['body-not-taken']],
  ['a batch', 'POST', '/$batch', 200, { responses: [{ id: '1', status: 200, headers: {}, body: {} }] }, []],
  ['a batch of nothing', 'POST', '/$batch', 200, { responses: [{ id: 1 }] }, ['wrong-type responses']],
  ['a refusal', 'GET', '/users/x', 404, error, []],
  ['a refusal that is bare', 'GET', '/users/x', 404, { code: 'x', message: 'y' }, ['missing-member error']],
  ['a refusal without a code', 'GET', '/users/x', 404, { error: { message: 'y' } }, ['wrong-type error.code']],
  [
    'a refusal with more',
    'GET',
    '/users/x',
    404,
    { error: { ...error.error, hint: 'z' } },
    ['unknown-member error.hint'],
  ],
  [
    'an enum as published',
    'GET',
    '/organization',
    200,
    { value: [{ id: ID, mobileDeviceManagementAuthority: 'unknown' }] },
    [],
  ],
  [
    'an enum from nowhere',
    'GET',
    '/organization',
    200,
    { value: [{ id: ID, mobileDeviceManagementAuthority: 'nobody' }] },
    ['unknown-enum-member value[0].mobileDeviceManagementAuthority'],
  ],
  [
    'an identifier of a form',
    'GET',
    '/subscribedSkus',
    200,
    { value: [{ id: 'x', skuId: 'E3' }] },
    ['wrong-type value[0].skuId'],
  ],
  [
    'a number out of range',
    'GET',
    '/subscribedSkus',
    200,
    { value: [{ id: 'x', consumedUnits: 2 ** 31 }] },
    ['wrong-type value[0].consumedUnits'],
  ],
  [
    'a part of a number',
    'GET',
    '/subscribedSkus',
    200,
    { value: [{ id: 'x', consumedUnits: 1.5 }] },
    ['wrong-type value[0].consumedUnits'],
  ],
]
for (const [why, method, path, status, body, expected] of ANSWERS) {
  test(`answer: ${why} (${method} ${path}, ${status})`, () => {
    const violations = judgeGraphAnswer(CONTRACTS, operation(method, path), status, body)
    assert.deepEqual(
      violations.map(({ rule, where }) => (where === '' ? rule : `${rule} ${where}`)),
      expected,
    )
  })
}

test('a type of the beta that the schema of v1.0 does not have is not judged', () => {
  const jobs = operation('GET', '/solutions/migrations/crossTenantMigrationJobs', 'beta')
  assert.deepEqual(judgeGraphAnswer(CONTRACTS, jobs, 200, { value: [{ id: ID, displayName: 'x' }] }), [])
})

test('success without an operation is a fault of the simulation', () => {
  assert.deepEqual(
    judgeGraphAnswer(CONTRACTS, undefined, 200, {}).map(({ rule }) => rule),
    ['unknown-operation'],
  )
  assert.deepEqual(judgeGraphAnswer(CONTRACTS, undefined, 400, error), [])
})

test('a page of 999 users is judged in a few milliseconds, so that 100,000 accounts can be', () => {
  const one = {
    id: ID,
    displayName: 'A',
    userPrincipalName: 'a@b',
    accountEnabled: true,
    proxyAddresses: ['SMTP:a@b', 'smtp:c@d'],
    assignedLicenses: [{ skuId: ID, disabledPlans: [] }],
    onPremisesExtensionAttributes: { extensionAttribute1: 'x' },
    createdDateTime: '2026-01-01T00:00:00Z',
  }
  const page = { value: Array.from({ length: 999 }, () => one) }
  const users = operation('GET', '/users')
  judgeGraphAnswer(CONTRACTS, users, 200, page)
  const startedAt = performance.now()
  for (let count = 0; count < 20; count++) assert.deepEqual(judgeGraphAnswer(CONTRACTS, users, 200, page), [])
  const microseconds = ((performance.now() - startedAt) * 1000) / (20 * 999)
  // About 0.5 on a quiet machine.
  assert.ok(microseconds < 50, `${microseconds} µs an object`)
})
