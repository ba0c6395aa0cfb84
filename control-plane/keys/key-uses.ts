// When keys were last used, for the inventory (KM-7): remembered in memory and written at most once an hour a key, on a connection of its own.
// Writing it in the transaction that uses the key would make all users of a key wait for one another.
import type { Log } from '../../common/log.ts'
import { withScope } from '../db/database.ts'
import type { Db } from '../db/database.ts'
import type { OrganisationId } from '../ids.ts'
import { recordUse } from './key-inventory-store.ts'

const HOUR_MS = 3_600_000

export interface KeyUsesDeps {
  readonly db: Db
  readonly log: Log
  readonly now: () => Date
}

export class KeyUses {
  readonly #deps: KeyUsesDeps
  readonly #notedMs = new Map<string, number>()
  readonly #writes = new Set<Promise<void>>()

  constructor(deps: KeyUsesDeps) {
    this.#deps = deps
  }

  note(organisation: OrganisationId, projectKeyId: string): void {
    const now = this.#deps.now()
    const notedMs = this.#notedMs.get(projectKeyId)
    if (notedMs !== undefined && now.getTime() - notedMs < HOUR_MS) return
    this.#notedMs.set(projectKeyId, now.getTime())
    const write = this.#write(organisation, projectKeyId, now).finally(() => this.#writes.delete(write))
    this.#writes.add(write)
  }

  /** Resolves when what was noted so far is written: before the database is closed. */
  async settle(): Promise<void> {
    await Promise.all(this.#writes)
  }

  async #write(organisation: OrganisationId, id: string, at: Date): Promise<void> {
    const { db, log } = this.#deps
    try {
      await withScope(db, { organisation }, (tx) => recordUse(tx, organisation, 'project-key', [id], at))
    } catch (error) {
      this.#notedMs.delete(id) // the next use tries again
      log.warn('keys.use-not-noted', { organization: organisation, key: id, error })
    }
  }
}
