// A meeting in somebody's calendar, and what arriving mail changes in it. Mail and calendar have to name the same people (RFC 6047 §2.2.1): what
// doesn't changes nothing and is told as a problem, which is how rewriting gone wrong shows.
import type { Meeting, When } from './meeting.ts'
import type { NamedAddress } from './named-address.ts'
import type { MeetingNotice, NoticedAttendee } from './read-calendar.ts'
import type { ReceivedMessage } from './read-message.ts'

export type Answer = 'none' | 'accepted' | 'tentative' | 'declined' | 'counter'

export interface Invited extends NamedAddress {
  readonly isOptional: boolean
  readonly answer: Answer
  /** Of `counter`. */
  readonly proposal?: When | undefined
}

export type CalendarProblem =
  'sender-is-not-organizer' | 'sender-is-not-attendee' | 'another-organizer' | 'not-invited' | 'outdated'

export interface CalendarEntry extends Meeting {
  readonly isOrganizer: boolean
  readonly isCancelled: boolean
  readonly attendees: readonly Invited[]
  /** What the calendar's owner answered. */
  readonly ownAnswer: Answer
  /** Of the newest invitation, to answer it. */
  readonly messageId: string
  readonly references: readonly string[]
  readonly threadIndex: string | undefined
  readonly problems: readonly CalendarProblem[]
}

/** Whether two addresses are of one mailbox. */
type IsSame = (one: string, other: string) => boolean

type Told = Pick<ReceivedMessage, 'from' | 'messageId' | 'references' | 'threadIndex'>

/** undefined: nothing in the calendar, and nothing to put in. */
export function takeNotice(
  entry: CalendarEntry | undefined,
  notice: MeetingNotice,
  message: Told,
  isSame: IsSame,
): CalendarEntry | undefined {
  switch (notice.method) {
    case 'REQUEST':
    case 'CANCEL':
      return told(entry, notice, message, isSame)
    case 'REPLY':
    case 'COUNTER':
      return entry?.isOrganizer === true ? answered(entry, notice, message, isSame) : entry
    default:
      return entry
  }
}

/** By the organiser. A cancellation of what isn't there leaves nothing. */
function told(
  entry: CalendarEntry | undefined,
  notice: MeetingNotice,
  message: Told,
  isSame: IsSame,
): CalendarEntry | undefined {
  const { organizer } = notice
  if (organizer === undefined || entry?.isOrganizer === true) return entry
  if (entry === undefined && notice.method === 'CANCEL') return undefined
  if (entry !== undefined && !isSame(entry.organizer.address, organizer.address))
    return withProblem(entry, 'another-organizer')
  if (entry !== undefined && notice.sequence < entry.sequence) return withProblem(entry, 'outdated')
  const isGenuine = isFrom(
    message,
    [organizer.address, ...(notice.sentBy === undefined ? [] : [notice.sentBy])],
    isSame,
  )
  if (!isGenuine && entry !== undefined) return withProblem(entry, 'sender-is-not-organizer')
  if (entry !== undefined && notice.method === 'CANCEL')
    return { ...entry, sequence: notice.sequence, isCancelled: true, ...threadOf(message) }
  return {
    uid: notice.uid,
    sequence: notice.sequence,
    subject: notice.subject,
    text: notice.text,
    location: notice.location,
    when: notice.when,
    organizer,
    attendees: notice.attendees.map(({ name, address, isOptional }) => ({ name, address, isOptional, answer: 'none' })),
    isOrganizer: false,
    isCancelled: false,
    ownAnswer: 'none',
    ...threadOf(message),
    problems: [...(entry?.problems ?? []), ...(isGenuine ? [] : (['sender-is-not-organizer'] as const))],
  }
}

/** To the organiser. */
function answered(entry: CalendarEntry, notice: MeetingNotice, message: Told, isSame: IsSame): CalendarEntry {
  const [attendee] = notice.attendees
  if (attendee === undefined) return withProblem(entry, 'not-invited')
  if (!isFrom(message, [attendee.address], isSame)) return withProblem(entry, 'sender-is-not-attendee')
  const place = entry.attendees.findIndex(({ address }) => isSame(address, attendee.address))
  const before = entry.attendees[place]
  if (before === undefined) return withProblem(entry, 'not-invited')
  if (notice.sequence < entry.sequence) return withProblem(entry, 'outdated')
  const { proposal: _, ...invited } = before
  const answer = answerIn(notice, attendee)
  const after = { ...invited, answer, ...(answer === 'counter' ? { proposal: notice.when } : {}) }
  return { ...entry, attendees: entry.attendees.with(place, after) }
}

function answerIn({ method }: MeetingNotice, { participation }: NoticedAttendee): Answer {
  if (method === 'COUNTER') return 'counter'
  const answers: Readonly<Record<string, Answer>> = {
    ACCEPTED: 'accepted',
    TENTATIVE: 'tentative',
    DECLINED: 'declined',
  }
  return answers[participation] ?? 'none'
}

function isFrom({ from }: Told, addresses: readonly string[], isSame: IsSame): boolean {
  return from !== undefined && addresses.some((address) => isSame(address, from.address))
}

function threadOf({ messageId, references, threadIndex }: Told) {
  return { messageId, references, threadIndex }
}

function withProblem(entry: CalendarEntry, problem: CalendarProblem): CalendarEntry {
  return { ...entry, problems: [...entry.problems, problem] }
}
