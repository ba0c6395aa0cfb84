// Asks the identity provider whether it still knows the person of a session (AZ-3), once at a time for each session, and stores what it says.
// After an outage nobody is asked for a while; what that means for the session is judged by its times (session.ts).
import type { Log } from '../../common/log.ts'
import { appendAudit } from '../audit/audit-store.ts'
import { withScope } from '../db/database.ts'
import type { Db } from '../db/database.ts'
import { INSTALLATION } from '../ids.ts'
import { KeyServiceUnavailable } from '../keys/key-provider.ts'
import { RECHECK_AFTER_MS, stillEnabled } from './entra-sign-in.ts'
import type { SignInDeps, StillEnabled } from './entra-sign-in.ts'
import { deleteSession, findSession, storeCheck } from './session-store.ts'
import type { Session } from './session-store.ts'

export interface RecheckDeps {
  readonly db: Db
  /** undefined: sign-in is not set up (any more), and nobody can be asked. */
  readonly signIn: SignInDeps | undefined
  readonly log: Log
}

export type Recheck =
  | { readonly kind: 'enabled' }
  /** The session is gone. */
  | { readonly kind: 'ended' }
  /** The answer proves nothing: altered, of somebody else, by a key we don't know. */
  | { readonly kind: 'distrusted' }
  /** No answer now. */
  | { readonly kind: 'unknown'; readonly retryAfterMs: number }

/** Unless the provider says how long. */
const ASK_AGAIN_AFTER_MS = 15_000
const RACE_LOST_MS = 1_000

export class SessionRecheck {
  readonly #deps: RecheckDeps
  readonly #running = new Map<string, Promise<Recheck>>()
  /** Until when a session isn't asked about again after an answer that was none; for all of them after an outage. */
  readonly #pauses = new Map<string, number>()
  #outageUntil = 0

  constructor(deps: RecheckDeps) {
    this.#deps = deps
  }

  /** @param now  ms since the epoch */
  ask({ idHash }: Pick<Session, 'idHash'>, now: number): Promise<Recheck> {
    const running = this.#running.get(idHash)
    if (running !== undefined) return running
    const pausedUntil = Math.max(this.#outageUntil, this.#pauses.get(idHash) ?? 0)
    if (now < pausedUntil) return Promise.resolve({ kind: 'unknown', retryAfterMs: pausedUntil - now })
    this.#pauses.delete(idHash)
    const asked = this.#recheck(idHash, now).finally(() => this.#running.delete(idHash))
    this.#running.set(idHash, asked)
    return asked
  }

  /** As `ask`, for a session that may go on meanwhile. */
  askAside(session: Pick<Session, 'idHash'>, now: number): void {
    this.ask(session, now).catch((error: unknown) => this.#deps.log.error('session.check_failed', { error }))
  }

  /** Resolves when nothing is being asked: before the database is closed. */
  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.allSettled(this.#running.values())
  }

  async #recheck(idHash: string, now: number): Promise<Recheck> {
    const { db } = this.#deps
    // As it is now: another request, or another process, may have asked since it was read.
    const session = await withScope(db, { credential: idHash }, (tx) => findSession(tx, idHash))
    if (session === undefined) return { kind: 'ended' }
    if (now - session.checkedAt < RECHECK_AFTER_MS) return { kind: 'enabled' }
    const answer = await this.#answer(session)
    switch (answer.kind) {
      case 'enabled': {
        const { refreshSealed, person } = answer
        const check = { refreshSealed, displayName: person.displayName, checkedAt: now }
        await withScope(db, { credential: idHash }, (tx) => storeCheck(tx, idHash, refreshOf(session), check))
        return { kind: 'enabled' }
      }
      case 'ended':
        return this.#end(session, answer.entraCode, now)
      case 'bad-token':
        this.#deps.log.warn('session.check_distrusted', { fault: answer.fault })
        this.#pauses.set(idHash, now + ASK_AGAIN_AFTER_MS)
        return { kind: 'distrusted' }
      case 'misconfigured':
        this.#deps.log.error('sign_in.misconfigured', { error: answer.error, entraCode: answer.entraCode })
        this.#outageUntil = now + ASK_AGAIN_AFTER_MS
        return { kind: 'unknown', retryAfterMs: ASK_AGAIN_AFTER_MS }
      case 'service-unavailable': {
        const { retryAfterMs = ASK_AGAIN_AFTER_MS, cause } = answer
        this.#deps.log.warn('sign_in.unavailable', { error: cause })
        this.#outageUntil = now + retryAfterMs
        return { kind: 'unknown', retryAfterMs }
      }
      default:
        return answer satisfies never
    }
  }

  async #answer(session: Session): Promise<StillEnabled> {
    const { signIn } = this.#deps
    if (signIn === undefined) return { kind: 'misconfigured', error: 'not_configured', entraCode: undefined }
    const [tenantId = '', objectId = ''] = session.principal.split('/')
    try {
      return await stillEnabled({ tenantId, objectId }, refreshOf(session), signIn)
    } catch (error) {
      if (!(error instanceof KeyServiceUnavailable)) throw error
      return { kind: 'service-unavailable', retryAfterMs: error.retryAfterMs, cause: error }
    }
  }

  /** Unless somebody has just been told otherwise: Entra lets an older refresh token live on, and may refuse it later than a newer one. */
  async #end({ idHash, principal, ...session }: Session, entraCode: number | undefined, now: number): Promise<Recheck> {
    const before = refreshOf(session)
    const hasEnded = await withScope(
      this.#deps.db,
      { organisation: INSTALLATION, credential: idHash },
      async (tx): Promise<boolean> => {
        if (!(await deleteSession(tx, idHash, before))) return false
        const payload = { reason: 'provider', ...(entraCode === undefined ? {} : { entraCode }) }
        const actor = 'system:session-check'
        await appendAudit(
          tx,
          INSTALLATION,
          { action: 'session.ended', actor, object: principal, result: 'done', payload },
          now,
        )
        return true
      },
    )
    return hasEnded ? { kind: 'ended' } : { kind: 'unknown', retryAfterMs: RACE_LOST_MS }
  }
}

function refreshOf({ refreshSealed }: Pick<Session, 'refreshSealed'>): Uint8Array {
  if (refreshSealed === undefined) throw new Error('unreachable: a session with a provider has its refresh token')
  return refreshSealed
}
