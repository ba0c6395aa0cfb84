// What a refused token request means (microsoft-365.md §2.1): OAuth's `error` and the status say whether asking again helps; Entra's number, which may
// change, only picks what an administrator is told. Never by text. Pure.
import type { MicrosoftErrorCode } from './microsoft-error.ts'

export interface TokenRefusal {
  /** HTTP */
  readonly status: number
  /** OAuth's, as it came. */
  readonly error: string | undefined
  /** `error_codes[0]` */
  readonly entraCode: number | undefined
}

/** Asking again gives the same, whatever the number says. */
const NEVER_AGAIN: readonly string[] = ['invalid_client', 'unauthorized_client', 'invalid_grant']
const OUTAGES: readonly string[] = ['temporarily_unavailable', 'server_error']
const TOO_MANY_REQUESTS = 429
const SERVER_ERROR = 500

/** Numbers are unverified but for those of "Microsoft Entra authentication and authorization error codes". */
const BY_NUMBER: Readonly<Record<number, MicrosoftErrorCode>> = {
  65001: 'CONSENT_MISSING',
  90094: 'CONSENT_MISSING',
  90099: 'CONSENT_MISSING',
  500011: 'CONSENT_MISSING', // the resource has no service principal in the tenant
  700016: 'CONSENT_MISSING',
  7000222: 'CREDENTIAL_EXPIRED',
  500133: 'CLOCK_SKEW',
  700024: 'CLOCK_SKEW',
  53003: 'POLICY_BLOCKED',
  530032: 'POLICY_BLOCKED',
  500021: 'POLICY_BLOCKED',
  7000112: 'POLICY_BLOCKED', // the application is disabled in the tenant
}
const TRANSIENT_NUMBERS: Readonly<Record<number, MicrosoftErrorCode>> = {
  90006: 'TRANSIENT',
  90012: 'TRANSIENT',
  90033: 'TRANSIENT',
  90090: 'TRANSIENT',
  90024: 'THROTTLED',
  90055: 'THROTTLED',
}

export function judgeTokenRefusal({ status, error, entraCode }: TokenRefusal): MicrosoftErrorCode {
  if (status === TOO_MANY_REQUESTS) return 'THROTTLED'
  if (status >= SERVER_ERROR || OUTAGES.includes(error ?? '')) return 'TRANSIENT'
  const number = entraCode ?? Number.NaN
  const passing = NEVER_AGAIN.includes(error ?? '') ? undefined : TRANSIENT_NUMBERS[number]
  return passing ?? BY_NUMBER[number] ?? 'AUTH_TOKEN'
}

/** Of the body, whatever it holds. */
export function readTokenRefusal(status: number, body: Readonly<Record<string, unknown>>): TokenRefusal {
  const { error, error_codes: codes } = body
  const first: unknown = Array.isArray(codes) ? codes[0] : undefined
  return {
    status,
    error: typeof error === 'string' && /^\w{1,60}$/.test(error) ? error : undefined,
    entraCode: typeof first === 'number' && Number.isSafeInteger(first) ? first : undefined,
  }
}
