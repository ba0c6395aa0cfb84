// The server's half of a TLS handshake, on a connection that spoke SMTP in clear so far (RFC 3207, PH-4).
import { X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { SecureContext } from 'node:tls'
import { parseHostName } from '../network-names.ts'
import { MAX_SENT } from './client-certificate.ts'

/** A certificate of ours, ready to be shown. */
export interface ShownCertificate {
  readonly pair: { readonly leaf: X509Certificate }
  readonly context: SecureContext
}

export interface TlsOffer {
  /** Asked at each handshake: running sessions go on with what they began with. The first is for clients that name no server, or another. */
  readonly certificates: () => readonly ShownCertificate[]
  readonly asksForCertificate: boolean
}

/** What there is to know of a connection inside TLS. */
export interface TlsState {
  /** `TLSv1.2`, `TLSv1.3` */
  readonly protocol: string
  /** As IANA names it. */
  readonly cipher: string
  /** A session of earlier goes on: the client's own certificate is known from it, those above are not. */
  readonly isResumed: boolean
  /** What the client sent, its own certificate first; bounded. */
  readonly certificates: readonly X509Certificate[]
}

/** docs/who-may-connect.md says what each means. */
export const HANDSHAKE_FAILURES = [
  'timeout',
  'closed',
  'not-tls',
  'version',
  'cipher',
  'refused-by-client',
  'certificate',
  'other',
] as const
export type HandshakeFailure = (typeof HANDSHAKE_FAILURES)[number]

export type Handshake =
  { readonly kind: 'done'; readonly tls: TlsState } | { readonly kind: 'failed'; readonly reason: HandshakeFailure }

/** OpenSSL's reasons, as Node writes them; everything else is `other`. */
const FAILURES: ReadonlyMap<string, HandshakeFailure> = new Map([
  ['ECONNRESET', 'closed'],
  ['EPIPE', 'closed'],
  ['ERR_SSL_HTTP_REQUEST', 'not-tls'],
  ['ERR_SSL_HTTPS_PROXY_REQUEST', 'not-tls'],
  ['ERR_SSL_WRONG_VERSION_NUMBER', 'not-tls'],
  ['ERR_SSL_PACKET_LENGTH_TOO_LONG', 'not-tls'],
  ['ERR_SSL_UNSUPPORTED_PROTOCOL', 'version'],
  ['ERR_SSL_VERSION_TOO_LOW', 'version'],
  ['ERR_SSL_NO_SHARED_CIPHER', 'cipher'],
  ['ERR_SSL_NO_SHARED_SIGNATURE_ALGORITHMS', 'cipher'],
  ['ERR_SSL_NO_SUITABLE_KEY_SHARE', 'cipher'],
  ['ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION', 'version'],
  ['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', 'refused-by-client'],
  ['ERR_SSL_SSL/TLS_ALERT_BAD_CERTIFICATE', 'refused-by-client'],
  ['ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_EXPIRED', 'refused-by-client'],
  ['ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_UNKNOWN', 'refused-by-client'],
  ['ERR_SSL_SSL/TLS_ALERT_UNSUPPORTED_CERTIFICATE', 'refused-by-client'],
  ['ERR_SSL_BAD_SIGNATURE', 'certificate'],
  ['ERR_SSL_CERTIFICATE_VERIFY_FAILED', 'certificate'],
  ['ERR_SSL_NO_CERTIFICATE_ASSIGNED', 'certificate'],
])

/**
 * Takes `raw` over. What the client sends on it from now on is read as TLS and as nothing else.
 * @param ended  called once; after a failure the connection is gone
 */
export function startHandshake(raw: Socket, offer: TlsOffer, ended: (handshake: Handshake) => void): TLSSocket {
  const certificates = offer.certificates()
  const [first] = certificates
  if (first === undefined) throw new Error('unreachable: STARTTLS without a certificate')
  const socket = new TLSSocket(raw, {
    isServer: true,
    secureContext: first.context,
    requestCert: offer.asksForCertificate,
    // What was shown is judged before MAIL (client-certificate.ts): there the client can be told why.
    rejectUnauthorized: false,
    ...(certificates.length > 1
      ? { SNICallback: (name, found) => found(null, certificateFor(name, certificates, first).context) }
      : {}),
  })
  let isOver = false
  const over = (handshake: Handshake): void => {
    if (isOver) return
    isOver = true
    if (handshake.kind === 'failed') socket.destroy()
    ended(handshake)
  }
  const failed = (reason: HandshakeFailure): void => over({ kind: 'failed', reason })
  socket.once('secure', () => over({ kind: 'done', tls: stateOf(socket, offer) }))
  socket.on('error', (error) => failed(failureOf(error)))
  // The client closed its side, which Node leaves to us on a socket that may be half open.
  socket.once('end', () => failed('closed'))
  socket.once('close', () => failed('closed'))
  // QUIRK: outside a tls.Server Node tells of a broken record after the handshake in this way only, and leaves the socket open.
  socket.on('_tlsError', (error: Error) => (isOver ? socket.destroy(error) : failed(failureOf(error))))
  return socket
}

export function failureOf(error: Error & { readonly code?: unknown }): HandshakeFailure {
  return FAILURES.get(String(error.code)) ?? 'other'
}

/** @param name  what the client says it wants to reach: octets of a stranger */
export function certificateFor<Shown extends ShownCertificate>(
  name: string,
  certificates: readonly Shown[],
  otherwise: Shown,
): Shown {
  const host = parseHostName(name)
  if (host === undefined) return otherwise
  return certificates.find(({ pair }) => pair.leaf.checkHost(host) !== undefined) ?? otherwise
}

function stateOf(socket: TLSSocket, { asksForCertificate }: TlsOffer): TlsState {
  const certificates: X509Certificate[] = []
  let shown = asksForCertificate ? socket.getPeerX509Certificate() : undefined
  // One more than anybody may send, so that it is seen.
  for (; shown !== undefined && certificates.length <= MAX_SENT; shown = shown.issuerCertificate) {
    certificates.push(shown)
  }
  return {
    protocol: socket.getProtocol() ?? 'unknown',
    cipher: socket.getCipher().standardName,
    isResumed: socket.isSessionReused(),
    certificates,
  }
}
