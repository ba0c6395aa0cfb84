// The session of a cookie, for each request anew: what was ended a moment ago is refused now (AZ-2, AZ-3).
import { withScope } from '../db/database.ts'
import { retrySecretOf } from '../http/idempotency.ts'
import { Problem } from '../http/problem.ts'
import { credentialHash } from './api-key.ts'
import { isBreakGlassOpen } from './break-glass-store.ts'
import type { SessionCaller } from './caller.ts'
import { isUseWorthNoting, judgeSession } from './session.ts'
import { isCookieSecret } from './session-cookie.ts'
import { SessionRecheck } from './session-recheck.ts'
import type { RecheckDeps } from './session-recheck.ts'
import { deleteSession, findSession, noteSessionUse } from './session-store.ts'
import type { Session } from './session-store.ts'

export class Sessions {
  readonly #deps: RecheckDeps
  readonly #recheck: SessionRecheck

  constructor(deps: RecheckDeps) {
    this.#deps = deps
    this.#recheck = new SessionRecheck(deps)
  }

  /**
   * What `createAuthenticate` needs.
   * @param isPassive  a page asks by itself: the session goes on to idle
   * @returns undefined when there is none, or it has ended
   * @throws Problem 503 while the provider can't be asked and its last word is too old: nothing is allowed, and nothing ended
   */
  readonly find = async (sessionId: string, now: number, isPassive = false): Promise<SessionCaller | undefined> => {
    const session = await this.#load(sessionId)
    if (session === undefined) return undefined
    const verdict = judgeSession(session, now)
    if (verdict.kind === 'ended') return this.#end(session)
    if (verdict.kind === 'recheck' && !verdict.isOverdue) this.#recheck.askAside(session, now)
    if (verdict.kind === 'recheck' && verdict.isOverdue) {
      const checked = await this.#recheck.ask(session, now)
      if (checked.kind === 'ended') return undefined
      if (checked.kind === 'distrusted') return this.#end(session)
      if (checked.kind === 'unknown') {
        const retryAfter = Math.max(1, Math.ceil(checked.retryAfterMs / 1000))
        throw new Problem('unavailable', { retryAfter, detail: 'The identity provider can not be asked now.' })
      }
    }
    if (!isPassive && isUseWorthNoting(session, now)) {
      const { idHash } = session
      await withScope(this.#deps.db, { credential: idHash }, (tx) => noteSessionUse(tx, idHash, now))
    }
    return toCaller(session, sessionId)
  }

  /** Resolves when nothing is being asked of the provider. */
  settled(): Promise<void> {
    return this.#recheck.settled()
  }

  async #load(sessionId: string): Promise<Session | undefined> {
    if (!isCookieSecret(sessionId)) return undefined
    const idHash = credentialHash(sessionId)
    const { db } = this.#deps
    const session = await withScope(db, { credential: idHash }, (tx) => findSession(tx, idHash))
    if (session?.isBreakGlass !== true) return session
    return (await withScope(db, { purpose: 'administration' }, isBreakGlassOpen)) ? session : undefined
  }

  async #end({ idHash }: Session): Promise<undefined> {
    await withScope(this.#deps.db, { credential: idHash }, (tx) => deleteSession(tx, idHash))
    return undefined
  }
}

function toCaller(session: Session, sessionId: string): SessionCaller {
  return {
    kind: 'session',
    retrySecret: retrySecretOf(sessionId),
    principal: session.principal,
    displayName: session.displayName,
    sessionHash: session.idHash,
    csrfHash: session.csrfHash,
    authenticatedAt: session.authenticatedAt,
    isBreakGlass: session.isBreakGlass,
  }
}
