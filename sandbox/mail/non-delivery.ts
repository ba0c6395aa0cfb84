// What Exchange writes to the sender of a message that it could not deliver (RFC 3464, 6522): a report with the null reverse-path, which nobody reports
// on in turn. Pure.
import { parseMessage, serialise, valuesOf } from '../mail-flow/header.ts'
import type { EnvelopedMessage } from '../mail-flow/mail-view.ts'
import type { Failure } from './mail-queue.ts'
import { mailDate } from './trace-fields.ts'

export interface NonDelivery {
  readonly message: EnvelopedMessage
  readonly failures: readonly Failure[]
  /** Initial domain of the tenant that reports. */
  readonly domain: string
  /** A new GUID. */
  readonly id: string
  readonly nowMs: number
}

/** The address that Exchange Online reports from, in each tenant. */
const REPORTER = 'MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e'
/** Of a longer message, only the header comes back. */
const MAX_RETURNED_BYTES = 2 ** 20

/** undefined: the message has the null reverse-path, or its sender wants to hear of none of these. */
export function nonDeliveryReport(about: NonDelivery): EnvelopedMessage | undefined {
  const { message, domain, id, nowMs } = about
  const failures = about.failures.filter(({ recipient }) => isWanted(message, recipient))
  if (message.sender === '' || failures.length === 0) return undefined
  const original = parseMessage(message.content)
  const [subject = ''] = valuesOf(original, 'Subject')
  const [messageId] = valuesOf(original, 'Message-ID')
  const boundary = `_${id}_`
  const isShort = message.content.length <= MAX_RETURNED_BYTES
  const lines = [
    `From: Microsoft Outlook <${REPORTER}@${domain}>`,
    `To: <${message.sender}>`,
    `Date: ${mailDate(nowMs)}`,
    `Subject: Undeliverable: ${subject}`,
    `Message-ID: <${id}@${domain}>`,
    ...(messageId === undefined ? [] : [`In-Reply-To: ${messageId}`, `References: ${messageId}`]),
    'Auto-Submitted: auto-replied',
    'X-MS-Exchange-Message-Is-Ndr:',
    'Content-Language: en-US',
    'MIME-Version: 1.0',
    `Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary="${boundary}"`,
    '',
    `--${boundary}`,
    'Content-Type: text/plain; charset="utf-8"',
    'Content-Transfer-Encoding: 8bit',
    '',
    "Your message couldn't be delivered to:",
    '',
    ...failures.map(
      ({ recipient, host, reply }) => `${recipient}: ${host === undefined ? '' : `${host} said `}${oneLine(reply)}`,
    ),
    '',
    `--${boundary}`,
    'Content-Type: message/delivery-status',
    '',
    `Reporting-MTA: dns;${domain}`,
    `Arrival-Date: ${mailDate(nowMs)}`,
    '',
    ...failures.flatMap((failure) => statusFields(message, failure)),
    `--${boundary}`,
    isShort ? 'Content-Type: message/rfc822' : 'Content-Type: text/rfc822-headers',
    '',
    '',
  ]
  const returned = isShort ? message.content : serialise({ ...original, rest: new Uint8Array() })
  const content = Buffer.concat([Buffer.from(lines.join('\r\n')), returned, Buffer.from(`\r\n--${boundary}--\r\n`)])
  return { sender: '', recipients: [message.sender], content }
}

function isWanted({ notices }: EnvelopedMessage, recipient: string): boolean {
  return notices?.get(recipient.toLowerCase())?.notify?.includes('FAILURE') ?? true
}

function statusFields({ notices }: EnvelopedMessage, { recipient, reply, host }: Failure): readonly string[] {
  const original = notices?.get(recipient.toLowerCase())?.originalRecipient
  return [
    ...(original === undefined ? [] : [`Original-Recipient: ${fromXtext(original)}`]),
    `Final-Recipient: rfc822;${recipient}`,
    'Action: failed',
    `Status: ${/^\d{3}[ -](\d\.\d{1,3}\.\d{1,3})\b/.exec(reply)?.[1] ?? '5.0.0'}`,
    `Diagnostic-Code: smtp;${oneLine(reply)}`,
    ...(host === undefined ? [] : [`Remote-MTA: dns;${host}`]),
    '',
  ]
}

/** A reply may have several, with bare line feeds between, which no host would take. */
function oneLine(reply: string): string {
  return reply.replaceAll(/[\r\n]+/g, ' ')
}

/** RFC 3461 §4: `+2B` is a plus. What could end the line is left out. */
function fromXtext(text: string): string {
  return text
    .replaceAll(/\+([0-9A-F]{2})/g, (_, hex: string) => String.fromCodePoint(Number.parseInt(hex, 16)))
    .replaceAll(/[^\x20-\x7e]/g, '')
}
