// Content lines of iCalendar (RFC 5545 §3.1): written folded at 75 octets, read unfolded into names, parameters and values. Reading never throws and
// is linear in the text.

export interface ContentLine {
  /** Upper case. */
  readonly name: string
  /** By name in upper case. */
  readonly parameters: ReadonlyMap<string, readonly string[]>
  readonly value: string
}

type Parameter = readonly [name: string, value: string]

const OCTETS = 75

/** Whole, CR LF at its end. */
export function contentLine(name: string, parameters: readonly Parameter[], value: string): string {
  const said = parameters.map(([each, text]) => `;${each}=${parameterValue(text)}`).join('')
  return fold(`${name}${said}:${value}`)
}

/** RFC 5545 §3.3.11 */
export function escapeText(text: string): string {
  return text
    .toWellFormed()
    .replaceAll(/[\\;,]/g, String.raw`\$&`)
    .replaceAll(/\r\n|\r|\n/g, String.raw`\n`)
    .replaceAll(/[^\P{Cc}\t]/gu, ' ')
}

export function unescapeText(text: string): string {
  return text.replaceAll(/\\(.)/g, (_, character: string) => (/n/i.test(character) ? '\n' : character))
}

/** What RFC 6068 forbids in the address of a mailto URI is percent-encoded. */
export function mailto(address: string): string {
  const encoded = address.replaceAll(/[^A-Za-z0-9\-._~!$'*+@]/g, (character) => encodeURIComponent(character))
  return `mailto:${encoded.replaceAll(/[()]/g, (each) => `%${each.charCodeAt(0).toString(16)}`)}`
}

/** Of a mailto URI, or the bare address that some write. */
export function addressOfUri(uri: string): string {
  const address = uri.replace(/^mailto:/i, '').replace(/[?].*$/s, '')
  try {
    return decodeURIComponent(address)
  } catch {
    // A percent sign that begins no octet stands for itself.
    return address
  }
}

/** `20261129T100000Z` */
export function utcTime(atMs: number): string {
  return `${localTime(atMs)}Z`
}

/** The same, for who says the zone elsewhere. */
export function localTime(atMs: number): string {
  return new Date(atMs).toISOString().slice(0, 19).replaceAll(/[-:]/g, '')
}

/** ms since the epoch; undefined: no such time, or one of a zone that nobody here knows. */
export function timeOf({ parameters, value }: ContentLine): number | undefined {
  const [, year, month, day, hour, minute, second, zone] =
    /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(Z?)$/.exec(value) ?? []
  if (year === undefined || (zone === '' && parameters.get('TZID')?.[0]?.toUpperCase() !== 'UTC')) return undefined
  const time = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`)
  return Number.isNaN(time) ? undefined : time
}

/** Every line that is one, in order. */
export function readContentLines(text: string): readonly ContentLine[] {
  return text
    .replaceAll(/\r?\n[ \t]/g, '')
    .split(/\r?\n/)
    .flatMap((line) => readLine(line.replaceAll(/[^\P{Cc}\t]/gu, '')) ?? [])
}

function readLine(line: string): ContentLine | undefined {
  const name = /^[A-Za-z0-9-]+/.exec(line)?.[0]
  if (name === undefined) return undefined
  const parameters = new Map<string, readonly string[]>()
  const parameter = /;([A-Za-z0-9-]+)=((?:"[^"]*"|[^":;,]*)(?:,(?:"[^"]*"|[^":;,]*))*)/y
  let at = name.length
  for (;;) {
    parameter.lastIndex = at
    const [whole, key = '', values = ''] = parameter.exec(line) ?? []
    if (whole === undefined) break
    parameters.set(key.toUpperCase(), valuesIn(values))
    at += whole.length
  }
  return line[at] === ':' ? { name: name.toUpperCase(), parameters, value: line.slice(at + 1) } : undefined
}

function valuesIn(list: string): readonly string[] {
  return (list.match(/"[^"]*"|[^",]+/g) ?? []).map((each) => each.replaceAll('"', ''))
}

/** There is no way to write a quotation mark in one. */
function parameterValue(text: string): string {
  const plain = text
    .toWellFormed()
    .replaceAll('"', "'")
    .replaceAll(/\p{Cc}+/gu, ' ')
  return /[,;:]/.test(plain) || plain === '' ? `"${plain}"` : plain
}

/** Never within a character. */
function fold(line: string): string {
  const lines: string[] = []
  let piece = ''
  let octets = 0
  for (const character of line) {
    const size = Buffer.byteLength(character)
    if (octets + size > OCTETS) {
      lines.push(piece)
      piece = ' '
      octets = 1
    }
    piece += character
    octets += size
  }
  return [...lines, piece, ''].join('\r\n')
}
