// A mail server of the simulated internet: takes mail over SMTP with STARTTLS, asks who is there where it is to, and hands each message on before it
// says 250.
import type { X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { domainToASCII } from 'node:url'
import { SMTPServer } from 'smtp-server'
import { SMTPConnection } from 'smtp-server/lib/smtp-connection.js'
import type { SMTPConnectionOptions } from 'smtp-server/lib/smtp-connection.js'
import type { SMTPServerAddress, SMTPServerDataStream, SMTPServerSession } from 'smtp-server'
import type { KeyedCertificate } from './authority.ts'
import type { ArrivedMail } from './arrived-mail.ts'
import type { MailOrigin } from './mail-verdict.ts'

export interface MailServerOptions {
  readonly hostName: string
  readonly certificate: KeyedCertificate
  readonly maxBytes: number
  /** After the name, in the greeting. */
  readonly banner: string
  /** Whether it offers DSN (RFC 3461); what it then does with what was asked for is the caller's. */
  readonly offersNotices?: boolean
  /** PEM of who issues the certificates that clients are asked for; undefined: none is. Whether one is good, the caller judges. */
  readonly clientAuthority?: string
  /** @returns undefined: taken */
  readonly refusal: (recipient: string, client: MailClient) => SmtpRefusal | undefined
  /** Settled before the client is answered; a failure is answered 451, one of {@link refuse} as it says. */
  readonly onMail: (mail: ReceivedMail) => Promise<void>
}

/** Who sends, as far as the connection tells. */
export interface MailClient extends MailOrigin {
  readonly tls: ArrivedMail['tls']
  /** Shown and not judged. */
  readonly certificate: X509Certificate | undefined
}

export interface ReceivedMail extends MailClient {
  readonly recipients: readonly string[]
  /** As it came, dots unstuffed. */
  readonly content: Buffer
  /** What was asked for of each recipient, by its address in lower case. */
  readonly notices: ReadonlyMap<string, { readonly notify?: readonly string[]; readonly originalRecipient?: string }>
}

/** `550`, `5.1.1 no such mailbox` */
export type SmtpRefusal = readonly [code: number, text: string]

const CLOSE_MS = 500
const SOCKET_MS = 60_000
const MAX_RECIPIENTS = 1_000
const OWN_STATUS = /^[245]\.\d{1,3}\.\d{1,3} /

/** Not yet listening. */
export function mailServer(options: MailServerOptions): SMTPServer {
  const { hostName, certificate, maxBytes, banner, clientAuthority, offersNotices = false, refusal, onMail } = options
  const secured = new WeakMap<SMTPServerSession, Pick<MailClient, 'tls' | 'certificate'>>()
  const server = new OwnStatusServer({
    name: hostName,
    banner,
    key: certificate.privateKey,
    cert: certificate.certificate,
    minVersion: 'TLSv1.2',
    ...(clientAuthority === undefined ? {} : { requestCert: true, rejectUnauthorized: false, ca: clientAuthority }),
    size: maxBytes,
    hideENHANCEDSTATUSCODES: false,
    hideDSN: !offersNotices,
    authOptional: true,
    disabledCommands: ['AUTH'],
    disableReverseLookup: true,
    maxRecipients: MAX_RECIPIENTS,
    socketTimeout: SOCKET_MS,
    closeTimeout: CLOSE_MS,
    lenientAddressParsing: true,
    onSecure: (socket, session, done) => {
      const encrypted = socket as TLSSocket
      const tls = { protocol: encrypted.getProtocol() ?? 'unknown', cipher: encrypted.getCipher().name }
      secured.set(session, { tls, certificate: encrypted.getPeerX509Certificate() })
      done()
    },
    onRcptTo: ({ address }, session, done) => {
      const refused = refusal(canonicalAddress(address), clientOf(session))
      done(refused === undefined ? null : smtpError(...refused))
    },
    onData: (stream, session, done) => {
      take(stream, session)
        .then((text) => done(null, text))
        .catch((error: unknown) => done(error instanceof SmtpAnswer ? error : smtpError(451, '4.3.0 try again later')))
    },
  })
  // What breaks on a client's connection is the client's: it has no 250, and comes again.
  server.on('error', () => {})

  async function take(stream: SMTPServerDataStream, session: SMTPServerSession): Promise<string> {
    const chunks: Buffer[] = []
    let bytes = 0
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (bytes <= maxBytes) chunks.push(chunk)
    }
    if (stream.sizeExceeded || bytes > maxBytes) throw smtpError(552, '5.3.4 message too large')
    const { rcptTo } = session.envelope
    await onMail({
      ...clientOf(session),
      recipients: rcptTo.map(({ address }) => canonicalAddress(address)),
      content: Buffer.concat(chunks),
      notices: new Map(rcptTo.map(({ address, dsn }) => [canonicalAddress(address).toLowerCase(), noticeOf(dsn)])),
    })
    return '2.6.0 taken'
  }

  function clientOf(session: SMTPServerSession): MailClient {
    const { mailFrom } = session.envelope
    return {
      clientAddress: session.remoteAddress,
      helo: session.hostNameAppearsAs,
      reversePath: mailFrom === false ? '' : canonicalAddress(mailFrom.address),
      ...(secured.get(session) ?? { tls: undefined, certificate: undefined }),
    }
  }
  return server
}

function noticeOf(dsn: SMTPServerAddress['dsn']): { notify?: readonly string[]; originalRecipient?: string } {
  return {
    ...(dsn?.notify === undefined ? {} : { notify: dsn.notify }),
    ...(dsn?.orcpt === undefined ? {} : { originalRecipient: dsn.orcpt }),
  }
}

/** As written, but for the domain: lower case, in A-labels. Empty: the null reverse-path. */
export function canonicalAddress(address: string): string {
  const at = address.lastIndexOf('@')
  return at < 0 ? address : `${address.slice(0, at)}@${domainToASCII(address.slice(at + 1))}`
}

/** Throws away what was sent, with this answer. */
export function refuse(refusal: SmtpRefusal): never {
  throw smtpError(...refusal)
}

class SmtpAnswer extends Error {
  override readonly name = 'SmtpAnswer'
  responseCode = 0
}

function smtpError(code: number, text: string): SmtpAnswer {
  return Object.assign(new SmtpAnswer(text), { responseCode: code })
}

/** smtp-server puts a status of its own before every text: not where there is one. */
class OwnStatusConnection extends SMTPConnection {
  /** The package lets 100 ms pass before each greeting, for strangers who talk too early. Nobody does here, and each message would pay for it. */
  override init(): void {
    this._setListeners(() => this.connectionReady())
  }

  override send(code: number, data?: unknown, context?: string | false): void {
    const hasOwn = typeof data === 'string' && OWN_STATUS.test(data)
    super.send(code, data as string, hasOwn ? false : context)
  }
}

class OwnStatusServer extends SMTPServer {
  override connect(socket: Socket, options?: SMTPConnectionOptions | null): void {
    const connection = new OwnStatusConnection(this, socket, options ?? null)
    this.connections.add(connection)
    connection.on('error', (error) => this._onError(error))
    connection.init()
  }
}
