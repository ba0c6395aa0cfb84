// What the tests of composed messages have in common: one writer's headings, and a second opinion of what was written.
import assert from 'node:assert/strict'
import { simpleParser } from 'mailparser'
import type { AddressObject, ParsedMail } from 'mailparser'
import type { Heading, WritingStyle } from '../../../sandbox/people/compose-message.ts'
import type { Meeting } from '../../../sandbox/people/meeting.ts'
import type { NamedAddress } from '../../../sandbox/people/named-address.ts'

export const STYLES: readonly WritingStyle[] = ['exchange', 'internet']
export const NOW_MS = Date.UTC(2026, 10, 29, 10, 0, 0)
export const TOKEN = '0123456789abcdef0123456789abcdef'

export const ALICE: NamedAddress = { name: 'Alice Smith', address: 'alice@contoso.com' }
export const DANA: NamedAddress = { name: 'Berg, Dana "D"', address: 'dana@example.net' }
export const BOB: NamedAddress = { name: 'Bob', address: 'bob@contoso.com' }
export const ZOE: NamedAddress = { name: 'Zoë Brontë', address: 'zoe@contoso.com' }

export const heading = (differing: Partial<Heading> = {}): Heading => ({
  from: ALICE,
  to: [DANA],
  subject: 'Quarterly figures',
  dateMs: NOW_MS,
  messageId: '<ONE@example.test>',
  ...differing,
})

export const meeting = (differing: Partial<Meeting> = {}): Meeting => ({
  uid: '040000008200E00074C5B7101A82E008',
  sequence: 2,
  subject: 'Review; of, figures',
  text: 'Bring\nnumbers, please',
  location: 'Room 1',
  when: { startMs: NOW_MS + 3_600_000, endMs: NOW_MS + 7_200_000 },
  organizer: ALICE,
  attendees: [
    { ...DANA, isOptional: false },
    { ...ZOE, isOptional: true },
  ],
  ...differing,
})

/** As mailparser reads it, once it is made sure that any server takes it. */
export async function secondOpinion(content: Buffer): Promise<ParsedMail> {
  const text = content.toString('latin1')
  assert.match(text, /^[\t\r\n\u0020-\u007e]*$/, 'all of it is ASCII')
  assert.ok(!/[^\r]\n|\r[^\n]/.test(text), 'lines end with CR LF')
  for (const line of text.split('\r\n')) assert.ok(line.length <= 998, 'RFC 5322 §2.1.1')
  return simpleParser(content, { skipHtmlToText: true, skipTextToHtml: true })
}

/** Group-free lists, as `{ name, address }`. */
export function addressesOf(list: AddressObject | AddressObject[] | undefined): readonly NamedAddress[] {
  const all = list === undefined ? [] : Array.isArray(list) ? list : [list]
  return all.flatMap(({ value }) => value.map(({ name, address }) => ({ name, address: address ?? '' })))
}

/** The part of this type, decoded; nothing where there is none. */
export function partOf(mail: ParsedMail, contentType: string): string | undefined {
  return mail.attachments.find((each) => each.contentType === contentType)?.content.toString('utf8')
}
