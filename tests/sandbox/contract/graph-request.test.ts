// Whether a request may be asked as it is: query, permission, body.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isPermitted } from '../../../sandbox/contract/graph-request.ts'
import { isCoveredBy } from '../../../sandbox/contract/permissions.ts'
import { permissionsOf } from '../../../sandbox/contract/permission-sets.ts'
import { broken, CONTRACTS, judge, operation } from './published.ts'

const QUERIES: [why: string, url: string, broken: string[]][] = [
  ['published options', '/users?$select=id,displayName&$top=999&$filter=x&$count=true', []],
  ['an option from nowhere', '/users?$shuffle=true', ['unknown-query-option $shuffle']],
  ['an option without $', '/users?select=id', ['unknown-query-option select']],
  ['an option in other letters', '/users?$Select=id', ['unknown-query-option $Select']],
  ['a published option of another operation', '/users?$skip=5', ['unknown-query-option $skip']],
  ['a token that only the service makes', '/users?$skiptoken=abc', ['unknown-query-option $skiptoken']],
  ['the documented list wins over the described one', '/subscribedSkus?$filter=x', ['unknown-query-option $filter']],
  ['an option twice', '/users?$top=1&$top=2', ['query-value $top']],
  ['a member that users lack', '/users?$select=id,shoeSize', ['query-value $select=shoeSize']],
  ['a member of users, of a list of anything', '/groups/x/members?$select=id,userPrincipalName', []],
  ['a member of nobody, of a list of anything', '/groups/x/members?$select=shoeSize', ['query-value $select=shoeSize']],
  ['an extension', '/users?$select=extension_0e5b1f4c9a1f4d0d8c2e3b7a0d6f1a22_costCentre', []],
  ['everything', '/users?$select=*', []],
  ['a member of a member', '/users?$select=onPremisesExtensionAttributes/extensionAttribute1', []],
  ['options that must be there', '/users/x/calendarView?startDateTime=a', ['missing-query-option endDateTime']],
  ['options that must be there, there', '/users/x/calendarView?startDateTime=a&endDateTime=b', []],
  ['a value of another form', '/users/x/messages/delta?$filter=isRead eq true', ['query-value $filter']],
  ['a value of its form', '/users/x/messages/delta?$filter=receivedDateTime ge 2026-01-01T00:00:00Z', []],
  ['a first token of its form', '/users/delta?$deltatoken=latest', []],
]
for (const [why, url, expected] of QUERIES) {
  test(`query: ${why} (GET ${url})`, () => {
    assert.deepEqual(broken('GET', url.replaceAll(' ', '%20')), expected)
  })
}

test('a link that an answer handed out is exempt from the query check, and only that', () => {
  assert.deepEqual(broken('GET', '/users?$skiptoken=abc&whatever=1', { isIssuedLink: true }), [])
  assert.deepEqual(broken('GET', '/people?$skiptoken=abc', { isIssuedLink: true }), ['unknown-operation GET'])
})

test('an option or a member that is as long as it likes is told shortened', () => {
  for (const url of [`/users?${'x'.repeat(70_000)}=1`, `/users?$select=${'x'.repeat(70_000)}`]) {
    for (const { where } of judge('GET', url).violations) assert.ok(where.length < 100)
  }
})

const COVERAGE: [wanted: string, held: string, isCovered: boolean][] = [
  ['User.Read.All', 'User.Read.All', true],
  ['User.Read.All', 'User.ReadWrite.All', true],
  ['User.ReadBasic.All', 'User.Read.All', true],
  ['User.ReadBasic.All', 'User.ReadWrite.All', true],
  ['Mail.ReadBasic.All', 'Mail.Read', true],
  ['Mail.Read', 'Mail.ReadWrite', true],
  ['User.ReadWrite.All', 'User.Read.All', false],
  ['User.Read.All', 'User.ReadBasic.All', false],
  ['User.Read.All', 'Directory.Read.All', false],
  ['User.Read.All', 'UserX.ReadWrite.All', false],
  ['Application.ReadWrite.All', 'Application.ReadWrite.OwnedBy', false],
  ['User.Invite.All', 'User.ReadWrite.All', false],
  ['MailboxItem.Export.All', 'MailboxItem.ReadWrite.All', false],
  ['RoleManagement.Read.Directory', 'RoleManagement.ReadWrite.Directory', true],
]
for (const [wanted, held, isCovered] of COVERAGE) {
  test(`${held} ${isCovered ? 'stands' : 'does not stand'} for ${wanted}`, () => {
    assert.equal(isCoveredBy(wanted, held), isCovered)
  })
}

const PERMITTED: [why: string, method: string, path: string, roles: string[], isPermitted: boolean][] = [
  ['the least role', 'GET', '/users', ['User.ReadBasic.All'], true],
  ['another published role', 'GET', '/users', ['Directory.Read.All'], true],
  ['no role', 'GET', '/users', [], false],
  ['a role of something else', 'GET', '/users', ['Group.Read.All'], false],
  ['a role that only reads', 'PATCH', '/users/x', ['User.Read.All'], false],
  ['a role that writes', 'PATCH', '/users/x', ['User.ReadWrite.All'], true],
  [
    'delegated only, with every role',
    'GET',
    '/groups/x/acceptedSenders',
    ['Group.ReadWrite.All', 'Directory.ReadWrite.All'],
    false,
  ],
  ['no published permission at all', 'GET', '/directoryObjects/delta', ['Directory.ReadWrite.All'], false],
  ['a batch, whose members are judged alone', 'POST', '/$batch', [], true],
  ['half of a pair', 'POST', '/servicePrincipals/x/appRoleAssignments', ['AppRoleAssignment.ReadWrite.All'], false],
  [
    'a pair',
    'POST',
    '/servicePrincipals/x/appRoleAssignments',
    ['AppRoleAssignment.ReadWrite.All', 'Application.Read.All'],
    true,
  ],
  ['a companion alone', 'POST', '/servicePrincipals/x/appRoleAssignments', ['Directory.Read.All'], false],
]
for (const [why, method, path, roles, expected] of PERMITTED) {
  test(`permission: ${why} (${method} ${path}) is ${expected ? '' : 'not '}enough`, () => {
    assert.equal(isPermitted(CONTRACTS, operation(method, path), roles), expected)
  })
}

test('every operation of every capability is permitted with the roles of its published set', () => {
  const { permissionSets } = CONTRACTS
  let count = 0
  for (const [name, { capabilities }] of Object.entries(permissionSets.sets)) {
    const roles = permissionsOf(permissionSets, name)['https://graph.microsoft.com'] ?? []
    for (const { op } of Object.values(capabilities).flat()) {
      const published = op === undefined ? undefined : CONTRACTS.graph.published(op)
      if (published === undefined) continue
      count++
      assert.ok(isPermitted(CONTRACTS, { ...published, parameters: {} }, roles), `${name}: ${published.name}`)
    }
  }
  assert.ok(count > 100, `only ${count} were looked at`)
})

const user = { accountEnabled: true, displayName: 'A', mailNickname: 'a', userPrincipalName: 'a@contoso.com' }

const BODIES: [why: string, method: string, path: string, body: unknown, broken: string[]][] = [
  ['as published', 'POST', '/users', user, []],
  ['a member that users lack', 'POST', '/users', { ...user, shoeSize: 42 }, ['unknown-member shoeSize']],
  ['a member in other letters', 'POST', '/users', { DisplayName: 'A' }, ['unknown-member DisplayName']],
  ['a number in place of text', 'POST', '/users', { displayName: 7 }, ['wrong-type displayName']],
  ['text in place of a flag', 'POST', '/users', { accountEnabled: 'true' }, ['wrong-type accountEnabled']],
  ['null where null may be', 'PATCH', '/users/x', { jobTitle: null }, []],
  ['null where it may not', 'PATCH', '/users/x', { businessPhones: null }, ['wrong-type businessPhones']],
  ['one in place of a list', 'PATCH', '/users/x', { businessPhones: '1' }, ['wrong-type businessPhones']],
  ['a wrong item of a list', 'PATCH', '/users/x', { businessPhones: ['1', 2] }, ['wrong-type businessPhones[1]']],
  ['a time that is none', 'PATCH', '/users/x', { employeeHireDate: 'soon' }, ['wrong-type employeeHireDate']],
  ['a time', 'PATCH', '/users/x', { employeeHireDate: '2026-01-31T00:00:00Z' }, []],
  [
    'a wrong member of a member',
    'PATCH',
    '/users/x',
    { passwordProfile: { pasword: 'x' } },
    ['unknown-member passwordProfile.pasword'],
  ],
  [
    'an extension',
    'PATCH',
    '/users/x',
    { extension_0e5b1f4c9a1f4d0d8c2e3b7a0d6f1a22_costCentre: '7', ext8k3_employee: { id: 4 } },
    [],
  ],
  [
    'references on making',
    'POST',
    '/groups',
    { displayName: 'g', 'members@odata.bind': ['https://graph.microsoft.com/v1.0/users/x'] },
    [],
  ],
  ['a member of an enum', 'PATCH', '/users/x/mailboxSettings', { automaticRepliesSetting: { status: 'disabled' } }, []],
  [
    'no member of an enum',
    'PATCH',
    '/users/x/mailboxSettings',
    { automaticRepliesSetting: { status: 'asleep' } },
    ['unknown-enum-member automaticRepliesSetting.status'],
  ],
  [
    'everything wrong at once',
    'POST',
    '/users',
    { displayName: 1, x: 2 },
    ['wrong-type displayName', 'unknown-member x'],
  ],
  ['a list in place of an object', 'POST', '/users', [user], ['wrong-type']],
  ['null', 'POST', '/users', null, ['wrong-type']],
  ['no body', 'POST', '/users', undefined, ['missing-member']],
  ['a body to a read', 'GET', '/users', { a: 1 }, ['body-not-taken']],
  ['a body to a removal', 'DELETE', '/users/x', { a: 1 }, ['body-not-taken']],
  ['an empty object to an action without parameters', 'POST', '/users/x/revokeSignInSessions', {}, []],
  ['parameters to an action without', 'POST', '/users/x/revokeSignInSessions', { a: 1 }, ['body-not-taken']],
  ['parameters of an action', 'POST', '/directoryObjects/getByIds', { ids: ['x'], types: ['user'] }, []],
  ['a parameter that must be there', 'POST', '/directoryObjects/getByIds', { types: ['user'] }, ['missing-member ids']],
  ['a parameter from nowhere', 'POST', '/directoryObjects/getByIds', { ids: [], all: true }, ['unknown-member all']],
  [
    'an item of a derived type',
    'POST',
    '/users/x/messages/y/attachments',
    { '@odata.type': '#microsoft.graph.fileAttachment', name: 'a', contentBytes: 'QUJD' },
    [],
  ],
  [
    'a member of the derived type, without saying which',
    'POST',
    '/users/x/messages/y/attachments',
    { name: 'a', contentBytes: 'QUJD' },
    ['unknown-member contentBytes'],
  ],
  [
    'a type that is none of its',
    'POST',
    '/users/x/messages/y/attachments',
    { '@odata.type': '#microsoft.graph.user' },
    ['unknown-type @odata.type'],
  ],
  [
    'a type from nowhere',
    'POST',
    '/users/x/messages/y/attachments',
    { '@odata.type': '#microsoft.graph.balloon' },
    ['unknown-type @odata.type'],
  ],
  ['a reference', 'POST', '/groups/x/members/$ref', { '@odata.id': 'https://graph.microsoft.com/v1.0/users/y' }, []],
  ['a reference to nothing', 'POST', '/groups/x/members/$ref', {}, ['missing-member @odata.id']],
  ['more than a reference', 'POST', '/groups/x/members/$ref', { '@odata.id': 'x', id: 'y' }, ['unknown-member id']],
  ['a batch', 'POST', '/$batch', { requests: [{ id: '1', method: 'GET', url: '/users' }] }, []],
  ['an empty batch', 'POST', '/$batch', { requests: [] }, ['wrong-type requests']],
  [
    'a batch of 21',
    'POST',
    '/$batch',
    { requests: Array.from({ length: 21 }, (_, id) => ({ id: String(id), method: 'GET', url: '/users' })) },
    ['wrong-type requests'],
  ],
  [
    'a step without its address',
    'POST',
    '/$batch',
    { requests: [{ id: '1', method: 'GET', uri: '/users' }] },
    ['missing-member requests[0].url', 'unknown-member requests[0].uri'],
  ],
  [
    'a prototype in place of members',
    'PATCH',
    '/users/x',
    JSON.parse('{"__proto__": {"a": 1}}'),
    ['unknown-member __proto__'],
  ],
  ['a member that every object has', 'PATCH', '/users/x', { constructor: 1 }, ['unknown-member constructor']],
]
for (const [why, method, path, body, expected] of BODIES) {
  test(`body: ${why} (${method} ${path})`, () => {
    assert.deepEqual(broken(method, path, { body, headers: { 'content-type': 'application/json' } }), expected)
  })
}

test('text is taken where a message may be text, and nowhere else', () => {
  const headers = { 'content-type': 'text/plain; charset=utf-8' }
  assert.deepEqual(broken('POST', '/users/x/messages', { body: 'QUJD', headers }), [])
  assert.deepEqual(broken('POST', '/users', { body: 'QUJD', headers }), ['body-not-taken content-type'])
})

test('bytes are taken where bytes are published', () => {
  const headers = { 'content-type': 'image/jpeg' }
  assert.deepEqual(broken('PUT', '/users/x/photo/$value', { body: Buffer.from('x'), headers }), [])
  assert.deepEqual(broken('PUT', '/users/x/photo/$value', { headers }), ['missing-member'])
})

test('a body nested without end is refused, and no value of a body stands in what is told', () => {
  let nested: unknown = 'secret'
  for (let depth = 0; depth < 20_000; depth++) nested = { children: [nested] }
  const deep = judge('PATCH', '/drives/d/items/i', { body: nested }).violations
  assert.deepEqual(
    deep.map(({ rule }) => rule),
    ['wrong-type'],
  )
  const told = JSON.stringify(judge('POST', '/users', { body: { displayName: ['secret'], x: 'secret' } }).violations)
  assert.ok(!told.includes('secret'))
})

test('a body with ten thousand faults is told by twenty', () => {
  const body = Object.fromEntries(Array.from({ length: 10_000 }, (_, index) => [`x${index}`, 1]))
  assert.equal(judge('PATCH', '/users/x', { body }).violations.length, 20)
})
