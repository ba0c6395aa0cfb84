// Content-Type and Content-Transfer-Encoding values, read as mail programs do rather than as the grammar wants
// (RFC 2045 §5.1 and §6.1, RFC 2231 for parameters in pieces or with a charset).

export interface ContentType {
  /** `type/subtype` in lower case. */
  readonly type: string
  /** By lower-case name; values as latin1 text, quotes and RFC 2231 encoding undone. The first of a name counts. */
  readonly parameters: ReadonlyMap<string, string>
}

const TAB = 0x09
const SPACE = 0x20
const QUOTE = 0x22
const OPEN = 0x28
const CLOSE = 0x29
const COMMA = 0x2c
const SEMICOLON = 0x3b
const EQUALS = 0x3d
const BACKSLASH = 0x5c

/** @param value  body of a Content-Type field as unfolded latin1 text; never fails: what can't be read has type '' */
export function parseContentType(value: string): ContentType {
  const typeStart = skipFiller(value, 0)
  let at = wordEnd(value, typeStart)
  let type = value.slice(typeStart, at)
  // White space around the slash: `text / calendar`.
  for (
    let next = skipFiller(value, at);
    type.endsWith('/') || value.startsWith('/', next);
    next = skipFiller(value, at)
  ) {
    const end = wordEnd(value, next)
    if (end === next) break
    type += value.slice(next, end)
    at = end
  }
  const found: Parameter[] = []
  while (at < value.length) {
    at = skipFiller(value, at)
    const nameStart = at
    at = wordEnd(value, at)
    const name = value.slice(nameStart, at).toLowerCase()
    at = skipSpace(value, at)
    if (value.charCodeAt(at) !== EQUALS) {
      // A stray character must not hold us up.
      if (name === '' && at < value.length) at++
      continue
    }
    at = skipSpace(value, at + 1)
    if (value.charCodeAt(at) === QUOTE) {
      const quoted = readQuoted(value, at)
      at = quoted.end
      found.push({ name, value: quoted.text })
    } else {
      const end = unquotedEnd(value, at)
      found.push({ name, value: value.slice(at, end) })
      at = end
    }
  }
  return { type: type.toLowerCase(), parameters: joinPieces(found) }
}

/** The encoding named in a Content-Transfer-Encoding value in lower case; '' when there is none. */
export function parseTransferEncoding(value: string): string {
  const start = skipFiller(value, 0)
  return value.slice(start, wordEnd(value, start)).toLowerCase()
}

interface Parameter {
  readonly name: string
  readonly value: string
}

/** Puts `name*0`, `name*1*` … together and undoes their encoding (RFC 2231 §3, §4). A plain `name` is preferred to its pieces. */
function joinPieces(found: readonly Parameter[]): Map<string, string> {
  const parameters = new Map<string, string>()
  const pieces = new Map<string, Map<number, string>>()
  for (const { name, value } of found) {
    const star = name.indexOf('*')
    if (star <= 0) {
      if (name !== '' && !parameters.has(name)) parameters.set(name, value)
      continue
    }
    const encoded = name.endsWith('*')
    const number = encoded ? name.slice(star + 1, -1) : name.slice(star + 1)
    const index = number === '' ? 0 : Number(number)
    if (!Number.isInteger(index) || index < 0) continue
    const base = name.slice(0, star)
    const ofName = pieces.get(base) ?? new Map<number, string>()
    if (!ofName.has(index)) ofName.set(index, encoded ? decodeExtended(value, index === 0) : value)
    pieces.set(base, ofName)
  }
  for (const [name, ofName] of pieces) {
    if (parameters.has(name)) continue
    let joined = ''
    for (let index = 0; ofName.has(index); index++) joined += ofName.get(index)
    if (ofName.has(0)) parameters.set(name, joined)
  }
  return parameters
}

/** `charset'language'percent-encoded` to octets as latin1 text; later pieces have no charset. */
function decodeExtended(value: string, first: boolean): string {
  const language = first ? value.indexOf("'") : -1
  const text = language < 0 ? -1 : value.indexOf("'", language + 1)
  return value
    .slice(text + 1)
    .replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
}

function isSpace(code: number): boolean {
  return code === SPACE || code === TAB || code === 0x0a || code === 0x0d
}

function skipSpace(text: string, from: number): number {
  let at = from
  while (isSpace(text.charCodeAt(at))) at++
  return at
}

/** Skips white space, comments and separators. */
function skipFiller(text: string, from: number): number {
  for (let at = from; ; at++) {
    const code = text.charCodeAt(at)
    if (code === OPEN) at = commentEnd(text, at)
    else if (!isSpace(code) && code !== SEMICOLON && code !== COMMA) return at
  }
}

/** Offset of the parenthesis that closes the comment at `from`, or the last of the text. */
function commentEnd(text: string, from: number): number {
  let depth = 0
  for (let at = from; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === BACKSLASH) at++
    else if (code === OPEN) depth++
    else if (code === CLOSE && --depth === 0) return at
  }
  return text.length - 1
}

/** End of a type, name or encoding. */
function wordEnd(text: string, from: number): number {
  let at = from
  while (at < text.length) {
    const code = text.charCodeAt(at)
    if (isSpace(code) || code === SEMICOLON || code === EQUALS || code === OPEN || code === COMMA || code === QUOTE)
      break
    at++
  }
  return at
}

/** Boundaries are often written without the quotes that their `=`, `(` or `?` would need: only a semicolon or white space ends a value. */
function unquotedEnd(text: string, from: number): number {
  let at = from
  while (at < text.length && !isSpace(text.charCodeAt(at)) && text.charCodeAt(at) !== SEMICOLON) at++
  return at
}

/** A quoted-string; one that isn't closed ends with the value. */
function readQuoted(text: string, from: number): { text: string; end: number } {
  let value = ''
  let start = from + 1
  for (let at = start; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) return { text: value + text.slice(start, at), end: at + 1 }
    if (code === BACKSLASH && at + 1 < text.length) {
      value += text.slice(start, at)
      start = ++at
    }
  }
  return { text: value + text.slice(start), end: text.length }
}
