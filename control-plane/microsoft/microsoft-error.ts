// What went wrong between us and Microsoft 365, in the codes of migration-semantics.md §8: whether it passes by itself, and what an administrator is
// to do. Everything that calls Microsoft throws this and nothing else for an answer it can't use. Pure.

export const MICROSOFT_ERROR_CODES = [
  'AUTH_TOKEN',
  'CREDENTIAL_EXPIRED',
  'CLOCK_SKEW',
  'CONSENT_MISSING',
  'RBAC_MISSING',
  'POLICY_BLOCKED',
  'THROTTLED',
  'TRANSIENT',
  'NOT_FOUND',
  'CONFLICT',
  'DELTA_RESET',
  'LINK_REFUSED',
  'UNEXPECTED',
] as const
export type MicrosoftErrorCode = (typeof MICROSOFT_ERROR_CODES)[number]

/** `retry`: passes by itself; `admin`: somebody has to do something first; `final`: the answer stands. */
export type Recovery = 'retry' | 'admin' | 'final'

export interface MicrosoftErrorDetails {
  /** HTTP status; undefined: there was no answer. */
  readonly status?: number | undefined
  /** As the service says it: `Authorization_RequestDenied`, an exception's type, `AADSTS700016`. Never its message. */
  readonly serviceCode?: string | undefined
  /** `request-id` of the answer, for Microsoft's support. */
  readonly requestId?: string | undefined
  /** ms to wait before anything like it is sent again. */
  readonly waitMs?: number | undefined
  /** Name of the operation or cmdlet: `GET /users/delta()`, `Get-Mailbox`. No ids, no data. */
  readonly operation?: string | undefined
  readonly cause?: unknown
}

/** What a refusal means, as read from its status and body. */
export interface Judged {
  readonly code: MicrosoftErrorCode
  /** As the service says it, short; undefined: it said none. */
  readonly serviceCode: string | undefined
}

const RECOVERY: Readonly<Record<MicrosoftErrorCode, Recovery>> = {
  AUTH_TOKEN: 'admin',
  CREDENTIAL_EXPIRED: 'admin',
  CLOCK_SKEW: 'admin',
  CONSENT_MISSING: 'admin',
  RBAC_MISSING: 'admin',
  POLICY_BLOCKED: 'admin',
  THROTTLED: 'retry',
  TRANSIENT: 'retry',
  NOT_FOUND: 'final',
  CONFLICT: 'final',
  DELTA_RESET: 'final',
  LINK_REFUSED: 'final',
  UNEXPECTED: 'final',
}

export class MicrosoftError extends Error {
  override readonly name = 'MicrosoftError'
  readonly code: MicrosoftErrorCode
  readonly recovery: Recovery
  readonly status: number | undefined
  readonly serviceCode: string | undefined
  readonly requestId: string | undefined
  readonly waitMs: number | undefined
  readonly operation: string | undefined

  constructor(code: MicrosoftErrorCode, details: MicrosoftErrorDetails = {}) {
    const { status, serviceCode, requestId, waitMs, operation, cause } = details
    super(
      [code, operation, status, serviceCode].filter((part) => part !== undefined).join(' '),
      cause === undefined ? {} : { cause },
    )
    this.code = code
    this.recovery = RECOVERY[code]
    this.status = status
    this.serviceCode = serviceCode
    this.requestId = requestId
    this.waitMs = waitMs
    this.operation = operation
  }
}
