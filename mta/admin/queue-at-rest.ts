// The queue of a spool that no relay holds: what an operator changes is in the spool when a relay opens it again.
import type { DeliveryState } from '../message-record.ts'
import { revived } from '../queue/delivery-state.ts'
import type { Spool } from '../spool/contract.ts'
import type { QueueChange } from './queue-operations.ts'
import type { Changer } from './spool-operations.ts'

/** @param now  ms since the epoch */
export function queueAtRest(spool: Spool, now: () => number): Changer {
  return {
    isActive: () => false,
    troubleOf: () => undefined,
    async change(change, id) {
      if (spool.find(id) === undefined) return 'unknown'
      if (change === 'remove') {
        await spool.remove(id)
        return 'changed'
      }
      const message = await spool.read(id)
      await message.close()
      await spool.update(id, changedState(change, message.state, now()))
      return 'changed'
    },
  }
}

function changedState(change: Exclude<QueueChange, 'remove'>, state: DeliveryState, nowMs: number): DeliveryState {
  switch (change) {
    case 'hold':
      return { ...state, isHeld: true }
    case 'release':
      return { ...state, isHeld: false, nextAttemptAt: nowMs }
    case 'retry':
      return state.isDead ? revived(state, nowMs) : { ...state, nextAttemptAt: nowMs }
    default:
      return change satisfies never
  }
}
