// What the Get cmdlets of the simulated Exchange answer, over HTTP. (microsoft-365.md §4, §14, §20.11)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { DirectoryObject, ExchangeObject, Recipient } from '../../../sandbox/tenants/objects.ts'
import { CLIENT, exceptionOf, guid, mailbox, names, startExchange } from './exchange-server.ts'
import type { Answer } from './exchange-server.ts'

const GB = 2 ** 30

function user(number: number, properties: Record<string, unknown> = {}): DirectoryObject {
  return { id: guid('2', number), kind: 'user', properties, members: [], owners: [] }
}

function setting(number: number, noun: string, name: string, properties: Record<string, unknown> = {}): ExchangeObject {
  return { guid: guid('5', number), noun, properties: { Name: name, ...properties } }
}

const TEAM: DirectoryObject = {
  id: guid('2', 20),
  kind: 'group',
  properties: { displayName: 'Team' },
  members: [guid('2', 1), guid('2', 30), guid('2', 21), guid('2', 99)],
  owners: [],
}

const RECIPIENTS: readonly Recipient[] = [
  mailbox(1, 'adele', {
    statistics: { items: 1000, bytes: 1.5 * GB, deletedItemBytes: 300_000, archiveItems: 7, archiveBytes: 4096 },
    properties: {
      ArchiveStatus: 'Active',
      ArchiveGuid: guid('4', 1),
      ForwardingSmtpAddress: 'smtp:a@else.example',
      Languages: ['de-DE'],
    },
  }),
  mailbox(2, 'lee', {
    recipientTypeDetails: 'SharedMailbox',
    properties: { MaxReceiveSize: 150 * 2 ** 20, CustomAttribute1: 'x' },
  }),
  mailbox(3, 'room', { recipientTypeDetails: 'RoomMailbox' }),
  mailbox(4, 'partner', {
    recipientTypeDetails: 'MailUser',
    properties: { ExternalEmailAddress: 'SMTP:p@else.example' },
  }),
  mailbox(5, 'guest', { recipientTypeDetails: 'GuestMailUser' }),
  mailbox(6, 'vendor', { recipientTypeDetails: 'MailContact' }),
  mailbox(20, 'team', { recipientTypeDetails: 'MailUniversalDistributionGroup' }),
  mailbox(21, 'guards', { recipientTypeDetails: 'MailUniversalSecurityGroup' }),
  mailbox(22, 'unified', { recipientTypeDetails: 'GroupMailbox' }),
  {
    guid: guid('1', 23),
    recipientTypeDetails: 'DynamicDistributionGroup',
    properties: { Name: 'everybody', RecipientFilter: "Company -eq 'Contoso'" },
  },
]

const SETTINGS: readonly ExchangeObject[] = [
  setting(1, 'TransportRule', 'second', { Priority: 1, State: 'Disabled' }),
  setting(2, 'TransportRule', 'first', { Priority: 0, State: 'Enabled' }),
  setting(3, 'OutboundConnector', 'plain', { IsTransportRuleScoped: false }),
  setting(4, 'OutboundConnector', 'scoped', { IsTransportRuleScoped: true }),
  setting(5, 'OutboundConnector', 'trial', { TestMode: true }),
  setting(6, 'InboundConnector', 'in', { SenderDomains: ['smtp:*;1'] }),
  setting(7, 'AcceptedDomain', 'main', { DomainName: 'contoso.com' }),
  setting(8, 'RemoteDomain', 'Default', { DomainName: '*' }),
  setting(9, 'OrganizationRelationship', 'fabrikam', { DomainNames: ['fabrikam.com'] }),
  setting(10, 'OrganizationConfig', 'contoso.onmicrosoft.com', { IsDehydrated: false }),
  setting(11, 'ArcConfig', 'Default', { ArcTrustedSealers: '' }),
  setting(12, 'DkimSigningConfig', 'contoso.com', { Domain: 'contoso.com' }),
  setting(13, 'HostedOutboundSpamFilterPolicy', 'Default', { AutoForwardingMode: 'Automatic' }),
]

const OBJECTS = [
  user(1, { displayName: 'Adele Vance' }),
  user(30, { displayName: 'Nobody' }),
  TEAM,
  { ...TEAM, id: guid('2', 21), members: [] },
]

const seeded = { recipients: RECIPIENTS, exchangeObjects: SETTINGS, objects: OBJECTS }

test('each Get cmdlet answers the objects of its kind, in a stable order', async (t) => {
  const exchange = await startExchange(t, seeded)
  const examples: [cmdlet: string, parameters: Record<string, unknown>, expected: string[], why: string][] = [
    ['Get-Mailbox', {}, ['adele', 'lee', 'room'], 'mailboxes of people, shared and of rooms; no group mailboxes'],
    ['Get-Mailbox', { RecipientTypeDetails: ['SharedMailbox', 'RoomMailbox'] }, ['lee', 'room'], 'a list of types'],
    [
      'Get-Mailbox',
      { RecipientTypeDetails: 'sharedmailbox,RoomMailbox' },
      ['lee', 'room'],
      'as PowerShell writes lists, in any case',
    ],
    ['Get-Mailbox', { Archive: true }, ['adele'], 'only those with an archive'],
    ['Get-Mailbox', { GroupMailbox: true }, ['unified'], 'group mailboxes are asked for'],
    [
      'Get-Mailbox',
      { resultsize: 'unlimited', Archive: false },
      ['adele', 'lee', 'room'],
      'names of parameters in any case',
    ],
    [
      'Get-Mailbox',
      { Filter: "Alias -like 'r*' -or ForwardingSmtpAddress -ne $null" },
      ['adele', 'room'],
      'by a filter',
    ],
    [
      'Get-Recipient',
      { Filter: "RecipientTypeDetails -eq 'MailContact'" },
      ['vendor'],
      'by a property of all recipients',
    ],
    ['Get-Recipient', { RecipientType: 'MailUser' }, ['partner', 'guest'], 'by the coarser type'],
    ['Get-MailUser', {}, ['partner', 'guest'], 'guests are mail users'],
    ['Get-MailContact', {}, ['vendor'], 'contacts'],
    [
      'Get-DistributionGroup',
      {},
      ['team', 'guards'],
      'lists and mail-enabled security groups, not Microsoft 365 groups',
    ],
    ['Get-DynamicDistributionGroup', {}, ['everybody'], 'known to Exchange alone'],
    [
      'Get-DistributionGroupMember',
      { Identity: 'team@contoso.com' },
      ['adele', guid('2', 30), 'guards'],
      'a user without an address is told, a member that is gone is not',
    ],
    ['Get-TransportRule', {}, ['first', 'second'], 'by priority'],
    ['Get-TransportRule', { State: 'Disabled' }, ['second'], 'by state'],
    ['Get-OutboundConnector', {}, ['plain', 'scoped'], 'none that is on trial'],
    ['Get-OutboundConnector', { IsTransportRuleScoped: true }, ['scoped'], 'only those of rules'],
    ['Get-OutboundConnector', { IncludeTestModeConnectors: true }, ['plain', 'scoped', 'trial'], 'also on trial'],
    ['Get-InboundConnector', { Identity: 'IN' }, ['in'], 'names in any case'],
    ['Get-AcceptedDomain', { Identity: 'contoso.com' }, ['main'], 'by its domain'],
    ['Get-RemoteDomain', {}, ['Default'], 'the default one'],
    ['Get-OrganizationRelationship', { Identity: guid('5', 9) }, ['fabrikam'], 'by GUID'],
    ['Get-OrganizationConfig', {}, ['contoso.onmicrosoft.com'], 'the only one'],
    ['Get-ArcConfig', {}, ['Default'], 'the only one'],
    ['Get-DkimSigningConfig', { Identity: 'contoso.com' }, ['contoso.com'], 'by its domain'],
    ['Get-HostedOutboundSpamFilterPolicy', { Identity: 'Default' }, ['Default'], 'by name'],
  ]
  for (const [cmdlet, parameters, expected, why] of examples) {
    const answer = await exchange.call(cmdlet, parameters)
    assert.equal(answer.status, 200, `${cmdlet} ${JSON.stringify(parameters)}: ${answer.text.slice(0, 300)}`)
    assert.deepEqual(names(answer), expected, why)
  }
  assert.deepEqual(exchange.services.record.violations, [])
  const use = exchange.services.record.report().uses.find(({ name }) => name === 'Get-ArcConfig')
  assert.deepEqual([use?.service, use?.isWrite, use?.count], ['exchange', false, 1])
})

test('an identity may be a name, alias, address, user principal name, GUID or distinguished name, in any case', async (t) => {
  const exchange = await startExchange(t, seeded)
  const identities = [
    'adele',
    'ADELE@contoso.com',
    'adele.alias@contoso.com',
    guid('1', 1).toUpperCase(),
    guid('2', 1),
    guid('3', 1),
    '/o=ExchangeLabs/cn=Recipients/cn=adele',
    'CN=adele,OU=contoso.onmicrosoft.com,DC=SANDBOX',
    ' adele ',
  ]
  for (const Identity of identities)
    assert.deepEqual(names(await exchange.call('Get-Mailbox', { Identity })), ['adele'], Identity)
  const strangers: [cmdlet: string, identity: string, why: string][] = [
    ['Get-Mailbox', 'Display adele', 'a display name is no identity'],
    ['Get-Mailbox', 'partner', 'a mail user has no mailbox'],
    ['Get-MailUser', 'adele', 'a mailbox is no mail user'],
    ['Get-Mailbox', 'nobody@contoso.com', 'there is nobody'],
    ['Get-DistributionGroupMember', 'unified', 'a Microsoft 365 group is no distribution group'],
    ['Get-TransportRule', 'third', 'there is no such rule'],
  ]
  for (const [cmdlet, Identity, why] of strangers) {
    const answer = await exchange.call(cmdlet, { Identity })
    assert.equal(answer.status, 404, why)
    assert.equal(exceptionOf(answer), 'ManagementObjectNotFoundException', why)
  }
})

test('a mailbox is answered as the module shows it on the wire: sizes, lists, GUIDs and times with their annotations', async (t) => {
  const exchange = await startExchange(t, seeded)
  const row = await one(exchange.call('Get-Mailbox', { Identity: 'lee' }))
  assert.equal(row['MaxReceiveSize'], '150 MB (157,286,400 bytes)')
  assert.equal(row['ProhibitSendReceiveQuota'], '100 GB (107,374,182,400 bytes)', 'a default of Exchange Online')
  assert.equal(row['ExchangeGuid@odata.type'], '#Guid')
  assert.equal(row['EmailAddresses@odata.type'], '#Collection(String)')
  assert.deepEqual(row['GrantSendOnBehalfTo'], [])
  assert.equal(row['RecipientTypeDetails'], 'SharedMailbox')
  assert.equal(row['RecipientType'], 'UserMailbox')
  assert.equal(row['IsShared'], true)
  assert.equal(row['PrimarySmtpAddress'], 'lee@contoso.com')
  assert.equal(row['ExternalDirectoryObjectId'], guid('2', 2))
  assert.equal(row['LitigationHoldEnabled'], false)
})

test('Get-Recipient does not tell what only the mailbox cmdlet knows', async (t) => {
  const exchange = await startExchange(t, seeded)
  const row = await one(exchange.call('Get-Recipient', { Identity: 'adele' }))
  assert.equal(row['ForwardingSmtpAddress'], undefined)
  assert.equal(row['DisplayName'], 'Display adele')
  assert.equal(row['ArchiveStatus'], 'Active')
})

test('$select leaves only the properties asked for, in any case, with their annotations', async (t) => {
  const exchange = await startExchange(t, seeded)
  const row = await one(
    exchange.call('Get-Mailbox', { Identity: 'adele' }, { select: 'exchangeguid, DisplayName,NoSuchThing' }),
  )
  assert.deepEqual(row, {
    DisplayName: 'Display adele',
    'ExchangeGuid@data.type': 'System.Guid',
    'ExchangeGuid@odata.type': '#Guid',
    ExchangeGuid: guid('3', 1),
  })
})

test('sizes are written in the language of the service: only the digits in brackets hold', async (t) => {
  const exchange = await startExchange(t, seeded)
  const examples = [
    ['en-US', '1.5 GB (1,610,612,736 bytes)'],
    ['de-DE', '1,5 GB (1.610.612.736 Bytes)'],
    ['fr-FR', '1,5 Go (1\u202f610\u202f612\u202f736 octets)'],
  ] as const
  for (const [culture, size] of examples) {
    exchange.behaviour.sizes = culture
    const row = await one(exchange.call('Get-MailboxStatistics', { Identity: 'adele' }))
    assert.equal(row['TotalItemSize'], size)
    assert.equal(row['ItemCount'], 1000)
  }
})

test('statistics of an archive are asked for, and absent where there is none; an unopened mailbox has a warning in place of figures', async (t) => {
  const exchange = await startExchange(t, seeded)
  const archive = await one(exchange.call('Get-MailboxStatistics', { Identity: 'adele', Archive: true }))
  assert.deepEqual(
    [archive['ItemCount'], archive['TotalItemSize'], archive['MailboxGuid']],
    [7, '4 KB (4,096 bytes)', guid('4', 1)],
  )
  const without = await exchange.call('Get-MailboxStatistics', { Identity: 'lee', Archive: true })
  assert.equal(exceptionOf(without), 'ManagementObjectNotFoundException')
  assert.match(without.body.error?.details?.[0]?.message ?? '', /^Ex41BAF5\|/)
  const unopened = await exchange.call('Get-MailboxStatistics', { Identity: 'lee' })
  assert.deepEqual(unopened.body.value, [])
  assert.match(unopened.body['@adminapi.warnings']?.[0] ?? '', /hasn't logged on/)
})

test('folders add up to the mailbox, and their names are in its language', async (t) => {
  const exchange = await startExchange(t, seeded)
  const answer = await exchange.call('Get-MailboxFolderStatistics', { Identity: 'adele' })
  const rows = answer.body.value ?? []
  const sum = (name: string) =>
    rows.filter((row) => row['TargetQuota'] === 'User').reduce((total, row) => total + Number(row[name]), 0)
  assert.equal(sum('ItemsInFolder'), 1000)
  assert.equal(
    rows.find((row) => row['FolderType'] === 'Root')?.['FolderAndSubfolderSize'],
    '1.5 GB (1,610,612,736 bytes)',
  )
  const calendar = await one(
    exchange.call('Get-MailboxFolderStatistics', { Identity: 'adele', FolderScope: 'Calendar' }),
  )
  assert.equal(calendar['FolderPath'], '/Kalender', 'a client that looks for /Calendar finds nothing')
})

test('what was made is not seen before it has spread', async (t) => {
  const exchange = await startExchange(t, seeded)
  const now = exchange.services.clock.nowMs()
  exchange.tenant.putRecipient(mailbox(7, 'new'), now + 60_000)
  exchange.tenant.putExchangeObject(setting(20, 'RemoteDomain', 'fresh'), now + 60_000)
  const [byName, listed, domain] = [
    await exchange.call('Get-Mailbox', { Identity: 'new' }),
    await exchange.call('Get-Mailbox'),
    await exchange.call('Get-RemoteDomain', { Identity: 'fresh' }),
  ]
  assert.deepEqual([byName.status, names(listed).includes('new'), domain.status], [404, false, 404])
  exchange.services.clock.advance(60_000)
  assert.equal((await exchange.call('Get-Mailbox', { Identity: 'new' })).status, 200)
  assert.equal((await exchange.call('Get-RemoteDomain', { Identity: 'fresh' })).status, 200)
})

test('a recipient that is renamed or removed is found by what it is called now', async (t) => {
  const exchange = await startExchange(t, seeded)
  assert.equal((await exchange.call('Get-Mailbox', { Identity: 'lee' })).status, 200)
  exchange.tenant.putRecipient(mailbox(2, 'leila'))
  exchange.tenant.removeRecipient(guid('1', 3))
  assert.equal((await exchange.call('Get-Mailbox', { Identity: 'lee' })).status, 404)
  assert.equal((await exchange.call('Get-Mailbox', { Identity: 'room' })).status, 404)
  assert.deepEqual(names(await exchange.call('Get-Mailbox')), ['adele', 'leila'], 'at its old place')
})

test('two that go by one name are ambiguous, until the cmdlet is of one kind only', async (t) => {
  const twin = mailbox(8, 'adele', { recipientTypeDetails: 'MailContact' })
  const exchange = await startExchange(t, { recipients: [...RECIPIENTS, twin, mailbox(9, 'lee')] })
  const answer = await exchange.call('Get-Recipient', { Identity: 'adele' })
  assert.equal(exceptionOf(answer), 'ManagementObjectAmbiguousException')
  assert.equal((await exchange.call('Get-Mailbox', { Identity: 'adele' })).status, 200)
  assert.equal(
    exceptionOf(await exchange.call('Get-MailboxStatistics', { Identity: 'lee' })),
    'ManagementObjectAmbiguousException',
  )
})

test('the roles of an application are read by its id', async (t) => {
  const exchange = await startExchange(t, { ...seeded, roles: ['View-Only Configuration', 'View-Only Recipients'] })
  const answer = await exchange.call('Get-ManagementRoleAssignment', { RoleAssignee: CLIENT })
  assert.deepEqual(
    answer.body.value?.map((row) => [row['Role'], row['RoleAssigneeType']]),
    [
      ['View-Only Configuration', 'ServicePrincipal'],
      ['View-Only Recipients', 'ServicePrincipal'],
    ],
  )
  assert.equal((await exchange.call('Get-ManagementRoleAssignment', { RoleAssignee: 'somebody' })).status, 404)
})

test('what Exchange does not hold itself is what Entra says of the object', async (t) => {
  const bare: Recipient = {
    guid: guid('1', 40),
    recipientTypeDetails: 'UserMailbox',
    externalDirectoryObjectId: guid('2', 40),
    properties: {},
  }
  const object = user(40, {
    displayName: 'Bare',
    mailNickname: 'bare',
    userPrincipalName: 'bare@contoso.com',
    proxyAddresses: ['SMTP:bare@contoso.com', 'smtp:b@contoso.com'],
    department: 'Sales',
    createdDateTime: '2026-01-01T00:00:00Z',
  })
  const exchange = await startExchange(t, { recipients: [bare], objects: [object] })
  const row = await one(exchange.call('Get-Mailbox', { Identity: 'b@contoso.com' }))
  assert.deepEqual([row['DisplayName'], row['Alias'], row['UserPrincipalName']], ['Bare', 'bare', 'bare@contoso.com'])
  assert.equal(row['PrimarySmtpAddress'], 'bare@contoso.com')
  assert.equal(row['WhenCreated'], '2026-01-01T00:00:00.0000000+00:00')
  assert.equal(row['WhenCreatedUTC'], '2026-01-01T00:00:00.0000000Z')
  assert.equal((await one(exchange.call('Get-Recipient', { Identity: 'bare' })))['Department'], 'Sales')
})

async function one(calling: Promise<Answer>): Promise<Record<string, unknown>> {
  const answer = await calling
  assert.equal(answer.status, 200, answer.text.slice(0, 300))
  assert.equal(answer.body.value?.length, 1)
  return answer.body.value[0] ?? {}
}
