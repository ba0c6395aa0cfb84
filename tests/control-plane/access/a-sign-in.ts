// The sign-in against a simulated Entra over real HTTP, with one clock for both, and a browser that decides as it is told.
import { randomBytes } from 'node:crypto'
import type { TestContext } from 'node:test'
import { readAppCredential } from '../../../control-plane/access/app-credential.ts'
import { beginSignIn, finishSignIn } from '../../../control-plane/access/entra-sign-in.ts'
import type {
  BeginOptions,
  SignInDeps,
  SignInResult,
  TokenSealer,
} from '../../../control-plane/access/entra-sign-in.ts'
import { loginEndpoint } from '../../../control-plane/access/login-endpoint.ts'
import type { SignInFlow } from '../../../control-plane/access/sign-in-flow.ts'
import { LOGIN_LIMITS, LoginNetwork } from '../../../control-plane/access/login-network.ts'
import type { LoginLimits } from '../../../control-plane/access/login-network.ts'
import { OidcMetadata } from '../../../control-plane/access/oidc-metadata.ts'
import { NONCE_BYTES, keyFromBytes, seal, unseal } from '../../../common/seal.ts'
import type { Decision } from '../../../sandbox/entra/authorize.ts'
import { startEntra } from '../../../sandbox/entra/entra.ts'
import type { Entra } from '../../../sandbox/entra/entra.ts'
import {
  ALICE,
  CONTOSO,
  FABRIKAM,
  REDIRECT_URI,
  SIGN_IN_APP,
  entraSeed,
  makeAppCertificate,
} from '../../harness/entra-seed.ts'

export const START = Date.parse('2026-11-22T10:00:00Z')
const certificate = makeAppCertificate()
const credential = readAppCredential(certificate)

export interface Setting {
  readonly entra: Entra
  readonly deps: SignInDeps
  readonly clock: { now: number }
  /** Tenants whose people may sign in; a test changes it. */
  readonly allowed: Set<string>
  /** A whole sign-in; the callback's query can be bent on its way. */
  readonly signIn: (options?: {
    begin?: BeginOptions
    decision?: Decision
    bend?: (query: URLSearchParams) => void
  }) => Promise<SignInResult>
  /** As far as the callback. */
  readonly callback: (
    begin?: BeginOptions,
    decision?: Decision,
  ) => Promise<{ flow: SignInFlow; query: URLSearchParams }>
}

export function approving(user: string = ALICE.userPrincipalName, more: { authenticatedAtMs?: number } = {}): Decision {
  return { kind: 'approve', user, hasMfa: true, ...more }
}

/** Each test has an Entra of its own: what one does to it would be another's surprise. Replayed assertions are refused throughout. */
export async function aSetting(
  t: TestContext,
  { tenant = 'organizations', limits = LOGIN_LIMITS }: { tenant?: string; limits?: LoginLimits } = {},
): Promise<Setting> {
  const clock = { now: START }
  const now = () => clock.now
  const assertionRules = { refusesReplays: true, acceptsSha1Thumbprints: false }
  const entra = await startEntra({ seed: entraSeed(certificate), now, assertionRules })
  t.after(() => entra.close())
  const endpoint = loginEndpoint('global', 'evaluation', new URL(entra.url))
  const network = new LoginNetwork(endpoint, limits)
  const allowed = new Set([CONTOSO, FABRIKAM])
  const deps: SignInDeps = {
    endpoint,
    network,
    metadata: new OidcMetadata({ endpoint, network, now }),
    app: { clientId: SIGN_IN_APP, redirectUri: REDIRECT_URI, tenant, credential },
    maySignIn: (tenantId) => allowed.has(tenantId),
    sealer: aSealer(),
    now,
    random: randomBytes,
  }
  const callback = async (begin: BeginOptions = {}, decision = approving()) => {
    const { url, flow } = await beginSignIn(begin, deps)
    const answer = entra.control.decide(url, decision)
    if (answer.kind !== 'redirect') throw new Error(`no redirect but a page: ${answer.html}`)
    return { flow, query: new URL(answer.location).searchParams }
  }
  return {
    entra,
    deps,
    clock,
    allowed,
    callback,
    signIn: async ({ begin, decision, bend } = {}) => {
      const { flow, query } = await callback(begin, decision)
      bend?.(query)
      return finishSignIn(flow, query, deps)
    },
  }
}

function aSealer(): TokenSealer {
  const key = keyFromBytes(randomBytes(32))
  return {
    seal: (plain, context) => {
      const nonce = randomBytes(NONCE_BYTES)
      return Buffer.concat([nonce, ...seal(key, nonce, Buffer.from(context), [plain])])
    },
    unseal: (sealed, context) =>
      unseal(key, sealed.subarray(0, NONCE_BYTES), Buffer.from(context), sealed.subarray(NONCE_BYTES)),
  }
}
