// What Graph, Exchange and reports say of an object, read into parts, and parts composed into one account. (microsoft-365.md §4)
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { matchKey, splitProxyAddresses } from '../../../control-plane/directory/account.ts'
import { composeAccount } from '../../../control-plane/discovery/compose-account.ts'
import type { AccountParts } from '../../../control-plane/discovery/compose-account.ts'
import {
  MAX_TEXT,
  readContact,
  readGroup,
  readMembers,
  readUser,
} from '../../../control-plane/discovery/directory-object.ts'
import { objectIdOf, parseSize, readRecipient, readStatistics } from '../../../control-plane/discovery/exchange-part.ts'
import { readDriveUsage, readMailboxUsage } from '../../../control-plane/discovery/usage-report.ts'

const ID = 'aaaaaaaa-0000-4000-8000-000000000001'

test('a user: primary address first, X.500 and other addresses apart, attributes with a value only', () => {
  const part = readUser({
    id: ID,
    displayName: 'Alice',
    userPrincipalName: 'alice@contoso.example',
    mail: 'alice@contoso.example',
    userType: 'Member',
    accountEnabled: false,
    proxyAddresses: [
      'smtp:a.adams@contoso.example',
      'X500:/o=Old/cn=alice',
      'SIP:alice@contoso.example',
      'SMTP:alice@contoso.example',
    ],
    assignedLicenses: [{ skuId: 'b' }, { skuId: 'a' }, null],
    department: '',
    jobTitle: null,
    employeeId: '007',
    showInAddressList: false,
    onPremisesSyncEnabled: true,
    onPremisesExtensionAttributes: { extensionAttribute1: 'cw1:p:s', extensionAttribute2: null },
    businessPhones: ['1', '2'],
  })
  assert.deepEqual(part.addresses, ['alice@contoso.example', 'a.adams@contoso.example'])
  assert.deepEqual(part.x500, ['/o=Old/cn=alice'])
  assert.deepEqual(part.otherAddresses, ['SIP:alice@contoso.example'])
  assert.deepEqual(part.licences, ['a', 'b'])
  assert.deepEqual(part.attributes, { employeeId: '007', businessPhones: '1, 2', extensionAttribute1: 'cw1:p:s' })
  assert.equal(part.isEnabled, false)
  assert.equal(part.isHidden, true)
  assert.equal(part.isSynced, true)
})

const hostile: readonly (readonly [row: Record<string, unknown>, why: string])[] = [
  [{}, 'nothing but an id'],
  [{ displayName: 'x'.repeat(100_000) }, 'a very long name'],
  [{ displayName: 'a\0b\uD800c' }, 'NUL and half of a surrogate pair'],
  [{ displayName: 17, proxyAddresses: 'SMTP:a@b', assignedLicenses: {}, mail: [] }, 'other types than published'],
  [
    { proxyAddresses: Array.from({ length: 5_000 }, (_, n) => `smtp:a${n}@b.example`) },
    'more addresses than Exchange takes',
  ],
  [{ onPremisesExtensionAttributes: 'none', businessPhones: [1, null, 'x'] }, 'lists of anything'],
  [
    JSON.parse('{"__proto__":{"mail":"evil@x.example"},"constructor":"y"}') as Record<string, unknown>,
    'names of JavaScript',
  ],
]
for (const [row, why] of hostile) {
  test(`a hostile row is read, bounded, and can be stored: ${why}`, () => {
    for (const read of [readUser, readGroup, readContact]) {
      const part = read({ ...row, id: ID })
      const text = JSON.stringify(part)
      assert.ok(text.isWellFormed() && !text.includes('\\u0000'))
      assert.ok(part.displayName.length <= MAX_TEXT)
      assert.ok(part.addresses.length <= 1_000)
      assert.ok(composeAccount(ID, { directory: part }, 0))
    }
  })
}

test('members of a group: the last word on each counts', () => {
  assert.deepEqual(
    readMembers({
      id: ID,
      'members@delta': [
        { id: 'A' },
        { id: 'b', '@removed': { reason: 'deleted' } },
        { id: 'a', '@removed': { reason: 'changed' } },
        { id: 'b' },
        { id: 17 },
        null,
      ],
    }),
    [
      { member: 'a', isRemoved: true },
      { member: 'b', isRemoved: false },
    ],
  )
})

const sizes: readonly (readonly [text: unknown, octets: number | undefined, why: string])[] = [
  ['1.5 GB (1,610,612,736 bytes)', 1_610_612_736, 'as the documentation shows it'],
  ['1,5 Go (1 610 612 736 octets)', 1_610_612_736, 'French, with narrow spaces'],
  ['1,5 GB (1.610.612.736 Bytes)', 1_610_612_736, 'German'],
  ['0 B (0 bytes)', 0, 'empty'],
  ['Unlimited', undefined, 'no limit'],
  ['1.5 GB', undefined, 'rounded: not a count of octets'],
  ['123', 123, 'plain'],
  [123, 123, 'a number'],
  [-1, undefined, 'below nothing'],
  ['x (99999999999999999999 bytes)', undefined, 'more than can be counted'],
  [null, undefined, 'none'],
  [`(${'1'.repeat(1_000)})`, undefined, 'hostile length'],
]
for (const [text, octets, why] of sizes) {
  test(`a size of ${JSON.stringify(text)?.slice(0, 40)} is ${octets}: ${why}`, () => {
    assert.equal(parseSize(text), octets)
  })
}

test('a mailbox: facts with a value, no archive for the empty GUID, forwarding without prefix', () => {
  const row = {
    Guid: 'G',
    ExternalDirectoryObjectId: ID.toUpperCase(),
    DisplayName: 'Room 1',
    RecipientTypeDetails: 'RoomMailbox',
    ExchangeGuid: 'E',
    ArchiveGuid: '00000000-0000-0000-0000-000000000000',
    ArchiveStatus: 'None',
    LitigationHoldEnabled: true,
    ForwardingSmtpAddress: 'smtp:out@x.example',
    LegacyExchangeDN: '/o=Ex/cn=room',
    EmailAddresses: ['SMTP:room@contoso.example', 'x500:/o=Older/cn=room'],
    MaxReceiveSize: '36 MB (37,748,736 bytes)',
  }
  assert.equal(objectIdOf(row), ID)
  assert.equal(objectIdOf({ Guid: 'G' }), 'g')
  assert.equal(objectIdOf({}), undefined)
  const part = readRecipient(row, true)
  assert.deepEqual(part.x500, ['/o=Ex/cn=room', '/o=Older/cn=room'])
  assert.deepEqual(part.mailbox, {
    recipientTypeDetails: 'RoomMailbox',
    exchangeGuid: 'e',
    hasArchive: false,
    litigationHold: true,
    forwardingSmtpAddress: 'out@x.example',
    maxReceiveSize: 37_748_736,
  })
  assert.equal(readRecipient(row, false).mailbox, undefined)
})

test('reports are of those whose names they show', () => {
  const row = {
    'User Principal Name': 'Alice@Contoso.example',
    'Is Deleted': 'False',
    'Item Count': '12',
    'Storage Used (Byte)': '345',
  }
  assert.deepEqual(readMailboxUsage(row), { upnKey: 'alice@contoso.example', part: { items: 12, usedBytes: 345 } })
  assert.equal(readMailboxUsage({ ...row, 'Is Deleted': 'True' }), undefined)
  assert.equal(readMailboxUsage({ ...row, 'User Principal Name': '7F3A…' }), undefined, 'a hash in place of a name')
  assert.equal(readMailboxUsage({ ...row, 'User Principal Name': 'a@b\0' }), undefined)
  assert.deepEqual(readDriveUsage({ 'Owner Principal Name': 'a@b', 'Storage Used (Byte)': '', 'File Count': 'x' }), {
    upnKey: 'a@b',
    part: { usedBytes: 0, files: 0 },
  })
})

const user = readUser({
  id: ID,
  displayName: 'Alice',
  mail: 'alice@x.example',
  proxyAddresses: ['SMTP:alice@x.example'],
})
const kinds: readonly (readonly [parts: AccountParts, kind: string | undefined, why: string])[] = [
  [{ directory: user }, 'user', 'nothing else is known'],
  [{ directory: { ...user, isGuest: true } }, 'guest', 'as Entra says'],
  [
    { directory: user, exchange: readRecipient({ RecipientTypeDetails: 'SharedMailbox' }, true) },
    'shared-mailbox',
    'as Exchange says',
  ],
  [{ directory: user, exchange: readRecipient({ RecipientTypeDetails: 'RoomMailbox' }, true) }, 'room', ''],
  [{ directory: user, exchange: readRecipient({ RecipientTypeDetails: 'EquipmentMailbox' }, true) }, 'equipment', ''],
  [{ directory: user, exchange: readRecipient({ RecipientTypeDetails: 'MailUser' }, false) }, 'mail-user', ''],
  [
    {
      directory: { ...user, isGuest: true },
      exchange: readRecipient({ RecipientTypeDetails: 'GuestMailUser' }, false),
    },
    'guest',
    'both say so',
  ],
  [
    { directory: user, exchange: readRecipient({ RecipientTypeDetails: 'SomethingNew' }, true) },
    'user',
    'a type that nobody knows yet',
  ],
  [{ directory: readContact({ id: ID, displayName: 'C' }) }, 'contact', ''],
  [
    { directory: readGroup({ id: ID, groupTypes: ['Unified', 'DynamicMembership'], mailEnabled: true }) },
    'microsoft-365-group',
    '',
  ],
  [{ directory: readGroup({ id: ID, mailEnabled: false, securityEnabled: true }) }, 'security-group', ''],
  [{ directory: readGroup({ id: ID, mailEnabled: true, securityEnabled: true }) }, 'mail-enabled-security-group', ''],
  [{ directory: readGroup({ id: ID, mailEnabled: true, securityEnabled: false }) }, 'distribution-list', ''],
  [
    { exchange: readRecipient({ RecipientTypeDetails: 'DynamicDistributionGroup', RecipientFilter: 'x' }, false) },
    'dynamic-distribution-list',
    'Exchange alone knows it',
  ],
  [
    { exchange: readRecipient({ RecipientTypeDetails: 'UserMailbox' }, true) },
    undefined,
    'the directory has the word: it is gone',
  ],
  [{}, undefined, 'nobody knows it any more'],
]
for (const [parts, kind, why] of kinds) {
  test(`${Object.keys(parts).join(' and ') || 'nothing'} make ${kind ?? 'no account'}${why === '' ? '' : `: ${why}`}`, () => {
    assert.equal(composeAccount(ID, parts, 3)?.kind, kind)
  })
}

test("a mailbox's own statistics count for more than the report, and both for nothing where Exchange says there is none", () => {
  const report = { items: 1, usedBytes: 10 }
  const statistics = readStatistics(
    { TotalItemSize: '20 B (20 bytes)', ItemCount: 2 },
    { TotalItemSize: '5 B (5 bytes)' },
  )
  const exchange = readRecipient({ RecipientTypeDetails: 'UserMailbox' }, true)
  assert.deepEqual(
    composeAccount(ID, { directory: user, exchange, 'mailbox-report': report, statistics }, 0)?.mailbox,
    {
      recipientTypeDetails: 'UserMailbox',
      hasArchive: false,
      usedBytes: 20,
      items: 2,
      archiveBytes: 5,
    },
  )
  const mailUser = readRecipient({ RecipientTypeDetails: 'MailUser' }, false)
  assert.equal(
    composeAccount(ID, { directory: user, exchange: mailUser, 'mailbox-report': report }, 0)?.mailbox,
    undefined,
  )
})

test('addresses come once each, the primary one of Exchange first', () => {
  const exchange = readRecipient(
    { EmailAddresses: ['smtp:b@x.example', 'SMTP:New@x.example', 'smtp:ALICE@x.example'] },
    true,
  )
  assert.deepEqual(composeAccount(ID, { directory: user, exchange }, 0)?.addresses, [
    'New@x.example',
    'b@x.example',
    'ALICE@x.example',
  ])
})

test('splitting proxy addresses loses none and invents none', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.constantFrom('SMTP:', 'smtp:', 'X500:', 'x500:', 'SIP:'), fc.emailAddress())),
      (pairs) => {
        const { addresses, x500, otherAddresses } = splitProxyAddresses(
          pairs.map(([prefix, address]) => prefix + address),
        )
        const smtp = new Set(pairs.filter(([prefix]) => /smtp/i.test(prefix)).map(([, address]) => address))
        assert.deepEqual(new Set(addresses), smtp)
        assert.equal(new Set(x500).size, x500.length)
        assert.equal(otherAddresses.length, pairs.filter(([prefix]) => prefix === 'SIP:').length)
        const primary = pairs.find(([prefix]) => prefix === 'SMTP:')?.[1]
        if (primary !== undefined) assert.equal(addresses[0], primary)
      },
    ),
  )
})

test('keys of matching are the same for what people take for the same', () => {
  assert.equal(matchKey(' Jose\u0301@X.example '), matchKey('jos\u00e9@x.example'))
})
