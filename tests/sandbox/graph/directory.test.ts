// Directory data of the simulated Graph over HTTP: what is answered, in which form, to whom; and what is refused.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ORIGIN, READER, START_MS, startGraph, tokenOf } from './graph-server.ts'
import {
  ANNA,
  APP,
  APP_PRINCIPAL,
  BEN,
  CARA,
  CONTACT,
  E3,
  GUEST,
  LOOP,
  OTHER_TENANT,
  SALES,
  STAFF,
  TENANT,
  tinyTenant,
  user,
} from './tiny-tenant.ts'

const ids = (items: readonly Record<string, unknown>[]) => items.map(({ id }) => id)
const EVENTUAL = { consistencylevel: 'eventual' }

const lists: [target: string, ids: string[], why: string, headers?: Record<string, string>][] = [
  ['/v1.0/users', [ANNA, BEN, CARA, GUEST], 'in the order in which they were made'],
  [`/v1.0/users?$filter=startswith(displayName,'c')`, [CARA], 'a beginning'],
  [`/v1.0/users?$filter=proxyAddresses/any(p:p eq 'SMTP:anna@contoso.example')`, [ANNA], 'an address'],
  [`/v1.0/users?$filter=accountEnabled eq false`, [BEN], 'a boolean'],
  [`/v1.0/users?$filter=department eq 'Sales'`, [ANNA, CARA], 'strings without case'],
  [`/v1.0/users?$filter=userType ne 'Guest'&$count=true`, [ANNA, BEN, CARA], 'an advanced query', EVENTUAL],
  [`/v1.0/users?$search="displayName:boss"`, [BEN], 'a search', EVENTUAL],
  ['/v1.0/users?$orderby=displayName desc', [GUEST, CARA, BEN, ANNA], 'an order'],
  ['/v1.0/users?$orderby=displayName desc&$top=1', [GUEST, CARA, BEN, ANNA], 'an order over pages'],
  ['/v1.0/users?$top=1', [ANNA, BEN, CARA, GUEST], 'pages of one'],
  ['/v1.0/groups', [SALES, STAFF, LOOP], 'groups'],
  [`/v1.0/groups?$filter=groupTypes/any(g:g eq 'Unified')`, [SALES], 'Microsoft 365 groups'],
  ['/v1.0/contacts', [CONTACT], 'contacts'],
  [`/v1.0/groups/${SALES}/members`, [ANNA, CARA, CONTACT], 'members of every kind'],
  [`/v1.0/groups/${SALES}/members?$top=2`, [ANNA, CARA, CONTACT], 'members over pages'],
  [`/v1.0/groups/${SALES}/owners`, [ANNA], 'owners'],
  [
    `/v1.0/groups/${LOOP}/transitiveMembers`,
    [STAFF, GUEST, BEN, SALES, ANNA, CARA, CONTACT],
    'a group that holds itself has an end',
  ],
  [`/v1.0/users/${ANNA}/memberOf`, [SALES], 'groups of a person, not of the groups'],
  [`/v1.0/domains/contoso.example/domainNameReferences`, [ANNA, BEN, CARA, SALES], 'whoever has a name in the domain'],
  [`/v1.0/domains/new.example/domainNameReferences`, [], 'nobody'],
  ['/v1.0/domains', ['contoso.onmicrosoft.com', 'contoso.example', 'new.example'], 'verified or not'],
  ['/v1.0/organization', [TENANT], 'the tenant'],
  ['/v1.0/subscribedSkus', [`${TENANT}_${E3}`], 'licences'],
  [`/v1.0/servicePrincipals?$filter=appId eq '${APP}'`, [APP_PRINCIPAL], 'the own application'],
]
for (const [target, wanted, why, headers = {}] of lists) {
  test(`GET ${target}: ${why}`, async (t) => {
    const graph = await startGraph(t)
    const found = ids(await graph.list(target, { headers }))
    if (target.includes('transitive')) assert.deepEqual(new Set(found), new Set(wanted))
    else assert.deepEqual(found, wanted)
  })
}

test('a list says what it holds, and links to its next page by the service’s own name', async (t) => {
  const graph = await startGraph(t)
  const { body } = await graph.get('/v1.0/users?$select=id,displayName&$top=3&$count=true', { headers: EVENTUAL })
  assert.equal(body['@odata.context'], `${ORIGIN}/v1.0/$metadata#users(id,displayName)`)
  assert.equal(body['@odata.count'], 4)
  assert.deepEqual(body.value[0], { id: ANNA, displayName: 'Anna O’Neil' })
  assert.ok(
    body['@odata.nextLink'].startsWith(`${ORIGIN}/v1.0/users?$select=id,displayName&$top=3&$count=true&$skiptoken=`),
  )
  const next = await graph.get(body['@odata.nextLink'], { headers: EVENTUAL })
  assert.deepEqual(next.body.value, [{ id: GUEST, displayName: 'Gus Guest' }])
  assert.equal(next.body['@odata.nextLink'], undefined)
  assert.equal(next.body['@odata.count'], undefined)
})

test('what is selected and has no value is null, or an empty list', async (t) => {
  const { get } = await startGraph(t)
  const select = 'id,jobTitle,otherMails,onPremisesSyncEnabled,assignedLicenses,onPremisesExtensionAttributes'
  const { body } = await get(`/v1.0/users/${BEN}?$select=${select}`)
  delete body['@odata.context']
  assert.deepEqual(body, {
    id: BEN,
    jobTitle: null,
    otherMails: [],
    onPremisesSyncEnabled: null,
    assignedLicenses: [],
    onPremisesExtensionAttributes: null,
  })
})

test('without a selection a user has the members that Graph shows by default', async (t) => {
  const { get } = await startGraph(t)
  const { body } = await get('/v1.0/users/ANNA@contoso.example')
  assert.equal(body.id, ANNA)
  assert.deepEqual(Object.keys(body).toSorted(), [
    '@odata.context',
    'businessPhones',
    'displayName',
    'givenName',
    'id',
    'jobTitle',
    'mail',
    'mobilePhone',
    'officeLocation',
    'preferredLanguage',
    'surname',
    'userPrincipalName',
  ])
})

test('a guest is found by his encoded name', async (t) => {
  const { get } = await startGraph(t)
  const name = encodeURIComponent('gus_fabrikam.example#EXT#@contoso.onmicrosoft.com')
  assert.equal((await get(`/v1.0/users/${name}`)).body.id, GUEST)
})

test('managers, licences and drives hang on users, and may be absent', async (t) => {
  const { get } = await startGraph(t)
  const manager = await get(`/v1.0/users/${ANNA}/manager?$select=id,displayName`)
  assert.deepEqual([manager.body['@odata.type'], manager.body.displayName], ['#microsoft.graph.user', 'Ben Boss'])
  const none = await get(`/v1.0/users/${BEN}/manager`)
  assert.deepEqual([none.status, none.body.error.code], [404, 'Request_ResourceNotFound'])
  const licences = await get(`/v1.0/users/${ANNA}/licenseDetails`)
  assert.deepEqual(
    licences.body.value.map((each: { skuPartNumber: string }) => each.skuPartNumber),
    ['SPE_E3'],
  )
  assert.deepEqual((await get(`/v1.0/users/${BEN}/licenseDetails`)).body.value, [])
  const drive = await get(`/v1.0/users/${ANNA}/drive`)
  assert.deepEqual([drive.status, drive.body.quota.used, drive.body.driveType], [200, 42_000, 'business'])
  const noDrive = await get(`/v1.0/users/${BEN}/drive`)
  assert.deepEqual([noDrive.status, noDrive.body.error.code], [404, 'ResourceNotFound'])
})

test('relations are expanded into what is shown, twenty at most', async (t) => {
  const many = Array.from({ length: 30 }, (_, index) =>
    user(`eeeeeeee-0000-4000-8000-${String(index).padStart(12, '0')}`, `P${index}`),
  )
  const data = tinyTenant()
  const objects = [
    ...data.objects.map((each) => (each.id === SALES ? { ...each, members: many.map(({ id }) => id) } : each)),
    ...many,
  ]
  const graph = await startGraph(t, { data: { ...data, objects } })
  const anna = await graph.get(`/v1.0/users/${ANNA}?$select=id&$expand=manager($select=id,mail)`)
  assert.deepEqual(anna.body.manager, { '@odata.type': '#microsoft.graph.user', id: BEN, mail: 'ben@contoso.example' })
  assert.equal((await graph.get(`/v1.0/users/${BEN}?$expand=manager`)).body.manager, undefined)
  assert.equal((await graph.get(`/v1.0/groups/${SALES}?$expand=members`)).body.members.length, 20)
})

test('the tenant tells its name, its domains and how many licences are used', async (t) => {
  const { get } = await startGraph(t)
  const [organization] = (await get('/v1.0/organization')).body.value
  assert.deepEqual(
    [organization.displayName, organization.countryLetterCode, organization.onPremisesSyncEnabled],
    ['Contoso', 'DE', null],
  )
  assert.deepEqual(
    organization.verifiedDomains.map((each: { name: string }) => each.name),
    ['contoso.onmicrosoft.com', 'contoso.example'],
  )
  const [sku] = (await get('/v1.0/subscribedSkus')).body.value
  assert.deepEqual([sku.consumedUnits, sku.prepaidUnits.enabled, sku.capabilityStatus], [1, 25, 'Enabled'])
  assert.equal((await get('/v1.0/domains/CONTOSO.example')).body.isDefault, true)
  const settings = await get('/v1.0/admin/reportSettings')
  assert.equal(settings.body.displayConcealedNames, false)
})

test('any tenant’s verified domain says whose it is', async (t) => {
  const { get } = await startGraph(t)
  const find = (domain: string) =>
    get(`/v1.0/tenantRelationships/findTenantInformationByDomainName(domainName='${domain}')`)
  const { body } = await find('fabrikam.example')
  assert.deepEqual(
    [body.tenantId, body.displayName, body.defaultDomainName],
    [OTHER_TENANT, 'Fabrikam', 'fabrikam.example'],
  )
  for (const domain of ['new.example', 'nobody.example']) assert.equal((await find(domain)).status, 404)
})

test('an application finds its own roles by the ids of the resources’ roles', async (t) => {
  const { get } = await startGraph(t)
  const [resource] = (
    await get(`/v1.0/servicePrincipals?$filter=appId eq '00000003-0000-0000-c000-000000000000'&$select=id,appRoles`)
  ).body.value
  const granted = (await get(`/v1.0/servicePrincipals/${APP_PRINCIPAL}/appRoleAssignments`)).body.value
  const names = granted.map((each: { resourceId: string; appRoleId: string }) =>
    each.resourceId === resource.id
      ? resource.appRoles.find((role: { id: string }) => role.id === each.appRoleId).value
      : each.appRoleId,
  )
  assert.deepEqual(names, ['User.Read.All', 'dc50a0fb-09a3-484d-be87-e023b12c6440'])
})

test('administrators are members of a directory role', async (t) => {
  const graph = await startGraph(t)
  const [role] = await graph.list('/v1.0/directoryRoles')
  assert.equal(role?.['roleTemplateId'], '62e90394-69f5-4237-9190-012177145e10')
  assert.deepEqual(ids(await graph.list(`/v1.0/directoryRoles/${String(role?.['id'])}/members`)), [BEN])
})

const refusals: [target: string, status: number, code: string, why: string, headers?: Record<string, string>][] = [
  [`/v1.0/users/aaaaaaaa-0000-4000-8000-0000000000ff`, 404, 'Request_ResourceNotFound', 'nobody'],
  [`/v1.0/users/${SALES}`, 404, 'Request_ResourceNotFound', 'a group is no user'],
  [`/v1.0/users/nobody@contoso.example`, 404, 'Request_ResourceNotFound', 'nobody of that name'],
  [`/v1.0/groups/${ANNA}`, 404, 'Request_ResourceNotFound', 'a user is no group'],
  ['/v1.0/groups/sales', 400, 'Request_BadRequest', 'no id'],
  ['/v1.0/domains/nothing.example', 404, 'Request_ResourceNotFound', 'no domain'],
  ['/v1.0/users?$top=0', 400, 'Request_BadRequest', 'a page of nothing'],
  ['/v1.0/users?$top=1000', 400, 'Request_BadRequest', 'too large a page'],
  [`/v1.0/users?$filter=shoeSize eq 4`, 400, 'BadRequest', 'a filter by no such member'],
  [`/v1.0/users?$filter=department ne 'x'`, 400, 'Request_UnsupportedQuery', 'an advanced query without its header'],
  [`/v1.0/users?$filter=department ne 'x'`, 400, 'Request_UnsupportedQuery', 'and without $count', EVENTUAL],
  [`/v1.0/users?$search="displayName:x"`, 400, 'Request_BadRequest', 'a search without its header'],
  ['/v1.0/users?$count=true', 400, 'Request_BadRequest', 'a count without its header'],
  ['/v1.0/users?$orderby=department', 400, 'Request_UnsupportedQuery', 'an order that isn’t kept'],
  [
    `/v1.0/users?$orderby=displayName&$filter=accountEnabled eq true`,
    400,
    'Request_UnsupportedQuery',
    'an order of a filtered list',
  ],
  ['/v1.0/users?$expand=messages', 400, 'Request_BadRequest', 'a relation that isn’t expanded'],
  ['/v1.0/groups?$skip=1', 400, 'Request_BadRequest', 'pages by number'],
  ['/v1.0/users/delta?$search="displayName:x"', 400, 'Request_BadRequest', 'a searched delta'],
  [`/v1.0/users/delta?$filter=accountEnabled eq true`, 400, 'Request_BadRequest', 'a delta filtered by more than ids'],
]
for (const [target, status, code, why, headers = {}] of refusals) {
  test(`GET ${target} is refused with ${status} ${code}: ${why}`, async (t) => {
    const { get } = await startGraph(t)
    const answer = await get(target, { headers })
    assert.deepEqual([answer.status, answer.body.error.code], [status, code])
  })
}

const unpublished: [method: 'GET' | 'POST', target: string, status: number, rule: string, why: string][] = [
  ['GET', '/v1.0/employees', 400, 'unknown-operation', 'no such path'],
  ['GET', '/v1.0/users?$select=id,shoeSize', 400, 'query-value', 'no such member'],
  ['POST', '/v1.0/subscribedSkus', 405, 'refused-operation', 'described, but not there'],
  ['POST', '/v1.0/domains/x/domainNameReferences', 405, 'unknown-operation', 'no such method'],
  ['GET', '/beta/users', 400, 'wrong-version', 'not in that version'],
  ['GET', '/v1.0/users?$skip=1', 400, 'unknown-query-option', 'no such option'],
  ['GET', '/v1.0/users/delta?$deltatoken=mine', 400, 'wrong-link', 'a token of one’s own making'],
  ['POST', '/v1.0/$batch', 400, 'wrong-type', 'no requests in a batch'],
]
for (const [method, target, status, rule, why] of unpublished) {
  test(`${method} ${target} is answered with ${status} and recorded: ${why}`, async (t) => {
    const graph = await startGraph(t, { allowsViolations: true })
    const answer = method === 'GET' ? await graph.get(target) : await graph.post(target, {})
    assert.equal(answer.status, status)
    assert.equal(typeof answer.body.error.innerError['request-id'], 'string')
    assert.deepEqual(
      graph.services.record.violations.map((each) => each.rule),
      [rule],
    )
  })
}

test('a link that was changed is none any more', async (t) => {
  const graph = await startGraph(t, { allowsViolations: true })
  const { body } = await graph.get('/v1.0/users?$top=1')
  const link: string = body['@odata.nextLink']
  for (const changed of [link.replace('$top=1', '$top=2'), link.replace('/users', '/groups'), `${link}x`]) {
    assert.equal((await graph.get(changed)).status, 400)
  }
  assert.ok(graph.services.record.violations.every(({ rule }) => ['wrong-link', 'unknown-query-option'].includes(rule)))
  const elsewhere = { authorization: tokenOf(READER, OTHER_TENANT) }
  assert.equal((await graph.get(link, elsewhere)).status, 400)
  assert.equal((await graph.get(link)).status, 200)
})

const hidden: [target: string, roles: string[], status: number, why: string][] = [
  ['/v1.0/users', [], 403, 'no role'],
  ['/v1.0/users', ['Group.Read.All'], 403, 'another role'],
  ['/v1.0/users', ['User.ReadWrite.All'], 200, 'a role that includes it'],
  ['/v1.0/users?$select=id,displayName', ['User.ReadBasic.All'], 200, 'basic members with the basic role'],
  ['/v1.0/users?$select=id,proxyAddresses', ['User.ReadBasic.All'], 403, 'more than basic members with the basic role'],
  ['/v1.0/domains', ['User.Read.All'], 403, 'domains have a role of their own'],
  ['/v1.0/users/nobody@contoso.example', [], 403, 'hidden comes before absent'],
  [`/v1.0/users/${ANNA}/drive`, ['User.Read.All'], 403, 'drives have a role of their own'],
  ["/v1.0/reports/getMailboxUsageDetail(period='D7')", ['User.Read.All'], 403, 'reports have a role of their own'],
]
for (const [target, roles, status, why] of hidden) {
  test(`GET ${target} with ${roles.join() || 'no role'} is answered with ${status}: ${why}`, async (t) => {
    const { get } = await startGraph(t)
    const answer = await get(target, { roles })
    assert.equal(answer.status, status)
    if (status === 403) assert.equal(answer.body.error.code, 'Authorization_RequestDenied')
  })
}

test('of members that a caller may not read he sees that they are there', async (t) => {
  const { get } = await startGraph(t)
  const { body } = await get(`/v1.0/groups/${SALES}/members?$select=id,displayName,mail`, {
    roles: ['GroupMember.Read.All', 'OrgContact.Read.All'],
  })
  assert.deepEqual(body.value, [
    { '@odata.type': '#microsoft.graph.user', id: ANNA, displayName: null, mail: null },
    { '@odata.type': '#microsoft.graph.user', id: CARA, displayName: null, mail: null },
    {
      '@odata.type': '#microsoft.graph.orgContact',
      id: CONTACT,
      displayName: 'Carl Contact',
      mail: 'carl@partner.example',
    },
  ])
})

const strangers: [authorization: string, why: string][] = [
  ['', 'none'],
  ['Bearer nonsense', 'no token'],
  [tokenOf(READER, TENANT, 'https://outlook.office365.com'), 'a token for another service'],
]
for (const [authorization, why] of strangers) {
  test(`without a good token the answer is 401 and a challenge: ${why}`, async (t) => {
    const { get } = await startGraph(t)
    const { status, headers, body } = await get('/v1.0/users', { authorization })
    assert.deepEqual([status, body.error.code], [401, 'InvalidAuthenticationToken'])
    assert.match(headers.get('www-authenticate') ?? '', /^Bearer .*authorization_uri=/)
  })
}

test('an error names the request, and repeats the client’s own id', async (t) => {
  const { get, services } = await startGraph(t)
  const mine = '12345678-1234-4123-8123-123456789012'
  services.clock.advance(1_000)
  const { headers, body } = await get('/v1.0/users/nobody', {
    headers: { 'client-request-id': mine, 'return-client-request-id': 'true' },
  })
  assert.deepEqual(body.error.innerError, {
    date: '2026-11-22T12:00:01',
    'request-id': headers.get('request-id'),
    'client-request-id': mine,
  })
  assert.equal(headers.get('client-request-id'), mine)
  assert.equal(headers.get('date'), new Date(START_MS + 1_000).toUTCString())
})

test('long answers are compressed for whoever takes gzip', async (t) => {
  const graph = await startGraph(t)
  const zipped = await graph.get('/v1.0/groups', { headers: { 'accept-encoding': 'gzip' } })
  assert.equal(zipped.headers.get('content-encoding'), 'gzip')
  const plain = await graph.get('/v1.0/groups', { headers: { 'accept-encoding': 'identity' } })
  assert.equal(plain.headers.get('content-encoding'), null)
  assert.equal(zipped.text, plain.text)
})

test('what is new is not seen before its time', async (t) => {
  const graph = await startGraph(t)
  const id = 'eeeeeeee-0000-4000-8000-000000000001'
  graph.tenant.putObject(user(id, 'Nina New'), START_MS + 60_000)
  assert.equal((await graph.get(`/v1.0/users/${id}`)).status, 404)
  assert.equal((await graph.get('/v1.0/users/nina@contoso.example')).status, 404)
  assert.equal(ids(await graph.list('/v1.0/users')).includes(id), false)
  graph.services.clock.advance(60_000)
  assert.equal((await graph.get('/v1.0/users/nina@contoso.example')).body.id, id)
  assert.equal(ids(await graph.list('/v1.0/users')).includes(id), true)
})

test('a page goes on where it was, whatever went or came meanwhile', async (t) => {
  const graph = await startGraph(t)
  const first = await graph.get('/v1.0/users?$top=2')
  graph.tenant.removeObject(ANNA)
  const id = 'eeeeeeee-0000-4000-8000-000000000001'
  graph.tenant.putObject(user(id, 'Nina New'))
  assert.deepEqual(ids(await graph.list(first.body['@odata.nextLink'])), [CARA, GUEST, id])
})

test('a renamed user is found by the new name alone', async (t) => {
  const graph = await startGraph(t)
  await graph.get('/v1.0/users')
  graph.tenant.putObject(user(ANNA, 'Anna O’Neil', { userPrincipalName: 'anna.new@contoso.example' }))
  assert.equal((await graph.get('/v1.0/users/anna.new@contoso.example')).body.id, ANNA)
  assert.equal((await graph.get('/v1.0/users/anna@contoso.example')).status, 404)
  graph.tenant.removeObject(ANNA)
  assert.equal((await graph.get('/v1.0/users/anna.new@contoso.example')).status, 404)
})

test('a published operation that is not simulated says so', async (t) => {
  const { get, services } = await startGraph(t, { allowsViolations: true })
  const { status, body } = await get(`/v1.0/users/${ANNA}/messages`, { roles: ['Mail.Read'] })
  assert.deepEqual([status, body.error.code], [501, 'NotImplemented'])
  assert.deepEqual(
    services.record.violations.map(({ rule }) => rule),
    ['not-simulated'],
  )
})

test('every use is recorded under its published name', async (t) => {
  const graph = await startGraph(t)
  await graph.get(`/v1.0/users/${ANNA}/manager`)
  await graph.get(`/v1.0/users/${BEN}/manager`)
  assert.deepEqual(graph.services.record.report().uses, [
    {
      service: 'graph',
      name: 'GET /users/{user-id}/manager',
      status: 'listed',
      isWrite: false,
      tenantId: TENANT,
      count: 2,
    },
  ])
})

test('counts are text', async (t) => {
  const { get } = await startGraph(t)
  for (const [collection, count] of [
    ['users', '4'],
    ['groups', '3'],
    ['contacts', '1'],
  ]) {
    assert.equal((await get(`/v1.0/${collection}/$count`, { headers: EVENTUAL })).text, count)
    assert.equal((await get(`/v1.0/${collection}/$count`)).status, 400)
  }
})
