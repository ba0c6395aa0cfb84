// What comes of a sign-in, once: for the browser, the audit trail, the log and the count all say the same. (AU-1, AZ-9) Pure.
import type { EntraPerson } from './id-token.ts'
import type { SignInResult } from './entra-sign-in.ts'

/** What the page is told that the browser ends on: `/sign-in?failure=…`. */
export const FAILURES = {
  /** No sign-in was begun in this browser, or its callback was used before. */
  'not-begun-here': { result: 'refused', isGuess: true },
  'too-late': { result: 'refused', isGuess: false },
  /** By the person, an administrator of the tenant, or a policy. */
  denied: { result: 'refused', isGuess: false },
  /** Entra, or a check of what it sent, says no. */
  refused: { result: 'refused', isGuess: true },
  'tenant-not-allowed': { result: 'refused', isGuess: false },
  /** A fresh sign-in was asked for, and somebody else came. */
  'another-person': { result: 'refused', isGuess: false },
  misconfigured: { result: 'failed', isGuess: false },
  'not-configured': { result: 'failed', isGuess: false },
  unavailable: { result: 'failed', isGuess: false },
} as const satisfies Record<string, { result: 'refused' | 'failed'; isGuess: boolean }>
export type SignInFailure = keyof typeof FAILURES

export type SignInOutcome =
  | { readonly kind: 'signed-in'; readonly person: EntraPerson; readonly refreshSealed: Uint8Array }
  | {
      readonly kind: 'failed'
      readonly failure: SignInFailure
      /** For operators: codes, no texts of others. */
      readonly details: Readonly<Record<string, string | number>>
      readonly cause?: Error
    }

export function judgeSignIn(result: SignInResult): SignInOutcome {
  switch (result.kind) {
    case 'signed-in':
      return result
    case 'forged-state':
      return failed('not-begun-here')
    case 'expired-flow':
      return failed('too-late')
    case 'denied':
      return failed('denied', codes(result))
    case 'grant-refused':
      return failed('refused', codes(result))
    case 'bad-token':
      return failed(result.fault === 'tenant' ? 'tenant-not-allowed' : 'refused', { fault: result.fault })
    case 'misconfigured':
      return failed('misconfigured', codes(result))
    case 'service-unavailable':
      return { ...failed('unavailable'), cause: result.cause }
    default:
      return result satisfies never
  }
}

export function failed(failure: SignInFailure, details: Readonly<Record<string, string | number>> = {}) {
  return { kind: 'failed', failure, details } as const
}

const codes = ({ error, entraCode }: { error: string; entraCode: number | undefined }) => ({
  error,
  ...(entraCode === undefined ? {} : { entraCode }),
})
