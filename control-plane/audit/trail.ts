// An exported audit trail: one JSON object a line, written in one way only (canonical JSON), so that not an octet of it can change unseen. Pure.
//
//   {"kind":"trail", …}        whose trail, from which event on, and how many keys follow
//   {"kind":"key", …}          the installation's keys, the oldest first
//   {"kind":"event", …}        header and payload as they were hashed (payload null: cleared, AU-4), and the hash
//   {"kind":"checkpoint", …}   right after the event that it is of
//   {"kind":"end", …}          without it the file was cut off
import { isUtf8 } from 'node:buffer'
import { canonicalJson } from './audit.ts'
import { isTime } from './checkpoint.ts'
import type { AuditKey } from './audit-key.ts'

export const TRAIL_FORMAT = 'causeway-audit-trail/1'
export const TRAIL_MEDIA_TYPE = 'application/x-ndjson'

export interface TrailHead {
  readonly kind: 'trail'
  readonly format: typeof TRAIL_FORMAT
  readonly origin: string
  /** Sequence of the first event. */
  readonly from: number
  /** Hex hash of the event before it. */
  readonly previous: string
  readonly keys: number
}
export interface TrailKey {
  readonly kind: 'key'
  readonly ordinal: number
  readonly id: string
  /** Base64, as is the signature. */
  readonly publicKey: string
  readonly createdAt: string
  readonly signature: string
}
export interface TrailEvent {
  readonly kind: 'event'
  readonly header: string
  readonly payload: string | null
  /** Hex. */
  readonly hash: string
}
export interface TrailCheckpoint {
  readonly kind: 'checkpoint'
  /** Signed note (checkpoint.ts). */
  readonly note: string
}
export interface TrailEnd {
  readonly kind: 'end'
  /** Sequence of the last event. */
  readonly size: number
  /** Size of the last checkpoint that the trail holds; 0: none. */
  readonly checkpoint: number
}
export type TrailRecord = TrailHead | TrailKey | TrailEvent | TrailCheckpoint | TrailEnd

export const formatRecord = (record: TrailRecord): string => canonicalJson(record)

/** undefined for what `formatRecord` didn't write. @param line  without its line feed */
export function parseRecord(line: Buffer): TrailRecord | undefined {
  if (!isUtf8(line)) return undefined
  const text = line.toString()
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  return isRecord(value) && canonicalJson(value) === text ? value : undefined
}

export function toTrailKey(key: AuditKey): TrailKey {
  const { ordinal, id, createdAt } = key
  return {
    kind: 'key',
    ordinal,
    id,
    publicKey: key.publicKey.toString('base64'),
    createdAt,
    signature: key.signature.toString('base64'),
  }
}

export function toAuditKey({ ordinal, id, publicKey, createdAt, signature }: TrailKey): AuditKey {
  return {
    ordinal,
    id,
    publicKey: Buffer.from(publicKey, 'base64'),
    createdAt,
    signature: Buffer.from(signature, 'base64'),
  }
}

type Check = (value: unknown) => boolean
const isText: Check = (value) => typeof value === 'string'
const isCount: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0
const isHex32: Check = (value) => typeof value === 'string' && /^[0-9a-f]{64}$/.test(value)
const isBase64: Check = (value) =>
  typeof value === 'string' && Buffer.from(value, 'base64').toString('base64') === value

const MEMBERS: Readonly<Record<TrailRecord['kind'], Readonly<Record<string, Check>>>> = {
  trail: {
    format: (value) => value === TRAIL_FORMAT,
    origin: isText,
    from: (value) => isCount(value) && value !== 0,
    previous: isHex32,
    keys: isCount,
  },
  key: {
    ordinal: isCount,
    id: isHex32,
    publicKey: isBase64,
    createdAt: (value) => typeof value === 'string' && isTime(value),
    signature: isBase64,
  },
  event: { header: isText, payload: (value) => value === null || isText(value), hash: isHex32 },
  checkpoint: { note: isText },
  end: { size: isCount, checkpoint: isCount },
}

function isRecord(value: unknown): value is TrailRecord {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  const { kind, ...members } = value as Record<string, unknown>
  if (typeof kind !== 'string' || !Object.hasOwn(MEMBERS, kind)) return false
  const checks = MEMBERS[kind as TrailRecord['kind']]
  const needed = Object.entries(checks)
  return (
    Object.keys(members).length === needed.length &&
    needed.every(([name, holds]) => Object.hasOwn(members, name) && holds(members[name]))
  )
}
