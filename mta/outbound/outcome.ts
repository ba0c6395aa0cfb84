// What became of each recipient: the only judge of what next hops say and of how connections end. Temporary by default: only a definite answer
// fails a recipient. (DL-2, RFC 5321 §4.2.1)
import type { SmtpReply } from '../message-record.ts'
import type { TlsFailure } from './tls-failure.ts'

/** What became of one recipient in one attempt. */
export type Outcome =
  | { readonly kind: 'delivered'; readonly reply: SmtpReply }
  | { readonly kind: 'deferred'; readonly reply: SmtpReply }
  | { readonly kind: 'failed'; readonly reply: SmtpReply }

/**
 * What an attempt tells of the host itself.
 *
 * - `well`: it carried on a conversation to its end, whatever it said of the message.
 * - `unwell`: it fell silent, hung up or broke the protocol over this message; others may fare better.
 * - `down`: it can't be reached, doesn't greet, or said 421: nothing is sent to it for a while. `said421` when it did so in a transaction, so
 *   that the message at hand may be the reason.
 */
export type HostVerdict = 'well' | 'unwell' | 'down' | 'said421'

/** `forbidden`: it has no address that may be connected to; `unencrypted`: it offers no TLS where it must; `insecure`: its TLS came to nothing, or proved nothing. */
export type FaultKind =
  | 'unreachable'
  | 'unresolved'
  | 'forbidden'
  | 'timeout'
  | 'closed'
  | 'protocol'
  | 'stopped'
  | 'unencrypted'
  | 'insecure'

/** How a connection ended before its time. */
export interface Fault {
  readonly kind: FaultKind
  /** For the operator; holds nothing of the message. */
  readonly text: string
  /** Where TLS is the reason. */
  readonly tls?: TlsFailure
}

/** Why no transaction could begin: a reply other than the awaited one to connecting, EHLO, HELO and STARTTLS, or a fault. */
export type ConnectFailure =
  /** `remote`: of which host, where the next hop has several. */
  | { readonly reply: SmtpReply; readonly remote?: string }
  | { readonly fault: Fault }
  /** There is no host that takes mail for the domain, or this message: DNS, or every host, has said so. */
  | { readonly refusal: SmtpReply }

/** All that was said in one transaction. A reply that didn't come is undefined, and then there is a fault or an earlier refusal. */
export interface Dialogue {
  readonly mail: SmtpReply | undefined
  /** In the order of the RCPT commands. */
  readonly rcpts: readonly (SmtpReply | undefined)[]
  readonly data: SmtpReply | undefined
  readonly final: SmtpReply | undefined
  readonly fault: Fault | undefined
}

export interface Judgement {
  /** In the order of the RCPT commands. */
  readonly outcomes: readonly Outcome[]
  readonly host: HostVerdict
}

const STATUS_OF_FAULT: Record<FaultKind, string> = {
  unreachable: '4.4.1',
  unresolved: '4.4.3',
  // Temporary: the operator can list the range before the mail is returned.
  forbidden: '4.4.4',
  timeout: '4.4.2',
  closed: '4.4.2',
  protocol: '4.5.0',
  stopped: '4.3.2',
  // A host that can't do TLS is tried again like one that is down: what changed may change back, and the mail must not leave in cleartext (DL-6).
  unencrypted: '4.7.4',
  insecure: '4.7.5',
}

/** Whatever a host says before MAIL it says to us, not of a recipient: even 5xx is temporary then. */
export function judgeConnectFailure(failure: ConnectFailure): { outcome: Outcome; host: HostVerdict } {
  if ('refusal' in failure) return { outcome: { kind: 'failed', reply: failure.refusal }, host: 'well' }
  if ('reply' in failure) return { outcome: { kind: 'deferred', reply: asTemporary(failure.reply) }, host: 'down' }
  return { outcome: deferredBy(failure.fault), host: failure.fault.kind === 'stopped' ? 'well' : 'down' }
}

export function judgeDialogue(dialogue: Dialogue): Judgement {
  return { outcomes: dialogue.rcpts.map((_, index) => judgeRecipient(dialogue, index)), host: judgeHost(dialogue) }
}

/** Why we didn't even name the message or the recipient to this host: it lacks something that the message needs (R12). */
export function judgeRefusal(reply: SmtpReply): Outcome {
  return { kind: 'failed', reply }
}

/** The configuration has changed since intake: somebody will notice, and the mail must not be lost until then. */
export function judgeMissingRoute(route: string): Outcome {
  return { kind: 'deferred', reply: { code: 0, status: '4.3.5', text: `route ${route} is not configured` } }
}

/** A recipient the connection didn't last for. */
export function judgeSilence(fault: Fault | undefined): Outcome {
  return deferredBy(fault ?? { kind: 'closed', text: 'the connection ended' })
}

function judgeRecipient(dialogue: Dialogue, index: number): Outcome {
  const { mail, data, final } = dialogue
  if (mail !== undefined && !isPositive(mail)) return refusedBy(mail)
  const rcpt = dialogue.rcpts[index]
  if (rcpt !== undefined && !isPositive(rcpt)) {
    return isTooManyRecipients(dialogue, index) ? { kind: 'deferred', reply: asTemporary(rcpt) } : refusedBy(rcpt)
  }
  if (data !== undefined && data.code !== 354) return refusedBy(data)
  if (final !== undefined) return isPositive(final) ? { kind: 'delivered', reply: final } : refusedBy(final)
  // Without a reply to the final dot nobody knows whether it was taken: sent again, at worst twice (DU-4, RFC 1047).
  return deferredBy(dialogue.fault ?? { kind: 'protocol', text: 'no reply to the end of the message' })
}

/**
 * RFC 5321 §4.5.3.1.10: 552 for too many recipients is an old spelling of 452. It is taken so only where the transaction has recipients
 * already and no enhanced status says something else, such as a full mailbox.
 */
function isTooManyRecipients(dialogue: Dialogue, index: number): boolean {
  const rcpt = dialogue.rcpts[index]
  if (rcpt?.code !== 552 || !['5.0.0', '5.5.3'].includes(rcpt.status)) return false
  return dialogue.rcpts.slice(0, index).some((earlier) => earlier !== undefined && isPositive(earlier))
}

/** Recipients that the host put off only because the transaction was full: a further transaction may take them at once. */
export function isPutOffAsTooMany(dialogue: Dialogue, index: number): boolean {
  const rcpt = dialogue.rcpts[index]
  if (rcpt === undefined) return false
  return isTooManyRecipients(dialogue, index) || (rcpt.code === 452 && ['4.0.0', '4.5.3'].includes(rcpt.status))
}

function refusedBy(reply: SmtpReply): Outcome {
  if (reply.code >= 500) return { kind: 'failed', reply }
  return { kind: 'deferred', reply: asTemporary(reply) }
}

function judgeHost(dialogue: Dialogue): HostVerdict {
  const { mail, rcpts, data, final, fault } = dialogue
  if ([mail, ...rcpts, data, final].some((reply) => reply?.code === 421)) return 'said421'
  if (fault === undefined) return 'well'
  // It took the message before it went astray; or it is us who hung up.
  if ((final !== undefined && isPositive(final)) || fault.kind === 'stopped') return 'well'
  return 'unwell'
}

export function isPositive({ code }: SmtpReply): boolean {
  return code >= 200 && code < 300
}

/** A reply out of place (a 5xx greeting, 250 to DATA) keeps its code and text; its status says that it is not final. */
function asTemporary(reply: SmtpReply): SmtpReply {
  return reply.status.startsWith('4.')
    ? reply
    : { ...reply, status: reply.code >= 500 ? `4.${reply.status.slice(2)}` : '4.5.0' }
}

function deferredBy(fault: Fault): Outcome {
  return { kind: 'deferred', reply: { code: 0, status: STATUS_OF_FAULT[fault.kind], text: fault.text } }
}
