// How long a body may take to come (WS-7): as a whole, or, where a route takes a stream, without an octet. Node's own `requestTimeout` knows one
// limit for all requests of a server, and would end a long import.
import type { IncomingMessage } from 'node:http'

export interface BodyLimits {
  readonly wholeMs: number
  /** Of streams: while we wait for the client, not while it waits for us. */
  readonly idleMs: number
}

export const BODY_LIMITS: BodyLimits = { wholeMs: 120_000, idleMs: 30_000 }

const LOOKS_PER_LIMIT = 10

export class BodyDeadline {
  readonly #request: IncomingMessage
  readonly #limits: BodyLimits
  readonly #onExpired: () => void
  #timer: NodeJS.Timeout | undefined

  /** @param onExpired  called at most once, and not when the body was there in time */
  constructor(request: IncomingMessage, limits: BodyLimits, onExpired: () => void) {
    this.#request = request
    this.#limits = limits
    this.#onExpired = onExpired
    const { 'content-length': length = '0', 'transfer-encoding': encoding } = request.headers
    if (length === '0' && encoding === undefined) return
    request.once('close', () => this.#stop())
    this.#timer = setTimeout(() => this.#expire(), limits.wholeMs)
  }

  /** From here on the body may take as long as it keeps coming. */
  allowStream(): void {
    if (this.#timer === undefined) return
    this.#stop()
    const { idleMs } = this.#limits
    let seen = this.#request.socket.bytesRead
    let idleLooks = 0
    this.#timer = setInterval(() => {
      const { readableLength, socket } = this.#request
      const isOurTurn = readableLength > 0
      idleLooks = isOurTurn || socket.bytesRead !== seen ? 0 : idleLooks + 1
      seen = socket.bytesRead
      if (idleLooks >= LOOKS_PER_LIMIT) this.#expire()
    }, idleMs / LOOKS_PER_LIMIT)
  }

  #expire(): void {
    this.#stop()
    if (!this.#request.complete) this.#onExpired()
  }

  #stop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }
}
