// Hands work from Postgres to the queue: on every wake-up, and by the clock, since a wake-up can get lost. Any number of dispatchers may run at
// once. With the queue away everything waits in Postgres, and goes on when it is back. (JQ-1, JQ-5, TI-4)
import type { Log } from '../../common/log.ts'
import type { Db } from '../db/database.ts'
import type { WakeUps } from '../db/wake-ups.ts'
import { returnTurns, takeOutbox, takeTurns } from './dispatch-store.ts'
import { queueId } from './job.ts'
import type { QueueBackend } from './queue-backend.ts'

export interface DispatchDeps {
  readonly db: Db
  readonly queue: Pick<QueueBackend, 'publish'>
  readonly wakeUps: Pick<WakeUps, 'on'>
  readonly log: Log
  /** Jobs of one organisation in the queue or running, in all workers together. */
  readonly share: number
  readonly everyMs?: number
}

export const SHARE = 8
const EVERY_MS = 1_000

export class Dispatcher {
  readonly #deps: DispatchDeps
  readonly #stopListening: () => void
  readonly #timer: NodeJS.Timeout
  #pass: Promise<void> | undefined
  #isAskedAgain = false
  #isClosed = false

  constructor(deps: DispatchDeps) {
    this.#deps = deps
    this.#stopListening = deps.wakeUps.on((wakeUp) => {
      if (wakeUp === undefined || wakeUp.topic === 'outbox') this.look()
    })
    this.#timer = setInterval(() => this.look(), deps.everyMs ?? EVERY_MS)
    this.look()
  }

  /** Looks now, or again after the pass that is under way. */
  look(): void {
    if (this.#isClosed) return
    this.#isAskedAgain = true
    this.#pass ??= this.#look().finally(() => (this.#pass = undefined))
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#stopListening()
    clearInterval(this.#timer)
    await this.#pass
  }

  async #look(): Promise<void> {
    while (this.#isAskedAgain && !this.#isClosed) {
      this.#isAskedAgain = false
      try {
        if (await dispatch(this.#deps)) this.#isAskedAgain = true
      } catch (error) {
        // By the clock again: the outbox keeps it.
        this.#deps.log.warn('jobs.not_dispatched', { error })
        return
      }
    }
  }
}

/** One pass. @returns whether there was something to do: then there may be more @throws when database or queue are away */
export async function dispatch({ db, queue, share }: Pick<DispatchDeps, 'db' | 'queue' | 'share'>): Promise<boolean> {
  const taken = await takeOutbox(db)
  const jobs = await takeTurns(db, share)
  if (jobs.length > 0) {
    try {
      await queue.publish(jobs.map((job) => ({ id: queueId(job), kind: job.kind })))
    } catch (error) {
      await returnTurns(db, jobs)
      throw error
    }
  }
  return taken > 0 || jobs.length > 0
}
