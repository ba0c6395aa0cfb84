// Who a request of a relay is from (RC-1): the token's signature against the key of enrolment, then its one use. Refusals tell nothing but that;
// the project's audit trail says why, once an hour for each relay and reason.
import { appendAudit } from '../audit/audit-store.ts'
import { withScope } from '../db/database.ts'
import type { Db } from '../db/database.ts'
import { Problem } from '../http/problem.ts'
import type { EnrolSource } from './enrol.ts'
import type { RelayIdentity } from './relay.ts'
import { findRelayIdentity, noteSeen } from './relay-store.ts'
import { claimedRelay, judgeToken } from './relay-token.ts'
import { useToken } from './token-use-store.ts'

export interface AuthenticateRelayDeps {
  readonly db: Db
  readonly installation: string
  /** ms since the epoch */
  readonly now: () => number
}

const TELL_EVERY_MS = 3_600_000
const MAX_TOLD = 10_000

/**
 * @param authorization  header as sent
 * @throws Problem 401; 410 when it was revoked
 */
export type AuthenticateRelay = (authorization: string | undefined, source: EnrolSource) => Promise<RelayIdentity>

export function createAuthenticateRelay({ db, installation, now }: AuthenticateRelayDeps): AuthenticateRelay {
  const told = new Map<string, number>()

  const noteRefusal = async (
    { organisation, project, relay }: RelayIdentity,
    reason: string,
    source: EnrolSource,
  ): Promise<void> => {
    const at = now()
    const what = `${relay} ${reason}`
    if (at - (told.get(what) ?? -Infinity) < TELL_EVERY_MS) return
    if (told.size >= MAX_TOLD) told.clear()
    told.set(what, at)
    const { requestId, sourceAddress } = source
    const entry = {
      action: 'relay.refused',
      actor: `relay:${relay}`,
      project,
      object: relay,
      result: 'denied' as const,
      requestId,
      payload: { reason, sourceAddress },
    }
    await withScope(db, { organisation }, (tx) => appendAudit(tx, organisation, entry, at))
  }

  return async (authorization, source) => {
    const claim = claimedRelay(authorization)
    const identity = claim && (await withScope(db, { relay: claim.relay }, (tx) => findRelayIdentity(tx, claim.relay)))
    if (claim === undefined || identity === undefined) throw new Problem('relay-token-refused')
    const verdict = await judgeToken(claim.jwt, { ...identity, installation }, now())
    if (verdict.kind === 'refused') {
      await noteRefusal(identity, verdict.reason, source)
      throw new Problem('relay-token-refused')
    }
    if (identity.state === 'revoked') {
      await noteRefusal(identity, 'revoked', source)
      throw new Problem('relay-revoked')
    }
    const isFirst = await withScope(db, { organisation: identity.organisation }, async (tx) => {
      if (!(await useToken(tx, identity, verdict.token))) return false
      await noteSeen(tx, identity, new Date(now()))
      return true
    })
    if (!isFirst) {
      await noteRefusal(identity, 'used', source)
      throw new Problem('relay-token-refused')
    }
    return identity
  }
}
