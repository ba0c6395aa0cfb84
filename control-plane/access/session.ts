// How long a browser's session lasts, and when the identity provider has to be asked again (AZ-3). Pure: times in ms since the epoch.
import { MAX_UNCHECKED_MS, RECHECK_AFTER_MS } from './entra-sign-in.ts'

const MINUTE_MS = 60_000
/** Without a request for so long, it ends. */
export const IDLE_MS = 20 * MINUTE_MS
/** It ends so long after the sign-in, whatever happens. */
export const ABSOLUTE_MS = 12 * 60 * MINUTE_MS
/** By the one-time code: for setting up, not for working. */
export const BREAK_GLASS_LIFE_MS = 60 * MINUTE_MS
/** `last_used_at` is written at most so often: a session may end that much before it has idled for `IDLE_MS`, never later. */
export const NOTE_USE_EVERY_MS = MINUTE_MS

/** Who acts by the one-time code: nobody that any tenant knows. */
export const BREAK_GLASS_PRINCIPAL = 'break-glass'

export interface SessionTimes {
  readonly isBreakGlass: boolean
  /** The provider's last word that it knows the person. */
  readonly checkedAt: number
  readonly lastUsedAt: number
  readonly expiresAt: number
}

export type SessionVerdict =
  | { readonly kind: 'live' }
  /** Ask the provider; until it has answered nothing is allowed once that is overdue. */
  | { readonly kind: 'recheck'; readonly isOverdue: boolean }
  | { readonly kind: 'ended'; readonly reason: 'expired' | 'idle' }

export function judgeSession(times: SessionTimes, now: number): SessionVerdict {
  if (now >= times.expiresAt) return { kind: 'ended', reason: 'expired' }
  if (now - times.lastUsedAt >= IDLE_MS) return { kind: 'ended', reason: 'idle' }
  // Nobody but this installation knows of it.
  if (times.isBreakGlass) return { kind: 'live' }
  const unchecked = now - times.checkedAt
  if (unchecked < RECHECK_AFTER_MS) return { kind: 'live' }
  return { kind: 'recheck', isOverdue: unchecked >= MAX_UNCHECKED_MS }
}

export const isUseWorthNoting = ({ lastUsedAt }: Pick<SessionTimes, 'lastUsedAt'>, now: number): boolean =>
  now - lastUsedAt >= NOTE_USE_EVERY_MS

/** When it will end without another request. */
export const idleEnd = ({ lastUsedAt, expiresAt }: Pick<SessionTimes, 'lastUsedAt' | 'expiresAt'>): number =>
  Math.min(lastUsedAt + IDLE_MS, expiresAt)
