// Who may open another connection: in all, per address, and per second and address; and whether so many are open that nobody may dawdle.
// (reliability-security.md §4) Pure: the time comes in, in ms of a clock that never goes back.
import type { Limits } from '../limits.ts'

export type SlotRefusal = 'total' | 'per-address' | 'rate'

interface Peer {
  open: number
  /** Connections since `secondStart`, refused ones too. */
  inSecond: number
  secondStart: number
}

const SECOND_MS = 1000

export class ConnectionSlots {
  readonly #limits: Limits
  readonly #peers = new Map<string, Peer>()
  #open = 0
  #isStressed = false

  constructor(limits: Limits) {
    this.#limits = limits
  }

  get open(): number {
    return this.#open
  }

  /** Stress mode: on at `stressOnRatio` of the slots, off below `stressOffRatio`. */
  get isStressed(): boolean {
    return this.#isStressed
  }

  /** Takes a slot, or says which limit is in the way. */
  take(address: string, now: number): SlotRefusal | undefined {
    const peer = this.#peers.get(address) ?? { open: 0, inSecond: 0, secondStart: now }
    this.#peers.set(address, peer)
    if (now - peer.secondStart >= SECOND_MS) {
      peer.secondStart = now
      peer.inSecond = 0
    }
    peer.inSecond++
    if (peer.inSecond > this.#limits.newConnectionsPerSecondAndAddress) return 'rate'
    if (peer.open >= this.#limits.connectionsPerAddress) return 'per-address'
    if (this.#open >= this.#limits.connections) return 'total'
    peer.open++
    this.#open++
    if (this.#open >= this.#limits.connections * this.#limits.stressOnRatio) this.#isStressed = true
    return undefined
  }

  /** Gives back a slot that `take` gave. */
  release(address: string): void {
    const peer = this.#peers.get(address)
    if (peer === undefined || peer.open === 0) throw new Error('unreachable: released a slot that nobody took')
    peer.open--
    this.#open--
    if (this.#open < this.#limits.connections * this.#limits.stressOffRatio) this.#isStressed = false
  }

  /** Forgets peers that have nothing open and were quiet for a second: what is remembered stays bounded. */
  sweep(now: number): void {
    for (const [address, peer] of this.#peers) {
      if (peer.open === 0 && now - peer.secondStart >= SECOND_MS) this.#peers.delete(address)
    }
  }
}
