// A read receipt: the disposition notification of RFC 8098, as Exchange writes it or as a plain mail program does.
import { boundary, compose } from './compose-message.ts'
import type { Heading, WritingStyle } from './compose-message.ts'
import { addressWords } from './named-address.ts'
import { dateWords, field } from './header-words.ts'
import { alternatives, multipart, plainPart, textPart } from './mime-part.ts'

export interface ReadMessage {
  /** `<local@domain>` */
  readonly messageId: string
  readonly subject: string
  /** ms since the epoch; undefined: it said nothing of it */
  readonly sentMs: number | undefined
  /** To whom it was written, where that isn't the reader's address. */
  readonly originalRecipient: string | undefined
}

/** The reader is the heading's `from`, who wants to know its `to`. */
export function composeReceipt(style: WritingStyle, heading: Heading, read: ReadMessage, token: string): Buffer {
  const { from } = heading
  const dated = read.sentMs === undefined ? '' : ` sent on ${dateWords(read.sentMs).join(' ')}`
  const text = `Your message\r\n\r\n   To: ${addressWords(from).join(' ')}\r\n   Subject: ${read.subject}\r\n\r\n${dated.trim()} was read on ${dateWords(heading.dateMs).join(' ')}.`
  const original =
    read.originalRecipient === undefined ? [] : [field('Original-Recipient', [`rfc822;${read.originalRecipient}`])]
  const fields =
    style === 'exchange'
      ? [
          field('Final-recipient', ['RFC822;', from.address]),
          ...original,
          field('Disposition', ['automatic-action/MDN-sent-automatically;', 'displayed']),
          field('X-MSExch-Correlation-Key', [Buffer.from(token, 'hex').toString('base64')]),
          field('Original-Message-ID', [read.messageId]),
          field('X-Display-Name', addressWords({ name: from.name, address: '' }).slice(0, -1)),
        ]
      : [
          field('Reporting-UA', ['mail.example.net;', 'Mail', '1.0']),
          ...original,
          field('Final-Recipient', [`rfc822;${from.address}`]),
          field('Original-Message-ID', [read.messageId]),
          field('Disposition', ['manual-action/MDN-sent-manually;', 'displayed']),
        ]
  const readable =
    style === 'exchange'
      ? multipart('alternative', boundary(style, token, 0), alternatives(text))
      : textPart('text/plain', text)
  const notification = plainPart('message/disposition-notification', fields.join(''))
  const report = multipart(
    'report',
    boundary(style, token, 1),
    [readable, notification],
    ' report-type=disposition-notification;',
  )
  return compose(style, heading, report)
}
