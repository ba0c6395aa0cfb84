// One mail transaction from MAIL to the end of DATA: what MAIL and RCPT said, judged by the limits, as the envelope the engine takes. Pure.
import type { Envelope, EsmtpParameters, ForwardPath } from '../../rewrite-rules/index.ts'
import type { Limits } from '../limits.ts'
import type { MailArguments, RcptArguments } from './command-grammar.ts'
import { judgeRecipient } from './recipients.ts'
import type { RecipientRules } from './recipients.ts'
import { REPLIES } from './replies.ts'
import type { Reply } from './replies.ts'

export class Transaction {
  /** ms since the epoch, of MAIL. */
  readonly startedAt: number
  readonly reversePath: string
  readonly parameters: EsmtpParameters
  readonly #forwardPaths: ForwardPath[] = []
  #isProbe = false
  /** RCPT was refused at least once. */
  hadRefusedRecipient = false

  constructor(mail: MailArguments, startedAt: number) {
    this.startedAt = startedAt
    this.reversePath = mail.reversePath
    this.parameters = mail.parameters
  }

  get isSmtpUtf8(): boolean {
    return this.parameters['SMTPUTF8'] !== undefined
  }

  get recipientCount(): number {
    return this.#forwardPaths.length
  }

  /** Whether it is for nonces only, and so delivered nowhere (SP-11). */
  get isProbe(): boolean {
    return this.#isProbe
  }

  /** Takes a recipient and says 250, or says why not. A repeated one is taken: the engine merges them (R13). */
  addRecipient({ mailbox, parameters }: RcptArguments, limits: Limits, rules: RecipientRules): Reply {
    if (this.#forwardPaths.length >= limits.recipientsPerMessage) return REPLIES.tooManyRecipients
    const verdict = judgeRecipient(mailbox, this.reversePath, rules)
    if (verdict.kind === 'refused') return verdict.reply
    if (this.#forwardPaths.length > 0 && verdict.isProbe !== this.#isProbe) return REPLIES.probeApart
    this.#isProbe = verdict.isProbe
    this.#forwardPaths.push({ path: verdict.path, parameters })
    return REPLIES.recipientOk
  }

  /** As received, source routes taken off. */
  envelope(): Envelope {
    return { reversePath: this.reversePath, parameters: this.parameters, forwardPaths: this.#forwardPaths }
  }
}

/** Octets the client says are coming; 0 when it doesn't. */
export function declaredBytes(parameters: EsmtpParameters): number {
  const { SIZE: size } = parameters
  return typeof size === 'string' ? Number(size) : 0
}

/** What stands against this MAIL, as far as it alone can tell. */
export function refuseMail({ parameters }: MailArguments, limits: Limits, isSecure = false): Reply | undefined {
  // RFC 8689 §3: only where EHLO offers it, inside TLS; taking it and not keeping it would be the one thing it forbids.
  if (parameters['REQUIRETLS'] !== undefined && !isSecure) return REPLIES.tlsNeeded
  return declaredBytes(parameters) > limits.messageBytes ? REPLIES.tooBig : undefined
}
