// A message's header block as fields in order, on its bytes: what isn't edited stays as it came, malformed lines included. Reads no further than the
// empty line; every step is linear in the bytes.
import { addressesIn } from './addresses.ts'

/** One field with its folded lines and line endings. */
export interface Field {
  /** As written; empty: a line that is no field, kept where it stands. */
  readonly name: string
  readonly raw: Uint8Array
}

export interface Message {
  readonly fields: readonly Field[]
  /** From the empty line on. */
  readonly rest: Uint8Array
}

const LF = 0x0a
const CR = 0x0d
const COLON = 0x3a
const EMPTY_LINE = Buffer.from('\r\n')

/** Never throws; {@link serialise} gives the same bytes again. */
export function parseMessage(bytes: Uint8Array): Message {
  const fields: Field[] = []
  let start = 0
  let at = 0
  while (at < bytes.length) {
    const lineEnd = endOfLine(bytes, at)
    if (isEmptyLine(bytes, at, lineEnd)) break
    at = lineEnd
    if (bytes[at] !== 0x20 && bytes[at] !== 0x09) {
      fields.push(fieldOf(bytes.subarray(start, at)))
      start = at
    }
  }
  if (start < at) fields.push(fieldOf(bytes.subarray(start, at)))
  return { fields, rest: bytes.subarray(at) }
}

export function serialise({ fields, rest }: Message): Uint8Array {
  return Buffer.concat([...fields.map(({ raw }) => raw), rest])
}

/** The values of every field of this name, unfolded, without the surrounding space. */
export function valuesOf({ fields }: Message, name: string): readonly string[] {
  return fields.filter((field) => isNamed(field, name)).map(valueOf)
}

/** addr-specs in every field of this name, in order. */
export function addressesOf(message: Message, name: string): readonly string[] {
  return valuesOf(message, name).flatMap(addressesIn)
}

export function prependField({ fields, rest }: Message, name: string, value: string): Message {
  const raw = Buffer.from(`${oneLine(name)}: ${oneLine(value)}\r\n`)
  return { fields: [{ name, raw }, ...fields], rest: fields.length === 0 && rest.length === 0 ? EMPTY_LINE : rest }
}

export function removeField({ fields, rest }: Message, name: string): Message {
  return { fields: fields.filter((field) => !isNamed(field, name)), rest }
}

/** Takes the place of every field of this name. */
export function setField(message: Message, name: string, value: string): Message {
  return prependField(removeField(message, name), name, value)
}

/** The first Subject begins with `text`, which stands before it as it was written. */
export function prependSubject({ fields, rest }: Message, text: string): Message {
  const words = /^[\x20-\x7e]*$/.test(text) ? text : `=?utf-8?B?${Buffer.from(text).toString('base64')}?= `
  const place = fields.findIndex((field) => isNamed(field, 'Subject'))
  const subject = fields[place]
  if (subject === undefined) return prependField({ fields, rest }, 'Subject', words)
  const value = subject.raw.indexOf(COLON) + 1
  const raw = Buffer.concat([
    subject.raw.subarray(0, value),
    Buffer.from(` ${oneLine(words)}`),
    withoutSpace(subject.raw, value),
  ])
  return { fields: fields.with(place, { name: subject.name, raw }), rest }
}

/** With encoded words decoded (RFC 2047); one of an unknown charset stays as it is. */
export function decodeWords(value: string): string {
  return value
    .replaceAll(/(\?=)\s+(?==\?)/g, '$1')
    .replaceAll(
      /=\?([^?\s]{1,64})\?([bq])\?([^?\s]*)\?=/gi,
      (word, charset: string, encoding: string, text: string) => {
        const bytes = encoding.toLowerCase() === 'b' ? Buffer.from(text, 'base64') : fromQ(text)
        try {
          return new TextDecoder(charset.replace(/\*.*$/, '')).decode(bytes)
        } catch {
          // An unknown charset: TextDecoder has no other way to say so.
          return word
        }
      },
    )
}

function fromQ(text: string): Uint8Array {
  const decoded = text
    .replaceAll('_', ' ')
    .replaceAll(/=([0-9a-f]{2})/gi, (_, hex: string) => String.fromCodePoint(Number.parseInt(hex, 16)))
  return Buffer.from(decoded, 'latin1')
}

function valueOf({ raw }: Field): string {
  return Buffer.from(raw.subarray(raw.indexOf(COLON) + 1))
    .toString('utf8')
    .replaceAll(/[\r\n]/g, '')
    .trim()
}

function isNamed(field: Field, name: string): boolean {
  return field.name !== '' && field.name.toLowerCase() === name.toLowerCase()
}

function fieldOf(raw: Uint8Array): Field {
  const colon = raw.indexOf(COLON)
  // A longer name is no header field's: the reader need not look at it (RFC 5322 §2.1.1).
  const name = colon < 1 || colon > 998 ? '' : Buffer.from(raw.subarray(0, colon)).toString('latin1')
  const trimmed = name.trimEnd()
  return { name: /^[\x21-\x39\x3b-\x7e]+$/.test(trimmed) ? trimmed : '', raw }
}

function withoutSpace(raw: Uint8Array, from: number): Uint8Array {
  return raw.subarray(raw[from] === 0x20 ? from + 1 : from)
}

function oneLine(text: string): string {
  return text.replaceAll(/[\r\n]+/g, ' ')
}

/** Index after the line's LF, or the end. */
export function endOfLine(bytes: Uint8Array, from: number): number {
  const end = bytes.indexOf(LF, from)
  return end < 0 ? bytes.length : end + 1
}

export function isEmptyLine(bytes: Uint8Array, start: number, end: number): boolean {
  return (
    (end - start === 1 && bytes[start] === LF) || (end - start === 2 && bytes[start] === CR && bytes[end - 1] === LF)
  )
}
