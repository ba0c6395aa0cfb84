// Hands buffered events to the control plane, the oldest first, until they are taken. A batch that is refused as such is tried event by event, so that one
// bad event doesn't stop all others. (RC-7)
import { setTimeout as sleep } from 'node:timers/promises'
import type { Log } from '../../common/log.ts'
import { MAX_EVENTS_PER_BATCH, RELAY_PATHS } from '../../common/relay-contract.ts'
import type { ControlPlaneClient } from '../enrolment/http-client.ts'
import { retryDelayMs } from '../enrolment/retry-delay.ts'
import type { EventBuffer } from './event-buffer.ts'

export interface EventDeliveryDeps {
  readonly buffer: Pick<EventBuffer, 'next' | 'onMore'>
  readonly client: Pick<ControlPlaneClient, 'post'>
  readonly token: () => Promise<string>
  readonly log: Log
  /** In [0, 1) */
  readonly random: () => number
}

/** The content is refused: the same again would be, too. */
const REFUSED = new Set([400, 413, 422])

export class EventDelivery {
  readonly #deps: EventDeliveryDeps
  readonly #stop = new AbortController()
  #running: Promise<void> | undefined
  #more = Promise.withResolvers<void>()

  constructor(deps: EventDeliveryDeps) {
    this.#deps = deps
    deps.buffer.onMore(() => this.#more.resolve())
  }

  start(): void {
    this.#running ??= this.#run()
  }

  /** What isn't handed over stays in the buffer. */
  async close(): Promise<void> {
    this.#stop.abort()
    this.#more.resolve()
    await this.#running
  }

  async #run(): Promise<void> {
    const { buffer, log, random } = this.#deps
    let most = MAX_EVENTS_PER_BATCH
    for (let failures = 0; !this.#stop.signal.aborted;) {
      this.#more = Promise.withResolvers()
      try {
        const batch = await buffer.next(most)
        if (batch === undefined) {
          await this.#more.promise
          continue
        }
        const status = await this.#post(batch.events)
        if (status === 200 || batch.events.length === 0) {
          await batch.delivered()
          failures = 0
          most = MAX_EVENTS_PER_BATCH
          continue
        }
        if (REFUSED.has(status) && most === 1) {
          log.error('events.refused', { status, events: batch.events.map(({ id, event }) => ({ id, event })) })
          await batch.rejected()
          continue
        }
        if (REFUSED.has(status)) {
          most = 1
          continue
        }
        log.warn('events.wait', { status })
      } catch (error) {
        log.warn('events.wait', { error })
      }
      await sleep(retryDelayMs(++failures, random()), undefined, { signal: this.#stop.signal }).catch(() => {}) // told to stop
    }
  }

  async #post(events: readonly unknown[]): Promise<number> {
    const { client, token } = this.#deps
    if (events.length === 0) return 0
    return (await client.post(RELAY_PATHS.events, JSON.stringify({ events }), await token(), this.#stop.signal)).status
  }
}
