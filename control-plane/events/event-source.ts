// One reader's view of an organisation's or project's events: in order, only those that he may see, and a word when some were missed.
import type { Db } from '../db/database.ts'
import type { WakeUps } from '../db/wake-ups.ts'
import type { EventSource, SentEvent } from '../http/event-stream.ts'
import { badRequest } from '../http/problem.ts'
import type { OrganisationId, ProjectId } from '../ids.ts'
import { permissionToSee } from './event-permission.ts'
import { findStreamEnds, loadEvents } from './event-store.ts'
import type { StoredEvent, StreamEnds } from './event-store.ts'
import type { Held } from './stream-access.ts'

/** Sent first to a reader who comes back too late: he reads again what he shows. */
export const RESET = 'stream.reset'
const BATCH = 200
/** A wake-up can get lost. */
const LOOK_EVERY_MS = 15_000

export interface EventSourceDeps {
  readonly db: Db
  readonly wakeUps: Pick<WakeUps, 'on'>
}

export interface EventPlace {
  readonly organisation: OrganisationId
  readonly project: ProjectId | undefined
}

/** @returns the last id that the client has; undefined: it has none @throws Problem for what no stream of ours has sent */
export function parseLastEventId(header: string | readonly string[] | undefined): number | undefined {
  if (header === undefined || header === '') return undefined
  if (typeof header === 'string' && /^\d{1,15}$/.test(header)) return Number(header)
  throw badRequest([{ pointer: '/headers/last-event-id', code: 'event-id', detail: 'not an id of this stream' }])
}

/** Where to begin; `isLate` when events were missed: they are deleted, or the id is of another time. */
export function beginAt({ newest, horizon }: StreamEnds, last: number | undefined): { from: number; isLate: boolean } {
  if (last === undefined) return { from: newest, isLate: false }
  return last < horizon || last > newest ? { from: newest, isLate: true } : { from: last, isLate: false }
}

export async function openEventSource(
  { db, wakeUps }: EventSourceDeps,
  place: EventPlace,
  last: number | undefined,
  held: Held,
): Promise<{ readonly source: EventSource; readonly from: number }> {
  const { from, isLate } = beginAt(await findStreamEnds(db, place.organisation), last)
  let mustTellReset = isLate
  // Also past events that are not shown: a stream of those is read once.
  let read = from
  const source: EventSource = {
    async load() {
      if (mustTellReset) {
        mustTellReset = false
        return [{ id: from, type: RESET, data: { reason: 'events were missed: read again what you show' } }]
      }
      for (;;) {
        const events = await loadEvents(db, place, read, BATCH)
        read = events.at(-1)?.position ?? read
        const shown = events.filter((event) => held(event.project).has(permissionToSee(event.type, event.permission)))
        if (shown.length > 0 || events.length < BATCH) return shown.map((event) => toSent(event, place.organisation))
      }
    },
    subscribe(wake) {
      const timer = setInterval(wake, LOOK_EVERY_MS)
      const stop = wakeUps.on((wakeUp) => {
        const isOurs = wakeUp === undefined || (wakeUp.topic === 'event' && wakeUp.organisation === place.organisation)
        if (isOurs) wake()
      })
      return () => {
        clearInterval(timer)
        stop()
      }
    },
  }
  return { source, from }
}

function toSent({ position, type, project, body, createdAt }: StoredEvent, organisation: OrganisationId): SentEvent {
  return {
    id: position,
    type,
    data: {
      type,
      organization: organisation,
      ...(project === undefined ? {} : { project }),
      time: createdAt.toISOString(),
      ...body,
    },
  }
}
