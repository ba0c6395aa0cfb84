// An operator's changes are part of a message's story: told to the delivery journal, whoever carried them out.
import type { MailEvent, OperatorEvent } from '../mail-event.ts'
import type { QueueChange, QueueOperations } from './queue-operations.ts'

const EVENT: Record<QueueChange, OperatorEvent> = {
  hold: 'held',
  release: 'released',
  retry: 'retried',
  remove: 'removed',
}

/** The same operations; `note` hears of what they changed, and never throws. */
export function notedOperations(operations: QueueOperations, note: (event: MailEvent) => void): QueueOperations {
  const { quarantine } = operations
  return {
    list: (filter) => operations.list(filter),
    show: (id) => operations.show(id),
    async change(change, target) {
      const result = await operations.change(change, target)
      for (const queueId of result.changed) note({ kind: EVENT[change], queueId })
      return result
    },
    quarantine: {
      list: () => quarantine.list(),
      async export(queueId) {
        const content = await quarantine.export(queueId)
        if (content !== undefined) note({ kind: 'exported', queueId })
        return content
      },
      async remove(queueId) {
        const isRemoved = await quarantine.remove(queueId)
        if (isRemoved) note({ kind: 'discarded', queueId })
        return isRemoved
      },
    },
  }
}
