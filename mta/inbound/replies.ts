// Every reply the relay's SMTP side gives: code (RFC 5321 §4.2), enhanced status code (RFC 3463), text. Nothing a client wrote stands in one. (PH-8)
import type { EnhancedStatus, Refusal } from '../../rewrite-rules/index.ts'
import type { QueueId } from '../queue-id.ts'
import { CERTIFICATE_REFUSALS } from './client-certificate.ts'
import type { CertificateRefusal } from './client-certificate.ts'

export interface Reply {
  readonly code: number
  /** Names the reply in logs and metrics; from a closed set. */
  readonly reason: string
  /** The connection ends after it. */
  readonly closes: boolean
  /** It says who may not send here, whatever he sends: for the audit (SP-9). */
  readonly refusesPeer?: true
  /** As on the wire, CR LF included. */
  readonly line: string
}

const MAX_TEXT = 200

function reply(reason: string, code: number, status: EnhancedStatus, text: string, closes = false): Reply {
  return { code, reason, closes, line: `${code} ${status} ${text}\r\n` }
}

/** What an operator is told once an hour of each peer. */
const peerRefusal = (refusal: Reply): Reply => ({ ...refusal, refusesPeer: true })

const closing = (reason: string, code: number, status: EnhancedStatus, text: string) =>
  reply(reason, code, status, text, true)

export const REPLIES = {
  // ---- going on ----
  reset: reply('reset', 250, '2.0.0', 'Ok'),
  noop: reply('noop', 250, '2.0.0', 'Ok'),
  bye: closing('bye', 221, '2.0.0', 'Bye'),
  senderOk: reply('sender-ok', 250, '2.1.0', 'Ok'),
  recipientOk: reply('recipient-ok', 250, '2.1.5', 'Ok'),
  startData: { code: 354, reason: 'start-data', closes: false, line: '354 End data with <CR><LF>.<CR><LF>\r\n' },

  // ---- in place of the greeting ----
  addressRefused: peerRefusal(closing('address-refused', 554, '5.7.1', 'No SMTP service for your address')),
  tooManyConnections: closing('too-many-connections', 421, '4.3.2', 'Too many connections, try again later'),
  tooManyFromAddress: closing(
    'too-many-from-address',
    421,
    '4.3.2',
    'Too many connections from your address, try again later',
  ),
  tooFast: closing('too-fast', 421, '4.3.2', 'Too many new connections from your address, try again later'),
  memoryHigh: closing('memory-high', 421, '4.3.2', 'Busy, try again later'),

  // ---- TLS ----
  startTls: reply('start-tls', 220, '2.0.0', 'Ready to start TLS'),
  alreadySecure: reply('already-secure', 503, '5.5.1', 'TLS is on already'),
  /** RFC 3207 §4. */
  tlsNotYet: reply('no-certificate', 454, '4.7.0', 'TLS not available due to temporary reason'),
  tlsFirst: peerRefusal(reply('tls-first', 530, '5.7.0', 'Must issue a STARTTLS command first')),

  // ---- the session ----
  shuttingDown: closing('shutting-down', 421, '4.3.2', 'Service is shutting down, try again later'),
  draining: closing('draining', 421, '4.3.2', 'Service takes no more mail, try again later'),
  timeout: closing('timeout', 421, '4.4.2', 'Timeout, closing connection'),
  dataTooSlow: closing('data-too-slow', 421, '4.4.2', 'Data arrives too slowly, closing connection'),
  tooManyMessages: closing('too-many-messages', 421, '4.7.0', 'Too many messages on this connection, open another'),
  tooManyErrors: closing('too-many-errors', 421, '4.7.0', 'Too many errors'),
  tooMuchJunk: closing('too-much-junk', 421, '4.7.0', 'Too many commands without a message'),

  // ---- lines and commands ----
  earlyTalker: closing('early-talker', 554, '5.5.0', 'SMTP protocol synchronization: data before our reply'),
  notSmtp: closing('not-smtp', 500, '5.5.2', 'This is an SMTP server'),
  badLine: closing('bad-line', 500, '5.5.2', 'Lines end with CR LF and hold no other CR, LF or NUL'),
  lineTooLong: reply('line-too-long', 500, '5.5.2', 'Line too long'),
  lineTooLongAgain: closing('line-too-long', 500, '5.5.2', 'Line too long'),
  unknownCommand: reply('unknown-command', 500, '5.5.1', 'Command not recognized'),
  notImplemented: reply('not-implemented', 502, '5.5.1', 'Command not implemented'),
  badSyntax: reply('bad-syntax', 501, '5.5.4', 'Syntax error'),
  badHelloName: reply('bad-hello-name', 501, '5.5.4', 'Syntax error: EHLO takes one host name or address literal'),
  helloFirst: reply('hello-first', 503, '5.5.1', 'EHLO first'),
  mailFirst: reply('mail-first', 503, '5.5.1', 'MAIL first'),
  recipientFirst: reply('recipient-first', 503, '5.5.1', 'RCPT first'),
  noRecipients: reply('no-recipients', 554, '5.5.1', 'No valid recipients'),
  transactionOpen: reply('transaction-open', 503, '5.5.1', 'A transaction is open already'),

  // ---- MAIL and RCPT ----
  badSender: reply('bad-sender', 501, '5.1.7', 'Bad sender address syntax'),
  badRecipient: reply('bad-recipient', 501, '5.1.3', 'Bad recipient address syntax'),
  badParameter: reply('bad-parameter', 501, '5.5.4', 'Bad parameter value'),
  duplicateParameter: reply('duplicate-parameter', 501, '5.5.4', 'A parameter stands twice'),
  unknownParameter: reply('unknown-parameter', 555, '5.5.4', 'Parameter not recognized or not implemented'),
  smtpUtf8Needed: reply('smtputf8-needed', 553, '5.6.7', 'A non-ASCII address needs SMTPUTF8'),
  tlsNeeded: reply('tls-needed', 530, '5.7.0', 'REQUIRETLS needs a TLS session'),
  tooManyRecipients: reply(
    'too-many-recipients',
    452,
    '4.5.3',
    'Too many recipients, send the rest in another transaction',
  ),
  senderNotOurs: reply('sender-not-ours', 550, '5.7.1', 'Sender domain is not served here'),
  mayNotRelay: reply('relay-denied', 550, '5.7.1', 'Relaying denied'),
  probeApart: reply('probe-apart', 452, '4.5.3', 'Send this recipient in a transaction of its own'),
  noPostmaster: reply('no-postmaster', 550, '5.1.1', 'No postmaster here'),
  tooBig: reply('too-big', 552, '5.3.4', 'Message too big'),
  spoolFull: reply('spool-full', 452, '4.3.1', 'Insufficient storage, try again later'),

  // ---- the message ----
  noTable: reply('no-table', 451, '4.3.5', 'Not ready to take mail, try again later'),
  noProof: reply('tenant-proof', 550, '5.7.1', 'Message does not prove that it comes from a tenant served here'),
  foreignTenant: reply('foreign-tenant', 550, '5.7.1', 'Message comes from a tenant not served here'),
  proofUnknown: reply('proof-unknown', 451, '4.4.3', 'Signature can not be verified for now, try again later'),
  noKey: reply('no-key', 451, '4.7.5', 'Message can not be signed, try again later'),
  noRoute: reply('no-route', 451, '4.3.5', 'No route for this message, try again later'),
  routedBack: reply('routed-back', 451, '4.4.6', 'Message would go back to where it came from'),
  probeTooBig: reply('probe-too-big', 552, '5.3.4', 'Message too big'),
  tooManyProbes: reply('too-many-probes', 451, '4.7.1', 'Too many probes, try again later'),
  localError: closing('local-error', 451, '4.3.0', 'Local error, try again later'),
  spoolBroken: reply('spool-broken', 451, '4.3.0', 'Local error, try again later'),
  partsBusy: reply('parts-busy', 451, '4.3.0', 'Busy, try again later'),
  tooSlowHere: reply('processing-timeout', 451, '4.3.0', 'Took too long, try again later'),
  bareLineEnd: closing('bare-line-end', 554, '5.6.0', 'Message holds a bare CR or LF'),
  loop: reply('loop', 554, '5.4.6', 'Routing loop detected'),
} as const satisfies Record<string, Reply>

/** No version, no product number: nothing to look an exploit up by. (PH-8) */
export function greeting(name: string): Reply {
  return { code: 220, reason: 'greeting', closes: false, line: `220 ${name} ESMTP Causeway\r\n` }
}

/** Refusals by certificate, and of one that is nobody's of this address. */
export const CERTIFICATE_REPLIES: Readonly<Record<string, Reply>> = Object.fromEntries(
  [...CERTIFICATE_REFUSALS, 'unknown' as const].map((reason) => {
    const text = reason === 'missing' ? 'A client certificate is needed' : 'Client certificate not accepted'
    return [reason, peerRefusal(reply(`certificate-${reason}`, 550, '5.7.1', text))]
  }),
)

/** What is wrong with a certificate is for our log: who tries others' names need not learn it. */
export function certificateRefusal(reason: CertificateRefusal | 'unknown'): Reply {
  const refusal = CERTIFICATE_REPLIES[reason]
  if (refusal === undefined) throw new Error(`unreachable: no reply for ${reason}`)
  return refusal
}

/** How TLS stands on a connection: `offered` can be had, `on` is, and then REQUIRETLS can be kept (RFC 8689 §3). */
export type TlsStanding = 'none' | 'offered' | 'on'

const TLS_KEYWORDS: Record<TlsStanding, readonly string[]> = { none: [], offered: ['STARTTLS'], on: ['REQUIRETLS'] }

/** PH-7. An enhanced status code never stands here (RFC 2034 §3). */
export function ehloReply(name: string, sizeBytes: number, tls: TlsStanding): Reply {
  const keywords = ['PIPELINING', '8BITMIME', 'SMTPUTF8', 'ENHANCEDSTATUSCODES', 'DSN', ...TLS_KEYWORDS[tls]]
  const lines = [name, ...keywords, `SIZE ${sizeBytes}`]
  const last = lines.length - 1
  return {
    code: 250,
    reason: 'ehlo',
    closes: false,
    line: lines.map((line, i) => `250${i === last ? ' ' : '-'}${line}\r\n`).join(''),
  }
}

export function heloReply(name: string): Reply {
  return { code: 250, reason: 'helo', closes: false, line: `250 ${name}\r\n` }
}

export function queuedReply(queueId: QueueId): Reply {
  return reply('queued', 250, '2.0.0', `queued as ${queueId}`)
}

/** What the engine refuses (rewriting.md §12), in its own words. */
export function refusalReply(refusal: Refusal): Reply {
  const text = refusal.message.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, MAX_TEXT)
  return reply(`refused-${refusal.status}`, refusal.code, refusal.status, text)
}

/** A refusal that won't be otherwise the next time: what counts against the session's errors. */
export function isPermanentFailure({ code }: Reply): boolean {
  return code >= 500
}
