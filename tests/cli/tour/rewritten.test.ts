// What the tour expects of a message, worked out by itself: held against the examples of rewriting.md §15, and against messages with one byte wrong.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { differencesFrom, expectedOf, inward, outward, UNCHANGED } from '../../../cli/tour/rewritten.ts'
import type { Rewriting } from '../../../cli/tour/rewritten.ts'

const ALICE = { mailbox: 'alice@contoso.com', presented: 'alice.smith@fabrikam.com' }
const OUT = outward([ALICE])

const lines = (...all: string[]): Buffer => Buffer.from(`${all.join('\r\n')}\r\n`)

const HEADERS: readonly [name: string, rewriting: Rewriting, before: string, after: string][] = [
  ['E01', OUT, 'From: Alice Smith <alice@contoso.com>', 'From: Alice Smith <alice.smith@fabrikam.com>'],
  ['E02', OUT, 'To: <ALICE@Contoso.COM>', 'To: <alice.smith@fabrikam.com>'],
  ['E35', OUT, 'Subject: mail for alice@contoso.com', 'Subject: mail for alice@contoso.com'],
  ['E35', OUT, 'Message-ID: <alice@contoso.com>', 'Message-ID: <alice@contoso.com>'],
  [
    'E32',
    OUT,
    'Disposition-Notification-To: <alice@contoso.com>',
    'Disposition-Notification-To: <alice.smith@fabrikam.com>',
  ],
  ['E50', inward([ALICE]), 'From: <alice.smith@fabrikam.com>', 'From: <alice.smith@fabrikam.com>'],
  ['E50', inward([ALICE]), 'To: "Alice" <alice.smith@fabrikam.com>', 'To: "Alice" <alice@contoso.com>'],
]

for (const [name, rewriting, before, after] of HEADERS)
  test(`a header field becomes what ${name} says: ${before}`, () => {
    assert.equal(expectedOf(lines(before, '', 'text'), rewriting).toString(), lines(after, '', 'text').toString())
  })

const CALENDAR = [
  'BEGIN:VCALENDAR',
  'METHOD:REQUEST',
  'ORGANIZER;CN=Alice Smith:mailto:alice@contoso.com',
  'ATTENDEE;ROLE=REQ-PARTICIPANT;PARTSTAT=ACCEPTED;CN=Alice:mailto:alice@conto',
  ' so.com',
  'DESCRIPTION:write to alice@contoso.com',
  'END:VCALENDAR',
]
const PRESENTED_CALENDAR = [
  'BEGIN:VCALENDAR',
  'METHOD:REQUEST',
  'ORGANIZER;CN=Alice Smith:mailto:alice.smith@fabrikam.com',
  'ATTENDEE;ROLE=REQ-PARTICIPANT;PARTSTAT=ACCEPTED;CN=Alice:mailto:alice.smith',
  ' @fabrikam.com',
  'DESCRIPTION:write to alice@contoso.com',
  'END:VCALENDAR',
]

test('calendar lines that name somebody are folded anew, all others keep their bytes (E70, R64)', () => {
  const type = 'Content-Type: text/calendar'
  assert.equal(
    expectedOf(lines(type, '', ...CALENDAR), OUT).toString(),
    lines(type, '', ...PRESENTED_CALENDAR).toString(),
  )
})

test('a calendar in base64 is written anew in lines of 76 characters (E77, R54)', () => {
  const header = ['Content-Type: text/calendar', 'Content-Transfer-Encoding: base64', '']
  const encoded = (calendar: readonly string[]) =>
    Buffer.from(`${calendar.join('\r\n')}\r\n`)
      .toString('base64')
      .replaceAll(/.{76}(?=.)/g, '$&\r\n')
  assert.equal(
    expectedOf(lines(...header, encoded(CALENDAR)), OUT).toString(),
    lines(...header, encoded(PRESENTED_CALENDAR)).toString(),
  )
})

test('of a calendar in quoted-printable only the lines that change are written anew (E78, R54)', () => {
  const header = ['Content-Type: text/calendar', 'Content-Transfer-Encoding: quoted-printable', '']
  assert.equal(
    expectedOf(
      lines(...header, 'ORGANIZER;CN=3DJ=C3=BCrgen:mailto:alice@cont=', 'oso.com', 'SUMMARY:a=', 'b=20'),
      OUT,
    ).toString(),
    lines(...header, 'ORGANIZER;CN=3DJ=C3=BCrgen:mailto:alice.smith@fabrikam.com', 'SUMMARY:a=', 'b=20').toString(),
  )
})

test('of mail that comes in, the side that wrote it stays in calendars too (E74, E75, R62)', () => {
  const object = (organizer: string, attendee: string) => [
    'Content-Type: text/calendar',
    '',
    `ORGANIZER:mailto:${organizer}`,
    `ATTENDEE:mailto:${attendee}`,
  ]
  const [dana, { presented, mailbox }] = ['dana@example.net', ALICE]
  for (const [method, before, after] of [
    ['REQUEST', object(dana, presented), object(dana, mailbox)],
    ['CANCEL', object(dana, presented), object(dana, mailbox)],
    ['REPLY', object(presented, dana), object(mailbox, dana)],
    ['COUNTER', object(presented, presented), object(mailbox, presented)],
  ] as const)
    assert.equal(expectedOf(lines(...before), inward([ALICE], method)).toString(), lines(...after).toString(), method)
})

test('a report names people as the outside knows them (E81)', () => {
  const report = (address: string) =>
    lines(
      'Content-Type: message/disposition-notification',
      '',
      `Final-Recipient: rfc822;${address}`,
      'Original-Message-ID: <77@contoso.com>',
    )
  assert.equal(expectedOf(report(ALICE.mailbox), OUT).toString(), report(ALICE.presented).toString())
})

const SENT = lines('From: <alice@contoso.com>', 'To: <dana@example.net>', 'Subject: x', '', 'Hello.')
const EXPECTED = lines('From: <alice.smith@fabrikam.com>', 'To: <dana@example.net>', 'Subject: x', '', 'Hello.')

test('what servers put above is no difference, nor what a tenant writes below', () => {
  const arrived = Buffer.concat([
    lines('Received: from a by b', 'X-MS-Exchange-CrossTenant-Id: 1', 'DKIM-Signature: v=1', ' s=2').subarray(0),
    EXPECTED,
    Buffer.from('\r\nConfidential\r\n'),
  ])
  assert.deepEqual(differencesFrom(expectedOf(SENT, OUT), arrived, ['\r\nConfidential\r\n']), [])
})

const WRONG: readonly [what: string, arrived: Buffer, told: RegExp][] = [
  ['an address that was not rewritten', SENT, /alice@contoso\.com.* in place of .*alice\.smith/],
  [
    'a letter more in the body',
    Buffer.from(EXPECTED.toString().replace('Hello.', 'Hello!')),
    /body differs at octet 7/,
  ],
  ['a field too much', Buffer.concat([lines('Reply-To: <x@example.net>'), EXPECTED]), /Reply-To.*too much/],
  ['a field too few', Buffer.from(EXPECTED.toString().replace('Subject: x\r\n', '')), /Subject: x.*missing/],
  [
    'fields in another order',
    lines('To: <dana@example.net>', 'From: <alice.smith@fabrikam.com>', 'Subject: x', '', 'Hello.'),
    /in place of|missing/,
  ],
  ['a token of ours', Buffer.concat([lines('X-Causeway-Project: secret'), EXPECTED]), /X-Causeway-Project.*too much/],
]

for (const [what, arrived, told] of WRONG)
  test(`one thing wrong is told: ${what}`, () => {
    const found = differencesFrom(expectedOf(SENT, OUT), arrived, [])
    assert.match(found.join('\n'), told)
  })

test('mail that stays within a tenant stays as it is', () => {
  assert.deepEqual(expectedOf(SENT, UNCHANGED), SENT)
})
