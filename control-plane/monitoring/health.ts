// Whether this process may take work, judged by what it needs: asked for at most once a second, however many ask. (OP-1, OP-3)
import { sql } from 'kysely'
import type { Database } from '../db/database.ts'
import { pendingMigrations } from '../db/migrate.ts'
import type { KeyProvider } from '../keys/key-provider.ts'

export const COMPONENTS = ['database', 'queue', 'keys'] as const
export type Component = (typeof COMPONENTS)[number]
export type ComponentState = 'up' | 'down'

export interface Health {
  readonly isReady: boolean
  /** Why not, in words for an operator. */
  readonly reasons: readonly string[]
  readonly components: Readonly<Record<Component, ComponentState>>
}

export interface HealthDeps {
  readonly database: Database
  /** Resolves while the job queue can be reached. */
  readonly pingQueue: () => Promise<void>
  readonly keyService: Pick<KeyProvider, 'health'>
  readonly isStopping: () => boolean
  /** ms, monotonic */
  readonly monotonicMs: () => number
}

const KEPT_MS = 1_000
/** A key vault counts requests, and is asked for keys besides. */
const KEYS_KEPT_MS = 10_000
const TIMEOUT_MS = 3_000

export class HealthCheck {
  readonly #deps: HealthDeps
  #last: { readonly at: number; readonly health: Promise<Health> } | undefined
  #keys: { readonly at: number; readonly fault: Promise<string | undefined> } | undefined

  constructor(deps: HealthDeps) {
    this.#deps = deps
  }

  /** Never rejects. */
  check(): Promise<Health> {
    const now = this.#deps.monotonicMs()
    if (this.#last === undefined || now - this.#last.at > KEPT_MS) this.#last = { at: now, health: this.#examine() }
    return this.#last.health
  }

  async #examine(): Promise<Health> {
    const { database, pingQueue, isStopping } = this.#deps
    const [databaseFault, queueFault, keyFault] = await Promise.all([
      faultOf(async () => {
        await sql`select 1`.execute(database.db)
        const pending = await pendingMigrations(database.db)
        if (pending.length > 0) throw new Error('the database has an older schema: run `causeway db migrate`')
      }),
      faultOf(pingQueue),
      this.#keyFault(),
    ])
    const reasons = [
      ...(isStopping() ? ['the process is stopping'] : []),
      ...(databaseFault === undefined ? [] : [`database: ${databaseFault}`]),
    ]
    return {
      // Without the queue changes are still taken: they wait in the outbox (JQ-5). Without the key service keys in memory go on for hours (KM-4).
      isReady: reasons.length === 0,
      reasons: [
        ...reasons,
        ...(queueFault === undefined ? [] : [`queue: ${queueFault}`]),
        ...(keyFault === undefined ? [] : [`key service: ${keyFault}`]),
      ],
      components: {
        database: databaseFault === undefined ? 'up' : 'down',
        queue: queueFault === undefined ? 'up' : 'down',
        keys: keyFault === undefined ? 'up' : 'down',
      },
    }
  }

  #keyFault(): Promise<string | undefined> {
    const now = this.#deps.monotonicMs()
    if (this.#keys === undefined || now - this.#keys.at > KEYS_KEPT_MS) {
      const fault = faultOf(async () => {
        const { isReady, reason } = await this.#deps.keyService.health()
        if (!isReady) throw new Error(reason ?? 'it is not ready')
      })
      this.#keys = { at: now, fault }
    }
    return this.#keys.fault
  }
}

async function faultOf(probe: () => Promise<void>): Promise<string | undefined> {
  const { promise: tooLate, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error('no answer in time')), TIMEOUT_MS)
  try {
    await Promise.race([probe(), tooLate])
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : 'unknown fault'
  } finally {
    clearTimeout(timer)
  }
}
