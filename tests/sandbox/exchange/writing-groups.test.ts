// Groups and their members as cmdlets change them: Entra's object and Exchange's recipient stay one thing. (coexistence.md §2.1 rows 3, 3b)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { DirectoryObject } from '../../../sandbox/tenants/objects.ts'
import { guid, names } from './exchange-server.ts'
import type { ExchangeServer } from './exchange-server.ts'
import { attempt, only, readOne, startOrganisation } from './writes.ts'

const EXISTS = 'ADObjectAlreadyExistsException'
const ABSENT = 'ManagementObjectNotFoundException'
const INVALID = 'DataValidationException'
const NO_MANAGER = 'OperationRequiresGroupManagerException'

const GROUP = {
  Name: 'Causeway-Presented',
  Type: 'Security',
  HiddenGroupMembershipEnabled: true,
  RequireSenderAuthenticationEnabled: true,
  MemberJoinRestriction: 'Closed',
  Notes: 'causeway:prj:group-presented:00000000',
}
const Identity = GROUP.Name
const bypass = { BypassSecurityGroupManagerCheck: true }
const ADELE = guid('2', 1)

test('a group is one object of Entra and one recipient of Exchange, whose notes only Get-Group tells', async (t) => {
  const exchange = await startOrganisation(t)
  const row = (await exchange.call('New-DistributionGroup', GROUP)).body.value?.[0]
  const read = await readOne(exchange, 'Get-DistributionGroup', { Identity: row?.['Guid'] })
  assert.deepEqual(
    only(
      read,
      'Name Identity Alias DisplayName PrimarySmtpAddress EmailAddresses RecipientTypeDetails HiddenGroupMembershipEnabled MemberJoinRestriction ManagedBy HiddenFromAddressListsEnabled Notes',
    ),
    {
      Name: Identity,
      Identity,
      Alias: Identity,
      DisplayName: Identity,
      PrimarySmtpAddress: `${Identity}@contoso.com`,
      EmailAddresses: [`SMTP:${Identity}@contoso.com`],
      RecipientTypeDetails: 'MailUniversalSecurityGroup',
      HiddenGroupMembershipEnabled: true,
      MemberJoinRestriction: 'Closed',
      ManagedBy: [],
      HiddenFromAddressListsEnabled: false,
      Notes: undefined,
    },
  )
  assert.deepEqual(row?.['Guid'], read['Guid'])
  assert.equal((await readOne(exchange, 'Get-Group', { Identity }))['Notes'], GROUP.Notes)
  const object = objectOf(exchange)
  assert.deepEqual(only(object.properties, 'displayName mail mailEnabled securityEnabled groupTypes mailNickname'), {
    displayName: Identity,
    mail: `${Identity}@contoso.com`,
    mailEnabled: true,
    securityEnabled: true,
    groupTypes: [],
    mailNickname: Identity,
  })
  await attempt(exchange, [
    ['Set-DistributionGroup', { Identity, HiddenFromAddressListsEnabled: true, ...bypass }, undefined, 'hidden'],
    ['Set-Group', { Identity, Notes: 'other', ...bypass }, undefined, 'notes'],
  ])
  assert.equal((await readOne(exchange, 'Get-DistributionGroup', { Identity }))['HiddenFromAddressListsEnabled'], true)
  assert.equal((await readOne(exchange, 'Get-Group', { Identity }))['Notes'], 'other')
  assert.deepEqual(objectOf(exchange), object, 'Entra knows of neither')
  await attempt(exchange, [
    ['Remove-DistributionGroup', { Identity, Confirm: false, ...bypass }, undefined, 'it goes'],
    ['Remove-DistributionGroup', { Identity, Confirm: false, ...bypass }, ABSENT, 'once'],
  ])
  assert.equal(exchange.tenant.object(object.id), undefined, 'and from Entra, too')
})

test('a group is refused as Exchange refuses it', async (t) => {
  const exchange = await startOrganisation(t)
  await attempt(exchange, [
    ['New-DistributionGroup', GROUP, undefined, 'the first'],
    ['New-DistributionGroup', GROUP, EXISTS, 'twice'],
    ['New-DistributionGroup', { Name: 'adele' }, EXISTS, 'the name of a mailbox'],
    ['New-DistributionGroup', { Name: 'n'.repeat(65) }, INVALID, 'a name of 65 characters'],
    ['New-DistributionGroup', { Name: 'g', Alias: 'no alias' }, INVALID, 'no local part'],
    ['New-DistributionGroup', { Name: '日本' }, INVALID, 'a name that makes no alias'],
    ['New-DistributionGroup', { Name: '日本', Alias: 'japan' }, undefined, 'any name, with an alias'],
    [
      'New-DistributionGroup',
      { Name: 'g', PrimarySmtpAddress: 'g@else.example' },
      'NotAcceptedDomainException',
      'somebody else’s domain',
    ],
    [
      'New-DistributionGroup',
      { Name: 'g', PrimarySmtpAddress: 'adele.alias@contoso.com' },
      'ProxyAddressExistsException',
      'somebody’s address',
    ],
    ['New-DistributionGroup', { Name: 'g', ManagedBy: ['nobody'] }, ABSENT, 'an owner who is not there'],
    ['Set-DistributionGroup', { Identity, HiddenFromAddressListsEnabled: true }, NO_MANAGER, 'who is no owner'],
    ['Set-Group', { Identity, Notes: 'x' }, NO_MANAGER, 'nor here'],
    ['Add-DistributionGroupMember', { Identity, Member: 'adele' }, NO_MANAGER, 'nor here'],
    ['Remove-DistributionGroupMember', { Identity, Member: 'adele', Confirm: false }, NO_MANAGER, 'nor here'],
    ['Remove-DistributionGroup', { Identity, Confirm: false }, NO_MANAGER, 'nor here'],
    ['Set-DistributionGroup', { Identity: 'adele', MailTip: 'x', ...bypass }, ABSENT, 'a mailbox is no group'],
    ['Set-DistributionGroup', { Identity, Name: 'bob', ...bypass }, EXISTS, 'a name that is taken'],
    ['Set-Group', { Identity, Notes: 'n'.repeat(1025), ...bypass }, INVALID, 'notes of 1,025 characters'],
  ])
})

test('members come and go one by one, in Entra as in Exchange, and are told when they already had', async (t) => {
  const exchange = await startOrganisation(t)
  await attempt(exchange, [['New-DistributionGroup', { ...GROUP, Members: ['bob'] }, undefined, 'with one of them']])
  const { id } = objectOf(exchange)
  const before = exchange.tenant.lastChange
  await attempt(exchange, [
    [
      'Add-DistributionGroupMember',
      { Identity, Member: guid('1', 1), ...bypass },
      undefined,
      'by the recipient’s Guid',
    ],
    ['Add-DistributionGroupMember', { Identity, Member: 'adele', ...bypass }, 'MemberAlreadyExistsException', 'twice'],
    ['Add-DistributionGroupMember', { Identity, Member: 'nobody', ...bypass }, ABSENT, 'who is not there'],
    ['Add-DistributionGroupMember', { Identity, ...bypass }, 'AmbiguousParameterSetException', 'whom'],
  ])
  const members = async () => names(await exchange.call('Get-DistributionGroupMember', { Identity }))
  assert.deepEqual(await members(), ['bob', 'adele'])
  assert.deepEqual(objectOf(exchange).members, [guid('2', 2), ADELE])
  assert.deepEqual(
    exchange.tenant.changesSince(before).map(({ what, id: of }) => [of, what]),
    [[id, { member: ADELE, isRemoved: false }]],
    'deltas tell it',
  )
  const leave = { Identity, Member: ADELE, Confirm: false, ...bypass }
  await attempt(exchange, [
    ['Remove-DistributionGroupMember', leave, undefined, 'by Entra’s id'],
    ['Remove-DistributionGroupMember', leave, 'MemberNotFoundException', 'twice'],
  ])
  assert.deepEqual(await members(), ['bob'])
  assert.deepEqual(objectOf(exchange).members, [guid('2', 2)])
})

test('names and addresses of a group change on both sides', async (t) => {
  const exchange = await startOrganisation(t)
  await attempt(exchange, [
    ['New-DistributionGroup', GROUP, undefined, 'the group'],
    [
      'Set-DistributionGroup',
      { Identity, DisplayName: 'Shown', Alias: 'shown', PrimarySmtpAddress: 'shown@contoso.com', ...bypass },
      undefined,
      'all of them',
    ],
  ])
  const addresses = ['SMTP:shown@contoso.com', `smtp:${Identity}@contoso.com`]
  const read = () => readOne(exchange, 'Get-DistributionGroup', { Identity })
  assert.deepEqual(only(await read(), 'DisplayName Alias PrimarySmtpAddress EmailAddresses'), {
    DisplayName: 'Shown',
    Alias: 'shown',
    PrimarySmtpAddress: 'shown@contoso.com',
    EmailAddresses: addresses,
  })
  assert.deepEqual(only(objectOf(exchange).properties, 'displayName mailNickname mail proxyAddresses'), {
    displayName: 'Shown',
    mailNickname: 'shown',
    mail: 'shown@contoso.com',
    proxyAddresses: addresses,
  })
  const set = (EmailAddresses: unknown) => ({ Identity, EmailAddresses, ...bypass })
  await attempt(exchange, [
    ['Set-DistributionGroup', set({ add: ['bob@contoso.com'] }), 'ProxyAddressExistsException', 'somebody’s address'],
    ['Set-DistributionGroup', set(['x500:/o=Old']), INVALID, 'no SMTP address left'],
    ['Set-DistributionGroup', set(['SMTP:a@contoso.com', 'SMTP:b@contoso.com']), INVALID, 'two primary ones'],
    ['Set-DistributionGroup', set({ remove: ['SMTP:shown@contoso.com'] }), undefined, 'the next is primary'],
  ])
  assert.deepEqual(only(await read(), 'PrimarySmtpAddress EmailAddresses'), {
    PrimarySmtpAddress: `${Identity}@contoso.com`,
    EmailAddresses: [`SMTP:${Identity}@contoso.com`],
  })
})

test('a group that was just made is not seen yet, in no cmdlet and by no rule', async (t) => {
  const exchange = await startOrganisation(t)
  exchange.behaviour.visibleAfterMs = 60_000
  await attempt(exchange, [
    ['New-DistributionGroup', GROUP, undefined, 'the group'],
    ['New-DistributionGroup', GROUP, EXISTS, 'it is there'],
    ['Add-DistributionGroupMember', { Identity, Member: 'adele', ...bypass }, ABSENT, 'and not seen'],
    ['New-TransportRule', { Name: 'r', SentToMemberOf: [Identity], DeleteMessage: true }, ABSENT, 'nor by a rule'],
  ])
  exchange.services.clock.advance(60_000)
  await attempt(exchange, [
    ['Add-DistributionGroupMember', { Identity, Member: 'adele', ...bypass }, undefined, 'by now'],
    ['New-TransportRule', { Name: 'r', SentToMemberOf: [Identity], DeleteMessage: true }, undefined, 'by a rule, too'],
  ])
})

function objectOf({ tenant }: ExchangeServer): DirectoryObject {
  const [object, ...more] = tenant.objects('group')
  assert.ok(object !== undefined && more.length === 0)
  return object
}
