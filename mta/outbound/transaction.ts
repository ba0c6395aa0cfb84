// The commands of one SMTP transaction: what the spool holds of the envelope, as far as this next hop offers to take it. (rewriting.md R9–R12, RFC 6152, 6531, 8689)
import type { MessageRecord, RecipientRecord, SmtpReply } from '../message-record.ts'
import type { Capabilities } from './capabilities.ts'

/** Recipients of one transaction: what every server must take (RFC 5321 §4.5.3.1.8). */
export const RECIPIENTS_PER_TRANSACTION = 100

export type TransactionPlan =
  | { readonly kind: 'commands'; readonly mail: string; readonly rcpts: readonly RecipientPlan[] }
  /** This next hop can't take the message as it is; nothing is sent. */
  | { readonly kind: 'refused'; readonly reply: SmtpReply }

/** A command line with its line end, or why this recipient can't be named to this next hop. */
export type RecipientPlan = string | SmtpReply

/** @param isProven  the connection is in TLS, and the host has proved that it is the one */
export function planTransaction(
  record: MessageRecord,
  recipients: readonly RecipientRecord[],
  hop: Capabilities,
  isProven: boolean,
): TransactionPlan {
  const refused = refusal(record, hop, isProven)
  if (refused !== undefined) return { kind: 'refused', reply: refused }
  return {
    kind: 'commands',
    mail: mailCommand(record, hop),
    rcpts: recipients.map((recipient) => rcptCommand(recipient, record, hop)),
  }
}

/** Why this next hop can't take the message as it is. */
export function refusal(record: MessageRecord, hop: Capabilities, isProven: boolean): SmtpReply | undefined {
  const bytes = record.headerBytes + record.bodyBytes
  if (record.requireTls === true) {
    // RFC 8689 §4.2.1: honoured by this host, or the message is not sent (R12).
    if (!isProven) return ours('5.7.10', 'the message must travel in TLS to a host that proves its name')
    if (!hop.requireTls) return ours('5.7.30', 'the message needs REQUIRETLS, which the next hop does not offer')
  }
  if (lacksSmtpUtf8(record, hop)) return ours('5.6.7', 'the message needs SMTPUTF8, which the next hop does not offer')
  if (record.has8Bit && !hop.eightBitMime)
    return ours('5.6.3', 'the message has 8-bit content, which the next hop does not take')
  if (hop.sizeLimit !== undefined && hop.sizeLimit > 0 && bytes > hop.sizeLimit) {
    return ours('5.3.4', `the message has ${bytes} octets, the next hop takes ${hop.sizeLimit}`)
  }
  return undefined
}

/** A message that is ASCII throughout goes on without SMTPUTF8 (RFC 6531 §3.4: a client that knows it isn't needed shouldn't ask for it). */
function lacksSmtpUtf8(record: MessageRecord, hop: Capabilities): boolean {
  if (record.smtpUtf8 && hop.smtpUtf8) return false
  return !isAscii(record.reversePath) || (record.smtpUtf8 && record.has8Bit)
}

function mailCommand(record: MessageRecord, hop: Capabilities): string {
  let command = `MAIL FROM:<${wirePath(record.reversePath)}>`
  if (hop.sizeLimit !== undefined) command += ` SIZE=${record.headerBytes + record.bodyBytes}`
  if (hop.eightBitMime && record.body8BitMime) command += ' BODY=8BITMIME'
  if (hop.smtpUtf8 && record.smtpUtf8) command += ' SMTPUTF8'
  if (record.requireTls === true) command += ' REQUIRETLS'
  if (hop.dsn && record.ret !== undefined) command += ` RET=${record.ret}`
  if (hop.dsn && record.envid !== undefined) command += ` ENVID=${wireWord(record.envid)}`
  return `${command}\r\n`
}

function rcptCommand(
  { path, notify, orcpt }: RecipientRecord,
  record: MessageRecord,
  hop: Capabilities,
): RecipientPlan {
  // Never upgraded silently (R12): a mapping to such an address doesn't make the message one that declared SMTPUTF8.
  if (!isAscii(path) && !(record.smtpUtf8 && hop.smtpUtf8)) return ours('5.6.7', 'the address needs SMTPUTF8')
  let command = `RCPT TO:<${wirePath(path)}>`
  if (hop.dsn && notify !== undefined) command += ` NOTIFY=${wireWord(notify)}`
  if (hop.dsn && orcpt !== undefined) command += ` ORCPT=${wireWord(orcpt)}`
  return `${command}\r\n`
}

/** Said by nobody but us, hence without a code; permanent all the same. */
function ours(status: string, text: string): SmtpReply {
  return { code: 0, status, text }
}

function isAscii(text: string): boolean {
  return !/[^\0-\x7f]/.test(text)
}

/** Intake has parsed the path (PH-5); a line break here would be a command of the sender's. */
function wirePath(path: string): string {
  if (/\p{Cc}/u.test(path)) throw new Error('unreachable: control character in a path')
  return path
}

function wireWord(word: string): string {
  if (/[\p{Cc} ]/u.test(word)) throw new Error('unreachable: space or control character in a parameter')
  return word
}
