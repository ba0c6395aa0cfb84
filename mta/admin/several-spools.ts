// The operator's operations over all parts of a relay's spool as if they were one.
import type { QueueId } from '../queue-id.ts'
import type { ChangeResult, QueueFilter, QueueItem, QueueOperations } from './queue-operations.ts'

/** @param parts  at least one */
export function overAll(parts: readonly QueueOperations[]): QueueOperations {
  const [only, ...others] = parts
  if (only !== undefined && others.length === 0) return only
  return {
    list: (filter) => inOrder(parts, filter),

    async show(id) {
      for (const part of parts) {
        const detail = await part.show(id)
        if (detail !== undefined) return detail
      }
      return undefined
    },

    async change(change, target) {
      const results: ChangeResult[] = []
      for (const part of parts) results.push(await part.change(change, target))
      const changed = results.flatMap((result) => result.changed)
      const busy = results.flatMap((result) => result.busy)
      const known = new Set([...changed, ...busy])
      // Each part knows nothing of what the others hold.
      const unknown = new Set(results.flatMap((result) => result.unknown).filter((id) => !known.has(id)))
      return { changed, busy, unknown: [...unknown] }
    },

    quarantine: {
      async list() {
        const lists = await Promise.all(parts.map((part) => part.quarantine.list()))
        return lists.flat().toSorted((a, b) => compare(a.queueId, b.queueId))
      },
      async export(id) {
        for (const part of parts) {
          const bytes = await part.quarantine.export(id)
          if (bytes !== undefined) return bytes
        }
        return undefined
      },
      async remove(id) {
        // One at a time: pieces of damaged logs have names that another part may have too, and one of them may not have been seen yet.
        for (const part of parts) if (await part.quarantine.remove(id)) return true
        return false
      },
    },
  }
}

/** Each part lists in order of acceptance; so does the whole. */
async function* inOrder(parts: readonly QueueOperations[], filter: QueueFilter): AsyncIterable<QueueItem> {
  const lists = parts.map((part) => part.list(filter)[Symbol.asyncIterator]())
  try {
    const heads = await Promise.all(lists.map(async (list) => next(list)))
    for (;;) {
      let first: { index: number; item: QueueItem } | undefined
      for (const [index, item] of heads.entries()) {
        if (item !== undefined && (first === undefined || isBefore(item, first.item))) first = { index, item }
      }
      if (first === undefined) return
      yield first.item
      const list = lists[first.index]
      heads[first.index] = list && (await next(list))
    }
  } finally {
    for (const list of lists) await list.return?.()
  }
}

async function next(list: AsyncIterator<QueueItem>): Promise<QueueItem | undefined> {
  const result = await list.next()
  return result.done === true ? undefined : result.value
}

function isBefore(a: QueueItem, b: QueueItem): boolean {
  return a.receivedAt === b.receivedAt ? compare(a.queueId, b.queueId) < 0 : a.receivedAt < b.receivedAt
}

function compare(a: QueueId | string, b: QueueId | string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
