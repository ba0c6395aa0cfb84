// One sign-in under way: the secrets that bind the callback to the browser that began (AZ-1), and how a callback is read. Pure.
import { createHash, timingSafeEqual } from 'node:crypto'
import { readEntraCode } from './token-refusal.ts'

/**
 * Secret, plain JSON. The caller keeps it sealed for ten minutes where only the browser that began can name it (by a cookie of its own), takes
 * it away before it is used, and gives it to one `finishSignIn`.
 */
export interface SignInFlow {
  readonly state: string
  readonly nonce: string
  /** PKCE (RFC 7636); its S256 hash has gone to Entra. */
  readonly codeVerifier: string
  /** ms since the epoch, both */
  readonly startedAt: number
  readonly expiresAt: number
  /** Whether the person has to prove anew who he is: for AZ-6. */
  readonly isFresh: boolean
}

export const FLOW_LIFE_MS = 10 * 60_000

export type Callback =
  | { readonly kind: 'code'; readonly code: string }
  /** Nobody began this here, or it comes from another browser. */
  | { readonly kind: 'forged-state' }
  | { readonly kind: 'expired-flow' }
  | { readonly kind: 'denied'; readonly error: string; readonly entraCode: number | undefined }
  | { readonly kind: 'misconfigured'; readonly error: string; readonly entraCode: number | undefined }
  | { readonly kind: 'service-unavailable' }

const SECRET_BYTES = 32
const MAX_CODE_CHARACTERS = 8 * 1024
/** What a person, or his administrator, can do something about. */
const DENIALS = [
  'access_denied',
  'consent_required',
  'interaction_required',
  'login_required',
  'account_selection_required',
]
const OUTAGES = ['temporarily_unavailable', 'server_error']

/** @param random  as `crypto.randomBytes`. @param now  ms since the epoch */
export function newSignInFlow(isFresh: boolean, random: (bytes: number) => Buffer, now: number): SignInFlow {
  const secret = () => random(SECRET_BYTES).toString('base64url')
  return {
    state: secret(),
    nonce: secret(),
    codeVerifier: secret(),
    startedAt: now,
    expiresAt: now + FLOW_LIFE_MS,
    isFresh,
  }
}

export function pkceChallenge({ codeVerifier }: SignInFlow): string {
  return createHash('sha256').update(codeVerifier).digest('base64url')
}

/**
 * @param flow  undefined: the browser's cookie names none
 * @param now  ms since the epoch
 */
export function readCallback(flow: SignInFlow | undefined, query: URLSearchParams, now: number): Callback {
  // State comes first: what else stands in a forged callback is an attacker's, his error text included.
  if (flow === undefined || !isSameSecret(only(query, 'state'), flow.state)) return { kind: 'forged-state' }
  if (now >= flow.expiresAt) return { kind: 'expired-flow' }
  const error = only(query, 'error')
  if (error !== undefined) return readError(error, only(query, 'error_description') ?? '')
  const code = only(query, 'code')
  if (code === undefined || code.length > MAX_CODE_CHARACTERS) {
    return { kind: 'misconfigured', error: 'no_code', entraCode: undefined }
  }
  return { kind: 'code', code }
}

function readError(text: string, description: string): Callback {
  const error = /^[a-z_]{1,64}$/.test(text) ? text : 'unknown_error'
  const entraCode = readEntraCode(description)
  if (OUTAGES.includes(error)) return { kind: 'service-unavailable' }
  return { kind: DENIALS.includes(error) ? 'denied' : 'misconfigured', error, entraCode }
}

/** A parameter that is there twice is not there: whoever reads the first and whoever reads the last would disagree. */
function only(query: URLSearchParams, name: string): string | undefined {
  const values = query.getAll(name)
  return values.length === 1 && values[0] !== '' ? values[0] : undefined
}

function isSameSecret(given: string | undefined, wanted: string): boolean {
  const [a, b] = [Buffer.from(given ?? ''), Buffer.from(wanted)]
  return a.length === b.length && timingSafeEqual(a, b)
}
