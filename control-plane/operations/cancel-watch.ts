// Tells running work that its operation was cancelled: at once by a wake-up, by the clock where one gets lost. Cancelling takes effect within 10 s
// (JQ-6): half of that is left for the step under way.
import type { Log } from '../../common/log.ts'
import type { Db } from '../db/database.ts'
import type { WakeUps } from '../db/wake-ups.ts'
import type { OperationId } from '../ids.ts'
import { findCancelling } from './attempt-store.ts'

const LOOK_EVERY_MS = 5_000

export interface CancelWatchDeps {
  readonly db: Db
  readonly wakeUps: Pick<WakeUps, 'on'>
  readonly log: Log
  readonly everyMs?: number
}

export class CancelWatch {
  readonly #deps: CancelWatchDeps
  readonly #followed = new Map<OperationId, AbortController>()
  readonly #stopListening: () => void
  readonly #timer: NodeJS.Timeout
  #look: Promise<void> | undefined
  #isAskedAgain = false

  constructor(deps: CancelWatchDeps) {
    this.#deps = deps
    this.#stopListening = deps.wakeUps.on((wakeUp) => {
      if (wakeUp === undefined || wakeUp.topic === 'operation') this.#start()
    })
    this.#timer = setInterval(() => this.#start(), deps.everyMs ?? LOOK_EVERY_MS)
  }

  follow(operation: OperationId): { readonly signal: AbortSignal; stop(): void } {
    const controller = new AbortController()
    this.#followed.set(operation, controller)
    this.#start() // it may have been cancelled a moment ago
    return {
      signal: controller.signal,
      stop: () => {
        if (this.#followed.get(operation) === controller) this.#followed.delete(operation)
      },
    }
  }

  async close(): Promise<void> {
    this.#stopListening()
    clearInterval(this.#timer)
    await this.#look
  }

  #start(): void {
    this.#isAskedAgain = true
    this.#look ??= this.#lookWhileAsked().finally(() => (this.#look = undefined))
  }

  async #lookWhileAsked(): Promise<void> {
    while (this.#isAskedAgain) {
      this.#isAskedAgain = false
      if (this.#followed.size === 0) return
      try {
        for (const id of await findCancelling(this.#deps.db, [...this.#followed.keys()]))
          this.#followed.get(id)?.abort()
      } catch (error) {
        this.#deps.log.warn('operations.cancel_not_seen', { error })
        return // by the clock again
      }
    }
  }
}
