// What a failed token request means, judged from MSAL's error: by OAuth's `error`, never by Entra's text (microsoft-365.md §2.1). Pure.
import { AuthError, ClientAuthError, ClientAuthErrorCodes } from '@azure/msal-node'
import type { TokenFault } from './id-token.ts'
import type { LoginUnavailable } from './login-network.ts'

export type TokenRefusal =
  /** The code or refresh token is no longer good: used, expired, of somebody disabled or revoked, or a policy stands against it. */
  | { readonly kind: 'grant-refused'; readonly error: string; readonly entraCode: number | undefined }
  /** Our application is not accepted; an operator has to look at its registration, certificate or the clock. */
  | { readonly kind: 'misconfigured'; readonly error: string; readonly entraCode: number | undefined }
  | { readonly kind: 'service-unavailable'; readonly retryAfterMs: number | undefined; readonly cause: Error }
  | { readonly kind: 'bad-token'; readonly fault: TokenFault }

const GRANT_ERRORS = ['invalid_grant', 'interaction_required', 'login_required', 'consent_required', 'access_denied']
const OUTAGES = ['temporarily_unavailable', 'server_error']
const UNREADABLE: readonly string[] = [ClientAuthErrorCodes.tokenParsingError, ClientAuthErrorCodes.nullOrEmptyToken]

/**
 * @param outage  what the network client met; MSAL keeps nothing of it
 * @returns undefined for what is no answer of Entra's: a fault of ours, to be thrown on
 */
export function judgeTokenError(error: unknown, outage: LoginUnavailable | undefined): TokenRefusal | undefined {
  if (outage !== undefined) return { kind: 'service-unavailable', retryAfterMs: outage.retryAfterMs, cause: outage }
  if (error instanceof ClientAuthError) {
    if (error.errorCode === ClientAuthErrorCodes.nonceMismatch) return { kind: 'bad-token', fault: 'nonce' }
    return UNREADABLE.includes(error.errorCode) ? { kind: 'bad-token', fault: 'malformed' } : undefined
  }
  if (!(error instanceof AuthError) || !('errorNo' in error)) return undefined
  const oauthError = error.errorCode
  if (OUTAGES.includes(oauthError)) return { kind: 'service-unavailable', retryAfterMs: undefined, cause: error }
  const entraCode = numberOf(error.errorNo)
  return { kind: GRANT_ERRORS.includes(oauthError) ? 'grant-refused' : 'misconfigured', error: oauthError, entraCode }
}

/** Of `AADSTS50057: …`. */
export function readEntraCode(description: string): number | undefined {
  return numberOf(/^AADSTS(\d{4,9})\b/.exec(description)?.[1])
}

function numberOf(value: unknown): number | undefined {
  const number = typeof value === 'string' || typeof value === 'number' ? Number(value) : Number.NaN
  return Number.isSafeInteger(number) ? number : undefined
}
