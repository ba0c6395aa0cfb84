// MIME parts of a message (RFC 2045, 2046): text as quoted-printable, anything else as base64, parts of parts. All of it is ASCII, so no server on the
// way has to change a byte.

export interface MimePart {
  /** Whole, CR LF at the end of each. */
  readonly fields: readonly string[]
  /** Without the line end that belongs to what follows. */
  readonly body: string
}

export interface Attachment {
  readonly name: string
  /** `application/pdf` */
  readonly type: string
  readonly content: Uint8Array
}

/** @param parameters  of the type, from the semicolon on */
export function textPart(type: string, text: string, parameters = ''): MimePart {
  return {
    fields: [
      `Content-Type: ${type}; charset="utf-8"${parameters}\r\n`,
      'Content-Transfer-Encoding: quoted-printable\r\n',
    ],
    body: quotedPrintable(text),
  }
}

export function base64Part(
  type: string,
  content: Uint8Array,
  { parameters = '', disposition }: { readonly parameters?: string; readonly disposition?: string } = {},
): MimePart {
  const lines =
    Buffer.from(content)
      .toString('base64')
      .match(/.{1,76}/g) ?? []
  return {
    fields: [
      `Content-Type: ${type}${parameters}\r\n`,
      ...(disposition === undefined ? [] : [`Content-Disposition: ${disposition}\r\n`]),
      'Content-Transfer-Encoding: base64\r\n',
    ],
    body: lines.join('\r\n'),
  }
}

/** @throws RangeError */
export function attachmentPart({ name, type, content }: Attachment): MimePart {
  if (!/^[\w.+-]{1,60}\/[\w.+-]{1,60}$/.test(type)) throw new RangeError('the type of an attachment is not one')
  const shown = /^[\x20-\x7e]{1,100}$/.test(name)
    ? `filename="${name.replaceAll(/[\\"]/g, '_')}"`
    : `filename*=utf-8''${encodeURIComponent(name.toWellFormed().slice(0, 100)).replaceAll(/['()*]/g, percent)}`
  return base64Part(type, content, { disposition: `attachment;\r\n ${shown}` })
}

/** As it stands: fields of a report. */
export function plainPart(type: string, body: string): MimePart {
  return { fields: [`Content-Type: ${type}\r\n`], body }
}

/** @param boundary  occurs in no part */
export function multipart(subtype: string, boundary: string, parts: readonly MimePart[], parameters = ''): MimePart {
  const written = parts.map(({ fields, body }) => `--${boundary}\r\n${fields.join('')}\r\n${body}\r\n`)
  return {
    fields: [`Content-Type: multipart/${subtype};${parameters}\r\n boundary="${boundary}"\r\n`],
    body: `${written.join('')}--${boundary}--`,
  }
}

/** Plain text for who can't read HTML, as mail programs write both. */
export function alternatives(text: string): readonly [MimePart, MimePart] {
  const html = `<html><head><meta http-equiv="Content-Type" content="text/html; charset=utf-8"></head><body>\r\n<div>${escapeHtml(text).replaceAll(/\r\n|\r|\n/g, '<br>\r\n')}</div>\r\n</body></html>`
  return [textPart('text/plain', text), textPart('text/html', html)]
}

/** RFC 2045 §6.7; lines end as CR LF whatever ended them. */
function quotedPrintable(text: string): string {
  return text
    .split(/\r\n|\r|\n/)
    .map(quotedLine)
    .join('\r\n')
}

function quotedLine(line: string): string {
  const bytes = Buffer.from(line)
  const lines: string[] = []
  let out = ''
  for (const [place, byte] of bytes.entries()) {
    const isSpace = byte === 0x20 || byte === 0x09
    const isPlain = (byte >= 0x21 && byte <= 0x7e && byte !== 0x3d) || (isSpace && place < bytes.length - 1)
    const written = isPlain ? String.fromCodePoint(byte) : `=${byte.toString(16).toUpperCase().padStart(2, '0')}`
    if (out.length + written.length > 75) {
      lines.push(`${out}=`)
      out = ''
    }
    out += written
  }
  return [...lines, out].join('\r\n')
}

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}

function percent(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase()}`
}
