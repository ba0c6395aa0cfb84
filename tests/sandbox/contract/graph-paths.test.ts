// Which operation a path is of, and which it is not: the matching rules of graph-paths.json.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { CONTRACTS, fill, PATHS_FILE, placeholder } from './published.ts'

const { graph } = CONTRACTS

test('each of the 952 published operations is found by its own path, in its own version only', () => {
  let count = 0
  for (const published of graph.operations) {
    count++
    const path = fill(published.template, placeholder)
    const found = graph.find(published.method, published.version, path)
    assert.ok(found.kind === 'found', `${published.name}: ${JSON.stringify(found)}`)
    assert.equal(found.operation.name, published.name)
    const names = [...published.template.matchAll(/\{([^}]+)\}/g)].map(([, name = '']) => name)
    assert.deepEqual(found.operation.parameters, Object.fromEntries(names.map((name) => [name, placeholder(name)])))
    const other = graph.find(published.method, published.version === 'v1.0' ? 'beta' : 'v1.0', path)
    assert.equal(other.kind === 'none' ? other.violation.rule : 'found', 'wrong-version', published.name)
  }
  assert.equal(count, 952)
})

test('each of the 319 aliases leads to the operation that it is another address of, for its methods only', () => {
  assert.equal(PATHS_FILE.aliases.length, 319)
  for (const { path, aliasOf, methods } of PATHS_FILE.aliases) {
    for (const method of methods) {
      const found = graph.find(method, 'v1.0', fill(path, placeholder))
      assert.ok(found.kind === 'found', `${method} ${path}`)
      assert.equal(found.operation.name, `${method} ${aliasOf}`)
      // A well-known folder's name stands where any folder's id does.
      assert.ok([path, aliasOf].includes(found.operation.template), `${path}: ${found.operation.template}`)
    }
    const others = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'].filter((method) => !methods.includes(method))
    for (const method of others) {
      assert.equal(graph.find(method, 'v1.0', fill(path, placeholder)).kind, 'none', `${method} ${path}`)
    }
  }
})

test('each refused method of the 257 templates is refused, in both versions', () => {
  assert.equal(Object.keys(PATHS_FILE.refused).length, 257)
  for (const [path, methods] of Object.entries(PATHS_FILE.refused)) {
    for (const method of methods) {
      for (const version of ['v1.0', 'beta'] as const) {
        const found = graph.find(method, version, fill(path, placeholder))
        assert.ok(found.kind === 'none', `${method} ${path}`)
        assert.deepEqual(
          [found.violation.rule, found.violation.status],
          ['refused-operation', 405],
          `${method} ${path}`,
        )
      }
    }
  }
})

const GUID = '0e5b1f4c-9a1f-4d0d-8c2e-3b7a0d6f1a22'

const SAME: [why: string, method: string, path: string, name: string, parameters: Record<string, string>][] = [
  ['letters in any case', 'GET', `/USERS/${GUID}/Manager`, 'GET /users/{user-id}/manager', { 'user-id': GUID }],
  ['percent-encoded letters', 'GET', `/%75sers/${GUID}`, 'GET /users/{user-id}', { 'user-id': GUID }],
  ['an encoded user name', 'GET', '/users/a%40contoso.com', 'GET /users/{user-id}', { 'user-id': 'a@contoso.com' }],
  ['a guest', 'GET', '/users/a_x.com%23EXT%23@b.com', 'GET /users/{user-id}', { 'user-id': 'a_x.com#EXT#@b.com' }],
  [
    'an encoded slash is part of a value',
    'GET',
    '/users/a%2Fmanager',
    'GET /users/{user-id}',
    { 'user-id': 'a/manager' },
  ],
  ['a literal beats a parameter', 'GET', '/users/$count', 'GET /users/$count', {}],
  ['a function without parentheses', 'GET', '/users/delta', 'GET /users/delta()', {}],
  ['a function with parentheses', 'GET', '/users/delta()', 'GET /users/delta()', {}],
  ['a function with its namespace', 'GET', '/users/microsoft.graph.delta()', 'GET /users/delta()', {}],
  ['a function with namespace alone', 'GET', '/users/microsoft.graph.delta', 'GET /users/delta()', {}],
  ['a key in parentheses', 'GET', `/users('${GUID}')/manager`, 'GET /users/{user-id}/manager', { 'user-id': GUID }],
  [
    'a name that begins with $, as a key',
    'GET',
    "/users('$x@contoso.com')",
    'GET /users/{user-id}',
    { 'user-id': '$x@contoso.com' },
  ],
  [
    'a quote in a key',
    'GET',
    "/users('o''brian@contoso.com')",
    'GET /users/{user-id}',
    { 'user-id': "o'brian@contoso.com" },
  ],
  [
    'a report of a period',
    'GET',
    "/reports/getMailboxUsageDetail(period='D7')",
    "GET /reports/getMailboxUsageDetail(period='{period}')",
    { period: 'D7' },
  ],
  [
    'an argument without quotes, where it is published so',
    'GET',
    '/reports/getEmailActivityUserDetail(date=2026-01-31)',
    'GET /reports/getEmailActivityUserDetail(date={date})',
    { date: '2026-01-31' },
  ],
  [
    'a namespaced function with arguments in an encoded form',
    'GET',
    '/tenantRelationships/microsoft.graph.findTenantInformationByDomainName(domainName=%27contoso.com%27)',
    "GET /tenantRelationships/findTenantInformationByDomainName(domainName='{domainName}')",
    { domainName: 'contoso.com' },
  ],
  [
    'arguments in another order',
    'GET',
    `/users/${GUID}/reminderView(EndDateTime='b',StartDateTime='a')`,
    "GET /users/{user-id}/reminderView(StartDateTime='{StartDateTime}',EndDateTime='{EndDateTime}')",
    { 'user-id': GUID, StartDateTime: 'a', EndDateTime: 'b' },
  ],
  [
    'a mailbox id with a colon',
    'GET',
    '/admin/exchange/mailboxes/MBX:e0643f21@a7809c93/folders',
    'GET /admin/exchange/mailboxes/{mailbox-id}/folders',
    { 'mailbox-id': 'MBX:e0643f21@a7809c93' },
  ],
  [
    'a cast, with its namespace',
    'GET',
    `/groups/${GUID}/members/microsoft.graph.user`,
    'GET /groups/{group-id}/members/graph.user',
    { 'group-id': GUID },
  ],
  [
    'an item by its path',
    'GET',
    '/drives/d1/root:/a%20b/c.txt:/content',
    'GET /drives/{drive-id}/items/{driveItem-id}/content',
    { 'drive-id': 'd1', 'item-path': 'a b/c.txt' },
  ],
  [
    'an item by its path, itself',
    'GET',
    '/drives/d1/root:/children/content',
    'GET /drives/{drive-id}/items/{driveItem-id}',
    { 'drive-id': 'd1', 'item-path': 'children/content' },
  ],
  [
    'a site by its address',
    'GET',
    '/sites/contoso.sharepoint.com:/sites/hr/docs',
    'GET /sites/{hostname}:/{server-relative-path}',
    { hostname: 'contoso.sharepoint.com', 'server-relative-path': 'sites/hr/docs' },
  ],
]
for (const [why, method, path, name, parameters] of SAME) {
  test(`found: ${why} (${method} ${path})`, () => {
    const found = graph.find(method, 'v1.0', path)
    assert.ok(found.kind === 'found', JSON.stringify(found))
    assert.equal(found.operation.name, name)
    assert.deepEqual(found.operation.parameters, parameters)
  })
}

const NONE: [why: string, method: string, path: string, status: number][] = [
  ['the empty path', 'GET', '', 400],
  ['the root', 'GET', '/', 400],
  ['no slash before it', 'GET', 'users', 400],
  ['a slash after it', 'GET', '/users/', 400],
  ['an empty segment', 'GET', '/users//manager', 400],
  ['a relative segment', 'GET', '/groups/../users', 400],
  ['an encoded relative segment', 'GET', '/users/%2e%2e/groups', 400],
  ['a segment that is this one', 'GET', '/users/.', 400],
  ['broken percent-encoding', 'GET', '/users/%zz', 400],
  ['a lone percent sign', 'GET', '/users/100%', 400],
  ['bytes that are not UTF-8', 'GET', '/users/%C0%AF', 400],
  ['an encoded NUL', 'GET', '/users/a%00b', 400],
  ['an encoded line break', 'GET', '/users/a%0D%0Ab', 400],
  ['the version once more', 'GET', '/v1.0/users', 400],
  ['somebody with no access path', 'GET', '/me', 400],
  ['a member that nobody publishes', 'GET', '/users/x/passwords', 400],
  ['a system segment in place of a name', 'GET', '/users/$batch', 400],
  ['an encoded system segment in place of a name', 'GET', '/users/%24value', 400],
  ['an unknown function in place of a name', 'GET', '/users/everybody()', 400],
  ['an unknown cast in place of a name', 'GET', '/users/microsoft.graph.agent', 400],
  ['parentheses after what is no function', 'GET', '/users()', 400],
  ['an empty key', 'GET', "/users('')", 400],
  ['an unclosed key', 'GET', "/users('a", 400],
  ['a function without its argument', 'GET', '/reports/getMailboxUsageDetail', 400],
  ['a function with an argument more', 'GET', "/reports/getMailboxUsageDetail(period='D7',top='1')", 400],
  ['an argument twice', 'GET', "/reports/getMailboxUsageDetail(period='D7',period='D7')", 400],
  ['an argument by another name', 'GET', "/reports/getMailboxUsageDetail(days='D7')", 400],
  ['an argument that wants quotes', 'GET', '/reports/getMailboxUsageDetail(period=D7)', 400],
  ['an argument that wants none', 'GET', "/reports/getEmailActivityUserDetail(date='2026-01-31')", 400],
  ['an argument that ends in a comma', 'GET', "/reports/getMailboxUsageDetail(period='D7',)", 400],
  ['a drive id with a colon', 'GET', '/drives/b!x:y/items/1', 400],
  ['an unknown operation on an item by its path', 'GET', '/drives/d1/root:/a:/explode', 400],
  ['an item path that is empty', 'GET', '/drives/d1/root::/children', 400],
  ['a method that nobody publishes there', 'DELETE', '/users', 405],
  ['a method in small letters', 'get', '/users', 405],
  ['a method from nowhere', 'PROPFIND', '/users', 405],
  ['HEAD', 'HEAD', '/users', 405],
  ['a refused method', 'PUT', '/users/x/messages/y/$value', 405],
]
for (const [why, method, path, status] of NONE) {
  test(`not found: ${why} (${method} ${JSON.stringify(path)})`, () => {
    const found = graph.find(method, 'v1.0', path)
    assert.ok(found.kind === 'none', JSON.stringify(found))
    assert.equal(found.violation.status, status, JSON.stringify(found.violation))
  })
}

test('an inferred status, a delegated-only one and the permissions come with the operation', () => {
  const senders = graph.find('GET', 'v1.0', '/groups/x/acceptedSenders')
  assert.equal(senders.kind === 'found' && senders.operation.status, 'delegated-only')
  const count = graph.find('GET', 'v1.0', '/policies/crossTenantAccessPolicy/partners/$count')
  assert.equal(count.kind === 'found' && count.operation.status, 'inferred')
})

test('what only asks is no write: reads, and posts that ask', () => {
  const isWrite = (method: string, path: string) => {
    const found = graph.find(method, 'v1.0', path)
    return found.kind === 'found' && found.operation.isWrite
  }
  assert.equal(isWrite('GET', '/users'), false)
  assert.equal(isWrite('POST', '/directoryObjects/getByIds'), false)
  assert.equal(isWrite('POST', '/$batch'), false)
  assert.equal(isWrite('POST', '/users'), true)
  assert.equal(isWrite('DELETE', '/users/x'), true)
})

const valueArbitrary = fc
  .string({ minLength: 1, maxLength: 40, unit: 'binary' })
  // What no value may be: see the tables above.
  // eslint-disable-next-line no-control-regex -- they are what is left out
  .filter((value) => !/^\$|[\u0000-\u001f\u007f:()/']|\p{Cs}/u.test(value) && !['.', '..'].includes(value))
  .filter((value) => !/^(?:microsoft\.)?graph\./i.test(value))

test('whatever a value is, the path made with it is of its template or of one with more literals, and gives it back', () => {
  const operations = [...graph.operations]
  fc.assert(
    fc.property(fc.nat(operations.length - 1), valueArbitrary, (index, value) => {
      const published = operations[index]
      assert.ok(published !== undefined)
      const found = graph.find(
        published.method,
        published.version,
        fill(published.template, () => value),
      )
      if (found.kind === 'none') {
        // A value that spells a literal of another template: `/users/delta`.
        assert.match(found.violation.rule, /unknown-operation|refused-operation|wrong-version/)
        assert.ok(isLiteralSomewhere(value), `${published.name} with ${JSON.stringify(value)}`)
        return
      }
      if (found.operation.name !== published.name) return assert.ok(isLiteralSomewhere(value), published.name)
      for (const each of Object.values(found.operation.parameters)) assert.equal(each, value)
    }),
    { numRuns: 500 },
  )
})

const LITERALS = new Set(
  [...PATHS_FILE.paths.map(({ path }) => path), ...Object.keys(PATHS_FILE.refused)].flatMap((path) =>
    path.split('/').map((segment) => segment.replace(/\(.*/, '').toLowerCase()),
  ),
)

function isLiteralSomewhere(value: string): boolean {
  return LITERALS.has(value.toLowerCase())
}

test('no path, however hostile, makes the search fail or take long', () => {
  const hostile = fc.oneof(
    fc.string({ maxLength: 300, unit: 'binary' }),
    fc
      .array(
        fc.constantFrom(
          'users',
          'drives',
          'root:',
          'items',
          '%',
          "('",
          "')",
          ':',
          '()',
          '..',
          '%2F',
          'a:',
          '$value',
          'delta()',
        ),
        { maxLength: 40 },
      )
      .map((parts) => `/${parts.join('/')}`),
    fc
      .array(fc.constantFrom("'", '(', ')', ',', '=', 'a', '{', '}'), { maxLength: 60 })
      .map((parts) => `/users/${parts.join('')}`),
  )
  fc.assert(
    fc.property(fc.constantFrom('GET', 'POST', '__proto__', ''), hostile, (method, path) => {
      const found = graph.find(method, 'v1.0', path)
      assert.ok(found.kind === 'found' || found.violation.where.length < 400)
    }),
    { numRuns: 1000 },
  )
  for (const path of [
    `/${'a/'.repeat(50_000)}`,
    `/drives/d/root:/${'a:/'.repeat(2_000)}`,
    `/drives/d/root:/${'a/'.repeat(2_000)}:`,
    `/users/f(${"a='b',".repeat(2_000)})`,
    `/users/${'('.repeat(8_000)}`,
    `/users/f(${"''".repeat(4_000)}`,
  ]) {
    const startedAt = performance.now()
    graph.find('GET', 'v1.0', path)
    assert.ok(performance.now() - startedAt < 200, path.slice(0, 40))
  }
})
