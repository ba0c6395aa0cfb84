// Refusals in Entra's form. The numbers and their `error` are those of "Microsoft Entra authentication & authorization error codes"; those
// marked below are from memory (unverified). A client decides by `error` and the status, never by number or text.

interface Refusal {
  readonly error: string
  readonly text: string
  /** Of the token endpoint's answer. Default 400. */
  readonly status?: number
}

const REFUSALS = {
  16000: { error: 'interaction_required', text: 'Interaction is required: several accounts are possible.' },
  50011: {
    error: 'invalid_request',
    text: 'The redirect URI specified in the request does not match the ones registered.',
  },
  50013: { error: 'invalid_client', text: 'Assertion failed validation: it was used before.', status: 401 },
  50020: {
    error: 'access_denied',
    text: 'The user account does not exist in this tenant and cannot access the application.',
  },
  50034: { error: 'invalid_grant', text: 'The user account does not exist in the directory.' },
  50057: { error: 'invalid_grant', text: 'The user account is disabled.' },
  50058: { error: 'login_required', text: 'A silent sign-in request was sent but no user is signed in.' },
  50173: {
    error: 'invalid_grant',
    text: 'The provided grant has expired due to it being revoked, a fresh auth token is needed.',
  },
  53003: { error: 'invalid_grant', text: 'Access has been blocked by Conditional Access policies.' },
  54005: { error: 'invalid_grant', text: 'OAuth2 Authorization code was already redeemed.' },
  65004: { error: 'access_denied', text: 'User declined to consent to access the app.' },
  70000: { error: 'invalid_grant', text: 'The provided value for the input parameter is not valid.' },
  70003: { error: 'unsupported_grant_type', text: 'The app requested an unsupported grant type.' },
  70008: { error: 'invalid_grant', text: 'The provided authorization code or refresh token has expired.' },
  90002: { error: 'invalid_request', text: 'Tenant not found.' },
  90014: { error: 'invalid_request', text: 'A required field is missing from the request.' },
  90038: {
    error: 'invalid_request',
    text: 'The tenant is in another national cloud: the request has to be sent there.',
  },
  90023: { error: 'invalid_request', text: 'The request is not valid for the application.' },
  90094: { error: 'access_denied', text: 'An administrator must consent to this application first.' },
  500011: { error: 'invalid_resource', text: 'The resource principal was not found in the tenant.' },
  500112: {
    error: 'invalid_grant',
    text: 'The reply address does not match the reply address of the authorization request.',
  },
  501481: { error: 'invalid_grant', text: 'The Code_Verifier does not match the code_challenge supplied.' },
  700005: { error: 'invalid_grant', text: 'The authorization code is intended to be used against another tenant.' },
  700016: { error: 'unauthorized_client', text: 'Application was not found in the directory.' },
  700021: {
    error: 'invalid_client',
    text: "Client assertion application identifier doesn't match 'client_id'.",
    status: 401,
  },
  700023: { error: 'invalid_client', text: 'Client assertion audience claim does not match.', status: 401 },
  700024: { error: 'invalid_client', text: 'Client assertion is not within its valid time range.', status: 401 },
  700027: { error: 'invalid_client', text: 'Client assertion failed signature validation.', status: 401 },
  700054: { error: 'unsupported_response_type', text: 'Only response_type code is enabled for the application.' },
  1002012: {
    error: 'invalid_scope',
    text: 'The provided value for scope is not valid: client credential flows want {resource}/.default.',
  },
  7000112: { error: 'unauthorized_client', text: 'Application is disabled.' },
  7000218: { error: 'invalid_client', text: 'The request body must contain client_assertion.', status: 401 },
  7000222: { error: 'invalid_client', text: 'The provided client certificate has expired.', status: 401 },
  9001023: {
    error: 'invalid_request',
    text: 'The grant type is not supported over the /common or /organizations endpoints.',
  },
  9002313: { error: 'invalid_request', text: 'Invalid request. Request is malformed or invalid.' },
  9002325: { error: 'invalid_request', text: 'Proof Key for Code Exchange (S256) is required.' },
} as const satisfies Record<number, Refusal>

export type EntraCode = keyof typeof REFUSALS

export class EntraError extends Error {
  override readonly name = 'EntraError'
  readonly code: EntraCode
  /** OAuth 2.0 error (RFC 6749 §4.1.2.1, §5.2). */
  readonly error: string
  readonly status: number

  constructor(code: EntraCode) {
    const refusal: Refusal = REFUSALS[code]
    super(refusal.text)
    this.code = code
    this.error = refusal.error
    this.status = refusal.status ?? 400
  }
}

export interface Trace {
  readonly at: Date
  /** GUIDs */
  readonly traceId: string
  readonly correlationId: string
}

/** `AADSTS700016: … Trace ID: … Correlation ID: … Timestamp: …`, as it stands in answers and in error redirects. */
export function errorDescription({ code, message }: EntraError, trace: Trace): string {
  return `AADSTS${code}: ${message} Trace ID: ${trace.traceId} Correlation ID: ${trace.correlationId} Timestamp: ${entraTime(trace.at)}`
}

/** Body of a refused token request. */
export function errorBody(error: EntraError, trace: Trace, issuerOrigin: string): Record<string, unknown> {
  return {
    error: error.error,
    error_description: errorDescription(error, trace),
    error_codes: [error.code],
    timestamp: entraTime(trace.at),
    trace_id: trace.traceId,
    correlation_id: trace.correlationId,
    error_uri: `${issuerOrigin}/error?code=${error.code}`,
  }
}

/** `2026-11-22 10:00:00Z` */
function entraTime(at: Date): string {
  return `${at.toISOString().slice(0, 19).replace('T', ' ')}Z`
}
