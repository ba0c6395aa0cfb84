// Server-sent events: typed, with ids, resumed by Last-Event-ID, a heartbeat every 15 s, bounded by what the client reads. (control-plane.md §1)
import type { ServerResponse } from 'node:http'

export const HEARTBEAT_MS = 15_000
/** A client that lets so much pile up is cut off; it comes back with Last-Event-ID. */
const MAX_PENDING_BYTES = 1024 * 1024

export interface SentEvent {
  readonly id: number
  readonly type: string
  readonly data: unknown
}

export const EVENT_STREAM_HEADERS = {
  'Content-Type': 'text/event-stream',
  'Cache-Control': 'no-cache, no-transform',
  'X-Accel-Buffering': 'no',
} as const

export interface EventSource {
  /** Events with an id above `after`, oldest first, at most a few hundred; empty when there are none yet. */
  load(after: number): Promise<readonly SentEvent[]>
  /** Calls `wake` when there may be more. @returns how to stop */
  subscribe(wake: () => void): () => void
}

/** Sends events until the client goes or the server stops. @param from  id of the last event that the client has */
export async function sendEvents(
  response: ServerResponse,
  source: EventSource,
  from: number,
  signal: AbortSignal,
  heartbeatMs = HEARTBEAT_MS,
): Promise<void> {
  let isAwake = true
  let wake = (): void => {}
  const stop = source.subscribe(() => {
    isAwake = true
    wake()
  })
  response.flushHeaders()
  response.write('retry: 2000\n\n')
  const heartbeat = setInterval(() => response.write(':\n\n'), heartbeatMs)
  signal.addEventListener('abort', () => wake(), { once: true })
  try {
    let last = from
    while (!signal.aborted) {
      if (!isAwake) await new Promise<void>((resolve) => (wake = resolve))
      isAwake = false
      for (;;) {
        const events = signal.aborted ? [] : await source.load(last)
        if (events.length === 0) break
        for (const { id, type, data } of events) {
          response.write(`id: ${id}\nevent: ${type}\ndata: ${JSON.stringify(data)}\n\n`)
          last = id
        }
        if (response.writableLength > MAX_PENDING_BYTES) {
          response.destroy() // `end` would wait for the client, and keep all of it until then
          return
        }
      }
    }
  } finally {
    clearInterval(heartbeat)
    stop()
    response.end()
  }
}
