// Connectors, remote domains, relationships and the ARC configuration, as cmdlets make, change and remove them. (coexistence.md §2.1 rows 4–8)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CMDLETS } from '../../../sandbox/exchange/cmdlets.ts'
import { writesOf } from '../../../sandbox/exchange/write-log.ts'
import { CONTRACTS, OTHER_TENANT, TENANT, exceptionOf, names } from './exchange-server.ts'
import { CERTIFICATE_NAME, INBOUND, OUTBOUND, attempt, only, readOne, startOrganisation } from './writes.ts'
import type { Attempt } from './writes.ts'

const EXISTS = 'ADObjectAlreadyExistsException'
const ABSENT = 'ManagementObjectNotFoundException'
const INVALID = 'DataValidationException'
const UNFIT = 'ParameterTransformationException'

test('every parameter that a cmdlet heeds is published for it', () => {
  for (const { name, heeds } of CMDLETS.values()) {
    const published = CONTRACTS.cmdlets.byName.get(name.toLowerCase())
    assert.ok(published?.isOnline === true, name)
    const unknown = heeds.filter((each) => published.parameters.get(each.toLowerCase())?.name !== each)
    assert.deepEqual(unknown, [], name)
  }
})

test('a connector that is made is answered as a row, told with its defaults, changed and removed by its Guid', async (t) => {
  const exchange = await startOrganisation(t)
  const made = await exchange.call('New-InboundConnector', {
    ...INBOUND,
    RequireTls: true,
    RestrictDomainsToCertificate: true,
    Comment: 'causeway:prj:in:00000000',
  })
  const [row] = made.body.value ?? []
  const Identity = row?.['Guid']
  const read = await readOne(exchange, 'Get-InboundConnector', { Identity })
  assert.deepEqual(
    only(
      read,
      'Name Identity SenderDomains TlsSenderCertificateName RequireTls EFSkipLastIP TreatMessagesAsInternal Comment Enabled',
    ),
    {
      Name: 'In',
      Identity: 'In',
      SenderDomains: ['smtp:*;1'],
      TlsSenderCertificateName: CERTIFICATE_NAME,
      RequireTls: true,
      EFSkipLastIP: false,
      TreatMessagesAsInternal: false,
      Comment: 'causeway:prj:in:00000000',
      Enabled: true,
    },
  )
  assert.equal(read['WhenCreated'], '2026-01-01T00:00:00.0000000+00:00')
  assert.deepEqual(row?.['Name'], 'In')
  await attempt(exchange, [
    ['Set-InboundConnector', { Identity, EFSkipLastIP: true, EFUsers: ['adele@contoso.com'] }, undefined, 'a pilot'],
  ])
  exchange.services.clock.advance(60_000)
  await attempt(exchange, [
    [
      'Set-InboundConnector',
      { Identity: 'in', EFUsers: null, Comment: null, SenderDomains: 'a.example, b.example', Enabled: false },
      undefined,
      'null takes away; one text may be several; a name in any case',
    ],
  ])
  const after = await readOne(exchange, 'Get-InboundConnector', { Identity })
  assert.deepEqual(only(after, 'EFSkipLastIP EFUsers Comment SenderDomains Enabled RequireTls'), {
    EFSkipLastIP: true,
    EFUsers: [],
    Comment: null,
    SenderDomains: ['smtp:a.example;1', 'smtp:b.example;1'],
    Enabled: false,
    RequireTls: true,
  })
  assert.equal(after['WhenChanged'], '2026-01-01T00:01:00.0000000+00:00')
  await attempt(exchange, [
    ['Remove-InboundConnector', { Identity, Confirm: false }, undefined, 'it goes'],
    ['Remove-InboundConnector', { Identity, Confirm: false }, ABSENT, 'and is gone'],
    ['Set-InboundConnector', { Identity, Enabled: true }, ABSENT, 'for changes too'],
  ])
})

const connectors: readonly Attempt[] = [
  ['New-InboundConnector', INBOUND, EXISTS, 'a name that is taken'],
  ['New-InboundConnector', { ...INBOUND, Name: 'IN' }, EXISTS, 'in any case'],
  ['New-InboundConnector', { ...INBOUND, Name: 'n'.repeat(65) }, INVALID, 'a name of 65 characters'],
  ['New-InboundConnector', { ...INBOUND, Name: 'a', Comment: 'c'.repeat(1025) }, INVALID, 'a comment of 1,025'],
  ['New-InboundConnector', { ...INBOUND, Name: 'a', Comment: 'c'.repeat(1024) }, undefined, 'a comment of 1,024'],
  ['New-InboundConnector', { ...INBOUND, Name: 'b', SenderDomains: ['not a domain'] }, UNFIT, 'no domain'],
  ['New-InboundConnector', { ...INBOUND, Name: 'b', SenderDomains: [] }, INVALID, 'for nobody’s mail'],
  ['New-InboundConnector', { ...INBOUND, Name: 'b', SenderIPAddresses: ['192.0.2.0/23'] }, UNFIT, 'more than a /24'],
  ['New-InboundConnector', { ...INBOUND, Name: 'b', SenderIPAddresses: ['2001:db8::1'] }, UNFIT, 'IPv6'],
  ['New-InboundConnector', { ...INBOUND, Name: 'b', SenderIPAddresses: ['192.0.2.0/24'] }, undefined, 'a /24'],
  [
    'New-InboundConnector',
    { ...INBOUND, Name: 'c', CloudServicesMailEnabled: true, TreatMessagesAsInternal: true },
    INVALID,
    'the two exclude each other',
  ],
  ['Set-InboundConnector', { Identity: 'In', TreatMessagesAsInternal: true }, undefined, 'one of them'],
  ['Set-InboundConnector', { Identity: 'In', CloudServicesMailEnabled: true }, INVALID, 'nor one after the other'],
  [
    'Set-InboundConnector',
    { Identity: 'In', ConnectorType: 'Partner' },
    INVALID,
    'internal mail is the organisation’s',
  ],
  ['Set-InboundConnector', { Identity: 'In', Enabled: null }, UNFIT, 'neither on nor off'],
  ['Set-InboundConnector', { Identity: 'a', Name: 'In' }, EXISTS, 'a new name that is taken'],
  ['Set-InboundConnector', { Identity: 'In', Name: 'in' }, undefined, 'its own name in another case'],
  ['New-OutboundConnector', { ...OUTBOUND, SmartHosts: undefined }, INVALID, 'smart hosts, or MX records'],
  ['New-OutboundConnector', { ...OUTBOUND, SmartHosts: [] }, INVALID, 'some smart hosts'],
  ['New-OutboundConnector', { ...OUTBOUND, SmartHosts: ['out.relay.example:2525'] }, UNFIT, 'there are no ports'],
  ['New-OutboundConnector', { ...OUTBOUND, TlsDomain: undefined }, INVALID, 'which domain to validate'],
  ['New-OutboundConnector', { ...OUTBOUND, SmtpDaneMode: 'Sometimes' }, UNFIT, 'a word that is none'],
  ['New-OutboundConnector', { ...OUTBOUND, SmtpDaneMode: 'opportunistic', MtaStsMode: 'None' }, undefined, 'any case'],
  ['New-OutboundConnector', { Name: 'By MX' }, undefined, 'by MX records'],
  ['Set-OutboundConnector', { Identity: 'Out', SmartHosts: null }, INVALID, 'its smart hosts are what it goes by'],
  ['Set-OutboundConnector', { Identity: 'Out', UseMXRecord: true, SmartHosts: null }, undefined, 'or it goes by MX'],
  [
    'Set-OutboundConnector',
    { Identity: 'Out', IsValidated: true, LastValidationTimestamp: '2026-01-01T00:00:00Z' },
    undefined,
    'what a validation came to is set by hand',
  ],
]

test('a connector is refused as Exchange refuses it', async (t) => {
  const exchange = await startOrganisation(t)
  await attempt(exchange, [['New-InboundConnector', INBOUND, undefined, 'the first'], ...connectors])
  const out = await readOne(exchange, 'Get-OutboundConnector', { Identity: 'Out' })
  assert.deepEqual(only(out, 'SmtpDaneMode MtaStsMode IsValidated LastValidationTimestamp UseMXRecord SmartHosts'), {
    SmtpDaneMode: 'Opportunistic',
    MtaStsMode: 'None',
    IsValidated: true,
    LastValidationTimestamp: '2026-01-01T00:00:00.000Z',
    UseMXRecord: true,
    SmartHosts: [],
  })
})

test('a remote domain is made with its domain alone and then set; each domain has one, and the default stays', async (t) => {
  const exchange = await startOrganisation(t)
  const rd = { Name: 'RD', DomainName: 'fabrikam.example' }
  await attempt(exchange, [
    ['New-RemoteDomain', rd, undefined, 'with what every one has'],
    ['New-RemoteDomain', rd, EXISTS, 'twice'],
    ['New-RemoteDomain', { Name: 'RD2', DomainName: 'Fabrikam.example' }, EXISTS, 'the domain has one'],
    ['New-RemoteDomain', { Name: 'RD2', DomainName: 'fabrikam' }, UNFIT, 'no domain'],
    [
      'Set-RemoteDomain',
      { Identity: 'RD', TNEFEnabled: false, MeetingForwardNotificationEnabled: true, AllowedOOFType: 'InternalLegacy' },
      undefined,
      'what it is for',
    ],
  ])
  const read = () => readOne(exchange, 'Get-RemoteDomain', { Identity: 'RD' })
  const parts = 'DomainName TNEFEnabled MeetingForwardNotificationEnabled AutoReplyEnabled IsInternal'
  const set = {
    DomainName: 'fabrikam.example',
    TNEFEnabled: false,
    MeetingForwardNotificationEnabled: true,
    AutoReplyEnabled: true,
    IsInternal: true,
  }
  assert.deepEqual(only(await read(), parts), set, 'InternalLegacy makes it internal')
  await attempt(exchange, [
    [
      'Set-RemoteDomain',
      { Identity: 'RD', AllowedOOFType: 'External', TNEFEnabled: null },
      undefined,
      'left to others',
    ],
  ])
  assert.deepEqual(only(await read(), parts), { ...set, TNEFEnabled: null, IsInternal: false })
  await attempt(exchange, [
    ['Set-RemoteDomain', { Identity: 'RD', Name: 'Default' }, EXISTS, 'the name of another'],
    ['Set-RemoteDomain', { Identity: 'Default', TNEFEnabled: false }, undefined, 'the default may be set'],
    ['Remove-RemoteDomain', { Identity: 'Default', Confirm: false }, INVALID, 'and stays'],
    ['Remove-RemoteDomain', { Identity: 'RD', Confirm: false }, undefined, 'ours goes'],
    ['Remove-RemoteDomain', { Identity: 'RD', Confirm: false }, ABSENT, 'once'],
  ])
})

test('a domain is in one organization relationship, and its list is replaced, added to and taken from', async (t) => {
  const exchange = await startOrganisation(t)
  const relationship = {
    Name: 'FreeBusy',
    DomainNames: ['fabrikam.example', 'fabrikam.onmicrosoft.com'],
    Enabled: true,
    FreeBusyAccessEnabled: true,
    FreeBusyAccessLevel: 'LimitedDetails',
    TargetApplicationUri: 'outlook.com',
    TargetAutodiscoverEpr: 'https://autodiscover.outlook.com/autodiscover/autodiscover.svc/WSSecurity',
    TargetSharingEpr: 'https://outlook.office365.com/EWS/Exchange.asmx',
    MailTipsAccessEnabled: true,
    MailTipsAccessLevel: 'Limited',
  }
  const many = Array.from({ length: 239 }, (_, index) => `d${index}.example`)
  await attempt(exchange, [
    [
      'New-OrganizationRelationship',
      { ...relationship, FreeBusyAccessScope: 'nobody' },
      ABSENT,
      'a group that is not there',
    ],
    [
      'New-OrganizationRelationship',
      { ...relationship, FreeBusyAccessScope: 'adele' },
      ABSENT,
      'a mailbox is no group',
    ],
    ['New-OrganizationRelationship', { ...relationship, TargetSharingEpr: 'ftp://x' }, UNFIT, 'no endpoint'],
    ['New-OrganizationRelationship', relationship, undefined, 'as it should be'],
    ['New-OrganizationRelationship', { ...relationship, Name: 'Other' }, EXISTS, 'its domains have one'],
    ['New-OrganizationRelationship', { ...relationship, DomainNames: ['x.example'] }, EXISTS, 'its name is taken'],
    ['New-OrganizationRelationship', { Name: 'Many', DomainNames: many }, INVALID, '239 domains'],
    ['New-OrganizationRelationship', { Name: 'Many', DomainNames: many.slice(1) }, undefined, '238 domains'],
    ['Set-OrganizationRelationship', { Identity: 'FreeBusy', DomainNames: ['d7.example'] }, EXISTS, 'those of another'],
    [
      'Set-OrganizationRelationship',
      {
        Identity: 'FreeBusy',
        DomainNames: {
          '@odata.type': '#Exchange.GenericHashTable',
          add: ['new.example'],
          remove: ['FABRIKAM.onmicrosoft.com'],
        },
      },
      undefined,
      'a hashtable',
    ],
    [
      'Set-OrganizationRelationship',
      { Identity: 'FreeBusy', DomainNames: { put: ['a.example'] } },
      UNFIT,
      'another one',
    ],
  ])
  const read = await readOne(exchange, 'Get-OrganizationRelationship', { Identity: 'FreeBusy' })
  const { Name: _, ...given } = relationship
  assert.deepEqual(only(read, Object.keys(given).join(' ')), {
    ...given,
    DomainNames: ['fabrikam.example', 'new.example'],
  })
  await attempt(exchange, [
    ['Remove-OrganizationRelationship', { Identity: 'FreeBusy', Confirm: false }, undefined, 'it goes'],
    ['New-OrganizationRelationship', { ...relationship, Name: 'Other' }, undefined, 'and its domains are free'],
  ])
})

test('trusted sealers are replaced as a list, and empty text again once there are none', async (t) => {
  const exchange = await startOrganisation(t)
  const sealers = async () => (await readOne(exchange, 'Get-ArcConfig'))['ArcTrustedSealers']
  const set = (ArcTrustedSealers: unknown): Attempt => [
    'Set-ArcConfig',
    { Identity: 'Default', ArcTrustedSealers },
    undefined,
    'a list',
  ]
  await attempt(exchange, [set(['relay.example', 'other.example', 'Relay.example'])])
  assert.deepEqual(await sealers(), ['relay.example', 'other.example'])
  await attempt(exchange, [set(null)])
  assert.equal(await sealers(), '')
  await attempt(exchange, [
    ['Set-ArcConfig', { Identity: 'Other', ArcTrustedSealers: [] }, ABSENT, 'there is one'],
    ['Set-ArcConfig', { Identity: 'Default', ArcTrustedSealers: ['x'] }, UNFIT, 'no domain'],
  ])
})

test('an organisation that is as every new one takes no settings before it was customised, and is that once', async (t) => {
  const exchange = await startOrganisation(t, { isDehydrated: true })
  const dehydrated = 'InvalidOperationInDehydratedContextException'
  const attempts: readonly [cmdlet: string, parameters: Record<string, unknown>][] = [
    ['New-InboundConnector', INBOUND],
    ['New-OutboundConnector', OUTBOUND],
    ['New-RemoteDomain', { Name: 'RD', DomainName: 'fabrikam.example' }],
    ['Set-RemoteDomain', { Identity: 'Default', TNEFEnabled: false }],
    ['New-OrganizationRelationship', { Name: 'R', DomainNames: ['fabrikam.example'] }],
    ['Set-ArcConfig', { Identity: 'Default', ArcTrustedSealers: ['relay.example'] }],
    ['New-TransportRule', { Name: 'Rule', DeleteMessage: true }],
  ]
  await attempt(
    exchange,
    attempts.map((each) => [...each, dehydrated, 'before']),
  )
  await attempt(exchange, [
    ['Enable-OrganizationCustomization', {}, undefined, 'the first time'],
    ['Enable-OrganizationCustomization', {}, 'InvalidOperationException', 'it is customised'],
    ...attempts.map((each): Attempt => [...each, undefined, 'after']),
  ])
  assert.equal((await readOne(exchange, 'Get-OrganizationConfig'))['IsDehydrated'], false)
})

test('what is made is seen after a while, but its name is taken at once', async (t) => {
  const exchange = await startOrganisation(t)
  exchange.behaviour.visibleAfterMs = 60_000
  const [row] = (await exchange.call('New-OutboundConnector', OUTBOUND)).body.value ?? []
  assert.equal(row?.['Name'], 'Out', 'who made it is told')
  assert.deepEqual(names(await exchange.call('Get-OutboundConnector')), [])
  await attempt(exchange, [
    ['Set-OutboundConnector', { Identity: row?.['Guid'], IsValidated: true }, ABSENT, 'not seen'],
    ['New-OutboundConnector', OUTBOUND, EXISTS, 'but there'],
  ])
  exchange.services.clock.advance(60_000)
  assert.deepEqual(names(await exchange.call('Get-OutboundConnector')), ['Out'])
  await attempt(exchange, [
    ['Set-OutboundConnector', { Identity: row?.['Guid'], IsValidated: true }, undefined, 'seen by now'],
  ])
  assert.deepEqual(names(await exchange.call('Get-OutboundConnector')), ['Out'], 'a change hides nothing')
})

test('the log has what was carried out, in order, and nothing that was refused', async (t) => {
  const exchange = await startOrganisation(t)
  const { services } = exchange
  const [row] = (await exchange.call('New-InboundConnector', { ...INBOUND, confirm: false })).body.value ?? []
  const madeAtMs = services.clock.nowMs()
  services.clock.advance(1000)
  await attempt(exchange, [
    ['New-InboundConnector', INBOUND, EXISTS, 'refused'],
    ['Set-InboundConnector', { Identity: 'Nobody', Enabled: false }, ABSENT, 'refused'],
  ])
  services.faults.add({ operation: 'Remove-InboundConnector', when: 'after', effect: { kind: 'status', status: 503 } })
  const lost = await exchange.call('Remove-InboundConnector', { Identity: 'In', Confirm: false })
  assert.equal(lost.status, 503)
  assert.equal(exceptionOf(await exchange.call('Get-InboundConnector', { Identity: 'In' })), ABSENT)
  const connector = { tenantId: TENANT, guid: row?.['Guid'] }
  assert.deepEqual(writesOf(services, TENANT), [
    { ...connector, cmdlet: 'New-InboundConnector', parameters: { ...INBOUND, Confirm: false }, atMs: madeAtMs },
    {
      ...connector,
      cmdlet: 'Remove-InboundConnector',
      parameters: { Identity: 'In', Confirm: false },
      atMs: madeAtMs + 1000,
    },
  ])
  assert.deepEqual(writesOf(services, OTHER_TENANT), [])
})
