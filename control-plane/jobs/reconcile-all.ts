// The periodic pass over everything that should be under way (JQ-1): whatever was lost between two steps - a wake-up, a queue, a worker - is
// found here, in Postgres, and gets another turn. It also asks for the work that comes by the clock. Every worker runs it; they don't disturb
// each other.
import type { Log } from '../../common/log.ts'
import type { Db } from '../db/database.ts'
import { requeueLost } from './dispatch-store.ts'
import { requestDue } from './schedule-store.ts'
import type { PeriodicJob } from './schedule-store.ts'

/** A pass of a feature: finds in its own tables what should be under way and is not, and asks for it. Safe at any time, any number of times. */
export interface Reconciler {
  readonly name: string
  reconcile(db: Db): Promise<void>
}

export interface ReconcileDeps {
  readonly db: Db
  readonly log: Log
  readonly periodic: readonly PeriodicJob[]
  readonly reconcilers: readonly Reconciler[]
  readonly everyMs?: number
  /** `requeueLost` */
  readonly silentMs?: number
}

const EVERY_MS = 10_000
const SILENT_MS = 30_000

export class ReconcileAll {
  readonly #deps: ReconcileDeps
  readonly #timer: NodeJS.Timeout
  #pass: Promise<void> | undefined

  constructor(deps: ReconcileDeps) {
    this.#deps = deps
    this.#timer = setInterval(() => this.#start(), deps.everyMs ?? EVERY_MS)
    this.#start()
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    await this.#pass
  }

  #start(): void {
    this.#pass ??= reconcileAll(this.#deps).finally(() => (this.#pass = undefined))
  }
}

/** One pass; what fails is logged and does not keep the rest from its turn. */
export async function reconcileAll({
  db,
  log,
  periodic,
  reconcilers,
  silentMs = SILENT_MS,
}: ReconcileDeps): Promise<void> {
  await attempt('jobs', async () => {
    const found = await requeueLost(db, silentMs)
    if (found.expired + found.forgotten > 0) log.warn('jobs.requeued', found)
  })
  for (const job of periodic) {
    await attempt(job.kind, async () => {
      await requestDue(db, job)
    })
  }
  for (const reconciler of reconcilers) await attempt(reconciler.name, () => reconciler.reconcile(db))

  async function attempt(name: string, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      log.warn('reconcile.failed', { reconciler: name, error })
    }
  }
}
