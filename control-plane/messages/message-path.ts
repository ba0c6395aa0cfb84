// One message's whole way: its lines at the relay that somebody asks about, at others that had it too, and those of bounces that were made of it.
import type { Tx } from '../db/database.ts'
import type { OrganisationId, ProjectId, RelayId } from '../ids.ts'
import { findByMessageId, listLines } from './message-store.ts'
import type { MessageLine } from './message-store.ts'

const MAX_LINES = 5_000
/** Senders build Message-IDs from what they like, twice the same too. */
const MAX_HOPS = 20

export interface PathEvent {
  readonly id: string
  readonly time: string
  readonly event: string
  readonly fields: Readonly<Record<string, unknown>>
}

export interface Hop {
  readonly relay: RelayId
  readonly queueId: string
  readonly kind: 'message' | 'report'
  readonly events: PathEvent[]
}

export interface MessagePath {
  readonly queueId: string
  readonly hops: Hop[]
  readonly isComplete: boolean
}

interface Place {
  readonly organisation: OrganisationId
  readonly project: ProjectId
}

/** undefined: nothing is known of it. */
export async function tracePath(tx: Tx, place: Place, queueId: string): Promise<MessagePath | undefined> {
  const own = await listLines(tx, place, [queueId], MAX_LINES)
  if (own.length === 0) return undefined
  const messageIds = new Set(own.map(({ messageId }) => messageId).filter((id) => id !== undefined))
  const elsewhere = (await findByMessageId(tx, place, [...messageIds], MAX_HOPS)).filter((id) => id !== queueId)
  const others = elsewhere.length === 0 ? [] : await listLines(tx, place, elsewhere, MAX_LINES)
  const reports = reportsOf([...own, ...others])
  const told = reports.length === 0 ? [] : await listLines(tx, place, reports, MAX_LINES)
  const lines = [...own, ...others, ...told]
  const isComplete = [own, others, told].every((part) => part.length < MAX_LINES)
  return { queueId, hops: hopsOf(lines, new Set(reports)), isComplete }
}

/** Queue ids of bounces that lines tell of. Pure. */
function reportsOf(lines: readonly MessageLine[]): string[] {
  const reports = lines.map(({ event, fields }) => (event === 'reported' ? fields['report'] : undefined))
  return [...new Set(reports.filter((report) => typeof report === 'string'))].slice(0, MAX_HOPS)
}

/** Lines by the message at its relay, in the order of their first ones. Pure. */
export function hopsOf(lines: readonly MessageLine[], reports: ReadonlySet<string>): Hop[] {
  const hops = new Map<string, Hop>()
  for (const { id, time, relay, queueId, event, fields } of lines.toSorted(
    (a, b) => a.time.getTime() - b.time.getTime(),
  )) {
    const key = `${relay} ${queueId}`
    const hop = hops.get(key) ?? { relay, queueId, kind: reports.has(queueId) ? 'report' : 'message', events: [] }
    hops.set(key, hop)
    hop.events.push({ id, time: time.toISOString(), event, fields })
  }
  return [...hops.values()]
}
