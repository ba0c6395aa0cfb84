// Delivery status and disposition notifications (R70-R72): the fields that name the recipient name the presented address, to which the
// outsider wrote (RFC 3464 §2.3, RFC 8098 §3.2, RFC 6533 §3).
import { Buffer } from 'node:buffer'
import { formatAddrSpec, isAscii } from './addr-spec.ts'
import type { ReportRecorder } from './change-report.ts'
import type { AddressMap } from './lookup.ts'
import { mapAddress, parseFoundAddress, replaceBareAddress, shiftReplacements } from './found-address.ts'
import type { Replacement } from './found-address.ts'
import type { Splice } from './splice.ts'

export interface ReportPartOptions {
  readonly map: AddressMap
  /** IMAP number of the part. */
  readonly path: string
}

/** By lower-case name, as the report of the engine writes it. */
const FIELDS = new Map([
  ['final-recipient', 'Final-Recipient'],
  ['original-recipient', 'Original-Recipient'],
  ['x-actual-recipient', 'X-Actual-Recipient'],
])
const MAX_NAME = 18
const INITIALS = new Set(Buffer.from('foxFOX'))

const TAB = 0x09
const LF = 0x0a
const SPACE = 0x20
const COLON = 0x3a

/** The change of a report part of direction `out`. */
export function rewriteReportPart(octets: Buffer, options: ReportPartOptions, recorder: ReportRecorder): Splice[] {
  const splices: Splice[] = []
  for (let at = 0; at < octets.length;) {
    const start = at
    at = lineEnd(octets, start)
    if (!INITIALS.has(octets[start] ?? 0)) continue
    const colon = octets.subarray(start, start + MAX_NAME + 2).indexOf(COLON)
    const name = FIELDS.get(
      octets
        .toString('latin1', start, start + Math.max(colon, 0))
        .trimEnd()
        .toLowerCase(),
    )
    if (name === undefined) continue
    while (octets[at] === SPACE || octets[at] === TAB) at = lineEnd(octets, at)
    const valueStart = start + colon + 1
    const value = octets.toString('latin1', valueStart, at)
    for (const { start: from, end, text: added } of replaceRecipient(value, name, options, recorder)) {
      splices.push({ start: valueStart + from, end: valueStart + end, pieces: [{ added, isLineBreak: false }] })
    }
  }
  return splices
}

function lineEnd(octets: Buffer, start: number): number {
  const lf = octets.indexOf(LF, start)
  return lf < 0 ? octets.length : lf + 1
}

/** @param value  `type; address` with its folds and line break, bytes as latin1 text */
function replaceRecipient(
  value: string,
  field: string,
  { map, path }: ReportPartOptions,
  recorder: ReportRecorder,
): Replacement[] {
  const semicolon = value.indexOf(';')
  const type = value.slice(0, Math.max(semicolon, 0)).trim().toLowerCase()
  if (type !== 'rfc822' && type !== 'utf-8') return []
  const range = addressRange(value, semicolon + 1)
  if (range === undefined) return []
  const raw = value.slice(range.start, range.end)
  // Type utf-8 carries any address, and type rfc822 only ASCII (RFC 3464 §2.3.1), whatever the message is.
  const task = { map, fn: 'present', smtpUtf8: type === 'utf-8', recorder, where: `part:${path}:${field}` } as const
  if (type === 'rfc822') return isAscii(raw) ? shiftReplacements(replaceBareAddress(raw, task), range.start) : []
  const address = parseFoundAddress(unescapeUtf8(raw), 'both')
  const mapped = address && mapAddress(address, task)
  if (mapped === undefined) return []
  return [{ start: range.start, end: range.end, text: escapeUtf8(formatAddrSpec(mapped.local, mapped.domain)) }]
}

/** The address alone: without angle brackets; undefined when other text than a comment follows it. */
function addressRange(value: string, from: number): { start: number; end: number } | undefined {
  let start = from
  while (isWhiteSpace(value.charCodeAt(start))) start++
  const isBracketed = value.charAt(start) === '<'
  if (isBracketed) start++
  let end = start
  let isQuoted = false
  for (; end < value.length; end++) {
    const character = value.charAt(end)
    if (character === '\\' && isQuoted) end++
    else if (character === '"') isQuoted = !isQuoted
    else if (!isQuoted && (isWhiteSpace(value.charCodeAt(end)) || (isBracketed && character === '>'))) break
  }
  let after = isBracketed && value.charAt(end) === '>' ? end + 1 : end
  while (isWhiteSpace(value.charCodeAt(after))) after++
  return after >= value.length || value.charAt(after) === '(' ? { start, end } : undefined
}

function isWhiteSpace(code: number): boolean {
  return code === SPACE || code === TAB || code === LF || code === 0x0d
}

/** utf-8-address (RFC 6533 §3): `\x{HEX}` stands for a character, others for themselves. Bytes as latin1 in and out. */
function unescapeUtf8(raw: string): string {
  return raw.replace(/\\x\{([0-9a-f]{2,6})\}/gi, (escape, hex: string) => {
    const code = Number.parseInt(hex, 16)
    const isCharacter = code <= 0x10ffff && (code < 0xd800 || code > 0xdfff)
    return isCharacter ? Buffer.from(String.fromCodePoint(code)).toString('latin1') : escape
  })
}

/** The ASCII form, in which a report may travel anywhere. */
function escapeUtf8(address: string): string {
  return Array.from(address)
    .map((character) =>
      isAscii(character) ? character : `\\x{${character.codePointAt(0)?.toString(16).toUpperCase()}}`,
    )
    .join('')
}
