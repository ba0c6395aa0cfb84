// ApplyHtmlDisclaimer: writes an administrator's text into the message, in each form its text has; where it can't, the message is wrapped, left as it
// is or refused, as the rule says.
import { createHash } from 'node:crypto'
import { parseMessage, prependField, removeField, serialise } from './header.ts'
import type { Message } from './header.ts'
import { partsOf } from './mime-parts.ts'
import type { Part } from './mime-parts.ts'

export type DisclaimerPlace = 'Append' | 'Prepend'

/** undefined: signed, encrypted, without a text, or in a charset that can't hold it. */
export function withDisclaimer(message: Message, html: string, place: DisclaimerPlace): Message | undefined {
  const bytes = serialise(message)
  const texts = partsOf(bytes).filter(({ type, isAttachment }) => /^text\/(?:html|plain)$/.test(type) && !isAttachment)
  const chosen = ['text/html', 'text/plain']
    .flatMap((type) => texts.find((part) => part.type === type) ?? [])
    .toSorted((a, b) => a.start - b.start)
  if (chosen.length === 0 || chosen.some((part) => part.isSealed)) return undefined
  const pieces: Uint8Array[] = []
  let at = 0
  for (const part of chosen) {
    const text = part.type === 'text/html' ? html : withoutTags(html)
    if (part.charset !== 'utf-8' && !/^[\t\r\n\x20-\x7e]*$/.test(text)) return undefined
    pieces.push(bytes.subarray(at, part.start), written(bytes.subarray(part.start, part.end), part, text, place))
    at = part.end
  }
  return parseMessage(Buffer.concat([...pieces, bytes.subarray(at)]))
}

/** The message as an attachment of a new one that holds the text (fallback Wrap). */
export function wrapped(message: Message, html: string): Message {
  const bytes = serialise(message)
  const boundary = `wrap-${createHash('sha256').update(bytes).digest('hex').slice(0, 40)}`
  const opening = `--${boundary}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n${html}\r\n`
  const body = Buffer.concat([
    Buffer.from(`\r\n${opening}--${boundary}\r\nContent-Type: message/rfc822\r\n\r\n`),
    bytes,
    Buffer.from(`\r\n--${boundary}--\r\n`),
  ])
  const names = ['Content-Type', 'Content-Transfer-Encoding', 'Content-Disposition', 'MIME-Version']
  const outer = names.reduce(removeField, { fields: message.fields, rest: body })
  return prependField(
    prependField(outer, 'Content-Type', `multipart/mixed; boundary="${boundary}"`),
    'MIME-Version',
    '1.0',
  )
}

function written(body: Uint8Array, part: Part, text: string, place: DisclaimerPlace): Uint8Array {
  if (part.encoding === 'base64') {
    const decoded = Buffer.from(Buffer.from(body).toString('latin1'), 'base64')
    const encoded = inserted(decoded, part, Buffer.from(`\r\n${text}\r\n`), place).toString('base64')
    return Buffer.from(encoded.replaceAll(/.{76}/g, '$&\r\n'))
  }
  const line = part.encoding === 'quoted-printable' ? quotedPrintable(text) : text
  return inserted(Buffer.from(body), part, Buffer.from(`\r\n${line}\r\n`), place)
}

function inserted(body: Buffer, { type }: Part, text: Buffer, place: DisclaimerPlace): Buffer {
  const lower = type === 'text/html' ? body.toString('latin1').toLowerCase() : ''
  const opening = lower.indexOf('<body')
  const openingEnd = opening < 0 ? 0 : lower.indexOf('>', opening) + 1
  const closing = lower.lastIndexOf('</body')
  const at = place === 'Prepend' ? openingEnd : closing < 0 ? body.length : closing
  return Buffer.concat([body.subarray(0, at), text, body.subarray(at)])
}

function withoutTags(html: string): string {
  return html.replaceAll(/<[^<>]*>/g, '')
}

/** Every byte that isn't a letter, digit or space; lines broken after 20 characters, which is under 76 whatever they are (RFC 2045 §6.7). */
function quotedPrintable(text: string): string {
  const encoded = Array.from(Buffer.from(text), (byte) =>
    /[\w ]/.test(String.fromCodePoint(byte))
      ? String.fromCodePoint(byte)
      : `=${byte.toString(16).toUpperCase().padStart(2, '0')}`,
  )
  const lines: string[] = []
  for (let at = 0; at < encoded.length; at += 20) lines.push(encoded.slice(at, at + 20).join(''))
  return lines.join('=\r\n')
}
