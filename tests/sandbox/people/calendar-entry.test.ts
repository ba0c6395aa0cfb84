// What mail about a meeting changes in a calendar: only what mail and calendar object agree on.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { takeNotice } from '../../../sandbox/people/calendar-entry.ts'
import type { CalendarEntry } from '../../../sandbox/people/calendar-entry.ts'
import { composeCalendar } from '../../../sandbox/people/compose-calendar.ts'
import type { MeetingMessage } from '../../../sandbox/people/meeting.ts'
import { isSameAddress } from '../../../sandbox/people/named-address.ts'
import type { NamedAddress } from '../../../sandbox/people/named-address.ts'
import { readCalendar } from '../../../sandbox/people/read-calendar.ts'
import { ALICE, BOB, DANA, NOW_MS, ZOE, meeting } from './composed.ts'

const OLD_DANA = { name: 'Dana', address: 'dana@old.example.net' }

function take(
  entry: CalendarEntry | undefined,
  message: MeetingMessage,
  from: NamedAddress,
): CalendarEntry | undefined {
  const notice = readCalendar(composeCalendar('internet', message, NOW_MS))
  assert.ok(notice !== undefined)
  const told = { from, messageId: `<${message.method}@x.test>`, references: [], threadIndex: undefined }
  // Dana has two addresses.
  const isSame = (one: string, other: string) =>
    isSameAddress(one, other) || [one, other].toSorted().join() === [DANA.address, OLD_DANA.address].toSorted().join()
  return takeNotice(entry, notice, told, isSame)
}

const accepts = (attendee: NamedAddress, sequence = 2): MeetingMessage => ({
  method: 'REPLY',
  meeting: meeting({ sequence }),
  attendee,
  participation: 'ACCEPTED',
  comment: '',
})

const invited = () => take(undefined, { method: 'REQUEST', meeting: meeting() }, ALICE)

const organised = (): CalendarEntry => ({
  ...meeting(),
  attendees: meeting().attendees.map((each) => ({ ...each, answer: 'none' })),
  isOrganizer: true,
  isCancelled: false,
  ownAnswer: 'accepted',
  messageId: '<m@x.test>',
  references: [],
  threadIndex: undefined,
  problems: [],
})

const answers = (entry: CalendarEntry | undefined) => entry?.attendees.map(({ answer }) => answer)

test('an invitation is put into the calendar, unanswered', () => {
  const entry = invited()
  assert.equal(entry?.subject, meeting().subject)
  assert.equal(entry?.isOrganizer, false)
  assert.equal(entry?.ownAnswer, 'none')
  assert.equal(entry?.messageId, '<REQUEST@x.test>')
  assert.deepEqual(entry?.problems, [])
})

test('an invitation whose sender is not its organiser is kept with that problem (R60)', () => {
  const entry = take(undefined, { method: 'REQUEST', meeting: meeting() }, BOB)
  assert.deepEqual(entry?.problems, ['sender-is-not-organizer'])
})

test('a delegate may send for the organiser, cancellations too', () => {
  assert.deepEqual(take(undefined, { method: 'REQUEST', meeting: meeting(), sentBy: BOB }, BOB)?.problems, [])
  const cancelled = take(invited(), { method: 'CANCEL', meeting: meeting({ sequence: 3 }), sentBy: BOB }, BOB)
  assert.deepEqual([cancelled?.isCancelled, cancelled?.sequence, cancelled?.problems], [true, 3, []])
})

test('an update replaces the invitation, an older one or one of somebody else changes nothing', () => {
  const newer = { method: 'REQUEST', meeting: meeting({ sequence: 3, location: 'Room 2' }) } as const
  assert.equal(take(invited(), newer, ALICE)?.location, 'Room 2')
  const older = { method: 'REQUEST', meeting: meeting({ sequence: 1, location: 'Room 0' }) } as const
  const other = { method: 'REQUEST', meeting: meeting({ sequence: 4, location: 'Room 3', organizer: BOB }) } as const
  const forged = { method: 'REQUEST', meeting: meeting({ sequence: 4, location: 'Room 4' }) } as const
  for (const [message, from, problem] of [
    [older, ALICE, 'outdated'],
    [other, BOB, 'another-organizer'],
    [forged, BOB, 'sender-is-not-organizer'],
  ] as const) {
    const entry = take(invited(), message, from)
    assert.equal(entry?.location, 'Room 1', problem)
    assert.deepEqual(entry?.problems, [problem])
  }
})

test('the organiser cancels, nobody else does, and nobody what is not there', () => {
  const cancel = { method: 'CANCEL', meeting: meeting({ sequence: 3 }) } as const
  assert.equal(take(invited(), cancel, ALICE)?.isCancelled, true)
  assert.equal(take(invited(), cancel, BOB)?.isCancelled, false)
  assert.equal(take(undefined, cancel, ALICE), undefined)
})

test('an answer counts for whom it names, by any address of his, when he sends it himself (RFC 6047 §2.2.1)', () => {
  const rows: readonly [
    message: MeetingMessage,
    from: NamedAddress,
    answers: readonly string[],
    problems: readonly string[],
  ][] = [
    [accepts(DANA), DANA, ['accepted', 'none'], []],
    [accepts(OLD_DANA), DANA, ['accepted', 'none'], []],
    [accepts(ZOE), DANA, ['none', 'none'], ['sender-is-not-attendee']],
    [accepts(BOB), BOB, ['none', 'none'], ['not-invited']],
    [accepts(DANA, 1), DANA, ['none', 'none'], ['outdated']],
  ]
  for (const [message, from, expected, problems] of rows) {
    // Answers of the plain style name the organiser, too: the attendee is the first.
    const entry = take(organised(), message, from)
    assert.deepEqual(answers(entry), expected)
    assert.deepEqual(entry?.problems, problems)
  }
})

test('a counter-proposal is kept until the next answer', () => {
  const when = { startMs: NOW_MS + 1000, endMs: NOW_MS + 2000 }
  const message = { method: 'COUNTER', meeting: meeting(), attendee: ZOE, proposal: when, comment: '' } as const
  const countered = take(organised(), message, ZOE)
  assert.deepEqual(countered?.attendees[1], { ...ZOE, isOptional: true, answer: 'counter', proposal: when })
  const after = take(countered, accepts(ZOE), ZOE)
  assert.deepEqual(after?.attendees[1], { ...ZOE, isOptional: true, answer: 'accepted' })
})

test('an answer about a meeting of somebody else, and methods that people do not use, change nothing', () => {
  const entry = invited()
  assert.equal(take(entry, accepts(DANA), DANA), entry)
  assert.equal(take(undefined, accepts(DANA), DANA), undefined)
  const notice = readCalendar(composeCalendar('exchange', accepts(DANA), NOW_MS).replace('REPLY', 'PUBLISH'))
  assert.ok(notice !== undefined)
  const told = { from: DANA, messageId: '', references: [], threadIndex: undefined }
  assert.equal(takeNotice(entry, notice, told, isSameAddress), entry)
})
