// What waits for what: messages for their time, in a heap; those that are due for their next hop, in its lane. And the one timer that wakes the queue.
import type { RouteName } from '../message-record.ts'
import type { NextHop } from '../outbound/route.ts'
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
  #alarm: { readonly atMs: number; readonly cancel: () => void } | undefined
  #firstLane = 0

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
      hop,
      routes: new Set([route]),
      destination: new Destination(this.#deps.perHost, this.#deps.retry),
      running: 0,
      ready: new Fifo(),
      suspects: new Fifo(),
      lastTrouble: undefined,
      isLookedAfter: false,
    }
    this.#lanes.set(key, lane)
    return lane
  }

  /** All lanes; they take turns at being first, so that none lives off the others' leavings. */
  lanesInTurn(): Lane[] {
    const lanes = [...this.#lanes.values()]
    this.#firstLane = (this.#firstLane + 1) % Math.max(1, lanes.length)
    return [...lanes.slice(this.#firstLane), ...lanes.slice(0, this.#firstLane)]
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
    const line = message.deaths > 0 ? lane.suspects : lane.ready
    line.push(delivery)
  }

  /** Out of heap or lane; a line forgets by itself what no longer is `ready`. */
  setAside(delivery: Delivery): void {
    this.#heap.remove(delivery)
    delivery.place = 'aside'
  }

  readyWhatIsDue(): void {
    const nowMs = this.#deps.monotonicMs()
    for (let due = this.#heap.shiftDue(nowMs); due !== undefined; due = this.#heap.shiftDue(nowMs)) this.makeReady(due)
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
    let atMs = this.#heap.first?.dueMs ?? Infinity
    for (const { destination, ready, suspects } of this.#lanes.values()) {
      const { closedUntilMs } = destination
      if (closedUntilMs !== undefined && closedUntilMs > nowMs && ready.length + suspects.length > 0)
        atMs = Math.min(atMs, closedUntilMs)
    }
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
    line.shift()
  }
  return undefined
}
