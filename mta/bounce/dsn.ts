// Builds a delivery status notification as bytes. (RFC 3461–3464, 6522, 6533; R74, DL-4)
import type { MessageRecord, RecipientRecord } from '../message-record.ts'
import type { ReportedAction, ReportedRecipient } from './notify.ts'
import {
  cleanReplyText,
  decodeXtext,
  foldedField,
  isAscii,
  mailDate,
  quotedPrintable,
  utf8Xtext,
  wrapped,
} from './reported-text.ts'

export interface DsnInput {
  /** The relay's name: Reporting-MTA, and the domain of MAILER-DAEMON. */
  readonly name: string
  readonly record: MessageRecord
  /** At least one. */
  readonly recipients: readonly ReportedRecipient[]
  /** What is quoted of the message, as its sender may see it; nothing where that can't be told. */
  readonly quoted?: { readonly header: Buffer; readonly body?: Buffer }
  /** `Message-ID` without angle brackets. */
  readonly messageId: string
  /** Random: text in the quoted message must not be able to guess it. At most 70 of RFC 2046 §5.1.1's characters. */
  readonly boundary: string
  /** ms since the epoch */
  readonly now: number
  /** Of delayed recipients: ms since the epoch. */
  readonly willRetryUntil?: number
}

export interface Dsn {
  /** With its final empty line. */
  readonly header: Buffer
  readonly body: Buffer
  /** It can go to a next hop with SMTPUTF8 only: the sender's address is not ASCII. */
  readonly smtpUtf8: boolean
  /** Header or body hold an octet above 127. */
  readonly has8Bit: boolean
}

/** DL-4: a failure report returns the whole message only when RET=FULL asks for it and it is no larger. */
const MAX_RETURNED_BYTES = 50 * 1024
/** More recipients are named in the machine's part only. */
const MAX_NAMED = 50
const MAX_LINE = 998

const SUBJECT: Record<ReportedAction, string> = {
  failed: 'Undelivered mail returned to sender',
  relayed: 'Mail passed on without confirmation of delivery',
  delayed: 'Delivery delayed, still trying',
}
const EXPLANATION: Record<ReportedAction, string> = {
  failed: 'Your message could not be delivered to these recipients:',
  relayed: 'Your message was passed on to these recipients; their server does not confirm delivery:',
  delayed:
    'Your message could not be delivered to these recipients yet. You need not send it again; delivery goes on being tried:',
}
const ACTIONS: readonly ReportedAction[] = ['failed', 'delayed', 'relayed']

export function buildDsn(input: DsnInput): Dsn {
  const { record, boundary } = input
  // Only then may 8-bit headers travel (RFC 6531 §3.6); everything else is encoded so that it can pass any server.
  const smtpUtf8 = !isAscii(record.receivedReversePath)
  const parts = [textPart(input), statusPart(input, smtpUtf8), quotedPart(input, smtpUtf8)].filter(
    (part) => part !== undefined,
  )
  const body = Buffer.concat([
    Buffer.from('This is a MIME-encapsulated message.\r\n'),
    ...parts.flatMap((each) => [Buffer.from(`\r\n--${boundary}\r\n`), each]),
    Buffer.from(`\r\n--${boundary}--\r\n`),
  ])
  const header = Buffer.from(headerText(input))
  return { header, body, smtpUtf8, has8Bit: !isAsciiBytes(header) || !isAsciiBytes(body) }
}

/** Whether the body is wanted for `quoted`: a caller need not read it otherwise. */
export function returnsBody(record: MessageRecord, recipients: readonly ReportedRecipient[]): boolean {
  // RFC 3461 §4.3: RET speaks of failures only.
  const isFailure = recipients.some(({ action }) => action === 'failed')
  return isFailure && record.ret === 'FULL' && record.headerBytes + record.bodyBytes <= MAX_RETURNED_BYTES
}

function headerText({ name, record, recipients, messageId, boundary, now }: DsnInput): string {
  const worst = ACTIONS.find((action) => recipients.some((recipient) => recipient.action === action)) ?? 'failed'
  return [
    `From: Mail Delivery System <MAILER-DAEMON@${name}>`,
    `To: <${record.receivedReversePath}>`,
    `Subject: ${SUBJECT[worst]}`,
    `Date: ${mailDate(now)}`,
    `Message-ID: <${messageId}>`,
    'Auto-Submitted: auto-replied',
    'MIME-Version: 1.0',
    `Content-Type: multipart/report; report-type=delivery-status;\r\n boundary="${boundary}"`,
    '\r\n',
  ].join('\r\n')
}

function textPart({ name, record, recipients }: DsnInput): Buffer {
  let text = `This is the mail system at ${name}.\r\n`
  for (const action of ACTIONS) {
    const concerned = recipients.filter((recipient) => recipient.action === action)
    if (concerned.length === 0) continue
    text += `\r\n${wrapped(EXPLANATION[action], '')}`
    for (const { index, reply, remote } of concerned.slice(0, MAX_NAMED)) {
      const said = remote === '' ? 'The reason:' : `${hostOf(remote)} said:`
      text += `\r\n  <${recipientOf(record, index).received}>\r\n${wrapped(`${said} ${replyText(reply)}`, '    ')}`
    }
    if (concerned.length > MAX_NAMED) text += `\r\n  and ${concerned.length - MAX_NAMED} more\r\n`
  }
  const bytes = Buffer.from(text)
  const is7Bit = fits7Bit(bytes)
  return bodyPart(
    'text/plain; charset=utf-8',
    is7Bit ? '7bit' : 'quoted-printable',
    is7Bit ? bytes : Buffer.from(quotedPrintable(bytes)),
  )
}

function statusPart(input: DsnInput, smtpUtf8: boolean): Buffer {
  const { name, record } = input
  const envelopeId = record.envid === undefined ? undefined : decodeXtext(record.envid)
  const perMessage = [
    foldedField('Reporting-MTA', `dns; ${name}`),
    envelopeId === undefined ? '' : foldedField('Original-Envelope-Id', envelopeId),
    foldedField('Arrival-Date', mailDate(record.receivedAt)),
    foldedField('X-Causeway-Queue-ID', record.queueId),
  ].join('')
  const text = [perMessage, ...input.recipients.map((recipient) => recipientStatus(recipient, input, smtpUtf8))].join(
    '\r\n',
  )
  const bytes = Buffer.from(text)
  // Escaped addresses keep this part 7-bit, as RFC 3464 §2.1 wants it, for everybody who can't take SMTPUTF8.
  return isAsciiBytes(bytes)
    ? bodyPart('message/delivery-status', '7bit', bytes)
    : bodyPart('message/global-delivery-status', '8bit', bytes)
}

function recipientStatus(
  { index, action, reply, remote }: ReportedRecipient,
  input: DsnInput,
  smtpUtf8: boolean,
): string {
  const { received, orcpt } = recipientOf(input.record, index)
  const original = orcpt === undefined ? undefined : originalRecipient(orcpt, smtpUtf8)
  const final = isAscii(received) ? `rfc822; ${received}` : `utf-8; ${smtpUtf8 ? received : utf8Xtext(received)}`
  return [
    original === undefined ? '' : addressField('Original-Recipient', original),
    addressField('Final-Recipient', final),
    foldedField('Action', action),
    foldedField('Status', statusOf(reply.status, action)),
    remote === '' ? '' : foldedField('Remote-MTA', `dns; ${hostOf(remote)}`),
    // A code of 0: no server said anything, so there is no SMTP diagnostic to quote.
    reply.code === 0 ? '' : foldedField('Diagnostic-Code', `smtp; ${replyText(reply)}`),
    foldedField('Last-Attempt-Date', mailDate(input.now)),
    action === 'delayed' && input.willRetryUntil !== undefined
      ? foldedField('Will-Retry-Until', mailDate(input.willRetryUntil))
      : '',
  ].join('')
}

/** On one line, so that a space in a quoted local part stays what it is; folded only where no line could hold it. */
function addressField(name: string, body: string): string {
  const line = `${name}: ${body}`
  return Buffer.byteLength(line) <= MAX_LINE ? `${line}\r\n` : foldedField(name, body)
}

/** `type;value` of RFC 3461 §4.2, decoded as RFC 3464 §2.3.1 wants it; undefined where it says nothing printable. */
function originalRecipient(orcpt: string, smtpUtf8: boolean): string | undefined {
  const semicolon = orcpt.indexOf(';')
  const type = orcpt.slice(0, Math.max(0, semicolon))
  const value = orcpt.slice(semicolon + 1)
  if (!/^[A-Za-z0-9-]{1,64}$/.test(type) || /[\0-\x20\x7f-\x9f]/.test(value)) return undefined
  if (type.toLowerCase() === 'utf-8') {
    // Its own encoding is what the report wants too (RFC 6533 §3); only raw UTF-8 has to be told from what can travel.
    return `${type};${isAscii(value) || smtpUtf8 ? value : utf8Xtext(value)}`
  }
  const decoded = decodeXtext(value)
  return decoded === undefined ? undefined : `${type};${decoded}`
}

function quotedPart({ record, recipients, quoted }: DsnInput, smtpUtf8: boolean): Buffer | undefined {
  if (quoted === undefined) return undefined
  const { header, body } = quoted
  if (body !== undefined && returnsBody(record, recipients)) {
    const message = Buffer.concat([header, body])
    const returned = returnedMessage(message, header, record, smtpUtf8)
    if (returned !== undefined) return returned
  }
  const type = record.smtpUtf8 && !isAsciiBytes(header) ? 'message/global-headers' : 'text/rfc822-headers'
  if (fits7Bit(header)) return bodyPart(type, '7bit', header)
  return bodyPart(type, 'quoted-printable', Buffer.from(quotedPrintable(header)))
}

/** The whole message, where it can be sent as it is: RFC 2046 §5.2.1 allows no encoding of message/rfc822. */
function returnedMessage(
  message: Buffer,
  header: Buffer,
  record: MessageRecord,
  smtpUtf8: boolean,
): Buffer | undefined {
  if (!hasSendableLines(message)) return undefined
  if (record.smtpUtf8 && !isAsciiBytes(header))
    return smtpUtf8 ? bodyPart('message/global', '8bit', message) : undefined
  return bodyPart('message/rfc822', isAsciiBytes(message) ? '7bit' : '8bit', message)
}

function bodyPart(type: string, encoding: '7bit' | '8bit' | 'quoted-printable', content: Buffer): Buffer {
  return Buffer.concat([
    Buffer.from(`Content-Type: ${type}\r\nContent-Transfer-Encoding: ${encoding}\r\n\r\n`),
    content,
  ])
}

function recipientOf(record: MessageRecord, index: number): RecipientRecord {
  const recipient = record.recipients[index]
  if (recipient === undefined) throw new Error(`unreachable: message has no recipient ${index}`)
  return recipient
}

/** With code and status in front, whether or not the next hop's text repeats them. */
function replyText({ code, status, text }: ReportedRecipient['reply']): string {
  const withStatus = text.startsWith(status) ? text : `${status} ${text}`
  return cleanReplyText(code === 0 ? text : `${code} ${withStatus}`)
}

/** RFC 3463 §2; what isn't one becomes the undefined status of its class. */
function statusOf(status: string, action: ReportedAction): string {
  if (/^[245]\.\d{1,3}\.\d{1,3}$/.test(status)) return status
  return action === 'failed' ? '5.0.0' : action === 'delayed' ? '4.0.0' : '2.0.0'
}

/** `mx.example:25` → `mx.example`, `127.0.0.1:25` → `[127.0.0.1]` (RFC 5321 §4.1.3) */
function hostOf(remote: string): string {
  const clean = cleanReplyText(remote).replaceAll(' ', '')
  const host = clean.replace(/:\d{1,5}$/, '').replace(/^\[(.*)\]$/, '$1')
  if (/^[\d.]+$/.test(host)) return `[${host}]`
  return host.includes(':') ? `[IPv6:${host}]` : host
}

function isAsciiBytes(bytes: Uint8Array): boolean {
  return !bytes.some((byte) => byte > 127)
}

function fits7Bit(bytes: Buffer): boolean {
  return isAsciiBytes(bytes) && hasSendableLines(bytes)
}

/** No NUL, and no line over 998 octets (RFC 5322 §2.1.1). */
function hasSendableLines(bytes: Buffer): boolean {
  if (bytes.includes(0)) return false
  for (let from = 0; from < bytes.length;) {
    const found = bytes.indexOf('\r\n', from)
    const end = found === -1 ? bytes.length : found
    if (end - from > MAX_LINE) return false
    from = end + 2
  }
  return true
}
