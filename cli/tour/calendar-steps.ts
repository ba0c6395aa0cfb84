// Meetings, both ways: invited, answered, moved, countered, cancelled. Header and calendar have to say the same, at everybody (rewriting.md §8): the
// calendars of all of them are looked at, and none may have found anything wrong.
import type { Fields } from './api-client.ts'
import { ADELE, ALICE, OLGA, HUGO } from './cast.ts'
import type { Person, SentMail } from './mail.ts'
import { demandArrivals } from './mail-checks.ts'
import type { Expectation } from './mail-checks.ts'
import { PRESENTED_DOMAIN } from './mail-steps.ts'
import { inward, outward, UNCHANGED } from './rewritten.ts'
import type { Rewriting } from './rewritten.ts'
import type { Running, TourStep } from './step.ts'
import type { TourContext } from './tour-context.ts'
import { until } from './wait.ts'

const HOUR_MS = 3_600_000
const CALENDAR_WITHIN_MS = 10_000
const OUT = outward([ALICE])
const [IN_REQUEST, IN_CANCEL] = [inward([ALICE], 'REQUEST'), inward([ALICE], 'CANCEL')]
const [IN_REPLY, IN_COUNTER] = [inward([ALICE], 'REPLY'), inward([ALICE], 'COUNTER')]
const written = (name: string, address: string): string => `${name} <${address}>`

/** Two days from now, on the hour, and what comes after. */
function slots(): readonly [Fields, Fields, Fields] {
  const first = Math.ceil(Date.now() / HOUR_MS) * HOUR_MS + 48 * HOUR_MS
  const slot = (hours: number): Fields => ({
    start: new Date(first + hours * HOUR_MS).toISOString(),
    end: new Date(first + (hours + 1) * HOUR_MS).toISOString(),
  })
  return [slot(0), slot(3), slot(6)]
}

export const invitedStep: TourStep<TourContext> = {
  name: 'invited',
  title: 'an outsider invites: accepted, moved, cancelled',
  async run(context, step) {
    const { mail } = context
    const [first, second] = slots()
    const invitation = await mail.does(OLGA, 'invite', {
      ...first,
      required: [written(ALICE.name, ALICE.presented), written(HUGO.name, HUGO.mailbox)],
      subject: 'Figures',
      location: 'Room 1',
    })
    const { uid } = invitation
    const invitees = (rewriting: Rewriting): Expectation[] => [
      { at: ALICE, rewriting },
      { at: HUGO, rewriting: UNCHANGED },
    ]
    await demandArrivals(context, step, 'the invitation', invitation, invitees(IN_REQUEST))
    await answered(context, step, OLGA, ALICE, uid, 'accept', { at: OLGA, rewriting: OUT, passesFor: PRESENTED_DOMAIN })
    const moved = await mail.does(OLGA, 'update-invitation', { uid, ...second, location: 'Room 2' })
    await demandArrivals(context, step, 'the new time', moved, invitees(IN_REQUEST))
    await answered(context, step, OLGA, ALICE, uid, 'tentative', {
      at: OLGA,
      rewriting: OUT,
      passesFor: PRESENTED_DOMAIN,
    })
    const cancelled = await mail.does(OLGA, 'cancel-invitation', { uid })
    await demandArrivals(context, step, 'the cancellation', cancelled, invitees(IN_CANCEL))
    await demandMeeting(context, step, ALICE, uid, 'cancelled', (meeting) => meeting['isCancelled'] === true)
    await demandMeeting(context, step, HUGO, uid, 'cancelled', (meeting) => meeting['isCancelled'] === true)
    return 'every calendar agrees with its mail'
  },
}

export const invitesStep: TourStep<TourContext> = {
  name: 'invites',
  title: 'she invites: countered, moved, accepted, cancelled',
  async run(context, step) {
    const { mail } = context
    const [first, second, third] = slots()
    const all = (out: Rewriting): Expectation[] => [
      { at: OLGA, rewriting: out, passesFor: PRESENTED_DOMAIN },
      { at: HUGO, rewriting: out },
      { at: ADELE, rewriting: UNCHANGED },
    ]
    const invitation = await mail.does(ALICE, 'invite', {
      ...first,
      required: [OLGA, HUGO, ADELE].map(({ name, mailbox }) => written(name, mailbox)),
      subject: 'Planning',
      location: 'Boardroom',
    })
    const { uid } = invitation
    await demandArrivals(context, step, 'her invitation', invitation, all(OUT))
    await answered(context, step, ALICE, OLGA, uid, 'counter', { at: ALICE, rewriting: IN_COUNTER }, second)
    const moved = await mail.does(ALICE, 'update-invitation', { uid, ...third })
    await demandArrivals(context, step, 'her new time', moved, all(OUT))
    await answered(context, step, ALICE, OLGA, uid, 'accept', { at: ALICE, rewriting: IN_REPLY })
    await answered(context, step, ALICE, HUGO, uid, 'decline', { at: ALICE, rewriting: IN_REPLY })
    await answered(context, step, ALICE, ADELE, uid, 'accept', { at: ALICE, rewriting: UNCHANGED })
    const cancelled = await mail.does(ALICE, 'cancel-invitation', { uid })
    await demandArrivals(context, step, 'her cancellation', cancelled, all(OUT))
    for (const attendee of [OLGA, HUGO, ADELE])
      await demandMeeting(context, step, attendee, uid, 'cancelled', (meeting) => meeting['isCancelled'] === true)
    return 'three attendees, four METHODs, no calendar disagrees'
  },
}

const ANSWERS = { accept: 'accepted', tentative: 'tentative', decline: 'declined', counter: 'counter' } as const

/** The attendee answers, the answer arrives, and the organizer's calendar believes it. */
async function answered(
  context: TourContext,
  step: Running,
  organizer: Person,
  attendee: Person,
  uid: string,
  answer: keyof typeof ANSWERS,
  expectation: Expectation,
  proposal: Fields = {},
): Promise<SentMail> {
  await demandMeeting(context, step, attendee, uid, 'in the calendar', () => true)
  const sent = await context.mail.does(attendee, 'respond', { uid, answer, ...proposal })
  await demandArrivals(context, step, `the answer "${answer}"`, sent, [expectation])
  const addresses = attendee === ALICE ? [ALICE.presented, ALICE.mailbox] : [attendee.mailbox]
  const isAnswered = (meeting: Fields) =>
    (meeting['attendees'] as readonly Fields[]).some(
      (each) => addresses.includes(String(each['address']).toLowerCase()) && each['answer'] === ANSWERS[answer],
    )
  await demandMeeting(context, step, organizer, uid, `answered "${answer}" by ${attendee.name}`, isAnswered)
  return sent
}

/** Mail programs need a moment. */
async function demandMeeting(
  { mail }: TourContext,
  step: Running,
  who: Person,
  uid: string,
  what: string,
  isSo: (meeting: Fields) => boolean,
): Promise<void> {
  let found: Fields | undefined
  const meeting = await until(
    `the meeting of ${who.mailbox} to be ${what}`,
    async () => {
      found = await mail.meeting(who, uid)
      return found !== undefined && isSo(found) ? found : undefined
    },
    { withinMs: CALENDAR_WITHIN_MS, found: () => JSON.stringify(found ?? 'no such meeting') },
  )
  step.demandEqual(`what the calendar of ${who.mailbox} found wrong`, meeting['problems'], [])
}
