// Begins a session: always under a new id, whatever id the browser came with, whose session ends in the same transaction (AZ-2: no fixation).
import { appendAudit } from '../audit/audit-store.ts'
import type { Scope, Tx } from '../db/database.ts'
import { INSTALLATION } from '../ids.ts'
import { credentialHash } from './api-key.ts'
import { ABSOLUTE_MS, BREAK_GLASS_LIFE_MS, BREAK_GLASS_PRINCIPAL } from './session.ts'
import { csrfHashOf, csrfTokenOf, isCookieSecret, newCookieSecret } from './session-cookie.ts'
import { deleteSession, deleteSessionsOf, insertSession } from './session-store.ts'
import type { Session } from './session-store.ts'

export interface Newcomer {
  readonly principal: string
  readonly displayName: string
  readonly authenticatedAt: number
  readonly refreshSealed: Uint8Array | undefined
  /** For the audit trail: how it was proved. */
  readonly details: Readonly<Record<string, unknown>>
}

export interface StartInfo {
  /** Value of the browser's session cookie, whatever it is. */
  readonly earlierId: string | undefined
  readonly requestId: string
  readonly sourceAddress: string
  readonly now: number
  /** As `crypto.randomBytes`. */
  readonly random: (bytes: number) => Buffer
}

export interface Started {
  /** For the cookie alone. */
  readonly sessionId: string
  readonly csrfToken: string
  readonly session: Session
}

/** What the transaction of `startSession` must see. */
export function startScope(principal: string, earlierId: string | undefined): Scope {
  const earlier = earlierHash(earlierId)
  return { organisation: INSTALLATION, principal, ...(earlier === undefined ? {} : { credential: earlier }) }
}

export async function startSession(tx: Tx, newcomer: Newcomer, info: StartInfo): Promise<Started> {
  const { principal, displayName, authenticatedAt, refreshSealed, details } = newcomer
  const { earlierId, requestId, sourceAddress, now, random } = info
  const isBreakGlass = principal === BREAK_GLASS_PRINCIPAL
  const sessionId = newCookieSecret(random)
  const session: Session = {
    idHash: credentialHash(sessionId),
    principal,
    displayName,
    csrfHash: csrfHashOf(sessionId),
    refreshSealed,
    isBreakGlass,
    authenticatedAt,
    checkedAt: now,
    lastUsedAt: now,
    expiresAt: now + (isBreakGlass ? BREAK_GLASS_LIFE_MS : ABSOLUTE_MS),
  }
  const earlier = earlierHash(earlierId)
  if (earlier !== undefined) await deleteSession(tx, earlier)
  // Of the one account there is one session.
  if (isBreakGlass) await deleteSessionsOf(tx, principal)
  await insertSession(tx, session, new Date(now))
  await appendAudit(
    tx,
    INSTALLATION,
    {
      action: 'session.started',
      actor: `person:${principal}`,
      result: 'done',
      requestId,
      payload: { ...details, sourceAddress },
    },
    now,
  )
  return { sessionId, csrfToken: csrfTokenOf(sessionId), session }
}

const earlierHash = (earlierId: string | undefined): string | undefined =>
  earlierId !== undefined && isCookieSecret(earlierId) ? credentialHash(earlierId) : undefined
