// Whether a cmdlet may be called as it is, and by whom.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { judgeCmdlet, rolesFor } from '../../../sandbox/contract/cmdlet-call.ts'
import { CONTRACTS } from './published.ts'

const { cmdlets } = CONTRACTS

function broken(cmdlet: string, parameters: Record<string, unknown> = {}): string[] {
  return judgeCmdlet(CONTRACTS, cmdlet, parameters).violations.map(({ rule, where }) => `${rule} ${where}`)
}

const CALLS: [why: string, cmdlet: string, parameters: Record<string, unknown>, broken: string[]][] = [
  ['as published', 'Get-Mailbox', { ResultSize: 'Unlimited' }, []],
  ['in other letters', 'GET-mailbox', { RESULTsize: 'Unlimited' }, []],
  ['without parameters', 'Get-AcceptedDomain', {}, []],
  ['by an alias', 'Remove-MailContact', { Identity: 'a', cf: false }, []],
  [
    'a parameter and its alias',
    'Remove-MailContact',
    { Identity: 'a', cf: false, Confirm: true },
    ['unknown-parameter Remove-MailContact -Confirm'],
  ],
  [
    'a parameter twice in other letters',
    'Get-Mailbox',
    { Identity: 'a', identity: 'b' },
    ['unknown-parameter Get-Mailbox -identity'],
  ],
  ['what every cmdlet takes', 'Get-Mailbox', { ErrorAction: 'Stop', Verbose: true }, []],
  ['from nowhere', 'Get-Balloon', {}, ['unknown-cmdlet Get-Balloon']],
  ['not found by the reader of the pages', 'Get-InactiveMailbox', {}, ['unknown-cmdlet Get-InactiveMailbox']],
  ['a parameter from nowhere', 'Get-Mailbox', { Colour: 'red' }, ['unknown-parameter Get-Mailbox -Colour']],
  ['a parameter of servers only', 'Get-Mailbox', { Database: 'x' }, ['on-premises-only Get-Mailbox -Database']],
  [
    'a cmdlet of servers only',
    'New-AcceptedDomain',
    { Name: 'x', DomainName: 'y' },
    ['on-premises-only New-AcceptedDomain'],
  ],
  ['what must be there', 'Set-Mailbox', { HiddenFromAddressListsEnabled: true }, ['no-parameter-set Set-Mailbox']],
  ['what must be there, there', 'Set-Mailbox', { Identity: 'a', HiddenFromAddressListsEnabled: true }, []],
  ['parameters of different sets', 'Get-Mailbox', { Anr: 'a', Identity: 'b' }, ['no-parameter-set Get-Mailbox']],
  [
    'text in place of a flag',
    'Set-Mailbox',
    { Identity: 'a', DeliverToMailboxAndForward: 'true' },
    ['wrong-type Set-Mailbox -DeliverToMailboxAndForward'],
  ],
  ['text in place of a switch', 'Get-Mailbox', { Archive: 'yes' }, ['wrong-type Get-Mailbox -Archive']],
  [
    'text in place of a number',
    'Get-MessageTraceV2',
    { ResultSize: 'many' },
    ['wrong-type Get-MessageTraceV2 -ResultSize'],
  ],
  ['a list in place of one', 'Get-Mailbox', { Identity: ['a', 'b'] }, ['wrong-type Get-Mailbox -Identity']],
  ['null, which empties', 'Set-Mailbox', { Identity: 'a', ForwardingSmtpAddress: null }, []],
  [
    'a value outside a whole list',
    'Set-HostedOutboundSpamFilterPolicy',
    { Identity: 'Default', AutoForwardingMode: 'Sometimes' },
    ['value-not-allowed Set-HostedOutboundSpamFilterPolicy -AutoForwardingMode'],
  ],
  [
    'a value of a whole list, in other letters',
    'Set-HostedOutboundSpamFilterPolicy',
    { Identity: 'Default', AutoForwardingMode: 'on' },
    [],
  ],
  ['a name that every object has', 'Get-Mailbox', { constructor: 1 }, ['unknown-parameter Get-Mailbox -constructor']],
]
for (const [why, cmdlet, parameters, expected] of CALLS) {
  test(`cmdlet: ${why} (${cmdlet} ${Object.keys(parameters).join(' ')})`, () => {
    assert.deepEqual(broken(cmdlet, parameters), expected)
  })
}

test('a value outside a list that may be incomplete is warned of only', () => {
  const parameters = { Identity: 'a', User: 'b', AccessRights: ['FullAccess', 'Telepathy'] }
  const { violations, warnings } = judgeCmdlet(CONTRACTS, 'Add-MailboxPermission', parameters)
  assert.deepEqual(violations, [])
  assert.deepEqual(
    warnings.map(({ rule, where }) => `${rule} ${where}`),
    ['value-not-allowed Add-MailboxPermission -AccessRights'],
  )
})

test('every cmdlet of Exchange Online can be called with what one of its sets wants', () => {
  const values: Record<string, unknown> = {
    SwitchParameter: true,
    Boolean: true,
    Int32: 1,
    UInt32: 1,
    Int64: 1,
    DateTime: 'x',
  }
  const uncallable = [...cmdlets.byName.values()].filter((cmdlet) => {
    const isCallable = cmdlet.sets.some(({ mandatory }) => {
      const given = mandatory.map((name) => {
        const parameter = cmdlet.parameters.get(name)
        const [first] = parameter?.isClosed === true && parameter.type !== 'Boolean' ? (parameter.allowed ?? []) : []
        return [name, first ?? values[parameter?.type.replace('System.', '') ?? ''] ?? 'x']
      })
      return broken(cmdlet.name, Object.fromEntries(given) as Record<string, unknown>).length === 0
    })
    return !isCallable
  })
  assert.deepEqual(
    uncallable.filter(({ isOnline }) => isOnline).map(({ name }) => name),
    [],
  )
  assert.equal(uncallable.filter(({ isOnline }) => !isOnline).length, 10)
})

test('no name, however hostile, is more than unknown', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.constantFrom('Get-Mailbox', '__proto__', 'constructor'), fc.string({ maxLength: 200 })),
      fc.dictionary(fc.string({ maxLength: 200 }), fc.anything({ maxDepth: 2 })),
      (cmdlet, parameters) => {
        const { violations, warnings } = judgeCmdlet(CONTRACTS, cmdlet, parameters)
        for (const { where } of [...violations, ...warnings]) assert.ok(where.length < 150)
      },
    ),
    { numRuns: 300 },
  )
})

const ROLES: [why: string, cmdlet: string, has: string[], hasNot: string[]][] = [
  [
    'recipients are read with View-Only Recipients',
    'Get-Mailbox',
    ['View-Only Recipients', 'Mail Recipients', 'Organization Management'],
    ['View-Only Configuration'],
  ],
  ['the module’s own names, too', 'Get-EXORecipient', ['View-Only Recipients'], ['View-Only Configuration']],
  [
    'contacts are read with View-Only Recipients, whatever the list says',
    'Get-MailContact',
    ['View-Only Recipients', 'Address Lists'],
    [],
  ],
  [
    'connectors are read with View-Only Configuration',
    'Get-InboundConnector',
    ['View-Only Configuration', 'Remote and Accepted Domains'],
    ['View-Only Recipients'],
  ],
  ['what is not listed is configuration', 'Get-RetentionPolicy', ['View-Only Configuration'], ['View-Only Recipients']],
  [
    'connectors are written with their role',
    'New-InboundConnector',
    ['Remote and Accepted Domains'],
    ['View-Only Configuration', 'View-Only Recipients'],
  ],
  [
    'rules are not written by readers',
    'Set-TransportRule',
    ['Transport Rules'],
    ['View-Only Configuration', 'Security Reader'],
  ],
  [
    'mailboxes are written with Mail Recipients',
    'Set-Mailbox',
    ['Mail Recipients'],
    ['View-Only Recipients', 'View-Only Configuration'],
  ],
  [
    'mail users are made with the published roles',
    'New-MailUser',
    ['Mail Recipient Creation'],
    ['View-Only Recipients'],
  ],
]
for (const [why, cmdlet, has, hasNot] of ROLES) {
  test(`roles: ${why} (${cmdlet})`, () => {
    const roles = rolesFor(CONTRACTS, cmdlet)
    for (const role of has) assert.ok(roles.includes(role), `${role} in ${roles.join(', ')}`)
    for (const role of hasNot) assert.ok(!roles.includes(role), `${role} in ${roles.join(', ')}`)
  })
}

test('no write of any cmdlet is open to a View-Only role', () => {
  for (const { name } of cmdlets.byName.values()) {
    if (/^(?:Get|Test|Validate)-/.test(name)) continue
    const open = rolesFor(CONTRACTS, name).filter((role) => role.startsWith('View-Only'))
    assert.deepEqual(open, [], name)
  }
})
