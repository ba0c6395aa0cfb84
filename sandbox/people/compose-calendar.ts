// The calendar object in a meeting's mail: as Exchange writes it ([MS-OXCICAL]: Windows zones, `X-MICROSOFT-…`, answers that name no organiser), or as
// RFC 5546 asks for it. Pure.
import type { WritingStyle } from './compose-message.ts'
import { contentLine, escapeText, localTime, mailto, utcTime } from './calendar-lines.ts'
import type { Attendee, Meeting, MeetingMessage, When } from './meeting.ts'
import type { NamedAddress } from './named-address.ts'

/** @param stampMs  when it is written, ms since the epoch */
export function composeCalendar(style: WritingStyle, message: MeetingMessage, stampMs: number): string {
  const lines = style === 'exchange' ? ofExchange(message, stampMs) : ofInternet(message, stampMs)
  return lines.join('')
}

const ENGLISH = [['LANGUAGE', 'en-US']] as const
const UTC = [['TZID', 'UTC']] as const
const NOON = 'DTSTART:16010101T000000\r\nTZOFFSETFROM:+0000\r\nTZOFFSETTO:+0000\r\n'
const UTC_ZONE = `BEGIN:VTIMEZONE\r\nTZID:UTC\r\nBEGIN:STANDARD\r\n${NOON}END:STANDARD\r\nBEGIN:DAYLIGHT\r\n${NOON}END:DAYLIGHT\r\nEND:VTIMEZONE\r\n`

function ofExchange(message: MeetingMessage, stampMs: number): readonly string[] {
  const { method, meeting } = message
  const isCancelled = method === 'CANCEL'
  const text = 'comment' in message ? message.comment : meeting.text
  const busy = isCancelled ? 'FREE' : method === 'REQUEST' ? 'TENTATIVE' : 'BUSY'
  return [
    'BEGIN:VCALENDAR\r\n',
    contentLine('METHOD', [], method),
    'PRODID:Microsoft Exchange Server 2010\r\nVERSION:2.0\r\n',
    UTC_ZONE,
    'BEGIN:VEVENT\r\n',
    ...('attendee' in message
      ? [
          contentLine(
            'ATTENDEE',
            [['PARTSTAT', participationIn(message)], ...named(message.attendee)],
            mailto(message.attendee.address),
          ),
        ]
      : [organizer(meeting, message.sentBy), ...meeting.attendees.map((each) => invited(each, isCancelled))]),
    contentLine('attendee' in message ? 'COMMENT' : 'DESCRIPTION', ENGLISH, escapeText(`${text}\n`)),
    contentLine('UID', [], meeting.uid),
    contentLine('SUMMARY', ENGLISH, escapeText(subjectOf(message))),
    ...times(timesOf(message), ([name, atMs]) => contentLine(name, UTC, localTime(atMs))),
    'CLASS:PUBLIC\r\n',
    `PRIORITY:${isCancelled ? 1 : 5}\r\n`,
    contentLine('DTSTAMP', [], utcTime(stampMs)),
    `TRANSP:${isCancelled ? 'TRANSPARENT' : 'OPAQUE'}\r\n`,
    `STATUS:${isCancelled ? 'CANCELLED' : 'CONFIRMED'}\r\n`,
    `SEQUENCE:${meeting.sequence}\r\n`,
    contentLine('LOCATION', ENGLISH, escapeText(meeting.location)),
    `X-MICROSOFT-CDO-APPT-SEQUENCE:${meeting.sequence}\r\n`,
    `X-MICROSOFT-CDO-BUSYSTATUS:${busy}\r\nX-MICROSOFT-CDO-INTENDEDSTATUS:${isCancelled ? 'FREE' : 'BUSY'}\r\n`,
    'X-MICROSOFT-CDO-ALLDAYEVENT:FALSE\r\nX-MICROSOFT-CDO-IMPORTANCE:1\r\nX-MICROSOFT-CDO-INSTTYPE:0\r\n',
    ...(method === 'COUNTER'
      ? times(meeting.when, ([name, atMs]) => contentLine(ORIGINAL[name], UTC, localTime(atMs)))
      : []),
    // Only where somebody sends for the organiser ([MS-OXCICAL] §2.1.3.1.1.20.61).
    ...('sentBy' in message && message.sentBy !== undefined
      ? [contentLine('X-MS-OLK-SENDER', named(message.sentBy), mailto(message.sentBy.address))]
      : []),
    'X-MICROSOFT-DONOTFORWARDMEETING:FALSE\r\nX-MICROSOFT-DISALLOW-COUNTER:FALSE\r\n',
    ...(method === 'REQUEST'
      ? ['BEGIN:VALARM\r\nDESCRIPTION:REMINDER\r\nTRIGGER;RELATED=START:-PT15M\r\nACTION:DISPLAY\r\nEND:VALARM\r\n']
      : []),
    'END:VEVENT\r\nEND:VCALENDAR\r\n',
  ]
}

function ofInternet(message: MeetingMessage, stampMs: number): readonly string[] {
  const { method, meeting } = message
  const text = 'comment' in message ? message.comment : meeting.text
  return [
    'BEGIN:VCALENDAR\r\nPRODID:-//Example Net//Calendar 1.0//EN\r\nVERSION:2.0\r\nCALSCALE:GREGORIAN\r\n',
    contentLine('METHOD', [], method),
    'BEGIN:VEVENT\r\n',
    ...times(timesOf(message), ([name, atMs]) => contentLine(name, [], utcTime(atMs))),
    contentLine('DTSTAMP', [], utcTime(stampMs)),
    organizer(meeting, 'sentBy' in message ? message.sentBy : undefined),
    contentLine('UID', [], meeting.uid),
    ...('attendee' in message
      ? [attending(message.attendee, participationIn(message))]
      : [
          attending(meeting.organizer, 'ACCEPTED'),
          ...meeting.attendees.map((each) => attending(each, 'NEEDS-ACTION', each.isOptional)),
        ]),
    ...(text === '' ? [] : [contentLine('attendee' in message ? 'COMMENT' : 'DESCRIPTION', [], escapeText(text))]),
    ...(meeting.location === '' ? [] : [contentLine('LOCATION', [], escapeText(meeting.location))]),
    `SEQUENCE:${meeting.sequence}\r\n`,
    `STATUS:${method === 'CANCEL' ? 'CANCELLED' : 'CONFIRMED'}\r\n`,
    contentLine('SUMMARY', [], escapeText(meeting.subject)),
    'TRANSP:OPAQUE\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n',
  ]
}

/** What the mail's subject says, too. */
export function subjectOf(message: MeetingMessage): string {
  return `${prefixOf(message)}${message.meeting.subject}`
}

function prefixOf(message: MeetingMessage): string {
  switch (message.method) {
    case 'REQUEST':
      return ''
    case 'CANCEL':
      return 'Canceled: '
    case 'COUNTER':
      return 'New Time Proposed: '
    case 'REPLY':
      return { ACCEPTED: 'Accepted: ', TENTATIVE: 'Tentative: ', DECLINED: 'Declined: ' }[message.participation]
    default:
      return message satisfies never
  }
}

const ORIGINAL = { DTSTART: 'X-MS-OLK-ORIGINALSTART', DTEND: 'X-MS-OLK-ORIGINALEND' } as const

function times(
  when: When | undefined,
  write: (time: readonly ['DTSTART' | 'DTEND', number]) => string,
): readonly string[] {
  return when === undefined ? [] : [write(['DTSTART', when.startMs]), write(['DTEND', when.endMs])]
}

function timesOf(message: MeetingMessage): When | undefined {
  return message.method === 'COUNTER' ? message.proposal : message.meeting.when
}

function participationIn(message: MeetingMessage & { readonly attendee: NamedAddress }): string {
  return message.method === 'REPLY' ? message.participation : 'TENTATIVE'
}

function organizer({ organizer: who }: Meeting, sentBy: NamedAddress | undefined): string {
  const by = sentBy === undefined ? [] : ([['SENT-BY', mailto(sentBy.address)]] as const)
  return contentLine('ORGANIZER', [...named(who), ...by], mailto(who.address))
}

/** Exchange's. */
function invited(attendee: Attendee, isCancelled: boolean): string {
  return contentLine(
    'ATTENDEE',
    [
      ['ROLE', attendee.isOptional ? 'OPT-PARTICIPANT' : 'REQ-PARTICIPANT'],
      ['PARTSTAT', 'NEEDS-ACTION'],
      ['RSVP', isCancelled ? 'FALSE' : 'TRUE'],
      ...named(attendee),
    ],
    mailto(attendee.address),
  )
}

/** Everybody else's. */
function attending(who: NamedAddress, participation: string, isOptional = false): string {
  return contentLine(
    'ATTENDEE',
    [
      ['CUTYPE', 'INDIVIDUAL'],
      ['ROLE', isOptional ? 'OPT-PARTICIPANT' : 'REQ-PARTICIPANT'],
      ['PARTSTAT', participation],
      ...(participation === 'NEEDS-ACTION' ? ([['RSVP', 'TRUE']] as const) : []),
      ...named(who),
    ],
    mailto(who.address),
  )
}

/** Who has no name is called by his address. */
function named({ name, address }: NamedAddress): readonly (readonly ['CN', string])[] {
  return [['CN', name === '' ? address : name]]
}
