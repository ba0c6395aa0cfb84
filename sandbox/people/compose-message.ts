// A message as its writer's system writes it: Exchange for people of the two tenants, a plain mail program for everybody else. Pure: date, ids and
// boundary come in.
import { addressListWords, addressWords } from './named-address.ts'
import type { NamedAddress } from './named-address.ts'
import { dateWords, field, textWords } from './header-words.ts'
import { alternatives, attachmentPart, multipart } from './mime-part.ts'
import type { Attachment, MimePart } from './mime-part.ts'

export type WritingStyle = 'exchange' | 'internet'

/** What the header says. */
export interface Heading {
  readonly from: NamedAddress
  /** Who sends it for `from`. */
  readonly sender?: NamedAddress | undefined
  readonly to: readonly NamedAddress[]
  readonly cc?: readonly NamedAddress[]
  readonly subject: string
  /** ms since the epoch */
  readonly dateMs: number
  /** `<local@domain>` */
  readonly messageId: string
  readonly inReplyTo?: string | undefined
  readonly references?: readonly string[]
  /** Exchange's, base64. */
  readonly threadIndex?: string | undefined
  /** Who wants to know that it was read. */
  readonly receiptTo?: NamedAddress | undefined
  /** Whole fields that only this kind of message has. */
  readonly more?: readonly string[]
}

export interface Letter extends Heading {
  readonly text: string
  readonly attachments?: readonly Attachment[]
}

/** @param token  of letters and digits that occur nowhere in the letter */
export function composeMessage(style: WritingStyle, letter: Letter, token: string): Buffer {
  const body = multipart('alternative', boundary(style, token, 0), alternatives(letter.text))
  const attached = (letter.attachments ?? []).map(attachmentPart)
  return compose(
    style,
    letter,
    attached.length === 0 ? body : multipart('mixed', boundary(style, token, 1), [body, ...attached]),
  )
}

/** A heading and what stands under it. */
export function compose(style: WritingStyle, heading: Heading, part: MimePart): Buffer {
  const { from, sender, to, cc = [], subject, receiptTo, more = [] } = heading
  const topic = subject.replace(/^(?:(?:re|fw|accepted|declined|tentative|canceled|new time proposed): )+/i, '')
  const fields = [
    field('From', addressWords(from)),
    ...(sender === undefined ? [] : [field('Sender', addressWords(sender))]),
    ...(to.length === 0 ? [] : [field('To', addressListWords(to))]),
    ...(cc.length === 0 ? [] : [field(style === 'exchange' ? 'CC' : 'Cc', addressListWords(cc))]),
    field('Subject', textWords(subject)),
    ...(style === 'exchange' ? [field('Thread-Topic', textWords(topic))] : []),
    ...(heading.threadIndex === undefined ? [] : [field('Thread-Index', [heading.threadIndex])]),
    field('Date', dateWords(heading.dateMs)),
    field('Message-ID', [heading.messageId]),
    ...(heading.references === undefined || heading.references.length === 0
      ? []
      : [field('References', heading.references)]),
    ...(heading.inReplyTo === undefined ? [] : [field('In-Reply-To', [heading.inReplyTo])]),
    ...(receiptTo === undefined ? [] : [field('Disposition-Notification-To', addressWords(receiptTo))]),
    // Exchange writes the last two without a value where there is nothing to tell.
    ...(style === 'exchange'
      ? [
          field('Accept-Language', ['en-US']),
          field('Content-Language', ['en-US']),
          field('X-MS-Has-Attach', []),
          field('X-MS-TNEF-Correlator', []),
        ]
      : []),
    ...more,
    'MIME-Version: 1.0\r\n',
    ...part.fields,
  ]
  return Buffer.from(`${fields.join('')}\r\n${part.body}\r\n`, 'latin1')
}

/** Of the part at `depth`, from the inside. */
export function boundary(style: WritingStyle, token: string, depth: number): string {
  return style === 'exchange' ? `_00${depth}_${token}_` : `=_${depth}_${token}`
}

const FILETIME_1970_MS = 11_644_473_600_000n

/** Of a conversation that begins: a time and a GUID ([MS-OXOMSG] §2.2.1.3). */
export function threadIndex(atMs: number, guid: string): string {
  const index = Buffer.alloc(22)
  index.writeBigUInt64BE((BigInt(atMs) + FILETIME_1970_MS) * 10_000n)
  Buffer.from(guid.replaceAll('-', ''), 'hex').copy(index, 6)
  return index.toString('base64')
}

/** Of an answer: five bytes more. */
export function answeringThreadIndex(index: string, atMs: number): string {
  const more = Buffer.alloc(5)
  more.writeUInt32BE(Math.floor(atMs / 1000) % 2 ** 31)
  return Buffer.concat([Buffer.from(index, 'base64'), more]).toString('base64')
}
