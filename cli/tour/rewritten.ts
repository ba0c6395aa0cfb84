// What has to become of a message on its way, worked out without the engine: the few fields and calendar lines that may change, byte by byte, and
// that nothing else did. Pure. (rewriting.md §3, §8, R40, R62, R64)
import { parseMessage } from '../../sandbox/mail-flow/header.ts'
import type { Field } from '../../sandbox/mail-flow/header.ts'
import { partsOf } from '../../sandbox/mail-flow/mime-parts.ts'

export interface Rewriting {
  /** Each address as it was written, and what it becomes. */
  readonly addresses: ReadonlyMap<string, string>
  /** Header fields in which it does; lower case. */
  readonly fields: ReadonlySet<string>
  /** Properties of calendars in which it does; upper case. */
  readonly properties: ReadonlySet<string>
  /** Fields of reports in which it does; lower case. */
  readonly reportFields: ReadonlySet<string>
}

/** Class O and R of rewriting.md §3, as far as people of the tour write them. */
const OUT_FIELDS = [
  'from',
  'sender',
  'reply-to',
  'to',
  'cc',
  'disposition-notification-to',
  'return-receipt-to',
  'x-confirm-reading-to',
]
const OUT_PROPERTIES = ['ATTENDEE', 'ORGANIZER', 'X-MS-OLK-SENDER']
const REPORT_FIELDS = ['final-recipient', 'original-recipient', 'x-actual-recipient']

/** Of mail that people of the project write: everything becomes what the world sees. */
export function outward(people: readonly { readonly mailbox: string; readonly presented: string }[]): Rewriting {
  return {
    addresses: new Map(people.map(({ mailbox, presented }) => [mailbox, presented])),
    fields: new Set(OUT_FIELDS),
    properties: new Set(OUT_PROPERTIES),
    reportFields: new Set(REPORT_FIELDS),
  }
}

/** Of mail to them: the receiving side alone; in a reply to an invitation that is the organizer (R62). */
export function inward(
  people: readonly { readonly mailbox: string; readonly presented: string }[],
  method?: 'REQUEST' | 'REPLY' | 'CANCEL' | 'COUNTER',
): Rewriting {
  const isReply = method === 'REPLY' || method === 'COUNTER'
  return {
    addresses: new Map(people.map(({ mailbox, presented }) => [presented, mailbox])),
    fields: new Set(['to', 'cc', 'bcc']),
    properties: new Set([isReply ? 'ORGANIZER' : 'ATTENDEE']),
    reportFields: new Set(),
  }
}

/** Nothing changes: mail that stays within a tenant. */
export const UNCHANGED: Rewriting = {
  addresses: new Map(),
  fields: new Set(),
  properties: new Set(),
  reportFields: new Set(),
}

/** Of a message that left here as `sent`. @returns with CR LF, without what relays and tenants put above */
export function expectedOf(sent: Uint8Array, rewriting: Rewriting): Buffer {
  const { fields, rest } = parseMessage(sent)
  const header = fields.map((field) =>
    rewriting.fields.has(field.name.toLowerCase())
      ? Buffer.from(replaced(latin(field.raw), rewriting), 'latin1')
      : field.raw,
  )
  return Buffer.concat([...header, bodyOf(sent, rest, rewriting)])
}

function bodyOf(sent: Uint8Array, rest: Uint8Array, rewriting: Rewriting): Buffer {
  const bodyStart = sent.length - rest.length
  const pieces: Uint8Array[] = []
  let at = bodyStart
  for (const part of partsOf(sent)) {
    if (part.isSealed || part.start < at) continue
    const change =
      part.type === 'text/calendar' || part.type === 'application/ics'
        ? calendar
        : part.type === 'message/disposition-notification' || part.type === 'message/delivery-status'
          ? report
          : undefined
    if (change === undefined) continue
    pieces.push(
      sent.subarray(at, part.start),
      encoded(sent.subarray(part.start, part.end), part.encoding, (text) => change(text, rewriting)),
    )
    at = part.end
  }
  return Buffer.concat([...pieces, sent.subarray(at)])
}

/** Base64 and quoted-printable are written anew only where something changed (R54). */
function encoded(bytes: Uint8Array, encoding: string, change: (text: string) => string): Buffer {
  if (encoding === 'quoted-printable') return Buffer.from(printed(latin(bytes), change), 'latin1')
  if (encoding !== 'base64') return Buffer.from(change(latin(bytes)), 'latin1')
  const before = latin(Buffer.from(latin(bytes), 'base64'))
  const after = change(before)
  if (after === before) return Buffer.from(bytes)
  const lines = Buffer.from(after, 'latin1')
    .toString('base64')
    .replaceAll(/.{76}(?=.)/g, '$&\r\n')
  return Buffer.from(latin(bytes).endsWith('\r\n') ? `${lines}\r\n` : lines, 'latin1')
}

/** Content line by content line, each with its continuations: what isn't changed keeps its spelling. */
function printed(text: string, change: (text: string) => string): string {
  const lines = text.replaceAll(/=[ \t]*\r\n/g, SOFT).split('\r\n')
  const groups: string[][] = []
  for (const line of lines) {
    const last = groups.at(-1)
    if (last !== undefined && /^[ \t]/.test(line)) last.push(line)
    else groups.push([line])
  }
  const written = groups.map((group) => {
    const before = group.map(unprinted).join('\r\n')
    const after = change(before)
    return after === before
      ? group.join('\r\n').replaceAll(SOFT, '=\r\n')
      : after.split('\r\n').map(printedLine).join('\r\n')
  })
  return written.join('\r\n')
}

/** Stands for a soft break: no octet of quoted-printable. */
const SOFT = '\u0000'

const unprinted = (line: string): string =>
  line
    .replaceAll(SOFT, '')
    .replaceAll(/=([0-9A-Fa-f]{2})/g, (_all, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))

/** Broken as late as 76 characters allow (RFC 2045 §6.7). */
function printedLine(line: string): string {
  const spelled = Array.from(line, (octet) =>
    /[\t\x20-\x3c\x3e-\x7e]/.test(octet)
      ? octet
      : `=${octet.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  )
  let [text, column] = ['', 0]
  for (const [index, each] of spelled.entries()) {
    if (column + each.length > (index === spelled.length - 1 ? 76 : 75)) [text, column] = [`${text}=\r\n`, 0]
    text += each
    column += each.length
  }
  return text
}

/** Lines that change are folded anew at 75 octets; the others keep their bytes (R64). */
function calendar(text: string, rewriting: Rewriting): string {
  return text.replaceAll(/[^\r\n]+(?:\r?\n[ \t][^\r\n]*)*/g, (line) => {
    const plain = line.replaceAll(/\r?\n[ \t]/g, '')
    const property = /^[\w-]+/.exec(plain)?.[0].toUpperCase() ?? ''
    const changed = rewriting.properties.has(property) ? replaced(plain, rewriting) : plain
    return changed === plain ? line : folded(changed)
  })
}

function folded(line: string): string {
  const pieces = []
  let rest = Buffer.from(line, 'latin1')
  let width = 75
  while (rest.length > width) {
    let cut = width
    while (((rest[cut] ?? 0) & 0xc0) === 0x80) cut-- // not within a character of UTF-8
    pieces.push(latin(rest.subarray(0, cut)))
    rest = rest.subarray(cut)
    width = 74
  }
  return [...pieces, latin(rest)].join('\r\n ')
}

function report(text: string, rewriting: Rewriting): string {
  return text.replaceAll(/^([\w-]+):[^\r\n]*/gm, (line, name: string) =>
    rewriting.reportFields.has(name.toLowerCase()) ? replaced(line, rewriting) : line,
  )
}

function replaced(text: string, { addresses }: Rewriting): string {
  let result = text
  for (const [from, to] of addresses) result = result.replaceAll(new RegExp(escaped(from), 'gi'), to)
  return result
}

const escaped = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)

const latin = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')

/** Put above a message by whoever carries or judges it; our marker stays on mail to people of the tenants (R76). */
const ADDED =
  /^(?:Received|Return-Path|Delivered-To|Authentication-Results|Received-SPF|DKIM-Signature|ARC-[\w-]+|X-MS-[\w-]+|X-EOP[\w-]+|X-OriginatorOrg|X-LD-Processed|X-Forefront[\w-]+|X-Microsoft[\w-]+|X-Causeway-Trace)$/i

/**
 * What of a message that arrived isn't as expected: fields in their order, each to the byte, then the body.
 *
 * @param appended  texts that a tenant's own rule writes into the body, once each
 */
export function differencesFrom(
  expected: Uint8Array,
  arrived: Uint8Array,
  appended: readonly string[],
): readonly string[] {
  const wanted = parseMessage(expected)
  const found = parseMessage(arrived)
  const differences: string[] = []
  let missing = [...wanted.fields]
  for (const field of found.fields) {
    const [next] = missing
    if (next !== undefined && latin(next.raw) === latin(field.raw)) missing.shift()
    else if (!ADDED.test(field.name)) {
      // The one of its name that is still missing is what it should have been.
      const meant = missing.find(({ name }) => name.toLowerCase() === field.name.toLowerCase())
      missing = missing.filter((each) => each !== meant)
      differences.push(
        meant === undefined ? `${shown(field)} is too much` : `${shown(field)} in place of ${shown(meant)}`,
      )
    }
  }
  for (const field of missing) differences.push(`${shown(field)} is missing`)
  const body = latin(found.rest)
  const isBody = [body, without(body, appended)].some((each) => sameText(each, latin(wanted.rest)))
  return isBody ? differences : [...differences, bodyDifference(without(body, appended), latin(wanted.rest))]
}

const shown = ({ raw }: Field): string => JSON.stringify(latin(raw).trimEnd())

function without(body: string, appended: readonly string[]): string {
  return appended.reduce((text, each) => text.replace(each, () => ''), body)
}

/** A mail server may end the last line. */
function sameText(one: string, other: string): boolean {
  return one.replace(/(?:\r\n)+$/, '') === other.replace(/(?:\r\n)+$/, '')
}

function bodyDifference(found: string, expected: string): string {
  let at = 0
  while (at < found.length && found[at] === expected[at]) at++
  const around = (text: string) => JSON.stringify(text.slice(Math.max(0, at - 20), at + 60))
  return `the body differs at octet ${at}: ${around(found)} in place of ${around(expected)}`
}
