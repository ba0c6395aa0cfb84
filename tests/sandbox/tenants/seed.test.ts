// The two organisations that everything is tried on: alike from the same seed, true to Microsoft's schema, and with one at least of each kind.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { loadContracts } from '../../../sandbox/contract/contracts.ts'
import { judgeGraphAnswer } from '../../../sandbox/contract/graph-answer.ts'
import { judgeGraphRequest } from '../../../sandbox/contract/graph-request.ts'
import { entraSeedOf } from '../../../sandbox/tenants/entra-seed.ts'
import type { DirectoryObject, Recipient, TenantData } from '../../../sandbox/tenants/objects.ts'
import { ADELE, CONTOSO, FABRIKAM, LEE, seedTenants } from '../../../sandbox/tenants/seed.ts'

const { contoso, fabrikam } = seedTenants(1)
const both = [contoso, fabrikam]
const CONTRACTS = new URL('../../contracts/', import.meta.url).pathname

const text = (object: DirectoryObject, name: string): string => {
  const value = object.properties[name]
  return typeof value === 'string' ? value : ''
}
const list = (of: { readonly properties: Readonly<Record<string, unknown>> }, name: string): readonly string[] => {
  const value = of.properties[name]
  return Array.isArray(value) ? value.map(String) : []
}
const users = ({ objects }: TenantData) => objects.filter(({ kind }) => kind === 'user')
const groups = ({ objects }: TenantData) => objects.filter(({ kind }) => kind === 'group')
const person = (tenant: TenantData, nickname: string): DirectoryObject => {
  const found = users(tenant).find((user) => text(user, 'mailNickname') === nickname)
  assert.ok(found !== undefined, nickname)
  return found
}
const recipientsOf = (tenant: TenantData, type: Recipient['recipientTypeDetails']) =>
  tenant.recipients.filter(({ recipientTypeDetails }) => recipientTypeDetails === type)

test('the same seed gives the same tenants, another seed other ids and sizes of the same people', () => {
  assert.equal(JSON.stringify(seedTenants(1)), JSON.stringify({ contoso, fabrikam }))
  const other = seedTenants(2)
  assert.deepEqual(
    other.contoso.objects.map(({ properties }) => properties['displayName']),
    contoso.objects.map(({ properties }) => properties['displayName']),
  )
  const ids = new Set(contoso.objects.map(({ id }) => id))
  assert.deepEqual(
    other.contoso.objects.filter(({ id }) => ids.has(id)).map(({ id }) => id),
    [ADELE.oid],
  )
})

test('tenants and their administrators have the ids that documentation and scripts name', () => {
  assert.deepEqual([contoso.id, contoso.administrators], [CONTOSO, [ADELE.oid]])
  assert.deepEqual([fabrikam.id, fabrikam.administrators], [FABRIKAM, [LEE.oid]])
  assert.equal(text(person(contoso, 'adele'), 'userPrincipalName'), ADELE.userPrincipalName)
  assert.equal(text(person(fabrikam, 'lee'), 'userPrincipalName'), LEE.userPrincipalName)
})

test('each has sixty people, beside rooms, shared mailboxes, guests and contacts', () => {
  for (const tenant of both) {
    const people = users(tenant).filter((user) => {
      const type = tenant.recipients.find((each) => each.externalDirectoryObjectId === user.id)?.recipientTypeDetails
      return type === 'UserMailbox' || (type === undefined && text(user, 'userType') === 'Member')
    })
    assert.equal(people.length, 60)
    for (const type of [
      'SharedMailbox',
      'RoomMailbox',
      'EquipmentMailbox',
      'GuestMailUser',
      'MailUser',
      'MailContact',
    ] as const)
      assert.ok(recipientsOf(tenant, type).length > 0, type)
  }
})

test('every member of every object is one that Graph publishes, of its type', () => {
  const contracts = loadContracts(CONTRACTS)
  const operations = { user: '/users', group: '/groups', orgContact: '/contacts' }
  for (const tenant of both) {
    for (const [kind, path] of Object.entries(operations)) {
      const headers = {}
      const request = {
        method: 'GET',
        version: 'v1.0' as const,
        path,
        query: new URLSearchParams(),
        body: undefined,
        headers,
      }
      const { operation } = judgeGraphRequest(contracts, { ...request, isIssuedLink: false })
      assert.ok(operation !== undefined, path)
      const value = tenant.objects
        .filter((object) => object.kind === kind)
        .map(({ id, properties }) => ({ id, ...properties }))
      assert.ok(value.length > 0)
      assert.deepEqual(judgeGraphAnswer(contracts, operation, 200, { '@odata.context': 'x', value }), [])
    }
  }
})

test('a member without a value is not there, and ids, addresses and references are sound', () => {
  for (const tenant of both) {
    const ids = new Set(tenant.objects.map(({ id }) => id))
    assert.equal(ids.size, tenant.objects.length)
    assert.equal(new Set(tenant.recipients.map(({ guid }) => guid)).size, tenant.recipients.length)
    for (const { id, properties, members, owners, manager } of tenant.objects) {
      assert.match(id, /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/)
      for (const [name, value] of Object.entries(properties)) assert.ok(value !== null && value !== undefined, name)
      for (const other of [...members, ...owners, ...(manager === undefined ? [] : [manager])])
        assert.ok(ids.has(other))
    }
    const byId = new Map(tenant.objects.map((object) => [object.id, object]))
    const taken = new Set<string>()
    for (const recipient of tenant.recipients) {
      const addresses = list(recipient, 'EmailAddresses')
      for (const address of addresses.filter((each) => /^smtp:/i.test(each))) {
        const key = address.toLowerCase()
        assert.ok(!taken.has(key), `${key} is used once in a tenant`)
        taken.add(key)
      }
      assert.equal(addresses.filter((each) => each.startsWith('SMTP:')).length, 1)
      const object = byId.get(recipient.externalDirectoryObjectId ?? '')
      if (object === undefined) assert.equal(recipient.recipientTypeDetails, 'DynamicDistributionGroup')
      else assert.deepEqual(addresses, list(object, 'proxyAddresses'))
    }
    const verified = new Set(tenant.domains.filter(({ isVerified }) => isVerified).map(({ id }) => id))
    for (const { recipientTypeDetails, properties } of tenant.recipients) {
      if (['MailUser', 'GuestMailUser', 'MailContact'].includes(recipientTypeDetails)) continue
      const domain = String(properties['PrimarySmtpAddress']).split('@').at(-1)?.toLowerCase() ?? ''
      assert.ok(verified.has(domain), domain)
    }
  }
})

test('there are groups of every kind, nested, in circles, empty, big, and one that Exchange alone knows', () => {
  const kinds = new Set(
    groups(contoso).map(({ properties }) => {
      const types = list({ properties }, 'groupTypes').join('+')
      return [
        types,
        properties['mailEnabled'] === true ? 'mail' : '',
        properties['securityEnabled'] === true ? 'security' : '',
      ].join(',')
    }),
  )
  for (const kind of [
    'Unified,mail,',
    'Unified+DynamicMembership,mail,',
    ',,security',
    'DynamicMembership,,security',
    ',mail,security',
    ',mail,',
  ])
    assert.ok(kinds.has(kind), kind)
  assert.equal(recipientsOf(contoso, 'DynamicDistributionGroup').length, 1)
  const byId = new Map(groups(contoso).map((group) => [group.id, group]))
  const reaches = (from: DirectoryObject, target: string, seen: Set<string>): boolean =>
    from.members.some((id) => {
      const group = byId.get(id)
      if (id === target) return true
      if (group === undefined || seen.has(id)) return false
      seen.add(id)
      return reaches(group, target, seen)
    })
  const inCircles = groups(contoso).filter((group) => reaches(group, group.id, new Set()))
  assert.deepEqual(
    inCircles.map((group) => text(group, 'displayName')),
    ['Circle A', 'Circle B', 'Circle C', 'Announcements', 'Announcements EU'],
  )
  assert.ok(groups(contoso).some(({ members }) => members.length === 0))
  assert.ok(groups(contoso).some(({ members }) => members.length > 60))
  const names = groups(contoso).map((group) => text(group, 'displayName'))
  assert.ok(new Set(names).size < names.length, 'two of one name')
})

test('matching has something to find, to doubt and to refuse', () => {
  const byEmployee = (tenant: TenantData) =>
    Map.groupBy(users(tenant), (user) => text(user, 'employeeId').trim().toLowerCase())
  const [source, target] = [byEmployee(contoso), byEmployee(fabrikam)]
  const inBoth = [...source.keys()].filter((number) => number !== '' && target.has(number))
  assert.ok(inBoth.length >= 15)
  assert.equal(target.get('e1040')?.length, 2, 'two candidates')
  assert.equal(source.get('e1050')?.length, 2, 'two who claim one')
  assert.notEqual(text(person(contoso, 'sara'), 'surname'), text(person(fabrikam, 'sara'), 'surname'))
  const [here, there] = [person(contoso, 'Zoe.Bronte'), person(fabrikam, 'ZOE.BRONTE')]
  assert.notEqual(text(here, 'displayName'), text(there, 'displayName'))
  assert.equal(text(here, 'displayName'), text(there, 'displayName').normalize('NFC'))
  const addresses = (tenant: TenantData) =>
    new Set(
      tenant.objects
        .flatMap((object) => list(object, 'proxyAddresses'))
        .filter((each) => /^smtp:/i.test(each))
        .map((each) => each.toLowerCase()),
    )
  assert.ok(addresses(contoso).intersection(addresses(fabrikam)).has('smtp:pablo@contoso.com'))
})

test('names are hostile in every way that text can be', () => {
  const names = users(contoso).map((user) => text(user, 'displayName'))
  for (const [pattern, what] of [
    [/<script>/, 'markup'],
    [/\r\n/, 'line breaks'],
    [/\u202E/, 'right to left'],
    [/^=HYPERLINK/, 'a formula'],
    [/^N{256}$/, '256 characters'],
  ] as const)
    assert.ok(
      names.some((name) => pattern.test(name)),
      what,
    )
  assert.ok(users(contoso).some((user) => Buffer.byteLength(text(user, 'streetAddress')) === 65_536))
})

test('mailboxes and settings have what an assessment has to find', () => {
  const mailboxes: readonly Readonly<Record<string, unknown>>[] = contoso.recipients.map(
    ({ properties, statistics }) => ({ ...properties, ...statistics }),
  )
  const some = (what: string, is: (mailbox: Readonly<Record<string, unknown>>) => boolean) =>
    assert.ok(mailboxes.some(is), what)
  some('a hold', (each) => each['LitigationHoldEnabled'] === true)
  some('a hold by policy', (each) => Array.isArray(each['InPlaceHolds']) && each['InPlaceHolds'].length > 0)
  some(
    'an archive that grows',
    (each) => each['AutoExpandingArchiveEnabled'] === true && Number(each['archiveBytes']) > 100 * 2 ** 30,
  )
  some('an oversize mailbox', (each) => Number(each['bytes']) > 90 * 2 ** 30)
  some('forwarding outside', (each) => each['ForwardingSmtpAddress'] === 'smtp:fred@example.net')
  some('a hidden one', (each) => each['HiddenFromAddressListsEnabled'] === true)
  some(
    'old names',
    (each) =>
      Array.isArray(each['EmailAddresses']) &&
      each['EmailAddresses'].some((address) => String(address).startsWith('X500:')),
  )
  const nouns = new Set(contoso.exchangeObjects.map(({ noun }) => noun))
  for (const noun of [
    'OrganizationConfig',
    'AcceptedDomain',
    'RemoteDomain',
    'InboundConnector',
    'OutboundConnector',
    'TransportRule',
    'OrganizationRelationship',
  ])
    assert.ok(nouns.has(noun), noun)
  const priorities = contoso.exchangeObjects
    .filter(({ noun }) => noun === 'TransportRule')
    .map(({ properties }) => properties['Priority'])
  assert.deepEqual(priorities, [0, 1, 2])
  assert.ok(contoso.domains.some(({ isVerified }) => !isVerified))
  assert.ok(contoso.domains.some(({ authenticationType }) => authenticationType === 'Federated'))
  const used = ({ skuId }: { skuId: string }) =>
    users(fabrikam).filter(({ properties }) => JSON.stringify(properties['assignedLicenses']).includes(skuId)).length
  assert.ok(
    fabrikam.licences.some((licence) => licence.enabled === used(licence)),
    'a licence is exhausted',
  )
  assert.ok(fabrikam.licences.every((licence) => licence.enabled >= used(licence)))
})

test('Entra knows the people of the tenants, administrators first, and the tenants by each verified domain', () => {
  const [first] = entraSeedOf([contoso], []).tenants
  assert.ok(first !== undefined)
  assert.deepEqual(first.users[0], { ...ADELE, isEnabled: true, isAdministrator: true })
  assert.equal(first.domain, 'contoso.com')
  assert.ok(first.otherDomains?.includes('contoso.onmicrosoft.com'))
  assert.ok(!first.otherDomains?.includes('new.contoso.com'), 'not the unverified')
  assert.equal(first.users.find(({ oid }) => oid === person(contoso, 'judy').id)?.isEnabled, false)
})
