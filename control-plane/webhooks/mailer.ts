// Sends mail by the installation's SMTP server: TLS always, but on this machine; one connection a message, to an address that was looked up once.
// The operator has named the server, so it may be in a private range. (WS-5)
import { isIP } from 'node:net'
import { createTransport } from 'nodemailer'
import { pinAddress } from '../http/outbound-client.ts'
import type { OutboundDeps } from '../http/outbound-client.ts'

export interface MailerDeps {
  /** `smtp://` or `smtps://`, with user and password where the server wants them. */
  readonly url: string
  /** Sender. */
  readonly from: string
  readonly resolve?: OutboundDeps['resolve']
  /** PEM; instead of the system's roots. */
  readonly ca?: string
}

export interface Mail {
  /** The same in every attempt, without brackets. */
  readonly messageId: string
  readonly to: readonly string[]
  readonly subject: string
  readonly text: string
}

export type MailResult =
  /** To all but so many, whom the server refused for good. */
  | { readonly kind: 'sent'; readonly refused: number }
  | { readonly kind: 'refused'; readonly fault: string }
  | { readonly kind: 'later'; readonly fault: string }

export type Mailer = (mail: Mail) => Promise<MailResult>

const TIMEOUT_MS = 30_000
const SMTP_PORT = 587
const SMTPS_PORT = 465
const ANY = { allows: () => true, lists: () => true }

export function createMailer(deps: MailerDeps): Mailer {
  return async ({ messageId, to, subject, text }) => {
    const { from } = deps
    try {
      const transport = await openTransport(deps)
      const { rejected } = await transport.sendMail({
        from,
        // Each sees only himself: they need not know of each other.
        envelope: { from, to: [...to] },
        to: 'undisclosed-recipients:;',
        subject,
        text,
        messageId: `<${messageId}>`,
        headers: { 'Auto-Submitted': 'auto-generated' },
      })
      return { kind: 'sent', refused: rejected.length }
    } catch (error) {
      return judge(error)
    }
  }
}

/** Connects, raises TLS and signs in as a message would, and sends none. @returns why that failed; undefined: it did not */
export async function probeMailServer(deps: MailerDeps, timeoutMs = TIMEOUT_MS): Promise<string | undefined> {
  try {
    const transport = await openTransport(deps, timeoutMs)
    await transport.verify()
    return undefined
  } catch (error) {
    return faultOf(error)
  }
}

async function openTransport({ url, resolve, ca }: MailerDeps, timeoutMs = TIMEOUT_MS) {
  const { protocol, hostname, port, username, password } = new URL(url)
  const host = hostname.replace(/^\[|\]$/g, '')
  const isSecure = protocol === 'smtps:'
  const isLocal = host === 'localhost' || host === '::1' || host.startsWith('127.')
  const address = await pinAddress(host, { rules: ANY, ...(resolve === undefined ? {} : { resolve }) })
  return createTransport({
    host: address,
    port: port === '' ? (isSecure ? SMTPS_PORT : SMTP_PORT) : Number(port),
    secure: isSecure,
    requireTLS: !isSecure && !isLocal,
    ignoreTLS: !isSecure && isLocal,
    tls: {
      ...(isIP(host) === 0 ? { servername: host } : {}),
      minVersion: 'TLSv1.2',
      ...(ca === undefined ? {} : { ca }),
    },
    ...(username === '' ? {} : { auth: { user: decodeURIComponent(username), pass: decodeURIComponent(password) } }),
    connectionTimeout: timeoutMs,
    greetingTimeout: timeoutMs,
    socketTimeout: timeoutMs,
    disableFileAccess: true,
    disableUrlAccess: true,
  })
}

/** Only a definite answer about sender, recipients or message is final; TLS and passwords are for the operator to set right. */
function judge(error: unknown): MailResult {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown'
  const isOfMessage = code === 'EENVELOPE' || code === 'EMESSAGE'
  if (replyCodeOf(error) >= 500 && isOfMessage) return { kind: 'refused', fault: faultOf(error) }
  return { kind: 'later', fault: faultOf(error) }
}

const replyCodeOf = (error: unknown): number =>
  error instanceof Error && 'responseCode' in error ? Number(error.responseCode) : 0

/** The server's reply code, or a name of the system; never its words. */
function faultOf(error: unknown): string {
  const replyCode = replyCodeOf(error)
  if (replyCode > 0) return `smtp-${replyCode}`
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown'
  return code
    .toLowerCase()
    .replace(/[^a-z0-9-]/g, '')
    .slice(0, 30)
}
