// Simulated Entra ID on one port: OpenID metadata, keys, sign-in, admin consent, tokens, sign-out. Loopback only; for trying and testing.
import { randomBytes } from 'node:crypto'
import { createServer as createHttpServer } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { isIP } from 'node:net'
import { answerOwnFault, isLoopback, listen, stop } from '../loopback-server.ts'
import { AccessTokens } from './access-tokens.ts'
import { EntraControl } from './control.ts'
import { handleRequest } from './endpoints.ts'
import { EntraState } from './entra-state.ts'
import type { AssertionRules } from './client-assertion.ts'
import type { ConsentDelays, EntraKept } from './directory.ts'
import type { EntraSeed } from './seed.ts'

export interface EntraOptions {
  readonly seed: EntraSeed
  /** ms since the epoch */
  readonly now: () => number
  /** Default 127.0.0.1, any free port. Only loopback is allowed: everybody who reaches it may be anybody. */
  readonly at?: { readonly address: string; readonly port: number }
  /** PEM. Without it plain HTTP: the product maps its https URLs to here (its network client knows how). */
  readonly tls?: { readonly key: string; readonly cert: string }
  /** Origin in issuers and metadata, `https://…`; default the server's own with TLS, else `https://login.sandbox.test`. */
  readonly issuerOrigin?: string
  /** Default 2 s and 5 s. */
  readonly consentDelays?: ConsentDelays
  readonly assertionRules?: Partial<AssertionRules>
  /** Default `crypto.randomBytes`. Codes, tokens and ids come from it, signing keys don't. */
  readonly random?: (bytes: number) => Buffer
  /** Consents, registrations and switched off accounts of an earlier run, as `onChange` was told. */
  readonly kept?: EntraKept | undefined
  readonly onChange?: (kept: EntraKept) => void
}

export interface Entra {
  /** As issuers and metadata name it. */
  readonly issuerOrigin: string
  /** Where it is reached. */
  readonly url: string
  readonly control: EntraControl
  /** For the resources: whose token it is. */
  readonly tokens: AccessTokens
  /** Of one tenant, once their consent has spread. */
  principals(tenantId: string): readonly Principal[]
  close(): Promise<void>
}

/** An application in a tenant that has let it in. */
export interface Principal {
  readonly clientId: string
  readonly name: string
  /** By resource (`https://graph.microsoft.com`). */
  readonly roles: Readonly<Record<string, readonly string[]>>
}

const DEFAULT_ISSUER = 'https://login.sandbox.test'

/** @throws when the address is not of this machine alone, or can't be listened on; when the seed holds a broken certificate */
export async function startEntra(options: EntraOptions): Promise<Entra> {
  const { tls, at = { address: '127.0.0.1', port: 0 } } = options
  if (!isLoopback(at.address)) throw new Error('the simulated Entra listens on loopback addresses only')
  const server = tls === undefined ? createHttpServer() : createHttpsServer({ ...tls, minVersion: 'TLSv1.2' })
  const port = await listen(server, at)
  const url = `${tls === undefined ? 'http' : 'https'}://${isIP(at.address) === 6 ? `[${at.address}]` : at.address}:${port}`
  const state = new EntraState({
    seed: options.seed,
    issuerOrigin: options.issuerOrigin ?? (tls === undefined ? DEFAULT_ISSUER : url),
    consentDelays: options.consentDelays ?? { principalMs: 2_000, rolesMs: 5_000 },
    assertionRules: { acceptsSha1Thumbprints: true, refusesReplays: false, ...options.assertionRules },
    nowMs: options.now,
    random: options.random ?? randomBytes,
    kept: options.kept,
    onChange: options.onChange,
  })
  const control = new EntraControl(state)
  server.on('request', (request, response) => {
    handleRequest({ state, control, isSecure: tls !== undefined }, request, response).catch((error: unknown) => {
      answerOwnFault(response, error)
    })
  })
  return {
    issuerOrigin: state.issuerOrigin,
    url,
    control,
    tokens: new AccessTokens(state),
    principals: (tenantId) => principalsOf(state, tenantId),
    close: () => stop(server),
  }
}

function principalsOf({ directory }: EntraState, tenantId: string): readonly Principal[] {
  return directory.principals(tenantId).map((app) => ({
    clientId: app.clientId,
    name: app.name,
    roles: directory.grantedRoles(tenantId, app),
  }))
}
