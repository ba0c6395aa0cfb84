// Long streams end when their reader's access ends: looked up again and again, without counting as use of the session (AZ-3). One caller has a
// few of them at most.
import { sql } from 'kysely'
import { callerName } from '../access/caller.ts'
import type { Caller } from '../access/caller.ts'
import type { Permission } from '../access/permissions.ts'
import { judgeSession } from '../access/session.ts'
import { findSession } from '../access/session-store.ts'
import { loadHeld } from '../access/standing-store.ts'
import { rowOf, withScope } from '../db/database.ts'
import type { Db } from '../db/database.ts'
import { authorise } from '../http/authorise.ts'
import { Problem } from '../http/problem.ts'
import type { Access } from '../http/route.ts'
import type { OrganisationId } from '../ids.ts'

/** AZ-3: access ends within 5 s. */
const CHECK_EVERY_MS = 4_000
export const MAX_STREAMS = 20
const RETRY_AFTER_S = 10

export interface StreamAccessDeps {
  readonly db: Db
  /** ms since the epoch */
  readonly now: () => number
  readonly checkEveryMs?: number
}

export interface StreamPlace {
  readonly caller: Caller
  readonly access: Access
  /** Path parameters of the route. */
  readonly path: Readonly<Record<string, string>>
  readonly organisation: OrganisationId
}

/** What the caller holds in the organisation, or in one project of it. */
export type Held = (project?: string) => ReadonlySet<Permission>

export class StreamAccess {
  readonly #deps: StreamAccessDeps
  readonly #open = new Map<string, number>()

  constructor(deps: StreamAccessDeps) {
    this.#deps = deps
  }

  /**
   * Runs `send` while the caller may read: its signal ends with his access. `held()` is as of the last look.
   * @throws Problem 429 when he has too many streams open
   */
  async during(
    place: StreamPlace,
    signal: AbortSignal,
    send: (signal: AbortSignal, held: Held) => Promise<void>,
  ): Promise<void> {
    const end = this.#take(callerName(place.caller))
    const ended = new AbortController()
    try {
      let held = await this.#look(place)
      if (held === undefined) return
      const timer = setInterval(() => {
        // A look that fails ends the stream as well: the client comes back, and is told then.
        this.#look(place).then(
          (found) => (found === undefined ? ended.abort() : (held = found)),
          () => ended.abort(),
        )
      }, this.#deps.checkEveryMs ?? CHECK_EVERY_MS)
      try {
        await send(AbortSignal.any([signal, ended.signal]), (project) => held?.(project) ?? new Set())
      } finally {
        clearInterval(timer)
      }
    } finally {
      end()
    }
  }

  #take(name: string): () => void {
    const open = this.#open.get(name) ?? 0
    if (open >= MAX_STREAMS) throw new Problem('too-many-requests', { retryAfter: RETRY_AFTER_S })
    this.#open.set(name, open + 1)
    return () => {
      const left = (this.#open.get(name) ?? 1) - 1
      if (left === 0) this.#open.delete(name)
      else this.#open.set(name, left)
    }
  }

  async #look({ caller, access, path, organisation }: StreamPlace): Promise<Held | undefined> {
    const { db } = this.#deps
    const now = this.#deps.now()
    if (!(await isCredentialAlive(db, caller, now))) return undefined
    try {
      await authorise(db, access, caller, path, now)
    } catch (error) {
      if (error instanceof Problem) return undefined
      throw error
    }
    return withScope(db, { organisation }, (tx) => loadHeld(tx, organisation, caller, now))
  }
}

async function isCredentialAlive(db: Db, caller: Caller, now: number): Promise<boolean> {
  if (caller.kind === 'session') {
    const { sessionHash } = caller
    const session = await withScope(db, { credential: sessionHash }, (tx) => findSession(tx, sessionHash))
    if (session === undefined) return false
    const verdict = judgeSession(session, now)
    return verdict.kind === 'live' || (verdict.kind === 'recheck' && !verdict.isOverdue)
  }
  const { keyHash } = caller
  const key = await withScope(db, { credential: keyHash }, (tx) =>
    rowOf(
      tx,
      sql`select 1 from api_key where key_hash = ${keyHash} and revoked_at is null and expires_at > ${new Date(now)}`,
    ),
  )
  return key !== undefined
}
