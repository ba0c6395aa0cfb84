// Two forms of one message, for people: the fields that name somebody or say what it is about, old and new where they differ. Pure.

const SHOWN_FIELDS = /^(?:From|To|Cc|Reply-To|Sender|Subject|Disposition-Notification-To):/i
const MAX_LINES = 24

export function shownMessage(title: string, before: Uint8Array, after: Uint8Array): string {
  const [old, now] = [linesOf(before), linesOf(after)]
  const lines = old.flatMap((line, index) => {
    const other = now[index]
    return other === undefined || other === line ? [`   ${line}`] : [` - ${line}`, ` + ${other}`]
  })
  return [title, ...lines.slice(0, MAX_LINES)]
    .map((line, index) => (index === 0 ? `  ${line}` : `  │${line}`))
    .join('\n')
}

function linesOf(message: Uint8Array): string[] {
  const text = Buffer.from(message).toString('utf8')
  const header = text.slice(0, text.indexOf('\r\n\r\n')).replaceAll(/\r\n[ \t]+/g, ' ')
  return header.split('\r\n').filter((line) => SHOWN_FIELDS.test(line))
}
