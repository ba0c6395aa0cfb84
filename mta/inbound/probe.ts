// Connector validation and probes: mail to a nonce of the settings is answered 250, recorded and delivered nowhere. (SP-11)
import { createHash } from 'node:crypto'
import type { Log } from '../../common/log.ts'
import { queuedReply, REPLIES } from './replies.ts'
import type { Reply } from './replies.ts'
import type { QueueId } from '../queue-id.ts'
import type { Client, Receiving } from './receiving.ts'
import type { Transaction } from './transaction.ts'

const MOST_BYTES = 64 * 1024
const MOST_A_MINUTE = 100
const MINUTE_MS = 60_000

/** How many probes were taken in the last minute: one for all listeners of a relay. */
export class ProbeRate {
  readonly #takenMs: number[] = []

  /** @param nowMs  of a clock that never goes back. @returns whether one more may be taken; it counts then */
  take(nowMs: number): boolean {
    while ((this.#takenMs[0] ?? Infinity) <= nowMs - MINUTE_MS) this.#takenMs.shift()
    if (this.#takenMs.length >= MOST_A_MINUTE) return false
    this.#takenMs.push(nowMs)
    return true
  }
}

export interface ProbeDeps {
  readonly log: Log
  readonly rate: ProbeRate
  readonly monotonic: () => number
  readonly taken: () => void
}

export class ProbeReception implements Receiving {
  readonly #deps: ProbeDeps
  readonly #transaction: Transaction
  readonly #client: Client
  readonly #queueId: QueueId
  readonly #hash = createHash('sha256')
  #bytes = 0
  #isTaken = false

  constructor(deps: ProbeDeps, transaction: Transaction, client: Client, queueId: QueueId) {
    this.#deps = deps
    this.#transaction = transaction
    this.#client = client
    this.#queueId = queueId
  }

  write(content: Buffer): undefined {
    this.#bytes += content.length
    if (this.#bytes <= MOST_BYTES) this.#hash.update(content)
    return undefined
  }

  async finish(): Promise<Reply> {
    if (this.#bytes > MOST_BYTES) return REPLIES.probeTooBig
    if (!this.#deps.rate.take(this.#deps.monotonic())) return REPLIES.tooManyProbes
    this.#isTaken = true
    return queuedReply(this.#queueId)
  }

  async refuse(reply: Reply): Promise<Reply> {
    return reply
  }

  abort(): void {} // nothing was kept

  disown(): void {
    this.#isTaken = false
  }

  announce(): void {
    if (!this.#isTaken) return
    this.#deps.taken()
    this.#deps.log.info('probe.received', {
      queueId: this.#queueId,
      client: this.#client.address,
      // A nonce is no secret and no person: it is what the control plane looks for.
      recipients: this.#transaction.envelope().forwardPaths.map(({ path }) => path),
      bytes: this.#bytes,
      sha256: this.#hash.digest('hex'),
    })
  }
}
