// One event of a relay as it is kept: what a search begins with in columns, the rest as it came. Pure. (RC-7, PR-3, PR-4)
import type { EventClass, RelayEvent } from '../../common/relay-contract.ts'

const DAY_MS = 86_400_000
export const KEEP_DAYS = 30
/** A relay's clock may be ahead of ours. */
const MAX_AHEAD_MS = DAY_MS

/** Words of the relay's journal that end or move a delivery. */
export const OUTCOMES = [
  'delivered',
  'deferred',
  'failed',
  'reported',
  'dead',
  'quarantined',
  'held',
  'removed',
  'discarded',
] as const
export type Outcome = (typeof OUTCOMES)[number]

export interface EventRow {
  readonly id: string
  readonly time: string
  readonly class: EventClass
  readonly event: string
  readonly queueId: string | null
  readonly messageId: string | null
  readonly sender: string | null
  readonly recipients: readonly string[]
  readonly fields: Readonly<Record<string, unknown>>
}

/** undefined for what would be swept at once, or is of a time that has not come. @param now  ms since the epoch */
export function toEventRow(event: RelayEvent, now: number): EventRow | undefined {
  const at = Date.parse(event.time)
  if (!(at > now - KEEP_DAYS * DAY_MS && at < now + MAX_AHEAD_MS)) return undefined
  const fields = cleaned(event.fields, 0) as Record<string, unknown>
  const { messageId, from, to, recipient } = fields
  const named = [...(Array.isArray(to) ? to : []), recipient].filter((each) => typeof each === 'string')
  return {
    id: event.id,
    time: new Date(at).toISOString(),
    class: event.class,
    event: event.event,
    queueId: event.queueId ?? null,
    messageId: textOr(messageId),
    sender: textOr(from),
    recipients: event.class === 'message' ? [...new Set(named)] : [],
    fields,
  }
}

/** The day (UTC) whose partition holds it: `2026-11-28`. */
export const dayOf = (time: string): string => time.slice(0, 10)

function textOr(value: unknown): string | null {
  return typeof value === 'string' ? value : null
}

const MAX_DEPTH = 8

/** What Postgres can keep as jsonb: no NUL, no half of a surrogate pair, no depth without end. */
function cleaned(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return cleanText(value)
  if (typeof value !== 'object' || value === null) return value
  if (depth === MAX_DEPTH) return null
  if (Array.isArray(value)) return value.map((item) => cleaned(item, depth + 1))
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [cleanText(name), cleaned(member, depth + 1)]),
  )
}

const cleanText = (text: string): string => text.toWellFormed().replaceAll('\0', '')
