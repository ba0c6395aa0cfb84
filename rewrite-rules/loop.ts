// The marker that a relay leaves on what it delivers to a project tenant, and what it concludes from those it finds (R76, R77).
import { Buffer } from 'node:buffer'
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Direction } from './change-report.ts'
import { fieldValue } from './header-block.ts'
import type { HeaderBlock, HeaderField } from './header-block.ts'

/** Field name as it is written. */
export const MARKER_FIELD = 'X-Causeway-Trace'

/** Valid markers of one direction that make a loop. */
const LOOP_MARKERS = 3
const MAX_RECEIVED_FIELDS = 100 // RFC 5321 §6.3 asks for a threshold of at least 100
// Each costs some HMACs, and a hostile message has room for thousands. Ours are prepended, so they are among the first.
const MAX_MARKERS_READ = 200

export interface MarkerKeys {
  /** Words that mail flow rules know; two are valid while they are rotated (DL-10). */
  readonly tokens: readonly string[]
  /** Project secrets, as many as are valid at a time. */
  readonly secrets: readonly (string | Uint8Array)[]
  readonly project: string
}

export interface Marker {
  readonly token: string
  readonly secret: string | Uint8Array
  readonly project: string
  readonly direction: Direction
  /** One more than the valid markers of this direction that are already there. */
  readonly count: number
  /** Name of the relay; for people. */
  readonly relay: string
  /** `messageId` of the header block. */
  readonly messageId: string
}

/** Body of the marker field. */
export function formatMarker(marker: Marker): string {
  const { token, direction, count, relay } = marker
  return `${token} v=1; d=${direction}; n=${count}; r=${relay}; h=${mac(marker).toString('base64url')}`
}

function mac({ token, secret, project, direction, count, messageId: id }: Omit<Marker, 'relay'>): Buffer {
  return createHmac('sha256', secret)
    .update(`${token}\n${direction}\n${count}\n`)
    .update(id, 'latin1')
    .update(`\n${project}`)
    .digest()
}

/** Body of the first Message-ID field, trimmed, as latin1 text of its bytes; empty when there is none. */
export function messageId(header: HeaderBlock): string {
  const field = header.fields.find(({ name }) => name === 'message-id')
  return field === undefined ? '' : fieldValue(header, field)
}

export type LoopVerdict =
  /** Goes on like any message. With markers it is `seen` in the report; that never keeps it from being rewritten. */
  | { readonly kind: 'pass'; readonly validMarkers: number }
  /** To be refused with 554 5.4.6. */
  | { readonly kind: 'loop' }

/** R77, for a message that arrives in `direction`. */
export function judgeLoop(header: HeaderBlock, direction: Direction, keys: MarkerKeys): LoopVerdict {
  const received = header.fields.filter(({ name }) => name === 'received').length
  const validMarkers = countValidMarkers(header, direction, keys)
  return received > MAX_RECEIVED_FIELDS || validMarkers >= LOOP_MARKERS
    ? { kind: 'loop' }
    : { kind: 'pass', validMarkers }
}

function countValidMarkers(header: HeaderBlock, direction: Direction, keys: MarkerKeys): number {
  const id = messageId(header)
  const fields = markerFields(header).slice(0, MAX_MARKERS_READ)
  return fields.filter((field) => isValidMarker(fieldValue(header, field), id, direction, keys)).length
}

function markerFields(header: HeaderBlock): HeaderField[] {
  const name = MARKER_FIELD.toLowerCase()
  return header.fields.filter((field) => field.name === name)
}

/** Marker fields with a token of ours, valid or not: what does not leave by MX (R76). */
export function ownMarkerFields(header: HeaderBlock, tokens: readonly string[]): HeaderField[] {
  return markerFields(header).filter((field) => tokens.includes(markerToken(fieldValue(header, field))))
}

function markerToken(body: string): string {
  return body.split(/[ \t;]/, 1)[0] ?? ''
}

function isValidMarker(body: string, id: string, direction: Direction, keys: MarkerKeys): boolean {
  const token = markerToken(body)
  if (!keys.tokens.includes(token)) return false
  const tags = new Map<string, string>()
  for (const tag of body.slice(token.length).split(';')) {
    const equals = tag.indexOf('=')
    if (equals > 0) tags.set(tag.slice(0, equals).trim(), tag.slice(equals + 1).trim())
  }
  const count = tags.get('n') ?? ''
  if (tags.get('v') !== '1' || tags.get('d') !== direction || !/^[1-9][0-9]{0,5}$/.test(count)) return false
  const given = Buffer.from(tags.get('h') ?? '', 'base64url')
  return keys.secrets.some((secret) => {
    const expected = mac({ token, secret, project: keys.project, direction, count: Number(count), messageId: id })
    return given.length === expected.length && timingSafeEqual(given, expected)
  })
}
