// What a calendar object in somebody's mail says of a meeting. Anybody may have written it: nothing throws, what isn't said is left out.
import { addressOfUri, readContentLines, timeOf, unescapeText } from './calendar-lines.ts'
import type { ContentLine } from './calendar-lines.ts'
import type { When } from './meeting.ts'
import type { NamedAddress } from './named-address.ts'

export interface MeetingNotice {
  /** Upper case; empty: none. */
  readonly method: string
  readonly uid: string
  readonly sequence: number
  readonly subject: string
  readonly text: string
  readonly location: string
  readonly when: When | undefined
  readonly organizer: NamedAddress | undefined
  /** Address of who sends for the organiser. */
  readonly sentBy: string | undefined
  readonly attendees: readonly NoticedAttendee[]
}

export interface NoticedAttendee extends NamedAddress {
  readonly isOptional: boolean
  /** Upper case. */
  readonly participation: string
}

/** Of the first event; undefined: there is none, or nobody can tell which it is. */
export function readCalendar(text: string): MeetingNotice | undefined {
  const lines = readContentLines(text)
  const begin = lines.findIndex(({ name, value }) => name === 'BEGIN' && value.toUpperCase() === 'VEVENT')
  if (begin < 0) return undefined
  const event = withoutParts(lines.slice(begin + 1))
  const find = (name: string) => event.find((line) => line.name === name)
  const textOf = (name: string) => unescapeText(find(name)?.value ?? '')
  const uid = find('UID')?.value ?? ''
  if (uid === '') return undefined
  const organizer = find('ORGANIZER')
  const sentBy = organizer?.parameters.get('SENT-BY')?.[0]
  return {
    method: (lines.slice(0, begin).find(({ name }) => name === 'METHOD')?.value ?? '').trim().toUpperCase(),
    uid,
    sequence: sequenceIn(find('SEQUENCE')?.value),
    subject: textOf('SUMMARY'),
    text: textOf(find('COMMENT') === undefined ? 'DESCRIPTION' : 'COMMENT'),
    location: textOf('LOCATION'),
    when: whenIn(find('DTSTART'), find('DTEND')),
    organizer: organizer === undefined ? undefined : personIn(organizer),
    sentBy: sentBy === undefined ? undefined : addressOfUri(sentBy),
    attendees: event.filter(({ name }) => name === 'ATTENDEE').map(attendeeIn),
  }
}

/** Without alarms and whatever else has lines of its own, and no further than the event. */
function withoutParts(lines: readonly ContentLine[]): readonly ContentLine[] {
  const own: ContentLine[] = []
  let depth = 0
  for (const line of lines) {
    if (line.name === 'BEGIN') depth++
    else if (line.name === 'END') depth--
    else if (depth === 0) own.push(line)
    if (depth < 0) break
  }
  return own
}

function personIn({ parameters, value }: ContentLine): NamedAddress {
  return { name: parameters.get('CN')?.[0] ?? '', address: addressOfUri(value) }
}

function attendeeIn(line: ContentLine): NoticedAttendee {
  return {
    ...personIn(line),
    isOptional: line.parameters.get('ROLE')?.[0]?.toUpperCase() === 'OPT-PARTICIPANT',
    participation: (line.parameters.get('PARTSTAT')?.[0] ?? 'NEEDS-ACTION').toUpperCase(),
  }
}

function whenIn(start: ContentLine | undefined, end: ContentLine | undefined): When | undefined {
  const startMs = start === undefined ? undefined : timeOf(start)
  const endMs = end === undefined ? startMs : timeOf(end)
  return startMs === undefined || endMs === undefined ? undefined : { startMs, endMs }
}

function sequenceIn(value: string | undefined): number {
  return value !== undefined && /^\d{1,9}$/.test(value) ? Number(value) : 0
}
