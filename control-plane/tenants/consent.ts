// How far the connection to a tenant is, and what moves it. Pure. (EC-3, EC-4, microsoft-365.md §2.3)
//
//   (none) → asked → checking → connected ⇄ paused
//              ↘ refused ↙ (asked anew at any time)
import type { MicrosoftErrorCode } from '../microsoft/microsoft-error.ts'
import type { TenantId } from '../ids.ts'
import type { Choices } from './capabilities.ts'

export const CONSENT_STATES = ['asked', 'checking', 'connected', 'paused', 'refused'] as const
export type ConsentState = (typeof CONSENT_STATES)[number]

/** Of our own making, beside those of Microsoft. */
export const CONSENT_PROBLEMS = ['DECLINED', 'WRONG_TENANT', 'TENANT_TAKEN', 'SIGN_IN_FAILED', 'NOT_SPREAD'] as const
export type ConsentProblem = (typeof CONSENT_PROBLEMS)[number] | MicrosoftErrorCode

export const EXCHANGE_STATES = ['not-asked', 'ready', 'missing', 'unknown'] as const
export type ExchangeState = (typeof EXCHANGE_STATES)[number]

export interface ProblemDetails {
  readonly status?: number
  readonly serviceCode?: string
  readonly requestId?: string
  readonly operation?: string
}

export interface DomainsProblem {
  /** Domains in which mapped addresses are, and that the tenant does not accept. */
  readonly outside: readonly string[]
}

export interface Consent {
  readonly tenant: TenantId
  readonly state: ConsentState
  readonly choices: Choices
  readonly granted: readonly string[]
  readonly missing: readonly string[]
  readonly exchange: ExchangeState
  readonly problem: ConsentProblem | undefined
  readonly problemDetails: ProblemDetails | undefined
  readonly domainsProblem: DomainsProblem | undefined
  readonly provedAt: Date | undefined
  readonly connectedAt: Date | undefined
  readonly stateSince: Date
  readonly checkedAt: Date | undefined
  readonly version: number
}

/** How long a consent may take to spread before it counts as refused (microsoft-365.md §2.3). */
export const SPREAD_MS = 10 * 60_000
const FIRST_WAIT_MS = 5_000
const MAX_WAIT_MS = 30_000

/** What a look at the tenant found. */
export type Look =
  | {
      readonly kind: 'seen'
      readonly granted: readonly string[]
      readonly missing: readonly string[]
      readonly exchange: ExchangeState
    }
  | { readonly kind: 'failed'; readonly problem: MicrosoftErrorCode; readonly details: ProblemDetails }

export interface Verdict {
  readonly state: ConsentState
  readonly granted: readonly string[]
  readonly missing: readonly string[]
  readonly exchange: ExchangeState
  readonly problem: ConsentProblem | undefined
  readonly problemDetails: ProblemDetails | undefined
  /** Look again after so long, ms; undefined: by the clock. */
  readonly againMs: number | undefined
}

/** Answers that pass by themselves: what they say of the consent is nothing. */
const PASSING: readonly MicrosoftErrorCode[] = ['THROTTLED', 'TRANSIENT']
/** What a consent that has not spread yet looks like. */
const NOT_YET: readonly MicrosoftErrorCode[] = ['CONSENT_MISSING', 'RBAC_MISSING', 'NOT_FOUND', 'AUTH_TOKEN']

/** @param now  ms since the epoch */
export function judgeLook(consent: Consent, look: Look, now: number): Verdict {
  const kept = { granted: consent.granted, missing: consent.missing, exchange: consent.exchange }
  const provedMs = consent.provedAt?.getTime() ?? now
  const isSpreading = consent.state === 'checking' && now - provedMs < SPREAD_MS
  const againMs = Math.min(FIRST_WAIT_MS + (now - provedMs) / 4, MAX_WAIT_MS)
  if (look.kind === 'failed') {
    const { problem, details } = look
    if (isSpreading && (PASSING.includes(problem) || NOT_YET.includes(problem)))
      return { ...kept, state: 'checking', problem, problemDetails: details, againMs }
    if (PASSING.includes(problem)) {
      // Nothing is known; whoever works in the tenant sees the same and waits by itself.
      return {
        ...kept,
        state: consent.state,
        problem: consent.problem,
        problemDetails: consent.problemDetails,
        againMs,
      }
    }
    const state = consent.state === 'checking' ? 'refused' : 'paused'
    return { ...kept, state, problem, problemDetails: details, againMs: undefined }
  }
  const { granted, missing, exchange } = look
  const seen = { granted, missing, exchange, problemDetails: undefined }
  if (missing.length === 0) {
    const waitsForExchange = isSpreading && exchange === 'missing'
    return { ...seen, state: 'connected', problem: undefined, againMs: waitsForExchange ? againMs : undefined }
  }
  if (isSpreading) return { ...seen, state: 'checking', problem: 'CONSENT_MISSING', againMs }
  const state = consent.state === 'checking' ? 'refused' : 'paused'
  const problem = consent.state === 'checking' ? 'NOT_SPREAD' : 'CONSENT_MISSING'
  return { ...seen, state, problem, againMs: undefined }
}

export const REMEDIES: Readonly<
  Record<(typeof CONSENT_PROBLEMS)[number], { readonly cause: string; readonly remedy: string }>
> = {
  DECLINED: {
    cause: 'The administrator declined the permissions.',
    remedy: 'Show the manifest to the administrator, agree on the capabilities, and ask again.',
  },
  WRONG_TENANT: {
    cause: 'The consent was given, or the administrator signed in, in another tenant than the registered one.',
    remedy: 'Check the tenant id of the connection, and open the link as an administrator of that tenant.',
  },
  TENANT_TAKEN: {
    cause: 'The tenant is attached to an organization of this installation already.',
    remedy: 'A tenant belongs to one organization: remove it there first.',
  },
  SIGN_IN_FAILED: {
    cause: 'The administrator consented, but did not prove by signing in that the tenant is his.',
    remedy: 'Ask again, and sign in as the administrator who consents.',
  },
  NOT_SPREAD: {
    cause: 'Ten minutes after the consent the tenant still had not granted every permission that was asked for.',
    remedy: 'Compare the permissions of the app registration with `missing`, grant them, and ask again.',
  },
}
