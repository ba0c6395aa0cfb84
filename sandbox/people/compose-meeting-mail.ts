// The mail that carries a meeting's calendar object (RFC 6047): among the alternatives as Exchange has it, elsewhere as an attachment as well.
import { composeCalendar } from './compose-calendar.ts'
import { boundary, compose } from './compose-message.ts'
import type { Heading, WritingStyle } from './compose-message.ts'
import type { MeetingMessage } from './meeting.ts'
import { alternatives, base64Part, multipart, textPart } from './mime-part.ts'

/** @param token  of letters and digits that occur nowhere in it */
export function composeMeetingMail(
  style: WritingStyle,
  heading: Heading,
  message: MeetingMessage,
  token: string,
): Buffer {
  const calendar = composeCalendar(style, message, heading.dateMs)
  const readable = alternatives('comment' in message ? message.comment : message.meeting.text)
  const method = `; method=${message.method}`
  if (style === 'exchange') {
    const object = base64Part('text/calendar', Buffer.from(calendar), { parameters: `; charset="utf-8"${method}` })
    return compose(style, heading, multipart('alternative', boundary(style, token, 0), [...readable, object]))
  }
  const object = textPart('text/calendar', calendar, method)
  const body = multipart('alternative', boundary(style, token, 0), [...readable, object])
  const copy = base64Part('application/ics', Buffer.from(calendar), {
    parameters: '; name="invite.ics"',
    disposition: 'attachment; filename="invite.ics"',
  })
  return compose(style, heading, multipart('mixed', boundary(style, token, 1), [body, copy]))
}
