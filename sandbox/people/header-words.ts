// Header fields from words: folded where words end (RFC 5322 §2.2.3), encoded where a word is no ASCII (RFC 2047).

const LINE = 76
/** Of UTF-8 in one encoded word: with 75 characters it is full. */
const ENCODED_BYTES = 45
const LONGEST_WORD = 60

/** One field, CR LF at its end. No words: a field without a value. */
export function field(name: string, words: readonly string[]): string {
  const lines: string[] = []
  let line = `${name}:`
  for (const word of words) {
    if (line.length + 1 + word.length > LINE && line !== `${name}:`) {
      lines.push(line)
      line = ''
    }
    line += ` ${word}`
  }
  return [...lines, line, ''].join('\r\n')
}

/** Words of a value for people: a subject, a thread's topic. */
export function textWords(text: string): readonly string[] {
  const line = oneLine(text)
  if (line === '') return []
  return isPlainText(line) ? line.split(' ') : encodedWords(line)
}

/** Whether it may stand as it is, folded at its spaces. */
export function isPlainText(text: string): boolean {
  const isAscii = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(text)
  return isAscii && !/ {2}|=\?/.test(text) && text.split(' ').every((word) => word.length <= LONGEST_WORD)
}

/** Never splits a character. */
export function encodedWords(text: string): readonly string[] {
  const words: string[] = []
  let piece = ''
  const end = () => words.push(`=?utf-8?B?${Buffer.from(piece).toString('base64')}?=`)
  for (const character of text.toWellFormed()) {
    if (Buffer.byteLength(piece + character) > ENCODED_BYTES) {
      end()
      piece = ''
    }
    piece += character
  }
  end()
  return words
}

/** Without what would end a line or is no text. */
export function oneLine(text: string): string {
  return text.replaceAll(/\p{Cc}+/gu, ' ').trim()
}

/** `Sun, 29 Nov 2026 10:00:00 +0000` */
export function dateWords(atMs: number): readonly string[] {
  return new Date(atMs).toUTCString().replace('GMT', '+0000').split(' ')
}
