// What somebody's mail program takes from a message that arrived: whom to answer, whether to answer at all, and the meeting in it. Never throws.
import { addressesIn } from '../mail-flow/addresses.ts'
import { addressesOf, decodeWords, parseMessage, valuesOf } from '../mail-flow/header.ts'
import type { Message } from '../mail-flow/header.ts'
import { partsOf } from '../mail-flow/mime-parts.ts'
import type { Part } from '../mail-flow/mime-parts.ts'
import type { NamedAddress } from './named-address.ts'
import { readCalendar } from './read-calendar.ts'
import type { MeetingNotice } from './read-calendar.ts'

export interface ReceivedMessage {
  /** Empty: the null reverse-path. */
  readonly reversePath: string
  /** ms since the epoch */
  readonly atMs: number
  /** `<local@domain>`; empty: none. */
  readonly messageId: string
  readonly references: readonly string[]
  readonly threadIndex: string | undefined
  readonly from: NamedAddress | undefined
  readonly replyTo: readonly string[]
  readonly to: readonly string[]
  readonly cc: readonly string[]
  readonly subject: string
  readonly sentMs: number | undefined
  /** Who wants to know that it was read. */
  readonly receiptTo: string | undefined
  /** Why no program may answer it (RFC 3834 §2, [MS-OXCMAIL] X-Auto-Response-Suppress); undefined: it may. */
  readonly unanswerable: string | undefined
  readonly notice: MeetingNotice | undefined
}

export function readMessage(content: Uint8Array, envelope: { reversePath: string; atMs: number }): ReceivedMessage {
  const header = parseMessage(content)
  const first = (name: string): string => valuesOf(header, name)[0] ?? ''
  const sentMs = Date.parse(first('Date'))
  return {
    ...envelope,
    messageId: /^<[\x21-\x3b\x3d\x3f-\x7e]{1,900}>/.exec(first('Message-ID'))?.[0] ?? '',
    references: first('References').match(/<[\x21-\x3b\x3d\x3f-\x7e]{1,900}>/g) ?? [],
    threadIndex: /^[A-Za-z0-9+/]{30,400}={0,2}$/.exec(first('Thread-Index'))?.[0],
    from: personIn(first('From')),
    replyTo: addressesOf(header, 'Reply-To'),
    to: addressesOf(header, 'To'),
    cc: addressesOf(header, 'Cc'),
    subject: decodeWords(first('Subject')),
    sentMs: Number.isNaN(sentMs) ? undefined : sentMs,
    receiptTo: addressesOf(header, 'Disposition-Notification-To')[0],
    unanswerable: unanswerable(header, envelope.reversePath),
    notice: noticeIn(content),
  }
}

function personIn(value: string): NamedAddress | undefined {
  const address = addressesIn(value)[0]
  if (address === undefined) return undefined
  const bracket = value.indexOf('<')
  const written = bracket < 0 ? '' : decodeWords(value.slice(0, bracket)).trim()
  const name = /^".*"$/.test(written) ? written.slice(1, -1).replaceAll(/\\(.)/g, '$1') : written
  return { name, address }
}

const ROBOTS = /^(?:mailer-daemon|postmaster|owner-.*|.*-request|no-?reply)@/i

function unanswerable(header: Message, reversePath: string): string | undefined {
  if (reversePath === '') return 'null reverse-path'
  if (ROBOTS.test(reversePath)) return 'written by a program'
  if (valuesOf(header, 'Auto-Submitted').some((value) => !/^no\b/i.test(value))) return 'Auto-Submitted'
  if (valuesOf(header, 'Precedence').some((value) => /^(?:bulk|junk|list)\b/i.test(value))) return 'Precedence'
  if (header.fields.some(({ name }) => /^list-(?:id|post|help|(?:un)?subscribe|owner|archive)$/i.test(name)))
    return 'mailing list'
  const suppressed = valuesOf(header, 'X-Auto-Response-Suppress')
    .join(',')
    .toLowerCase()
    .split(/[,\s]+/)
  return ['oof', 'all', 'autoreply'].some((each) => suppressed.includes(each)) ? 'X-Auto-Response-Suppress' : undefined
}

function noticeIn(content: Uint8Array): MeetingNotice | undefined {
  const part = partsOf(content).find(({ type }) => type === 'text/calendar')
  return part === undefined ? undefined : readCalendar(decoded(content, part))
}

/** Calendars are UTF-8 (RFC 5545 §3.1.4); what isn't reads as replacement characters. */
function decoded(content: Uint8Array, { encoding, start, end }: Part): string {
  const body = Buffer.from(content.subarray(start, end))
  if (encoding === 'base64') return Buffer.from(body.toString('latin1'), 'base64').toString('utf8')
  if (encoding !== 'quoted-printable') return body.toString('utf8')
  const octets = body
    .toString('latin1')
    .replaceAll(/=[ \t]*\r?\n/g, '')
    .replaceAll(/=([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  return Buffer.from(octets, 'latin1').toString('utf8')
}
