// One SMTP connection to a next hop, as client: commands go out in as few writes as the peer allows, and nothing the peer does is believed,
// waited for, or stored without a bound. It reports what was said; outcome.ts judges. (RFC 5321, 2920, DL-6)
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import type { MessageRecord, RecipientRecord, SmtpReply } from '../message-record.ts'
import { NO_CAPABILITIES, parseCapabilities } from './capabilities.ts'
import type { Capabilities } from './capabilities.ts'
import { DotStuffer } from './dot-stuffing.ts'
import { isPositive } from './outcome.ts'
import type { ConnectFailure, Dialogue, Fault, FaultKind } from './outcome.ts'
import { ReplyFault, ReplyReader, smtpReply } from './reply-reader.ts'
import type { Reply, ReplyLimits } from './reply-reader.ts'
import { startTls } from './start-tls.ts'
import type { Security, TlsDemand } from './start-tls.ts'
import type { TlsFailure } from './tls-failure.ts'
import type { TlsIdentity } from './tls-identity.ts'
import type { Timeouts } from './timeouts.ts'
import { planTransaction, refusal } from './transaction.ts'
import type { RecipientPlan } from './transaction.ts'

/** One host to connect to. */
export interface Peer {
  /** As log and reports name it. */
  readonly hostPort: string
  /** Name or address. */
  readonly host: string
  readonly port: number
  readonly tls: TlsDemand
  /** undefined only where `tls` asks for none. */
  readonly identity: TlsIdentity | undefined
}

export interface ClientSettings {
  /** Our name in EHLO. */
  readonly name: string
  readonly timeouts: Timeouts
  readonly replyLimits: ReplyLimits
  readonly monotonicMs: () => number
}

/** What a transaction sends; `SpooledMessage` has this shape. */
export interface Content {
  readonly record: MessageRecord
  /** With its final empty line. */
  readonly header: Buffer
  /** The chunks are not changed after they were handed out. */
  body(): AsyncIterable<Buffer> | Iterable<Buffer>
}

export type TransactionResult =
  | {
      readonly kind: 'spoken'
      readonly dialogue: Dialogue
      /** Something of the message's content went out. */
      readonly hasSentContent: boolean
      /** By recipient: why it was left out of the dialogue; undefined when it was in. */
      readonly leftOut: readonly (SmtpReply | undefined)[]
    }
  /** Nothing was sent, the connection is as it was: this host can't take the message. */
  | { readonly kind: 'refused'; readonly reply: SmtpReply }

/** Somebody who awaits replies. */
interface Awaiting {
  readonly count: number
  readonly replies: Reply[]
  /** Goes on, where he stands behind another. */
  proceed: () => void
}

/** Content up to this size is put together before the transaction begins, and goes out in one write. */
const WHOLE_CONTENT_BYTES = 64 * 1024
const READ_BYTES = 16 * 1024
/** RFC 8305 asks for 250 ms before the next address is tried; a host half the world away needs more to answer at all. */
const ADDRESS_ATTEMPT_MS = 5_000

export class SmtpConnection {
  readonly peer: Peer
  readonly #settings: ClientSettings
  #socket: Socket
  readonly #reader: ReplyReader
  #capabilities: Capabilities = NO_CAPABILITIES
  #security: Security | undefined
  #unbelieved: TlsFailure | undefined
  #transactions = 0
  /** Under way: one, or two while the second's envelope waits behind the first's content. */
  #underWay = 0
  /** Of the transaction under way: whoever has it begins no other, so that one may follow at once. */
  #isLast = false
  /** Contents begun. */
  #contents = 0
  /** Its content is written, or never will be. */
  #whenWritten: (() => void)[] = []
  #isWritten = true
  /** In a TLS handshake: how it ends is told by startTls. */
  #isRaising = false
  #deadlineMs = Infinity

  /** Who awaits replies, in the order in which they come. */
  readonly #awaiting: Awaiting[] = []
  #wake: (() => void) | undefined
  #timer: NodeJS.Timeout | undefined
  #fault: Fault | undefined
  /** It said 421, to whomever: nothing more is begun on it. */
  #isClosing = false
  #isGone = false
  #whenGone: (() => void)[] = []

  constructor(peer: Peer, settings: ClientSettings) {
    this.peer = peer
    this.#settings = settings
    this.#reader = new ReplyReader(settings.replyLimits)
    const buffer = Buffer.allocUnsafe(READ_BYTES)
    this.#socket = connect({
      host: peer.host,
      port: peer.port,
      noDelay: true,
      autoSelectFamilyAttemptTimeout: ADDRESS_ATTEMPT_MS,
      onread: {
        buffer,
        callback: (bytes) => {
          this.#onBytes(buffer.subarray(0, bytes))
          return true
        },
      },
    })
    this.#socket.on('connect', () => this.#proceed())
    this.#listenTo(this.#socket)
  }

  #listenTo(socket: Socket): void {
    socket.on('drain', () => this.#proceed())
    socket.on('error', (error) => this.#fail(...faultOf(error)))
    socket.on('end', () => this.#fail('closed', 'the next hop closed the connection'))
    socket.on('close', () => this.#onClose())
  }

  /** Transactions begun. */
  get transactions(): number {
    return this.#transactions
  }

  /** Another transaction may begin on it. */
  get isUsable(): boolean {
    return this.#fault === undefined && this.#underWay === 0
  }

  /** It hasn't ended. */
  get isAlive(): boolean {
    return this.#fault === undefined
  }

  /** One more transaction may begin once the content of the one under way is written, before its reply has come (RFC 2920 §3.1). */
  get isFollowable(): boolean {
    return this.#fault === undefined && this.#underWay === 1 && this.#isLast && this.#capabilities.pipelining
  }

  /** Until the content of the transaction under way is written, or never will be. */
  written(): Promise<void> {
    return this.#isWritten ? Promise.resolve() : new Promise((resolve) => this.#whenWritten.push(resolve))
  }

  #hasWritten(): void {
    this.#isWritten = true
    for (const resolve of this.#whenWritten.splice(0)) resolve()
  }

  /** DSN is offered: success will be reported by the next hop, or further on. */
  get offersDsn(): boolean {
    return this.#capabilities.dsn
  }

  /** undefined: in cleartext. */
  get security(): Security | undefined {
    return this.#security
  }

  /** Why its certificate would not have been believed, where nobody asked for that. */
  get unbelieved(): TlsFailure | undefined {
    return this.#unbelieved
  }

  /** Why this host can't take the message at all; undefined when it can. */
  refusalOf(record: MessageRecord): SmtpReply | undefined {
    return refusal(record, this.#capabilities, isProven(this.#security))
  }

  /** Calls `run` once the socket is closed. */
  onceGone(run: () => void): void {
    if (this.#isGone) run()
    else this.#whenGone.push(run)
  }

  /** To be called first, once. @returns why no transaction can begin; undefined when one can */
  async greet(): Promise<ConnectFailure | undefined> {
    const { timeouts } = this.#settings
    await this.#connected(timeouts.connect)
    const greeting = await this.#reply(timeouts.greeting, 'the greeting')
    if (greeting === undefined || greeting.code !== 220) return this.#failure(greeting)
    return (await this.#hello()) ?? (await this.#secure())
  }

  async #hello(): Promise<ConnectFailure | undefined> {
    const { timeouts, name } = this.#settings
    this.#send(`EHLO ${name}\r\n`)
    const hello = await this.#reply(timeouts.hello, 'the reply to EHLO')
    if (hello !== undefined && hello.code >= 500) return await this.#greetPlainly()
    if (hello === undefined || hello.code !== 250) return this.#failure(hello)
    this.#capabilities = parseCapabilities(hello.lines)
    return undefined
  }

  /** RFC 5321 §3.2: a host that doesn't know EHLO. */
  async #greetPlainly(): Promise<ConnectFailure | undefined> {
    this.#send(`HELO ${this.#settings.name}\r\n`)
    const hello = await this.#reply(this.#settings.timeouts.hello, 'the reply to HELO')
    return hello?.code === 250 ? undefined : this.#failure(hello)
  }

  /** Raises the connection to TLS as far as the host is asked to; then it is greeted again, and only what it says inside counts (RFC 3207 §4.2). */
  async #secure(): Promise<ConnectFailure | undefined> {
    const { tls, identity } = this.peer
    if (tls.kind === 'none') return undefined
    if (!this.#capabilities.startTls) return this.#goWithoutTls('the next hop does not offer STARTTLS')
    this.#send('STARTTLS\r\n')
    const reply = await this.#reply(this.#settings.timeouts.command, 'the reply to STARTTLS')
    if (reply === undefined || reply.code === 421) return this.#failure(reply)
    if (reply.code !== 220) return this.#goWithoutTls('the next hop refused STARTTLS')
    if (identity === undefined) throw new Error('unreachable: TLS without an identity')
    this.#isRaising = true
    const raised = await startTls(this.#socket, tls, identity, this.#settings.timeouts.tls)
    this.#isRaising = false
    if ('failure' in raised) {
      this.#fail('insecure', raised.text, raised.failure)
      return this.#failure(undefined)
    }
    this.#capabilities = NO_CAPABILITIES
    this.#security = raised.security
    this.#unbelieved = raised.unbelieved
    this.#socket = raised.socket
    this.#listenTo(raised.socket)
    raised.socket.on('data', (chunk: Buffer) => this.#onBytes(chunk))
    return await this.#hello()
  }

  /** DL-6: never in cleartext where TLS is asked for. */
  #goWithoutTls(text: string): ConnectFailure | undefined {
    if (this.peer.tls.kind !== 'may') this.#fail('unencrypted', text, 'starttls-not-supported')
    return this.#fault && this.#failure(undefined)
  }

  #failure(reply: Reply | undefined): ConnectFailure {
    if (reply !== undefined) return { reply: smtpReply(reply) }
    return { fault: this.#fault ?? { kind: 'closed', text: 'the connection ended' } }
  }

  /**
   * One transaction. When it resolves, the connection is ready for the next one or not `isUsable`, unless one has followed meanwhile.
   * @param isLast  the caller begins no other on this connection: somebody else's may follow at once
   * @throws what reading `content` throws; the connection is then gone and the next hop has not got the message
   */
  async transact(content: Content, recipients: readonly RecipientRecord[], isLast = false): Promise<TransactionResult> {
    const plan = planTransaction(content.record, recipients, this.#capabilities, isProven(this.#security))
    if (plan.kind === 'refused') return plan
    const leftOut = plan.rcpts.map((rcpt) => (typeof rcpt === 'string' ? undefined : rcpt))
    const rcpts = plan.rcpts.filter(isCommand)
    if (rcpts.length === 0)
      return {
        kind: 'spoken',
        hasSentContent: false,
        leftOut,
        dialogue: { mail: undefined, rcpts: [], data: undefined, final: undefined, fault: undefined },
      }

    const whole = await wholeContent(content)
    this.#transactions++
    this.#underWay++
    this.#isLast = isLast
    this.#isWritten = false
    this.#deadlineMs = this.#settings.monotonicMs() + this.#settings.timeouts.transaction
    try {
      const contents = this.#contents
      const dialogue = await this.#speak(plan.mail, rcpts, whole ?? content)
      return { kind: 'spoken', dialogue, hasSentContent: this.#contents > contents, leftOut }
    } catch (error) {
      // Half a message was written; without its end the next hop keeps nothing.
      this.#fail('stopped', 'the message could not be read')
      throw error
    } finally {
      this.#underWay--
      // That of one that follows counts from here.
      if (this.#underWay === 0) this.#deadlineMs = Infinity
      if (this.#underWay === 0) this.#hasWritten()
    }
  }

  async #speak(mailCommand: string, rcptCommands: readonly string[], content: Buffer | Content): Promise<Dialogue> {
    const { mail, rcpts, data } = this.#capabilities.pipelining
      ? await this.#sendEnvelopeAtOnce(mailCommand, rcptCommands)
      : await this.#sendEnvelopeStepwise(mailCommand, rcptCommands)
    const final = await this.#finish(mail, rcpts, data, content)
    if (this.#isClosing) this.#fail('closed', 'the next hop is closing')
    return { mail, rcpts, data, final, fault: this.#fault }
  }

  /** @returns the reply to the message, where one was sent */
  async #finish(
    mail: SmtpReply | undefined,
    rcpts: readonly (SmtpReply | undefined)[],
    data: SmtpReply | undefined,
    content: Buffer | Content,
  ): Promise<SmtpReply | undefined> {
    if (this.#fault !== undefined || this.#isClosing) return undefined
    if (data?.code !== 354) {
      await this.#reset()
      return undefined
    }
    const isAnyAccepted = rcpts.some((rcpt) => rcpt !== undefined && isPositive(rcpt))
    if (!isAnyAccepted) {
      // RFC 2920 §3.1: a pipelined DATA may be accepted without a recipient; a single dot ends it, whatever the answer.
      this.#send('.\r\n')
      await this.#reply(this.#settings.timeouts.finalDot, 'the reply to the final dot')
      return undefined
    }
    if (mail === undefined || !isPositive(mail)) {
      // It refused MAIL, took RCPT and asks for a message: a dot might make it deliver an empty one.
      this.#fail('protocol', 'the next hop asked for a message whose sender it had refused')
      return undefined
    }
    return await this.#sendContent(content)
  }

  async #sendEnvelopeAtOnce(
    mailCommand: string,
    rcptCommands: readonly string[],
  ): Promise<Pick<Dialogue, 'mail' | 'rcpts' | 'data'>> {
    this.#send(`${mailCommand}${rcptCommands.join('')}DATA\r\n`)
    const replies = await this.#repliesTo(
      rcptCommands.length + 2,
      this.#settings.timeouts.command,
      'the replies to MAIL, RCPT and DATA',
    )
    const [mail, ...rest] = replies.map(smtpReply)
    return { mail, rcpts: rcptCommands.map((_, index) => rest[index]), data: rest[rcptCommands.length] }
  }

  async #sendEnvelopeStepwise(
    mailCommand: string,
    rcptCommands: readonly string[],
  ): Promise<Pick<Dialogue, 'mail' | 'rcpts' | 'data'>> {
    const rcpts: (SmtpReply | undefined)[] = rcptCommands.map(() => undefined)
    const mail = await this.#command(mailCommand, 'MAIL')
    if (mail === undefined || !isPositive(mail)) return { mail, rcpts, data: undefined }
    let isAnyAccepted = false
    for (const [index, command] of rcptCommands.entries()) {
      const rcpt = await this.#command(command, 'RCPT')
      rcpts[index] = rcpt
      if (rcpt === undefined || rcpt.code === 421) return { mail, rcpts, data: undefined }
      isAnyAccepted ||= isPositive(rcpt)
    }
    if (!isAnyAccepted) return { mail, rcpts, data: undefined }
    this.#send('DATA\r\n')
    const data = await this.#reply(this.#settings.timeouts.data, 'the reply to DATA')
    return { mail, rcpts, data: data && smtpReply(data) }
  }

  async #command(command: string, verb: string): Promise<SmtpReply | undefined> {
    this.#send(command)
    const reply = await this.#reply(this.#settings.timeouts.command, `the reply to ${verb}`)
    return reply && smtpReply(reply)
  }

  /** Ends a transaction that didn't reach its content. A connection that can't do that is of no further use. */
  async #reset(): Promise<void> {
    this.#send('RSET\r\n')
    const reply = await this.#reply(this.#settings.timeouts.command, 'the reply to RSET')
    if (reply !== undefined && reply.code !== 250) this.#fail('protocol', 'the next hop refused RSET')
  }

  async #sendContent(content: Buffer | Content): Promise<SmtpReply | undefined> {
    this.#contents++
    if (Buffer.isBuffer(content)) this.#socket.write(content)
    else await this.#streamContent(content)
    this.#hasWritten()
    if (this.#fault !== undefined) return undefined
    const final = await this.#reply(this.#settings.timeouts.finalDot, 'the reply to the final dot')
    return final && smtpReply(final)
  }

  async #streamContent(content: Content): Promise<void> {
    const stuffer = new DotStuffer()
    await this.#write(stuffer.push(content.header))
    for await (const chunk of content.body()) {
      if (this.#fault !== undefined) return
      await this.#write(stuffer.push(chunk))
    }
    if (this.#fault === undefined) this.#socket.write(stuffer.end())
  }

  /** Resolves when the socket can take more. */
  async #write(slices: readonly Buffer[]): Promise<void> {
    this.#socket.cork()
    for (const slice of slices) this.#socket.write(slice)
    this.#socket.uncork()
    if (this.#socket.writableNeedDrain)
      await this.#waited(this.#settings.timeouts.block, 'the next hop to take the message')
  }

  #send(commands: string): void {
    if (this.#fault === undefined) this.#socket.write(commands)
  }

  /** undefined when there is a fault instead. */
  async #reply(timeoutMs: number, awaited: string): Promise<Reply | undefined> {
    const [reply] = await this.#repliesTo(1, timeoutMs, awaited)
    return reply
  }

  /** Fewer than `count` when there is a fault. `timeoutMs` is for each of them. */
  async #repliesTo(count: number, timeoutMs: number, awaited: string): Promise<readonly Reply[]> {
    const own: Awaiting = { count, replies: [], proceed: () => {} }
    this.#awaiting.push(own)
    while (own.replies.length < count && this.#fault === undefined) {
      // Whoever stands behind another waits for him first: his time begins when his turn comes.
      if (this.#awaiting[0] === own) await this.#waited(timeoutMs, awaited, own)
      else await new Promise<void>((resolve) => (own.proceed = resolve))
    }
    this.#awaiting.splice(this.#awaiting.indexOf(own), 1)
    this.#awaiting[0]?.proceed()
    return own.replies
  }

  async #connected(timeoutMs: number): Promise<void> {
    if (this.#fault === undefined) await this.#waited(timeoutMs, 'a connection')
  }

  /** Until `#proceed` is called: by a reply, by the socket, by a fault. Nobody else waits so: others stand behind. */
  #waited(timeoutMs: number, awaited: string, own?: Awaiting): Promise<void> {
    const left = Math.max(1, Math.min(timeoutMs, this.#deadlineMs - this.#settings.monotonicMs()))
    this.#timer = setTimeout(() => this.#fail('timeout', `timed out waiting for ${awaited}`), left)
    return new Promise((resolve) => {
      this.#wake = resolve
      if (own !== undefined) own.proceed = () => {}
    })
  }

  #proceed(): void {
    clearTimeout(this.#timer)
    const wake = this.#wake
    this.#wake = undefined
    wake?.()
  }

  #onBytes(chunk: Buffer): void {
    if (this.#fault !== undefined) return
    let replies: Reply[]
    try {
      replies = this.#reader.push(chunk)
    } catch (error) {
      if (!(error instanceof ReplyFault)) throw error
      return this.#fail('protocol', error.message)
    }
    let taken = 0
    for (const { count, replies: got } of this.#awaiting) {
      while (got.length < count && taken < replies.length) {
        const reply = replies[taken++]
        if (reply === undefined) break
        got.push(reply)
        this.#isClosing ||= reply.code === 421
      }
    }
    const last = this.#awaiting.at(-1)
    // DL-6: whatever nobody asked for, be it a reply to what we haven't sent yet, ends the connection. What was asked for still counts.
    if (
      taken < replies.length ||
      ((last === undefined || last.replies.length >= last.count) && this.#reader.hasPartial)
    ) {
      return this.#fail('protocol', 'the next hop spoke out of turn')
    }
    if (replies.length > 0) this.#proceed()
  }

  #fail(kind: FaultKind, text: string, tls?: TlsFailure): void {
    if (this.#fault !== undefined) return
    this.#fault = { kind, text, ...(tls === undefined ? {} : { tls }) }
    this.#socket.destroy()
    this.#hasWritten()
    this.#proceed()
    for (const { proceed } of this.#awaiting) proceed()
  }

  #onClose(): void {
    if (this.#isGone) return
    if (!this.#isRaising) this.#fail('closed', 'the connection closed')
    this.#isGone = true
    for (const run of this.#whenGone.splice(0)) run()
  }

  /** Says good-bye, waits a moment for the answer and closes. */
  async quit(): Promise<void> {
    this.#send('QUIT\r\n')
    await this.#reply(this.#settings.timeouts.quit, 'the reply to QUIT')
    this.destroy()
  }

  destroy(): void {
    this.#fail('stopped', 'we closed the connection')
  }
}

/** Header and body as they go on the wire, when they are small. */
async function wholeContent(content: Content): Promise<Buffer | undefined> {
  const { record, header } = content
  if (record.headerBytes + record.bodyBytes > WHOLE_CONTENT_BYTES) return undefined
  const stuffer = new DotStuffer()
  const slices = stuffer.push(header)
  const chunks = content.body()
  // A spool that has the body at hand gives it without a turn of the event loop.
  if (Symbol.iterator in chunks) for (const chunk of chunks) slices.push(...stuffer.push(chunk))
  else for await (const chunk of chunks) slices.push(...stuffer.push(chunk))
  slices.push(stuffer.end())
  return Buffer.concat(slices)
}

function isProven(security: Security | undefined): boolean {
  return security !== undefined && security.verifiedBy !== 'nothing'
}

function isCommand(plan: RecipientPlan): plan is string {
  return typeof plan === 'string'
}

function faultOf(error: Error): [FaultKind, string, TlsFailure?] {
  const code = 'code' in error ? String(error.code) : error.name
  // In TLS 1.3 a host refuses our certificate, or its absence, after the handshake.
  if (code.startsWith('ERR_SSL')) return ['insecure', `TLS with the next hop failed (${code})`, 'validation-failure']
  switch (code) {
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return ['unresolved', `the next hop's name can't be resolved (${code})`]
    case 'ECONNRESET':
    case 'EPIPE':
      return ['closed', `the connection broke (${code})`]
    default:
      return ['unreachable', `the next hop can't be reached (${code})`]
  }
}
