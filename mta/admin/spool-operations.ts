// The operator's operations over an open spool: the same whether a queue runs over it or not; only the change of one message differs.
import type { QueueId } from '../queue-id.ts'
import { SpoolDamaged } from '../spool/contract.ts'
import type { Spool } from '../spool/contract.ts'
import { matchesFilter } from './queue-operations.ts'
import type { ChangeResult, ChangeTarget, QueueChange, QueueOperations } from './queue-operations.ts'

export type OneChange = 'changed' | 'unknown' | 'busy'

/** What decides over single messages: the running queue, or `changeAtRest`. */
export interface Changer {
  change(change: QueueChange, id: QueueId): Promise<OneChange>
  isActive(id: QueueId): boolean
}

/** Written at once: they share syncs. */
const BATCH = 500

export function spoolOperations(spool: Spool, changer: Changer): QueueOperations {
  return {
    async *list(filter) {
      for (const entry of spool.entries()) {
        if (matchesFilter(entry, filter)) yield { ...entry, isActive: changer.isActive(entry.queueId) }
      }
    },

    async show(id) {
      if (spool.find(id) === undefined) return undefined
      const message = await spool.read(id)
      await message.close()
      return { record: message.record, state: message.state }
    },

    async change(change, target) {
      const result: Record<OneChange, QueueId[]> = { changed: [], unknown: [], busy: [] }
      const ids = idsOf(spool, target)
      for (let from = 0; from < ids.length; from += BATCH) {
        const batch = ids.slice(from, from + BATCH)
        const outcomes = await Promise.all(batch.map((id) => changeOne(changer, change, id)))
        for (const [index, id] of batch.entries()) result[outcomes[index] ?? 'unknown'].push(id)
      }
      return result satisfies ChangeResult
    },

    quarantine: {
      list: () => spool.quarantine.list(),
      async export(id) {
        return (await isQuarantined(spool, id)) ? spool.quarantine.export(id) : undefined
      },
      async remove(id) {
        if (!(await isQuarantined(spool, id))) return false
        await spool.quarantine.remove(id)
        return true
      },
    },
  }
}

function idsOf(spool: Spool, target: ChangeTarget): readonly QueueId[] {
  if ('ids' in target) return [...new Set(target.ids)]
  return [...spool.entries()].filter((entry) => matchesFilter(entry, target.all)).map(({ queueId }) => queueId)
}

/** A message that turns out to be damaged is in quarantine now: it has left the queue. */
async function changeOne(changer: Changer, change: QueueChange, id: QueueId): Promise<OneChange> {
  try {
    return await changer.change(change, id)
  } catch (error) {
    if (error instanceof SpoolDamaged) return 'unknown'
    throw error
  }
}

async function isQuarantined(spool: Spool, id: string): Promise<boolean> {
  return (await spool.quarantine.list()).some(({ queueId }) => queueId === id)
}
