// Text and addresses as a report may hold them: what a peer or next hop wrote can't start a line, a field or a body part of ours. (DL-4)

/** DL-4: so much of what a next hop said is worth repeating. */
const MAX_REPLY_OCTETS = 1_000
/** A word that long is broken: a line may have 998 octets (RFC 5322 §2.1.1). */
const MAX_WORD = 200
const LINE = 76

/** Printable ASCII: control characters are gone, anything beyond ASCII is escaped as in RFC 6533 §3, and it is at most 1,000 octets long. */
export function cleanReplyText(text: string): string {
  const printable = text.replace(/[\0-\x20\x7f-\x9f]+/g, ' ').trim()
  let clean = ''
  for (const char of printable) {
    const next = char > '~' ? escapeCodePoint(char) : char
    if (clean.length + next.length > MAX_REPLY_OCTETS) break
    clean += next
  }
  return clean
}

/** `\x{E9}` (RFC 6533 §3, EmbeddedUnicodeChar) */
function escapeCodePoint(char: string): string {
  return `\\x{${(char.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(2, '0')}}`
}

export function isAscii(text: string): boolean {
  return !/[^\0-\x7f]/.test(text)
}

/** An address as `utf-8-addr-xtext` of RFC 6533 §3: fits where only ASCII does. */
export function utf8Xtext(address: string): string {
  return address.replace(/[^!-~]|[\\+=]/gu, escapeCodePoint)
}

/** xtext of RFC 3461 §4; undefined where it is malformed, or hides anything but printable ASCII. */
export function decodeXtext(xtext: string): string | undefined {
  if (!/^(?:[!-*,-<>-~]|\+[0-9A-F]{2})*$/.test(xtext)) return undefined
  const decoded = xtext.replace(/\+([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  return /^[ -~]*$/.test(decoded) ? decoded : undefined
}

/**
 * One header-like field with its line break, folded between words.
 * @param body  without control characters
 */
export function foldedField(name: string, body: string): string {
  const lines: string[] = []
  let line = `${name}:`
  for (const word of words(body)) {
    if (line.length + 1 + word.length > LINE && line !== `${name}:` && line !== '') {
      lines.push(line)
      line = ''
    }
    line += ` ${word}`
  }
  return `${[...lines, line].join('\r\n')}\r\n`
}

/** Paragraph wrapped for people, each line indented. */
export function wrapped(text: string, indent: string): string {
  const lines: string[] = []
  let line = ''
  for (const word of words(text)) {
    if (line !== '' && indent.length + line.length + 1 + word.length > LINE) {
      lines.push(line)
      line = ''
    }
    line += line === '' ? word : ` ${word}`
  }
  return [...lines, line].map((each) => `${indent}${each}\r\n`).join('')
}

function* words(text: string): Iterable<string> {
  for (const word of text.split(' ')) {
    if (word === '') continue
    for (let from = 0; from < word.length; from += MAX_WORD) yield word.slice(from, from + MAX_WORD)
  }
}

/** RFC 2045 §6.7, of octets with CR LF line ends: for whatever a 7-bit part can't hold. Ends in a line break. */
export function quotedPrintable(bytes: Uint8Array): string {
  let out = ''
  let column = 0
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] ?? 0
    if (byte === 13 && bytes[i + 1] === 10) {
      out += '\r\n'
      column = 0
      i++
      continue
    }
    const endsLine = i + 1 === bytes.length || bytes[i + 1] === 13
    const isPlain = (byte > 32 && byte < 127 && byte !== 61) || ((byte === 32 || byte === 9) && !endsLine)
    const token = isPlain ? String.fromCharCode(byte) : `=${byte.toString(16).toUpperCase().padStart(2, '0')}`
    if (column + token.length > LINE - 1) {
      out += '=\r\n'
      column = 0
    }
    out += token
    column += token.length
  }
  return column === 0 ? out : `${out}\r\n`
}

/** `Sun, 22 Nov 2026 10:15:00 +0000` (RFC 5322 §3.3) */
export function mailDate(ms: number): string {
  return new Date(ms).toUTCString().replace('GMT', '+0000')
}
