// The control API's operations of people: what they do with mail. `person-…` is somebody of a tenant by an address of his, `outside-…` somebody of the
// outside, as `Olga Berg <olga@example.net>`.
import { ControlFault, flag, oneOf, text } from '../entra/control-routes.ts'
import type { Fields } from '../entra/control-routes.ts'
import type { LetterToSend, MeetingAnswer, MeetingChange, MeetingToPlan } from '../people/asked-of-people.ts'
import type { TenantPerson, Who } from '../people/correspondent.ts'
import type { When } from '../people/meeting.ts'
import type { Attachment } from '../people/mime-part.ts'
import type { People } from '../people/people.ts'
import type { SandboxControl } from './control.ts'
import { optional, record, texts, time } from './fields.ts'

type Operation = (control: SandboxControl, fields: Fields) => unknown

/** What both kinds of people do. */
const DEEDS: Readonly<Record<string, (people: People, who: Who, fields: Fields) => unknown>> = {
  send: (people, who, fields) => people.send(who, letter(fields)),
  invite: (people, who, fields) => people.invite(who, meeting(fields)),
  'update-invitation': (people, who, fields) => people.updateInvitation(who, text(fields, 'uid'), change(fields)),
  'cancel-invitation': (people, who, fields) =>
    people.cancelInvitation(who, text(fields, 'uid'), optional(fields, 'text', text)),
  respond: (people, who, fields) => people.respond(who, text(fields, 'uid'), answer(fields)),
  'read-receipt': (people, who, fields) => people.sendReadReceipt(who, text(fields, 'messageId')),
  'automatic-reply': (people, who, fields) => setAutomaticReply(people, who, fields),
  calendar: (people, who) => ({ meetings: people.calendar(who) }),
}

export const PEOPLE_OPERATIONS: Readonly<Record<string, Operation>> = {
  ...deedsOf('person', (fields) => person(fields, 'tenant', 'person')),
  ...deedsOf('outside', (fields) => ({ outside: text(fields, 'person') })),
  'set-automatic-reply': ({ people }, fields) => setAutomaticReply(people, person(fields, 'tenant', 'person'), fields),
  'move-person': ({ people }, fields) =>
    people.move(person(fields, 'tenant', 'person'), person(fields, 'toTenant', 'toPerson')),
  'move-person-back': ({ people }, fields) => people.moveBack(person(fields, 'tenant', 'person')),
}

function deedsOf(prefix: string, whose: (fields: Fields) => Who): Record<string, Operation> {
  return Object.fromEntries(
    Object.entries(DEEDS).map(([name, deed]): [string, Operation] => [
      `${prefix}-${name}`,
      async ({ people }, fields) => written(await deed(people, whose(fields), fields)),
    ]),
  )
}

/** What was sent, in base64. */
function written(done: unknown): unknown {
  if (typeof done !== 'object' || done === null || !('content' in done) || !Buffer.isBuffer(done.content)) return done
  return { ...done, content: done.content.toString('base64') }
}

function person(fields: Fields, tenant: string, name: string): TenantPerson {
  return { tenantId: text(fields, tenant), person: text(fields, name) }
}

function letter(fields: Fields): LetterToSend {
  return defined({
    to: optional(fields, 'to', texts),
    cc: optional(fields, 'cc', texts),
    bcc: optional(fields, 'bcc', texts),
    subject: fields['inReplyTo'] === undefined ? text(fields, 'subject') : optional(fields, 'subject', text),
    text: text(fields, 'text'),
    attachments: optional(fields, 'attachments', attachments),
    inReplyTo: optional(fields, 'inReplyTo', text),
    isToAll: optional(fields, 'isToAll', flag),
    wantsReceipt: optional(fields, 'wantsReceipt', flag),
    sentBy: optional(fields, 'sentBy', text),
  })
}

function meeting(fields: Fields): MeetingToPlan {
  return defined({
    required: texts(fields, 'required'),
    optional: optional(fields, 'optional', texts),
    subject: text(fields, 'subject'),
    text: optional(fields, 'text', text),
    location: optional(fields, 'location', text),
    when: when(fields),
    sentBy: optional(fields, 'sentBy', text),
  })
}

function change(fields: Fields): MeetingChange {
  const isMoved = fields['start'] !== undefined || fields['end'] !== undefined
  return defined({
    subject: optional(fields, 'subject', text),
    text: optional(fields, 'text', text),
    location: optional(fields, 'location', text),
    when: isMoved ? when(fields) : undefined,
  })
}

function answer(fields: Fields): MeetingAnswer {
  const given = oneOf(['accept', 'tentative', 'decline', 'counter'] as const, fields, 'answer')
  const answers = { accept: 'accepted', tentative: 'tentative', decline: 'declined', counter: 'counter' } as const
  return defined({
    answer: answers[given],
    text: optional(fields, 'text', text),
    proposal: given === 'counter' ? when(fields) : undefined,
  })
}

function when(fields: Fields): When {
  return { startMs: time(fields, 'start'), endMs: time(fields, 'end') }
}

/** `text: null`: none any more. */
function setAutomaticReply(people: People, who: Who, fields: Fields): void {
  if (fields['text'] === null) return people.setAutomaticReply(who, undefined)
  const internalText = text(fields, 'text')
  people.setAutomaticReply(who, {
    internalText,
    externalText: optional(fields, 'externalText', text) ?? internalText,
    audience: optional(fields, 'audience', (from, name) => oneOf(['none', 'all'] as const, from, name)) ?? 'all',
  })
}

/** `content` in base64. */
function attachments(fields: Fields, name: string): readonly Attachment[] {
  const given: unknown = fields[name]
  if (!Array.isArray(given)) throw new ControlFault(`${name} has to be a list`)
  return given.map((each: unknown): Attachment => {
    const attachment = record({ attachment: each }, 'attachment')
    return {
      name: text(attachment, 'name'),
      type: text(attachment, 'type'),
      content: Buffer.from(text(attachment, 'content'), 'base64'),
    }
  })
}

type Defined<T> = { [Name in keyof T]: Exclude<T[Name], undefined> }

/** Without what isn't given. */
function defined<T extends object>(fields: T): Defined<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Defined<T>
}
