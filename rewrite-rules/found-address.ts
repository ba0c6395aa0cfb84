// One address where it was found, in a header field, a calendar part or a report: asked for in the table, and replaced in its own spelling.
// Text that is replaced is latin1, one character a byte.
import { Buffer } from 'node:buffer'
import { formatAddrSpec, isAscii } from './addr-spec.ts'
import type { AddrSpec } from './addr-spec.ts'
import { readAddress, scanAddrSpec } from './address-list.ts'
import type { Span, UnicodeParts } from './address-list.ts'
import type { ReportRecorder } from './change-report.ts'
import type { AddressMap, MapFunction, Mapped } from './lookup.ts'

/** What takes the place of a span. */
export interface Replacement extends Span {
  readonly text: string
}

export interface AddressTask {
  readonly map: AddressMap
  readonly fn: MapFunction
  /** R27 */
  readonly smtpUtf8: boolean
  readonly recorder: ReportRecorder
  /** `where` of a change (rewriting.md §14). */
  readonly where: string
}

// PH-5 allows 576 octets, and each may be percent-encoded.
const MAX_ADDRESS = 2000

/** Reads `text` as one address and nothing else; undefined also for a domain literal, which never matches (R24). */
export function parseFoundAddress(text: string, unicode: UnicodeParts): AddrSpec | undefined {
  if (text.length > MAX_ADDRESS) return undefined
  const found = scanAddrSpec(text)
  if (found === undefined || found.isLiteral || found.hasCfws || found.end - found.start !== text.length)
    return undefined
  return readAddress(text, found, unicode)
}

/** What becomes of `raw`, an address as it is; only the part that changes is in the result (R41). Spans ascend and are of `raw`. */
export function replaceBareAddress(raw: string, task: AddressTask): Replacement[] {
  // Calendar data is UTF-8 in its own right; a local part outside ASCII still needs SMTPUTF8 (R27).
  const address = parseFoundAddress(raw, task.smtpUtf8 ? 'both' : 'domain')
  const mapped = address && mapAddress(address, task)
  return mapped === undefined ? [] : spliceAddress(raw, mapped, utf8Bytes)
}

/** The same for the address of a mailto URI (R63, RFC 6068 §2). */
export function replaceUriAddress(raw: string, task: AddressTask): Replacement[] {
  const decoded = decodePercent(raw)
  // Percent-encoding is no way to carry a local part outside ASCII (R27).
  const address = parseFoundAddress(decoded, task.smtpUtf8 && raw === decoded ? 'both' : 'domain')
  const mapped = address && mapAddress(address, task)
  if (mapped === undefined) return []
  // Once a part of it is written, all of it has a literal @ and +.
  if (raw === decoded) return spliceAddress(raw, mapped, encodeMailtoPart)
  return [{ start: 0, end: raw.length, text: `${encodeMailtoPart(mapped.local)}@${encodeMailtoPart(mapped.domain)}` }]
}

/** @returns undefined where the address stays */
export function mapAddress({ local, domain }: AddrSpec, task: AddressTask): Replaced | undefined {
  const mapped = task.map.map(task.fn, local, domain, task.smtpUtf8)
  if (mapped.kind === 'kept') {
    if (mapped.code !== undefined) task.recorder.code(mapped.code)
    return undefined
  }
  const replacement = formatAddrSpec(mapped.local, mapped.domain)
  task.recorder.change(task.where, formatAddrSpec(local, domain), replacement, mapped.rule)
  return mapped
}

type Replaced = Extract<Mapped, { kind: 'replaced' }>

function spliceAddress(raw: string, mapped: Replaced, write: (text: string) => string): Replacement[] {
  const domain = { start: raw.lastIndexOf('@') + 1, end: raw.length, text: write(mapped.domain) }
  if (mapped.keep === 'local-part') return [domain]
  const plus = raw.indexOf('+')
  const newPlus = mapped.local.indexOf('+')
  if (mapped.keep === 'extension' && plus >= 0 && newPlus >= 0) {
    return [{ start: 0, end: plus, text: write(mapped.local.slice(0, newPlus)) }, domain]
  }
  return [{ start: 0, end: raw.length, text: `${write(mapped.local)}@${domain.text}` }]
}

/** The bytes of UTF-8 as latin1 text. */
export function utf8Bytes(text: string): string {
  return isAscii(text) ? text : Buffer.from(text).toString('latin1')
}

/** Latin1 text with every %HH made a byte; a `%` without two hex digits stays. */
export function decodePercent(text: string): string {
  if (!text.includes('%')) return text
  return text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
}

/** A local part or domain as it may stand in a mailto URI: RFC 6068 §2, less the characters that end an address in a list (R63). */
function encodeMailtoPart(text: string): string {
  return utf8Bytes(text).replace(/[^A-Za-z0-9\-._~!$'*+@]/g, (character) => {
    return `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`
  })
}

export function shiftReplacements(replacements: readonly Replacement[], by: number): Replacement[] {
  return replacements.map(({ start, end, text }) => ({ start: start + by, end: end + by, text }))
}
