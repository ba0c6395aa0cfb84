// The outside world's mail server: takes mail for its mailboxes over SMTP with STARTTLS, and hands each message on before it says 250.
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { domainToASCII } from 'node:url'
import { SMTPServer } from 'smtp-server'
import { SMTPConnection } from 'smtp-server/lib/smtp-connection.js'
import type { SMTPConnectionOptions } from 'smtp-server/lib/smtp-connection.js'
import type { SMTPServerDataStream, SMTPServerSession } from 'smtp-server'
import type { KeyedCertificate } from './authority.ts'
import type { ArrivedMail } from './arrived-mail.ts'

export interface MailServerOptions {
  readonly hostName: string
  readonly certificate: KeyedCertificate
  readonly maxBytes: number
  /** @returns undefined: taken */
  readonly refusal: (recipient: string) => SmtpRefusal | undefined
  /** Settled before the client is answered; a failure is answered 451. */
  readonly onMail: (mail: Omit<ArrivedMail, 'number' | 'verdict' | 'at'>) => Promise<void>
}

/** `550`, `5.1.1 no such mailbox` */
export type SmtpRefusal = readonly [code: number, text: string]

type Tls = ArrivedMail['tls']

const CLOSE_MS = 500
const SOCKET_MS = 60_000
const MAX_RECIPIENTS = 1_000
const OWN_STATUS = /^[245]\.\d{1,3}\.\d{1,3} /

/** Not yet listening. */
export function mailServer({ hostName, certificate, maxBytes, refusal, onMail }: MailServerOptions): SMTPServer {
  const tlsOf = new WeakMap<SMTPServerSession, Tls>()
  const server = new OwnStatusServer({
    name: hostName,
    banner: 'outside',
    key: certificate.privateKey,
    cert: certificate.certificate,
    minVersion: 'TLSv1.2',
    size: maxBytes,
    hideENHANCEDSTATUSCODES: false,
    authOptional: true,
    disabledCommands: ['AUTH'],
    disableReverseLookup: true,
    maxRecipients: MAX_RECIPIENTS,
    socketTimeout: SOCKET_MS,
    closeTimeout: CLOSE_MS,
    lenientAddressParsing: true,
    onSecure: (socket, session, done) => {
      const secured = socket as TLSSocket
      tlsOf.set(session, { protocol: secured.getProtocol() ?? 'unknown', cipher: secured.getCipher().name })
      done()
    },
    onRcptTo: ({ address }, _session, done) => {
      const refused = refusal(canonicalAddress(address))
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
    const { mailFrom, rcptTo } = session.envelope
    await onMail({
      clientAddress: session.remoteAddress,
      helo: session.hostNameAppearsAs,
      reversePath: mailFrom === false ? '' : canonicalAddress(mailFrom.address),
      recipients: rcptTo.map(({ address }) => canonicalAddress(address)),
      content: Buffer.concat(chunks),
      tls: tlsOf.get(session),
    })
    return '2.6.0 taken'
  }
  return server
}

/** As written, but for the domain: lower case, in A-labels. Empty: the null reverse-path. */
export function canonicalAddress(address: string): string {
  const at = address.lastIndexOf('@')
  return at < 0 ? address : `${address.slice(0, at)}@${domainToASCII(address.slice(at + 1))}`
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
