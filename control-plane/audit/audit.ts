// One audit event and its place in a chain. Pure. (AU-1, AU-2)
//
// hash(n) = SHA-256( hash(n-1) ‖ canonical(header(n)) ); the header holds SHA-256 of the payload, and the payload a random salt, so that a
// payload can be cleared (AU-4) and its hash tells nothing. Canonical JSON: RFC 8785's order and spelling for what we write (strings,
// integers, booleans, objects, lists).
import { hash } from 'node:crypto'

export const AUDIT_FORMAT = 'causeway-audit/1'
export const EMPTY_HEAD = Buffer.alloc(32)

export type AuditResult = 'done' | 'denied' | 'failed'

/** What the event says, before it has a place. No content, no secrets. */
export interface AuditEntry {
  /** `<area>.<what>` */
  readonly action: string
  /** `person:<tid>/<oid>`, `key:<id>`, `relay:<id>`, `system:<what>`, `anonymous` */
  readonly actor: string
  readonly project?: string
  /** Id of what was acted on. */
  readonly object?: string
  readonly result: AuditResult
  /** SHA-256 of canonical JSON, hex: what the object was, and became. */
  readonly before?: string
  readonly after?: string
  readonly requestId?: string
  /** Address of whoever asked, and what else is worth knowing: cleared in the end (AU-4). */
  readonly payload: Readonly<Record<string, unknown>>
}

export interface AuditHeader {
  readonly format: typeof AUDIT_FORMAT
  readonly chain: string
  readonly sequence: number
  readonly id: string
  readonly time: string
  readonly action: string
  readonly actor: string
  readonly project: string
  readonly object: string
  readonly result: AuditResult
  readonly before: string
  readonly after: string
  readonly requestId: string
  /** Hex SHA-256. */
  readonly payload: string
}

export interface ChainedEvent {
  readonly header: AuditHeader
  readonly headerText: string
  readonly payloadText: string
  readonly hash: Buffer
}

export interface Place {
  readonly chain: string
  /** Events before it. */
  readonly size: number
  readonly head: Uint8Array
}

/** @param salt  random; @param time  RFC 3339 */
export function chainEvent(
  place: Place,
  entry: AuditEntry,
  { id, time, salt }: { id: string; time: string; salt: string },
): ChainedEvent {
  const payloadText = canonicalJson({ ...entry.payload, salt })
  const header: AuditHeader = {
    format: AUDIT_FORMAT,
    chain: place.chain,
    sequence: place.size + 1,
    id,
    time,
    action: entry.action,
    actor: entry.actor,
    project: entry.project ?? '',
    object: entry.object ?? '',
    result: entry.result,
    before: entry.before ?? '',
    after: entry.after ?? '',
    requestId: entry.requestId ?? '',
    payload: hash('sha256', payloadText, 'hex'),
  }
  const headerText = canonicalJson(header)
  return { header, headerText, payloadText, hash: eventHash(place.head, headerText) }
}

export function eventHash(head: Uint8Array, headerText: string): Buffer {
  return hash('sha256', Buffer.concat([head, Buffer.from(headerText)]), 'buffer')
}

/** SHA-256 of an object's canonical JSON, hex: for `before` and `after`. */
export const digestOf = (value: unknown): string => hash('sha256', canonicalJson(value), 'hex')

/** Members in the order of their names' UTF-16 code units, no white space; members that are undefined are left out. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${Array.from(value, (item) => canonicalJson(item ?? null)).join(',')}]`
  if (value instanceof Date) return JSON.stringify(value.toISOString())
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
    return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonicalJson(member)}`).join(',')}}`
  }
  return JSON.stringify(value) ?? 'null'
}
