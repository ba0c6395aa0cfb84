// The people of Fabrikam, the target. Twenty-five stand here, thirty-five are ordinary. Who is also in Contoso says how one could tell.
import { LEE } from './constants.ts'
import { ordinaryPeopleOf } from './ordinary-people.ts'
import type { PersonRecipe } from './person.ts'

const GB = 2 ** 30

const SPECIAL: readonly PersonRecipe[] = [
  { id: LEE.oid, name: LEE.name, given: 'Lee', surname: 'Gu', local: 'lee', licence: 'E5', user: { employeeId: 'F1' } },
  // By employee number; the addresses differ.
  { name: 'Alice Smith', given: 'Alice', surname: 'Smith', local: 'alice.smith', user: { employeeId: 'E1001' } },
  { name: 'Bob Baker', given: 'Bob', surname: 'Baker', local: 'bob', user: { employeeId: 'E1002' } },
  { name: 'Carol Jones', given: 'Carol', surname: 'Jones', local: 'carol', user: { employeeId: 'E1003' } },
  // By name before the @ or by display name alone; they are other people.
  { name: 'Sara Simmons', given: 'Sara', surname: 'Simmons', local: 'sara', user: { employeeId: 'F1004' } },
  { name: 'Jan Novak', given: 'Jan', surname: 'Novak', local: 'jnovak', user: { employeeId: 'F1005' } },
  // Both with the employee number of one in Contoso.
  { name: 'Grace Hall', given: 'Grace', surname: 'Hall', local: 'ghall', user: { employeeId: 'E1040' } },
  {
    name: 'Grace Hall (old)',
    given: 'Grace',
    surname: 'Hall',
    local: 'ghall.old',
    user: { employeeId: 'E1040', accountEnabled: false },
  },
  // Claimed by two of Contoso.
  { name: 'Frank Miller', given: 'Frank', surname: 'Miller', local: 'fmiller', user: { employeeId: 'E1050' } },
  {
    name: 'Ivan Orlov',
    given: 'Ivan',
    surname: 'Orlov',
    local: 'iorlov',
    user: {
      onPremisesSyncEnabled: true,
      onPremisesSamAccountName: 'iorlov',
      onPremisesImmutableId: 'q1Pz7mCk8kOZ0Vd3bVQm0w==',
      onPremisesLastSyncDateTime: '2026-11-01T05:00:00Z',
    },
  },
  {
    name: 'Erika Mann',
    given: 'Erika',
    surname: 'Mann',
    local: 'e.mann',
    user: { onPremisesExtensionAttributes: { extensionAttribute1: 'P-7781' } },
  },
  {
    name: 'Zoë Brontë'.normalize('NFD'),
    given: 'Zoë'.normalize('NFD'),
    surname: 'Brontë'.normalize('NFD'),
    local: 'ZOE.BRONTE',
    user: { employeeId: 'E1060' },
  },
  // Marked by the migration of another project.
  {
    name: 'Hugo Boss',
    given: 'Hugo',
    surname: 'Boss',
    local: 'hugo',
    user: {
      onPremisesExtensionAttributes: {
        extensionAttribute15: 'cw1:0190a000-0000-7000-8000-000000000001:99999999-0000-4000-8000-000000000009',
      },
    },
  },
  // In Contoso this address is a list's, and this one a shared mailbox's.
  { name: 'Support Person', given: 'Sue', surname: 'Port', local: 'support' },
  { name: 'Press Officer', given: 'Pia', surname: 'Press', local: 'press.officer', aliases: ['press@fabrikam.com'] },
  // Same nickname as one in Contoso, in another domain.
  { name: 'Rupert Wilkes', given: 'Rupert', surname: 'Wilkes', local: 'rupert', domain: 'corp.fabrikam.com' },
  { name: 'Lab User', given: 'Lars', surname: 'Lab', local: 'lars', domain: 'lab.fabrikam.com', licence: 'F3' },
  { name: 'Kiosk User', given: 'Kim', surname: 'Kiosk', local: 'kim', licence: 'F3', sizeBytes: 1.9 * GB },
  { name: 'Small Plan', given: 'Sam', surname: 'Plan', local: 'sam', licence: 'Exchange Plan 1' },
  { name: 'No Licence', given: 'Nils', surname: 'Licence', local: 'nils', licence: 'none' },
  {
    name: 'No Place',
    given: 'Nina',
    surname: 'Place',
    local: 'nina.place',
    licence: 'none',
    user: { usageLocation: null },
  },
  { name: 'Gone Away', given: 'Gus', surname: 'Away', local: 'gus', user: { accountEnabled: false } },
  {
    name: 'Held Here',
    given: 'Hilda',
    surname: 'Here',
    local: 'hilda',
    mailbox: { LitigationHoldEnabled: true },
    archiveBytes: 3 * GB,
  },
  // Sends back what Contoso's Bob sends on: never both.
  {
    name: 'Loop Back',
    given: 'Lou',
    surname: 'Back',
    local: 'lou',
    mailbox: { ForwardingSmtpAddress: 'smtp:alice@contoso.com' },
  },
  { name: "'; drop table account; --", given: 'Bobby', surname: 'Tables', local: 'bobby' },
]

const OTHERS: readonly PersonRecipe[] = [
  { kind: 'shared', name: 'Sales', local: 'sales' },
  { kind: 'shared', name: 'Finance', local: 'finance' },
  { kind: 'room', name: 'Room 1', local: 'room1' },
  { kind: 'room', name: 'Room 2', local: 'room2' },
  { kind: 'equipment', name: 'Projector', local: 'projector' },
  { kind: 'guest', name: 'Adele Vance (guest)', local: 'adele-guest', external: 'adele@contoso.com' },
  { kind: 'guest', name: 'Visitor', local: 'visitor', external: 'visitor@example.org' },
  // An address in common with a person of Contoso, who can have no address of Contoso here otherwise.
  {
    kind: 'mail-user',
    name: 'Pablo Ruiz',
    given: 'Pablo',
    surname: 'Ruiz',
    local: 'pablo.ruiz',
    external: 'pablo@contoso.com',
  },
]

export const FABRIKAM_PEOPLE: readonly PersonRecipe[] = [...SPECIAL, ...ordinaryPeopleOf('fabrikam'), ...OTHERS]
