// From cleartext to TLS on a connection that has just said 220 to STARTTLS: the handshake, within its time, and what it proves of the host.
// (RFC 3207, PH-4, DL-6)
import type { X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import { checkServerIdentity, connect } from 'node:tls'
import type { PeerCertificate, TLSSocket } from 'node:tls'
import { failureOfVerification } from './tls-failure.ts'
import type { TlsFailure } from './tls-failure.ts'
import type { TlsIdentity } from './tls-identity.ts'

/**
 * What TLS with a host must be before it is given mail. `name` is told to the host (SNI), and what the certificate is judged by.
 *
 * - `none`: cleartext, which the configuration allows to this machine only
 * - `may`: whatever the host offers; what its certificate is worth is told all the same, for reports
 * - `encrypt`: TLS, whoever the host is (RFC 7672 §2.2: TLSA records that nobody can use)
 * - `verify`: a certificate with that name, of an authority that is believed
 * - `dane`: a certificate that `judge` accepts
 */
export type TlsDemand =
  | { readonly kind: 'none' }
  | { readonly kind: 'may'; readonly name: string }
  | { readonly kind: 'encrypt'; readonly name: string }
  | { readonly kind: 'verify'; readonly name: string; readonly by: 'name' | 'mta-sts' }
  | { readonly kind: 'dane'; readonly name: string; readonly judge: JudgeChain }

/** @param chain  as the host sent it, its own first @returns why it isn't accepted */
export type JudgeChain = (chain: readonly X509Certificate[]) => TlsFailure | undefined

/** What is known of a connection in TLS. */
export interface Security {
  /** `TLSv1.3` */
  readonly protocol: string
  /** How the host proved who it is. */
  readonly verifiedBy: 'nothing' | 'name' | 'mta-sts' | 'dane'
}

export type Raised =
  | {
      readonly socket: TLSSocket
      readonly security: Security
      /** Why the certificate would not have been believed, where it needn't be. */
      readonly unbelieved: TlsFailure | undefined
    }
  | { readonly failure: TlsFailure; readonly text: string }

/**
 * @param socket  with nothing unread: octets that came in cleartext after the 220 must have ended the connection already
 * @returns a failure: the connection is of no use any more
 */
export async function startTls(
  socket: Socket,
  demand: Exclude<TlsDemand, { kind: 'none' }>,
  identity: TlsIdentity,
  timeoutMs: number,
): Promise<Raised> {
  // A resumed session has no chain for DANE to judge, and its verification is of the hop that it was made for.
  const mayResume = demand.kind === 'verify' && demand.by === 'name'
  const secured = connect({
    socket,
    secureContext: identity.context,
    servername: demand.name,
    checkServerIdentity: checkName,
    // Judged below, by what is demanded; nothing is sent before.
    rejectUnauthorized: false,
    ...(mayResume && identity.session !== undefined ? { session: identity.session } : {}),
  })
  let isVerified = false
  let session: Buffer | undefined
  secured.on('session', (fresh: Buffer) => {
    session = fresh
    if (isVerified) identity.session = fresh
  })
  const trouble = await handshake(secured, timeoutMs)
  if (trouble !== undefined) {
    // Some hosts fail over a session that they gave themselves.
    if (mayResume) identity.session = undefined
    secured.destroy()
    return { failure: 'validation-failure', text: trouble }
  }
  const unbelieved = judge(secured, demand)
  if (unbelieved !== undefined && demand.kind !== 'may' && demand.kind !== 'encrypt') {
    if (mayResume) identity.session = undefined
    secured.destroy()
    return { failure: unbelieved, text: `the next hop's certificate is not accepted (${unbelieved})` }
  }
  if (mayResume) {
    isVerified = true
    identity.session = session ?? identity.session
  }
  return {
    socket: secured,
    security: { protocol: secured.getProtocol() ?? '', verifiedBy: proofOf(demand) },
    unbelieved,
  }
}

/** @returns what went wrong */
function handshake(secured: TLSSocket, timeoutMs: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => end('timed out in the TLS handshake'), timeoutMs)
    const end = (trouble: string | undefined): void => {
      clearTimeout(timer)
      resolve(trouble)
    }
    secured.once('secureConnect', () => end(undefined))
    secured.on('error', (error) => end(`the TLS handshake failed (${codeOf(error)})`))
    secured.once('close', () => end('the connection ended in the TLS handshake'))
  })
}

function judge(secured: TLSSocket, demand: TlsDemand): TlsFailure | undefined {
  if (demand.kind === 'dane') return demand.judge(chainOf(secured))
  if (secured.authorized) return undefined
  // Node's types call it an Error; it is the code of one.
  return failureOfVerification(String(secured.authorizationError))
}

function proofOf(demand: TlsDemand): Security['verifiedBy'] {
  if (demand.kind === 'dane') return 'dane'
  return demand.kind === 'verify' ? demand.by : 'nothing'
}

/** By a name of its SAN alone: what stands in CN binds nobody (RFC 8461 §4.1, RFC 9525 §2). */
export function checkName(name: string, certificate: PeerCertificate): Error | undefined {
  if (!(certificate.subjectaltname ?? '').split(', ').some((entry) => entry.startsWith('DNS:'))) {
    return Object.assign(new Error('the certificate has no DNS name'), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' })
  }
  return checkServerIdentity(name, certificate)
}

/** More than any chain has. */
const MAX_CHAIN = 10

/** As the host sent it, as far as each certificate is the issuer of the one before. */
function chainOf(secured: TLSSocket): X509Certificate[] {
  const chain: X509Certificate[] = []
  let next = secured.getPeerX509Certificate()
  while (next !== undefined && chain.length < MAX_CHAIN) {
    chain.push(next)
    next = next.issuerCertificate
  }
  return chain
}

function codeOf(error: Error): string {
  return 'code' in error ? String(error.code) : error.name
}
