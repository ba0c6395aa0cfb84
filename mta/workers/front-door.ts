// The listening sockets of a relay with several workers. The primary accepts, reads nothing, and hands each connection to the worker that has the
// fewest from that address: so the workers' shares of the connection limits add up to the relay's, a worker that is stuck or stopping gets
// nobody new, and a client whose worker dies while he is being handed over gets another one.
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'

/** A worker that may serve clients. */
export interface Attendant {
  hand(client: number, listener: number, socket: Socket): void
}

interface Waiting {
  readonly client: number
  readonly listener: number
  readonly address: string
  readonly socket: Socket
}

interface Desk {
  /** Sent, and not yet said to have arrived: one at a time, so that nobody waits for a worker that is stuck. */
  handing: Waiting | undefined
  /** Of clients it has. */
  readonly addresses: Map<number, string>
  readonly countByAddress: Map<string, number>
  isOpen: boolean
  whenHanded: (() => void) | undefined
}

/** As long as a client may wait for a worker, when none is there: about one that is started again. */
const WAIT_MS = 10_000

export class FrontDoor {
  readonly #servers: Server[] = []
  readonly #desks = new Map<Attendant, Desk>()
  readonly #waiting = new Map<number, Waiting>()
  readonly #maxWaiting: number
  #clients = 0

  /** @param maxWaiting  clients without a worker; more are not listened to */
  constructor(maxWaiting: number) {
    this.#maxWaiting = maxWaiting
  }

  /**
   * @returns the bound ports, in order
   * @throws when an address can't be listened on
   */
  async open(listeners: readonly { address: string; port: number }[]): Promise<number[]> {
    for (const [index, { address, port }] of listeners.entries()) {
      const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) =>
        this.#arrived(index, socket),
      )
      this.#servers.push(server)
      server.listen({ host: address, port, backlog: 511 })
      await once(server, 'listening')
      // One accept that fails (too many open files) is that client's trouble.
      server.on('error', () => {})
    }
    return this.#servers.map((server) => (server.address() as AddressInfo).port)
  }

  /** Nobody is accepted any more; who waits goes. */
  close(): void {
    for (const server of this.#servers) server.close()
    for (const { socket } of this.#waiting.values()) socket.destroy()
  }

  /** From now on the worker gets clients. */
  join(attendant: Attendant): void {
    this.#desks.set(attendant, {
      handing: undefined,
      addresses: new Map(),
      countByAddress: new Map(),
      isOpen: true,
      whenHanded: undefined,
    })
    this.#serve()
  }

  /** It gets nobody new; resolves when it has whom it was being handed, or is gone. */
  leave(attendant: Attendant): Promise<void> {
    const desk = this.#desks.get(attendant)
    if (desk === undefined) return Promise.resolve()
    desk.isOpen = false
    return new Promise((resolve) => {
      desk.whenHanded = resolve
      if (desk.handing === undefined) resolve()
    })
  }

  /** It is gone, and its clients with it, but for one that it hadn't got yet. */
  forget(attendant: Attendant): void {
    const desk = this.#desks.get(attendant)
    this.#desks.delete(attendant)
    if (desk?.handing !== undefined) this.#waiting.set(desk.handing.client, desk.handing)
    desk?.whenHanded?.()
    this.#serve()
  }

  took(attendant: Attendant, client: number): void {
    const desk = this.#desks.get(attendant)
    if (desk?.handing?.client !== client) return
    const { socket, address } = desk.handing
    desk.handing = undefined
    desk.addresses.set(client, address)
    desk.countByAddress.set(address, (desk.countByAddress.get(address) ?? 0) + 1)
    // Our copy only: the connection is open in the worker.
    socket.destroy()
    desk.whenHanded?.()
    this.#serve()
  }

  left(attendant: Attendant, client: number): void {
    const desk = this.#desks.get(attendant)
    const address = desk?.addresses.get(client)
    if (desk === undefined || address === undefined) return
    desk.addresses.delete(client)
    const rest = (desk.countByAddress.get(address) ?? 0) - 1
    if (rest > 0) desk.countByAddress.set(address, rest)
    else desk.countByAddress.delete(address)
  }

  #arrived(listener: number, socket: Socket): void {
    if (this.#waiting.size >= this.#maxWaiting) return void socket.destroy()
    const client = ++this.#clients
    // Gone again, before or after: nothing to do here.
    socket.on('error', () => {})
    socket.on('close', () => this.#waiting.delete(client))
    socket.setTimeout(WAIT_MS, () => this.#waiting.has(client) && socket.destroy())
    this.#waiting.set(client, { client, listener, address: socket.remoteAddress ?? '', socket })
    this.#serve()
  }

  #serve(): void {
    for (const waiting of this.#waiting.values()) {
      const chosen = this.#choose(waiting.address)
      if (chosen === undefined) return
      const [attendant, desk] = chosen
      this.#waiting.delete(waiting.client)
      desk.handing = waiting
      attendant.hand(waiting.client, waiting.listener, waiting.socket)
    }
  }

  #choose(address: string): [Attendant, Desk] | undefined {
    let best: { entry: [Attendant, Desk]; same: number; all: number } | undefined
    for (const entry of this.#desks) {
      const [, { isOpen, handing, addresses, countByAddress }] = entry
      if (!isOpen || handing !== undefined) continue
      const same = countByAddress.get(address) ?? 0
      const all = addresses.size
      if (best === undefined || same < best.same || (same === best.same && all < best.all)) best = { entry, same, all }
    }
    // Among equals it is the next one's turn.
    if (best !== undefined && this.#desks.delete(best.entry[0])) this.#desks.set(...best.entry)
    return best?.entry
  }
}
