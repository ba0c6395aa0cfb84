// text/calendar (R60-R67): the addresses that say who takes part change as those of the header do, or scheduling breaks (RFC 6047 §2.2).
import { Buffer } from 'node:buffer'
import { formatAddrSpec, normaliseDomain, normaliseLocalPart } from './addr-spec.ts'
import type { Span } from './address-list.ts'
import type { Direction, IcsSkipReason, ReportRecorder } from './change-report.ts'
import type { TextBytes } from './charset.ts'
import { ContentLines, isMailto, MAILTO, parsePropertyLine, propertyName, refold, unfold } from './content-line.ts'
import type { ParameterValue, PropertyLine } from './content-line.ts'
import type { AddressMap, MapFunction } from './lookup.ts'
import {
  decodePercent,
  parseFoundAddress,
  replaceBareAddress,
  replaceUriAddress,
  shiftReplacements,
} from './found-address.ts'
import type { AddressTask, Replacement } from './found-address.ts'
import type { Splice } from './splice.ts'

export interface CalendarOptions {
  readonly direction: Direction
  readonly map: AddressMap
  readonly smtpUtf8: boolean
  /** R43, here for CN */
  readonly displayNameAddress: boolean
  /** `method` of the Content-Type, for an iCalendar object that has none itself; '' when there is none. */
  readonly method: string
  /** IMAP number of the part. */
  readonly path: string
}

/** The change of a calendar part, or why it can't be processed (R66, §12). */
export function rewriteCalendar(
  text: TextBytes,
  options: CalendarOptions,
  recorder: ReportRecorder,
): readonly Splice[] | IcsSkipReason {
  const outline = readOutline(text.bytes, options)
  if (typeof outline === 'string') return outline
  const { map, path, displayNameAddress } = options
  // What isn't UTF-8 can't hold a non-ASCII address as we would write it.
  const smtpUtf8 = options.smtpUtf8 && text.characters === 'utf-8'
  const splices: Splice[] = []
  const position = new Position()
  const lines = new ContentLines(text.bytes)
  for (let line = lines.next(); line !== undefined && line !== 'too long'; line = lines.next()) {
    if (!INITIALS.has(text.bytes[line.start] ?? 0)) continue
    const unfolded = unfold(text.bytes, line)
    const name = propertyName(unfolded.text)
    if (name === 'BEGIN' || name === 'END') position.take(unfolded.text)
    const role = position.isInObject ? ROLES.get(name) : undefined
    const property = role === undefined ? undefined : parsePropertyLine(unfolded.text)
    if (role === undefined || property === undefined) continue
    const fn = functionFor(role, outline, position, () => identityOf(unfolded.text, property, map), options)
    if (fn === undefined) continue
    const task = { map, fn, smtpUtf8, recorder, where: `part:${path}:${name}` }
    const replacements = replaceInProperty(unfolded.text, property, task, displayNameAddress)
    if (replacements.length > 0) splices.push(refold(text, unfolded, replacements))
  }
  return splices
}

/** Whose address a property holds (R61, R62). */
type Role = 'organizer' | 'attendee' | 'sender'

const ROLES = new Map<string, Role>([
  ['ORGANIZER', 'organizer'],
  ['ATTENDEE', 'attendee'],
  ['CALENDAR-ADDRESS', 'attendee'],
  ['X-MS-OLK-SENDER', 'sender'],
])

/** First bytes of the names above, and of BEGIN, END, METHOD and VERSION: all other lines aren't even unfolded. */
const INITIALS = new Set(Buffer.from('OACXBEMVoacxbemv'))

/** Methods with which attendees write to the organizer (R62, RFC 5546 §1.4). */
const METHODS_TO_ORGANIZER = new Set(['REPLY', 'REFRESH', 'COUNTER'])

function functionFor(
  role: Role,
  outline: Outline,
  { object, component }: Position,
  identity: () => string | undefined,
  { direction, method }: CalendarOptions,
): MapFunction | undefined {
  if (direction === 'out') return 'present'
  if (role === 'sender') return undefined
  const isToOrganizer = METHODS_TO_ORGANIZER.has(outline.methods.get(object) ?? method.toUpperCase())
  if (isToOrganizer) return role === 'organizer' ? 'locate' : undefined
  if (role === 'organizer') return undefined
  const organizers = outline.organizers.get(component)
  return organizers?.has(identity() ?? '') === true ? undefined : 'locate'
}

/** What must be known of the iCalendar objects before the first of their lines can be judged. */
interface Outline {
  /** By number of the object. */
  readonly methods: ReadonlyMap<number, string>
  /** By number of the component; only for direction `in`. */
  readonly organizers: ReadonlyMap<number, ReadonlySet<string>>
}

function readOutline(bytes: Buffer, { direction, map }: CalendarOptions): Outline | IcsSkipReason {
  const methods = new Map<number, string>()
  const organizers = new Map<number, Set<string>>()
  const position = new Position()
  const lines = new ContentLines(bytes)
  let isOld = false
  for (let line = lines.next(); line !== undefined; line = lines.next()) {
    if (line === 'too long') return 'size'
    if (!INITIALS.has(bytes[line.start] ?? 0)) continue
    const { text } = unfold(bytes, line)
    const name = propertyName(text)
    if (name === 'BEGIN' || name === 'END') position.take(text)
    if (!position.isInObject) continue
    if (name === 'VERSION' && textValue(text) === '1.0') isOld = true
    else if (name === 'METHOD' && !methods.has(position.object)) methods.set(position.object, textValue(text))
    else if (name === 'ORGANIZER' && direction === 'in') {
      const property = parsePropertyLine(text)
      const identity = property === undefined ? undefined : identityOf(text, property, map)
      const ofComponent = organizers.get(position.component) ?? new Set()
      if (identity !== undefined) organizers.set(position.component, ofComponent.add(identity))
    }
  }
  if (position.object === 0) return 'no-vcalendar'
  return isOld ? 'vcalendar-1.0' : { methods, organizers }
}

/** Where the reader is: in which object, and in which of its components; a VALARM belongs to the VEVENT around it. */
class Position {
  object = 0
  component = 0
  #depth = 0

  get isInObject(): boolean {
    return this.#depth > 0
  }

  /** @param line  a BEGIN or END line */
  take(line: string): void {
    const isBegin = propertyName(line) === 'BEGIN'
    const isObject = textValue(line) === 'VCALENDAR'
    if (isObject) this.#depth = isBegin ? 1 : 0
    else if (this.#depth > 0) this.#depth = Math.max(1, this.#depth + (isBegin ? 1 : -1))
    if (isObject && isBegin) this.object++
    if (this.#depth === 1 || (this.#depth === 2 && isBegin)) this.component++
  }
}

/** The value of a line in upper case. */
function textValue(line: string): string {
  return line
    .slice(line.indexOf(':') + 1)
    .trim()
    .toUpperCase()
}

/** Who the value of a property names: an entry of the table, else the address in the form in which addresses are compared. */
function identityOf(line: string, property: PropertyLine, map: AddressMap): string | undefined {
  const { start, end, isUri } = addressIn(line, property.value, false)
  const raw = line.slice(start, end)
  const address = parseFoundAddress(isUri ? decodePercent(raw) : raw, 'both')
  if (address === undefined) return undefined
  const entry = map.entryOf(address.local, address.domain)
  if (entry !== undefined) return String(entry)
  return formatAddrSpec(normaliseLocalPart(address.local), normaliseDomain(address.domain) ?? address.domain)
}

const URI_PARAMETERS = new Set(['SENT-BY', 'DELEGATED-TO', 'DELEGATED-FROM', 'MEMBER'])

function replaceInProperty(
  line: string,
  { parameters, value }: PropertyLine,
  task: AddressTask,
  displayNameAddress: boolean,
): Replacement[] {
  const replacements: Replacement[] = []
  for (const { name, values } of parameters) {
    const [only] = values
    if (URI_PARAMETERS.has(name)) {
      for (const uri of values) replacements.push(...replaceUri(line, uri, uri.quoted, task))
    } else if (only !== undefined && values.length === 1) {
      if (name === 'EMAIL') replacements.push(...replaceParameterText(line, only, trimmed(line, only), task))
      else if (name === 'CN' && displayNameAddress) {
        replacements.push(...replaceParameterText(line, only, undressed(line, only), task))
      }
    }
  }
  replacements.push(...replaceUri(line, value, false, task))
  return replacements
}

/** A mailto URI, or a bare address in its place. */
function replaceUri(line: string, range: Span, quoted: boolean, task: AddressTask): Replacement[] {
  const { start, end, isUri } = addressIn(line, range, quoted)
  const raw = line.slice(start, end)
  return shiftReplacements(isUri ? replaceUriAddress(raw, task) : replaceBareAddress(raw, task), start)
}

/** Where the address of a URI (R63), or a bare address, starts and ends. */
function addressIn(line: string, range: Span, quoted: boolean): Span & { readonly isUri: boolean } {
  const { start, end } = trimmed(line, range)
  if (!isMailto(line, start)) return { start, end, isUri: false }
  const from = trimmed(line, { start: start + MAILTO.length, end }).start
  const stop = quoted ? /[?" \t\r]/g : /[?",;: \t\r]/g
  stop.lastIndex = from
  return { start: from, end: Math.min(stop.exec(line)?.index ?? end, end), isUri: true }
}

function trimmed(line: string, { start, end }: Span): Span {
  let from = start
  let to = end
  while (from < to && isSpace(line.charCodeAt(from))) from++
  while (to > from && isSpace(line.charCodeAt(to - 1))) to--
  return { start: from, end: to }
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09 || code === 0x0d
}

/** Without white space around and one pair of `'` or `<>` (R43). */
function undressed(line: string, range: Span): Span {
  const { start, end } = trimmed(line, range)
  const dress = `${line.charAt(start)}${line.charAt(end - 1)}`
  return end - start > 2 && (dress === "''" || dress === '<>') ? { start: start + 1, end: end - 1 } : { start, end }
}

/**
 * An address as the text of a parameter, where `^` escapes what text may not hold (RFC 6868).
 * @param inner  the address, `value` without its dress
 */
function replaceParameterText(line: string, value: ParameterValue, inner: Span, task: AddressTask): Replacement[] {
  const raw = line.slice(inner.start, inner.end)
  const decoded = raw.replace(/\^['^]/g, (escape) => (escape === '^^' ? '^' : '"'))
  const replacements = replaceBareAddress(decoded, task)
  if (replacements.length === 0) return []
  const added = replacements.map(({ text }) => text).join('')
  if (raw === decoded && !/[",:;^]/.test(added)) return shiftReplacements(replacements, inner.start)
  const encoded = applyReplacements(decoded, replacements).replace(/["^]/g, (character) =>
    character === '^' ? '^^' : "^'",
  )
  if (value.quoted || !/[,:;]/.test(encoded)) return [{ ...inner, text: encoded }]
  const quotes = `"${line.slice(value.start, inner.start)}${encoded}${line.slice(inner.end, value.end)}"`
  return [{ start: value.start, end: value.end, text: quotes }]
}

function applyReplacements(text: string, replacements: readonly Replacement[]): string {
  let result = ''
  let from = 0
  for (const { start, end, text: added } of replacements) {
    result += text.slice(from, start) + added
    from = end
  }
  return result + text.slice(from)
}
