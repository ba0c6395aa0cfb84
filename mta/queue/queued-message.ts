// What the queue keeps in memory of each message: no content, no addresses, whatever its size.
import type { RouteName, SmtpReply } from '../message-record.ts'
import type { NextHop } from '../outbound/route.ts'
import type { QueueId } from '../queue-id.ts'
import type { SpoolEntry } from '../spool/contract.ts'
import type { Destination } from './destination.ts'
import type { Due } from './due-heap.ts'
import type { Fifo } from './fifo.ts'
import type { Hand } from './ledger.ts'

export interface QueuedMessage {
  readonly queueId: QueueId
  /** ms since the epoch */
  readonly receivedAt: number
  /** Running time when this process first saw it. */
  readonly seenMs: number
  readonly isNullSender: boolean
  readonly recipientCount: number
  /** Process deaths with it in hand: above 0 it is taken alone (DU-8). */
  deaths: number
  /** The spool counts a death of this process against it. */
  isMarked: boolean
  isHeld: boolean
  isDead: boolean
  /** One for each next hop that still has to get it. */
  readonly deliveries: Delivery[]
  /** While something is done with it. */
  hand: Hand | undefined
}

/**
 * - `waiting`: for its time, in the heap
 * - `ready`: in its lane
 * - `active`: in an attempt, or its results are being recorded
 * - `aside`: held, dead or done
 */
export type DeliveryPlace = 'waiting' | 'ready' | 'active' | 'aside'

/** One message on its way to one next hop. */
export interface Delivery extends Due {
  readonly message: QueuedMessage
  readonly lane: Lane
  place: DeliveryPlace
  /** It stands in a line of its lane, `ready` or not. */
  isInLine: boolean
  /** Over; counts on from what the spool has. */
  attempts: number
  /** Running time of the first attempt in this process. */
  firstTriedMs: number | undefined
  /** Nobody is left to be told of its delay (DL-4). */
  isDelayTold: boolean
  /** Running time since when it has stood in its lane. */
  readySinceMs: number
}

/** Everything that waits for one next hop. As a `Due` it waits for its host to be tried again. */
export interface Lane extends Due {
  key: string
  /** undefined: the route is not configured (any more). */
  hop: NextHop | undefined
  readonly routes: Set<RouteName>
  /** Another one when the route leads elsewhere: what is known of one host says nothing of the next. */
  destination: Destination
  /** Attempts under way, of any period of the destination. */
  running: number
  readonly ready: Fifo<Delivery>
  /** Likewise, of messages that may have ended the process. */
  readonly suspects: Fifo<Delivery>
  /** What the host said, or did, when it was last given up. */
  lastTrouble: { readonly reply: SmtpReply; readonly remote: string } | undefined
  isLookedAfter: boolean
  /** Deliveries of messages in the queue that go by it, also those that are done. */
  users: number
  /** In the line of lanes that may begin. */
  isInTurn: boolean
}

/** @param isMarked  accepted just now, and so marked as in hand by the commit */
export function queuedMessage(
  entry: SpoolEntry,
  laneOf: (route: RouteName) => Lane,
  seenMs: number,
  isMarked: boolean,
): QueuedMessage {
  const deliveries: Delivery[] = []
  const message: QueuedMessage = {
    queueId: entry.queueId,
    receivedAt: entry.receivedAt,
    seenMs,
    isNullSender: entry.isNullSender,
    recipientCount: entry.recipientCount,
    deaths: entry.deaths,
    isMarked,
    isHeld: entry.state.isHeld,
    isDead: entry.state.isDead,
    deliveries,
    hand: undefined,
  }
  addDeliveries(message, entry, laneOf)
  return message
}

/** One for each lane of the routes that `entry` names and that `message` has none for. */
export function addDeliveries(message: QueuedMessage, entry: SpoolEntry, laneOf: (route: RouteName) => Lane): void {
  for (const route of entry.routes) {
    const lane = laneOf(route)
    if (message.deliveries.some((delivery) => delivery.lane === lane)) continue
    const { attempts } = entry.state
    lane.users++
    message.deliveries.push({
      message,
      lane,
      place: 'aside',
      isInLine: false,
      attempts,
      firstTriedMs: undefined,
      isDelayTold: !entry.hasDelayToTell,
      readySinceMs: 0,
      dueMs: 0,
      heapIndex: -1,
    })
  }
}
