// `queue summary`: how much waits for which next hop, by age: what qshape shows of a Postfix queue. Counted while the queue is being listed.
import type { QueueItem } from '../mta/admin/queue-operations.ts'

const MINUTE_MS = 60_000
/** Upper ends, each twice the last: a hump that moves right is an outage that has not ended. */
export const AGE_MINUTES = [5, 10, 20, 40, 80, 160, 320, 640, 1280] as const

export interface SummaryLine {
  readonly nextHop: string
  readonly messages: number
  readonly bytes: number
  readonly held: number
  /** Messages up to each of `AGE_MINUTES` old, then older ones. */
  readonly byAge: readonly number[]
  /** ms */
  readonly oldest: number
}

type Counted = { -readonly [K in keyof SummaryLine]: SummaryLine[K] } & { byAge: number[] }

/**
 * A message that waits for two next hops counts for both, and once in the total.
 * @param nextHopOf  of a route; a route that isn't configured stands for itself
 * @returns the total first, then next hops, those with most messages first
 */
export async function summarise(
  items: AsyncIterable<QueueItem>,
  nextHopOf: (route: string) => string,
  now: number,
): Promise<SummaryLine[]> {
  const total = emptyLine('TOTAL')
  const lines = new Map<string, Counted>()
  for await (const item of items) {
    count(total, item, now)
    for (const nextHop of new Set(item.routes.map(nextHopOf))) {
      const line = lines.get(nextHop) ?? emptyLine(nextHop)
      lines.set(nextHop, line)
      count(line, item, now)
    }
  }
  return [total, ...[...lines.values()].toSorted((a, b) => b.messages - a.messages)]
}

function emptyLine(nextHop: string): Counted {
  return {
    nextHop,
    messages: 0,
    bytes: 0,
    held: 0,
    byAge: Array.from({ length: AGE_MINUTES.length + 1 }, () => 0),
    oldest: 0,
  }
}

function count(line: Counted, { receivedAt, sizeBytes, state }: QueueItem, now: number): void {
  const age = Math.max(0, now - receivedAt)
  const found = AGE_MINUTES.findIndex((minutes) => age <= minutes * MINUTE_MS)
  const bucket = found === -1 ? AGE_MINUTES.length : found
  line.messages++
  line.bytes += sizeBytes
  if (state.isHeld) line.held++
  line.byAge[bucket] = (line.byAge[bucket] ?? 0) + 1
  line.oldest = Math.max(line.oldest, age)
}
