// What waits for what: messages for their time, in a heap; those that are due for their next hop, in its lane. And the one timer that wakes the queue.
import type { RouteName } from '../message-record.ts'
import type { NextHop } from '../outbound/route.ts'
import { mxDomain } from '../route-names.ts'
import type { RetrySettings } from '../settings.ts'
import { Destination } from './destination.ts'
import { DueHeap } from './due-heap.ts'
import { Fifo } from './fifo.ts'
import type { Delivery, Lane, QueuedMessage } from './queued-message.ts'

export interface WaitingDeps {
  /** undefined: the route is not configured (any more). */
  readonly hopOf: (route: RouteName) => NextHop | undefined
  /** Attempts at once for one next hop that is well. */
  readonly perHost: number
  readonly retry: RetrySettings
  /** Running time in ms: a clock that nobody sets, so that neither waits nor order depend on one (DU-9). */
  readonly monotonicMs: () => number
  readonly timer: (run: () => void, delayMs: number) => () => void
  /** Something may be due. */
  readonly wake: () => void
}

/** A timer holds no more than 2^31 ms; waking early does no harm. */
const MAX_TIMER_MS = 3_600_000

export class Waiting {
  readonly #deps: WaitingDeps
  readonly #lanes = new Map<string, Lane>()
  readonly #heap = new DueHeap<Delivery>()
  /** Lanes with something in them. Delivery by MX has one for each domain: nothing here looks at all lanes. */
  readonly #turn = new Fifo<Lane>()
  /** Lanes whose host is given up for a while. */
  readonly #closed = new DueHeap<Lane>()
  #alarm: { readonly atMs: number; readonly cancel: () => void } | undefined

  constructor(deps: WaitingDeps) {
    this.#deps = deps
  }

  laneOf(route: RouteName): Lane {
    const hop = this.#deps.hopOf(route)
    const key = hop?.key ?? `route ${route}`
    const known = this.#lanes.get(key)
    if (known !== undefined) {
      known.routes.add(route)
      return known
    }
    const lane: Lane = {
      key,
      hop,
      routes: new Set([route]),
      destination: new Destination(this.#deps.perHost, this.#deps.retry),
      running: 0,
      ready: new Fifo(),
      suspects: new Fifo(),
      lastTrouble: undefined,
      isLookedAfter: false,
      users: 0,
      isInTurn: false,
      dueMs: 0,
      heapIndex: -1,
    }
    this.#lanes.set(key, lane)
    return lane
  }

  /** Routes lead elsewhere, or may: what waits goes where they lead now with its next attempt (DL-1). Attempts under way go on. */
  rerouted(): void {
    const moved = [...this.#lanes.values()].flatMap((lane) => {
      const [route] = lane.routes
      if (route === undefined || mxDomain(route) !== undefined) return []
      const hop = this.#deps.hopOf(route)
      const key = hop?.key ?? `route ${route}`
      return key === lane.key ? [] : [{ lane, hop, key }]
    })
    for (const { lane } of moved) this.#lanes.delete(lane.key)
    for (const { lane, hop, key } of moved) {
      if (this.#lanes.has(key)) throw new Error('unreachable: each route of a tenant has a next hop of its own')
      this.#closed.remove(lane)
      lane.key = key
      lane.hop = hop
      lane.destination = new Destination(this.#deps.perHost, this.#deps.retry)
      lane.lastTrouble = undefined
      this.#lanes.set(key, lane)
      this.#takeTurn(lane)
    }
  }

  /** A delivery that went by it is gone. Domains pass through by the thousand: the last one takes the lane along, and what was known of the host. */
  leave(lane: Lane): void {
    lane.users--
    const isPassing = [...lane.routes].some((route) => mxDomain(route) !== undefined)
    if (lane.users > 0 || !isPassing || this.#lanes.get(lane.key) !== lane) return
    this.#lanes.delete(lane.key)
    this.#closed.remove(lane)
  }

  /** Lanes that have something and whose host is well; they take turns at being first, so that none lives off the others' leavings. */
  *lanesInTurn(): Generator<Lane> {
    const first = this.#turn.shift()
    if (first !== undefined) this.#turn.push(first)
    for (let left = this.#turn.length; left > 0; left--) {
      const lane = this.#turn.shift()
      if (lane === undefined) return
      lane.isInTurn = false
      if (lane.heapIndex !== -1 || (head(lane.suspects) ?? head(lane.ready)) === undefined) continue
      this.#takeTurn(lane)
      yield lane
    }
  }

  /** Where a lane with something in it waits. */
  #takeTurn(lane: Lane): void {
    if (lane.isInTurn || lane.heapIndex !== -1) return
    lane.isInTurn = true
    this.#turn.push(lane)
  }

  /** To be called when the host may have been given up, or be well again. */
  hostChanged(lane: Lane): void {
    const { destination } = lane
    this.#closed.remove(lane)
    if (destination.closedUntilMs !== undefined && destination.isClosed(this.#deps.monotonicMs())) {
      if (this.#lanes.get(lane.key) !== lane) return
      lane.dueMs = destination.closedUntilMs
      this.#closed.push(lane)
    } else this.#takeTurn(lane)
  }

  /** Into the heap, or into its lane when it is due; nowhere when the message is held or dead. */
  schedule(delivery: Delivery, dueMs: number): void {
    const { isHeld, isDead } = delivery.message
    if (isHeld || isDead) this.setAside(delivery)
    else if (dueMs <= this.#deps.monotonicMs()) this.makeReady(delivery)
    else {
      delivery.place = 'waiting'
      delivery.dueMs = dueMs
      this.#heap.push(delivery)
      this.setAlarm()
    }
  }

  makeReady(delivery: Delivery): void {
    this.#heap.remove(delivery)
    delivery.place = 'ready'
    delivery.readySinceMs = this.#deps.monotonicMs()
    const { lane, message } = delivery
    // Once in a line, however often it was out of turn: one that stood there twice would be looked after twice, and stand there four times.
    if (!delivery.isInLine) (message.deaths > 0 ? lane.suspects : lane.ready).push(delivery)
    delivery.isInLine = true
    this.#takeTurn(lane)
  }

  /** Out of heap or lane; a line forgets by itself what no longer is `ready`. */
  setAside(delivery: Delivery): void {
    this.#heap.remove(delivery)
    delivery.place = 'aside'
  }

  readyWhatIsDue(): void {
    const nowMs = this.#deps.monotonicMs()
    for (let due = this.#heap.shiftDue(nowMs); due !== undefined; due = this.#heap.shiftDue(nowMs)) this.makeReady(due)
    for (let lane = this.#closed.shiftDue(nowMs); lane !== undefined; lane = this.#closed.shiftDue(nowMs))
      this.#takeTurn(lane)
  }

  /** Running time from which the next of a message's deliveries may begin; Infinity when none waits. */
  nextDueMs({ deliveries }: QueuedMessage): number {
    let nextMs = Infinity
    for (const { place, dueMs, lane } of deliveries) {
      if (place === 'waiting') nextMs = Math.min(nextMs, dueMs)
      if (place === 'ready') nextMs = Math.min(nextMs, lane.destination.closedUntilMs ?? 0)
    }
    return nextMs
  }

  /** Sees to it that `wake` is called when the next message, or the next host, is due. */
  setAlarm(): void {
    const nowMs = this.#deps.monotonicMs()
    const atMs = Math.min(this.#heap.first?.dueMs ?? Infinity, this.#closed.first?.dueMs ?? Infinity)
    if (atMs === Infinity || (this.#alarm !== undefined && this.#alarm.atMs <= atMs)) return
    this.#alarm?.cancel()
    const delayMs = Math.min(MAX_TIMER_MS, Math.max(1, Math.ceil(atMs - nowMs)))
    const cancel = this.#deps.timer(() => {
      this.#alarm = undefined
      this.#deps.wake()
    }, delayMs)
    this.#alarm = { atMs: nowMs + delayMs, cancel }
  }

  stopAlarm(): void {
    this.#alarm?.cancel()
    this.#alarm = undefined
  }
}

/** The head of a line; what was set aside meanwhile is dropped from it. */
export function head(line: Fifo<Delivery>): Delivery | undefined {
  for (let first = line.first; first !== undefined; first = line.first) {
    if (first.place === 'ready') return first
    leave(line, first)
  }
  return undefined
}

/** Takes the first of a line out of it. */
export function leave(line: Fifo<Delivery>, first: Delivery): void {
  line.shift()
  first.isInLine = false
}
