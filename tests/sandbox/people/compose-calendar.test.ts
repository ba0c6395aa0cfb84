// Meetings in mail: the calendar object of every method in both styles, its lines, and the mail around it, read by mailparser, by the sandbox's own
// reader and by the relay's engine.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { compileTable, DEFAULT_POLICY, rewriteMessage } from '../../../rewrite-rules/index.ts'
import { addressOfUri, contentLine, mailto, readContentLines } from '../../../sandbox/people/calendar-lines.ts'
import { composeCalendar, subjectOf } from '../../../sandbox/people/compose-calendar.ts'
import { composeMeetingMail } from '../../../sandbox/people/compose-meeting-mail.ts'
import type { MeetingMessage } from '../../../sandbox/people/meeting.ts'
import { readCalendar } from '../../../sandbox/people/read-calendar.ts'
import { readMessage } from '../../../sandbox/people/read-message.ts'
import { EXAMPLE_TABLE } from '../../harness/example-table.ts'
import {
  ALICE,
  BOB,
  DANA,
  NOW_MS,
  STYLES,
  TOKEN,
  ZOE,
  addressesOf,
  heading,
  meeting,
  partOf,
  secondOpinion,
} from './composed.ts'

const PROPOSAL = { startMs: NOW_MS + 86_400_000, endMs: NOW_MS + 90_000_000 }

const MESSAGES: Readonly<Record<string, MeetingMessage>> = {
  invitation: { method: 'REQUEST', meeting: meeting() },
  'invitation by a delegate': { method: 'REQUEST', meeting: meeting(), sentBy: BOB },
  cancellation: { method: 'CANCEL', meeting: meeting() },
  acceptance: { method: 'REPLY', meeting: meeting(), attendee: DANA, participation: 'ACCEPTED', comment: '' },
  'tentative answer': {
    method: 'REPLY',
    meeting: meeting(),
    attendee: DANA,
    participation: 'TENTATIVE',
    comment: 'a; b',
  },
  refusal: { method: 'REPLY', meeting: meeting(), attendee: ZOE, participation: 'DECLINED', comment: 'Sorry,\nno' },
  'counter-proposal': { method: 'COUNTER', meeting: meeting(), attendee: ZOE, proposal: PROPOSAL, comment: 'later?' },
}

for (const style of STYLES) {
  for (const [what, message] of Object.entries(MESSAGES)) {
    test(`${what}: the calendar object says what was meant (${style})`, () => {
      const text = composeCalendar(style, message, NOW_MS)
      for (const line of text.split('\r\n')) assert.ok(Buffer.byteLength(line) <= 75, `RFC 5545 §3.1: ${line}`)
      assert.ok(!/[^\r]\n/.test(text))
      const notice = readCalendar(text)
      assert.ok(notice !== undefined)
      const { uid, sequence, location } = meeting()
      assert.equal(notice.method, message.method)
      assert.deepEqual(
        { uid: notice.uid, sequence: notice.sequence, location: notice.location },
        { uid, sequence, location },
      )
      assert.deepEqual(notice.when, message.method === 'COUNTER' ? PROPOSAL : meeting().when)
      const isAnswer = 'attendee' in message
      // Exchange's answers name no organiser, RFC 5546 §3.2.3 asks for one.
      assert.equal(notice.organizer?.address, isAnswer && style === 'exchange' ? undefined : ALICE.address)
      assert.equal(notice.sentBy, what === 'invitation by a delegate' ? BOB.address : undefined)
      const others = notice.attendees.filter(({ address }) => address !== ALICE.address)
      const invited = isAnswer ? [message.attendee.address] : [DANA.address, ZOE.address]
      assert.deepEqual(
        others.map(({ address }) => address),
        invited,
      )
      if (message.method === 'REPLY') assert.equal(others[0]?.participation, message.participation)
      if (!isAnswer)
        assert.deepEqual(
          others.map(({ isOptional }) => isOptional),
          [false, true],
        )
      assert.equal(notice.text.trimEnd(), isAnswer ? message.comment : meeting().text)
    })

    test(`${what}: the mail carries the same object wherever it carries one (${style})`, async () => {
      const content = composeMeetingMail(style, heading({ subject: subjectOf(message) }), message, TOKEN)
      const mail = await secondOpinion(content)
      const object = composeCalendar(style, message, NOW_MS)
      assert.equal(partOf(mail, 'text/calendar'), object)
      assert.equal(partOf(mail, 'application/ics'), style === 'exchange' ? undefined : object)
      assert.equal(mail.subject, subjectOf(message))
      assert.ok(content.includes(`method=${message.method}`))
      assert.deepEqual(readMessage(content, { reversePath: 'a@b.c', atMs: 0 }).notice, readCalendar(object))
    })
  }

  test(`an invitation that the relay has rewritten is that of the presented people (R61, ${style})`, async () => {
    const people = (alice: string, bob: string): MeetingMessage => ({
      method: 'REQUEST',
      meeting: meeting({
        organizer: { name: 'Alice', address: alice },
        attendees: [
          { ...DANA, isOptional: false },
          { name: 'Böb', address: bob, isOptional: true },
        ],
      }),
      sentBy: { name: '', address: bob },
    })
    const composed = (alice: string, bob: string) =>
      composeMeetingMail(
        style,
        heading({ from: { name: 'Alice', address: alice }, cc: [{ name: 'Böb', address: bob }] }),
        people(alice, bob),
        TOKEN,
      )
    const { bytes } = rewriteMessage(composed('alice@contoso.com', 'bob@contoso.com'), {
      direction: 'out',
      table: compileTable(EXAMPLE_TABLE),
      policy: DEFAULT_POLICY,
      smtpUtf8: false,
    })
    const [after, meant] = await Promise.all(
      [Buffer.from(bytes), composed('alice.smith@fabrikam.com', 'bob@fabrikam.com')].map(secondOpinion),
    )
    assert.ok(after !== undefined && meant !== undefined)
    assert.deepEqual(addressesOf(after.from), addressesOf(meant.from))
    assert.deepEqual(addressesOf(after.cc), addressesOf(meant.cc))
    const linesOf = (text: string | undefined) => readContentLines(text ?? '')
    // The name that was an address is one of the other organisation, too (R61).
    assert.deepEqual(linesOf(partOf(after, 'text/calendar')), linesOf(partOf(meant, 'text/calendar')))
    assert.deepEqual(linesOf(partOf(after, 'application/ics')), linesOf(partOf(meant, 'application/ics')))
  })
}

test('any text in a meeting is read as it was written', () => {
  const text = fc.string({ unit: 'grapheme', maxLength: 200 }).map((each) => each.replaceAll(/[^\P{Cc}\n]/gu, ''))
  fc.assert(
    fc.property(text, text, text, fc.constantFrom(...STYLES), (subject, location, name, style) => {
      const said = meeting({ subject, location, organizer: { ...ALICE, name } })
      const notice = readCalendar(composeCalendar(style, { method: 'REQUEST', meeting: said }, NOW_MS))
      assert.equal(notice?.subject, subject)
      assert.equal(notice?.location, location)
      const shown = name.replaceAll('"', "'").replaceAll('\n', ' ')
      assert.equal(notice?.organizer?.name, name === '' ? ALICE.address : shown)
      assert.equal(notice?.organizer?.address, ALICE.address)
    }),
  )
})

test('an address goes through a mailto URI unchanged', () => {
  const local = fc.string({
    unit: fc.constantFrom(..."abzA09!#$%&'*+/=?^_`{|}~-".split('')),
    minLength: 1,
    maxLength: 20,
  })
  fc.assert(
    fc.property(local, (name) => {
      const uri = mailto(`${name}@contoso.com`)
      assert.match(uri, /^mailto:[A-Za-z0-9\-._~!$'*+%]+@contoso\.com$/, 'RFC 6068 §2')
      assert.equal(addressOfUri(uri), `${name}@contoso.com`)
    }),
  )
})

test('lines of others are read, unreadable ones are left out', () => {
  const text =
    'BEGIN:VEVENT\nattendee;cn="A:B;C";member="mailto:x@y.z","mailto:v@w.z":MAILTO:a\n\t@b.c\n;;;\nNO COLON\nX;Y:1\nUID;A=:u\n'
  assert.deepEqual(readContentLines(text), [
    { name: 'BEGIN', parameters: new Map(), value: 'VEVENT' },
    {
      name: 'ATTENDEE',
      parameters: new Map([
        ['CN', ['A:B;C']],
        ['MEMBER', ['mailto:x@y.z', 'mailto:v@w.z']],
      ]),
      value: 'MAILTO:a@b.c',
    },
    { name: 'UID', parameters: new Map([['A', []]]), value: 'u' },
  ])
})

test('nothing that arrives as a calendar makes the reader fail', () => {
  const word = fc.constantFrom(
    'BEGIN:VEVENT',
    'END:VEVENT',
    'METHOD:REPLY',
    'UID:',
    'UID:u',
    'DTSTART:20261399T999999Z',
    'DTEND;TZID=UTC:20260101T000000',
    'ATTENDEE;CN="',
    'ORGANIZER:mailto:%E0%A4%A',
    'SEQUENCE:-1',
    ' ',
    '\t',
    '\r\n',
    '\n',
    ';',
    ':',
    '=',
    '"',
  )
  fc.assert(
    fc.property(fc.array(fc.oneof(word, fc.string({ unit: 'binary', maxLength: 10 })), { maxLength: 30 }), (words) => {
      const notice = readCalendar(words.join('\r\n'))
      assert.ok(notice === undefined || notice.uid !== '')
    }),
  )
})

test('a folded line is folded within no character', () => {
  const line = contentLine('SUMMARY', [], '€'.repeat(100))
  assert.equal(line.replaceAll('\r\n ', ''), `SUMMARY:${'€'.repeat(100)}\r\n`)
})
