// The events of one operation: itself, whenever it has changed, until it ends.
import type { WakeUps } from '../db/wake-ups.ts'
import type { EventSource } from '../http/event-stream.ts'
import type { OrganisationId } from '../ids.ts'
import { isFinished, shapeOperation } from './operation.ts'
import type { Operation } from './operation.ts'

/** A wake-up can get lost. */
const LOOK_EVERY_MS = 5_000

/** @param load  undefined: it is gone */
export function watchOperation(
  load: () => Promise<Operation | undefined>,
  organisation: OrganisationId,
  wakeUps: Pick<WakeUps, 'on'>,
): { readonly source: EventSource; readonly ended: AbortSignal } {
  const ended = new AbortController()
  return {
    ended: ended.signal,
    source: {
      async load(after) {
        const operation = await load()
        if (operation === undefined || (operation.version <= after && isFinished(operation.state))) ended.abort()
        if (operation === undefined || operation.version <= after) return []
        return [{ id: operation.version, type: 'operation', data: shapeOperation(operation) }]
      },
      subscribe(wake) {
        const timer = setInterval(wake, LOOK_EVERY_MS)
        const stop = wakeUps.on((wakeUp) => {
          if (wakeUp === undefined || (wakeUp.topic === 'operation' && wakeUp.organisation === organisation)) wake()
        })
        return () => {
          clearInterval(timer)
          stop()
        }
      },
    },
  }
}
