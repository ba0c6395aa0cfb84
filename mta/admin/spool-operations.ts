// The operator's operations over an open spool: the same whether a queue runs over it or not; only the change of one message differs.
import type { QueueId } from '../queue-id.ts'
import { replyStatus } from '../message-record.ts'
import type { SmtpReply } from '../message-record.ts'
import { SpoolDamaged } from '../spool/contract.ts'
import type { Spool, SpoolEntry } from '../spool/contract.ts'
import { matchesEnvelope, matchesFilter, needsRecord } from './queue-operations.ts'
import type {
  ChangeResult,
  ChangeTarget,
  QueueChange,
  QueueFilter,
  QueueItem,
  QueueOperations,
} from './queue-operations.ts'

export type OneChange = 'changed' | 'unknown' | 'busy'

/** What decides over single messages: the running queue, or `changeAtRest`. */
export interface Changer {
  change(change: QueueChange, id: QueueId): Promise<OneChange>
  isActive(id: QueueId): boolean
  /** Why it is not even tried. */
  troubleOf(id: QueueId): SmtpReply | undefined
}

/** Written at once: they share syncs. */
const BATCH = 500

export function spoolOperations(spool: Spool, changer: Changer): QueueOperations {
  return {
    async *list(filter) {
      for await (const entry of matching(spool, filter)) yield itemOf(entry, changer)
    },

    async show(id) {
      if (spool.find(id) === undefined) return undefined
      const message = await spool.read(id)
      await message.close()
      return { record: message.record, state: message.state }
    },

    async change(change, target) {
      const result: Record<OneChange, QueueId[]> = { changed: [], unknown: [], busy: [] }
      const ids = await idsOf(spool, target)
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

function itemOf(entry: SpoolEntry, changer: Changer): QueueItem {
  const trouble = changer.troubleOf(entry.queueId)
  const status = trouble === undefined ? entry.lastStatus : replyStatus(trouble)
  return { ...entry, isActive: changer.isActive(entry.queueId), ...(status === undefined ? {} : { status }) }
}

async function* matching(spool: Spool, filter: QueueFilter): AsyncGenerator<SpoolEntry> {
  for (const entry of spool.entries()) {
    if (!matchesFilter(entry, filter)) continue
    if (!needsRecord(filter) || (await hasEnvelope(spool, entry.queueId, filter))) yield entry
  }
}

/** Gone, or damaged, since it was listed: it has left the queue. */
async function hasEnvelope(spool: Spool, id: QueueId, filter: QueueFilter): Promise<boolean> {
  if (spool.find(id) === undefined) return false
  try {
    const message = await spool.read(id)
    await message.close()
    return matchesEnvelope(message.record, filter)
  } catch (error) {
    if (error instanceof SpoolDamaged || spool.find(id) === undefined) return false
    throw error
  }
}

async function idsOf(spool: Spool, target: ChangeTarget): Promise<readonly QueueId[]> {
  if ('ids' in target) return [...new Set(target.ids)]
  const ids: QueueId[] = []
  for await (const { queueId } of matching(spool, target.all)) ids.push(queueId)
  return ids
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
