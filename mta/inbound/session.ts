// The dialogue with one client (RFC 5321 §4, RFC 2920): which command may come now, what is answered, what ends it. (reliability-security.md §3, §4)
import type { Log } from '../../common/log.ts'
import type { ActiveSnapshot } from '../active-snapshot.ts'
import type { Limits } from '../limits.ts'
import type { Spool } from '../spool/contract.ts'
import { SpoolBroken, SpoolFull } from '../spool/contract.ts'
import { hasArguments, parseHello, parseMail, parseRcpt, verbOf } from './command-grammar.ts'
import type { CommandLine } from './command-reader.ts'
import type { DataReader } from './data-reader.ts'
import type { PeerVerdict } from './admission.ts'
import type { RecipientRules } from './recipients.ts'
import { ehloReply, greeting, heloReply, isPermanentFailure, REPLIES } from './replies.ts'
import type { Reply, TlsStanding } from './replies.ts'
import type { Client, Receiving } from './receiving.ts'
import { SessionClock } from './session-clock.ts'
import type { Overdue } from './session-clock.ts'
import type { Dialogue, Wire } from './smtp-quirks.ts'
import type { Handshake, HandshakeFailure, TlsState } from './tls-handshake.ts'
import { declaredBytes, refuseMail, Transaction } from './transaction.ts'

export interface SessionDeps {
  /** EHLO, Received. */
  readonly name: string
  readonly limits: Limits
  readonly spool: Pick<Spool, 'checkRoom'>
  readonly recipientRules: (peer: Client['peer'], pinned: ActiveSnapshot) => RecipientRules
  readonly log: Log
  /** ms since the epoch */
  readonly now: () => number
  /** ms of a clock that never goes back */
  readonly monotonic: () => number
  /** What the transaction that begins now uses throughout; undefined: no mail is taken (RC-3). */
  readonly pin: () => ActiveSnapshot | undefined
  /** Nothing new is begun. */
  readonly isDraining: () => boolean
  readonly receive: (transaction: Transaction, client: Client, pinned: ActiveSnapshot) => Receiving
  readonly isStressed: () => boolean
  readonly offersTls: boolean
  /** Asked at each STARTTLS: until one was pushed a relay may have no certificate. */
  readonly hasCertificate: () => boolean
  /** Whether the client may send mail; `tls`: undefined in cleartext. */
  readonly admit: (address: string, tls: TlsState | undefined) => PeerVerdict
  readonly handshaken: (handshake: Handshake) => void
  readonly replied: (reply: Reply) => void
  readonly closed: () => void
}

/** Verbs of RFC 5321 and its extensions that are known and not offered. (SP-7, PH-7) */
const NOT_OFFERED = new Set(['AUTH', 'BDAT', 'ETRN', 'EXPN', 'HELP', 'PROXY', 'TURN', 'VRFY', 'XCLIENT', 'XFORWARD'])
const OFFERED = ['DATA', 'EHLO', 'HELO', 'MAIL', 'NOOP', 'QUIT', 'RCPT', 'RSET', 'STARTTLS']
const SMTP_VERBS = [...OFFERED, ...NOT_OFFERED].filter((verb) => verb !== 'PROXY')
const MAX_LONG_LINES = 3

/**
 * Commands whose reply a client must see before it sends anything else (RFC 2920 §3.1), because it changes how the rest is read. NOOP, VRFY
 * and the like change nothing: what follows them is read the same way with or without them.
 */
const ENDS_GROUP = new Set(['BDAT', 'DATA', 'EHLO', 'HELO', 'STARTTLS'])

const OVERDUE_REPLIES: Record<Exclude<Overdue, 'processing' | 'handshake'>, Reply> = {
  idle: REPLIES.timeout,
  'data-block': REPLIES.timeout,
  data: REPLIES.timeout,
  'data-rate': REPLIES.dataTooSlow,
  session: REPLIES.timeout,
}

export class Session implements Dialogue {
  readonly #deps: SessionDeps
  readonly #wire: Wire
  readonly #refusal: Reply | undefined
  readonly #clock: SessionClock
  #isGreeted = false
  #isOver = false
  /** No line was complete yet: the client may be something else than an SMTP client. */
  #isFirstLine = true
  #tls: TlsState | undefined
  /** What became of the question whether the client may send: asked once, at the first MAIL, and again inside TLS. */
  #verdict: PeerVerdict | undefined
  #hello: { readonly name: string; readonly isEsmtp: boolean } | undefined
  #transaction: Transaction | undefined
  /** Of the transaction. */
  #pinned: ActiveSnapshot | undefined
  #reception: Receiving | undefined
  /** Ends the wait for a message that takes too long. */
  #giveUp: (() => void) | undefined
  /** The reception, which may take longer than the client is kept waiting; and the answer to the client. */
  #finishing: Promise<unknown> | undefined
  #concluding: Promise<void> | undefined
  #isLeaving = false
  #messages = 0
  #errors = 0
  #junk = 0
  #longLines = 0
  /** Replies not written yet: those to one group of commands go out together. */
  #out = ''

  /** @param refusal  what the client gets in place of the greeting */
  constructor(deps: SessionDeps, wire: Wire, refusal: Reply | undefined) {
    this.#deps = deps
    this.#wire = wire
    this.#refusal = refusal
    this.#clock = new SessionClock(deps.limits, deps.monotonic())
  }

  /** Settles when nothing of this session works on a message any more, which may be after it is closed. Never rejects. */
  get settled(): Promise<unknown> {
    return Promise.allSettled([this.#finishing, this.#concluding])
  }

  opened(): void {
    if (this.#refusal !== undefined) this.#end(this.#refusal)
  }

  greet(): void {
    if (this.#isOver) return
    this.#isGreeted = true
    this.#reply(greeting(this.#deps.name))
    this.#write()
  }

  arrived(octets: number): void {
    this.#clock.dataArrived(this.#deps.monotonic(), octets)
    if (!this.#isGreeted) this.#end(REPLIES.earlyTalker)
  }

  unfinishedLine(text: string): void {
    if (!this.#isFirstLine || this.#isOver || text === '') return
    // A TLS handshake or a binary protocol may never send CR LF. A word that is no SMTP verb so far won't become one.
    const [word = ''] = text.split(' ', 1)
    if (!SMTP_VERBS.some((verb) => verb.startsWith(word.toUpperCase()))) this.#end(REPLIES.notSmtp)
  }

  line(line: CommandLine, hasMore: boolean): void {
    if (this.#isOver) return
    const isFirst = this.#isFirstLine
    this.#isFirstLine = false
    this.#clock.answered(this.#deps.monotonic())
    if (line.kind === 'malformed') this.#end(REPLIES.badLine)
    else if (line.kind === 'too-long')
      this.#answer(++this.#longLines < MAX_LONG_LINES ? REPLIES.lineTooLong : REPLIES.lineTooLongAgain)
    else this.#command(line.text, verbOf(line.text), isFirst, hasMore)
  }

  #command(line: string, verb: string, isFirst: boolean, hasMore: boolean): void {
    if (isFirst && !SMTP_VERBS.includes(verb)) this.#end(REPLIES.notSmtp)
    // Before EHLO, and after HELO, PIPELINING was not offered. (PH-6)
    else if (hasMore && verb !== 'QUIT' && (ENDS_GROUP.has(verb) || this.#hello?.isEsmtp !== true))
      this.#end(REPLIES.earlyTalker)
    else {
      const reply = this.#judge(line, verb)
      this.#answer(reply)
      if (reply === REPLIES.startTls && !this.#isOver) this.#startTls()
    }
  }

  #startTls(): void {
    this.#write()
    this.#clock.handshakeBegins(this.#deps.monotonic())
    this.#wire.startTls()
  }

  /** RFC 3207 §4.2: what the client said before is forgotten. Inside TLS it may be somebody else again, and no SMTP client at all. */
  secured(tls: TlsState): void {
    this.#deps.handshaken({ kind: 'done', tls })
    this.#tls = tls
    this.#verdict = undefined
    this.#hello = undefined
    this.#transaction = undefined
    this.#isFirstLine = true
    this.#clock.answered(this.#deps.monotonic())
  }

  /** The connection is gone with it. */
  handshakeFailed(reason: HandshakeFailure): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#deps.handshaken({ kind: 'failed', reason })
    this.#wire.destroy()
  }

  /** The reply to a command; what it changes is changed. */
  #judge(line: string, verb: string): Reply {
    if (['DATA', 'RSET', 'QUIT'].includes(verb) && hasArguments(line, verb)) return REPLIES.badSyntax
    switch (verb) {
      case 'EHLO':
      case 'HELO':
        return this.#sayHello(line, verb === 'EHLO')
      case 'MAIL':
        return this.#mail(line)
      case 'RCPT':
        return this.#rcpt(line)
      case 'DATA':
        return this.#data()
      case 'RSET':
        this.#junk++
        this.#transaction = undefined
        return REPLIES.reset
      case 'NOOP':
        this.#junk++
        return REPLIES.noop
      case 'QUIT':
        return REPLIES.bye
      case 'STARTTLS':
        return this.#judgeStartTls(line)
      default:
        this.#junk++
        return NOT_OFFERED.has(verb) ? REPLIES.notImplemented : REPLIES.unknownCommand
    }
  }

  #judgeStartTls(line: string): Reply {
    if (hasArguments(line, 'STARTTLS')) return REPLIES.badSyntax
    if (this.#tls !== undefined) return REPLIES.alreadySecure
    if (this.#deps.offersTls) return this.#deps.hasCertificate() ? REPLIES.startTls : REPLIES.tlsNotYet
    this.#junk++
    return REPLIES.notImplemented
  }

  get #tlsStanding(): TlsStanding {
    if (this.#tls !== undefined) return 'on'
    return this.#deps.offersTls ? 'offered' : 'none'
  }

  #sayHello(line: string, isEsmtp: boolean): Reply {
    const name = parseHello(line)
    if (name.kind === 'refused') return name.reply
    if (this.#hello !== undefined) this.#junk++
    this.#hello = { name: name.value, isEsmtp }
    this.#transaction = undefined // RFC 5321 §4.1.4: as RSET
    const { name: ourName, limits } = this.#deps
    return isEsmtp ? ehloReply(ourName, limits.messageBytes, this.#tlsStanding) : heloReply(ourName)
  }

  #mail(line: string): Reply {
    const { limits, spool } = this.#deps
    if (this.#hello === undefined) return REPLIES.helloFirst
    if (this.#transaction !== undefined) return REPLIES.transactionOpen
    this.#verdict ??= this.#deps.admit(this.#wire.remoteAddress, this.#tls)
    if (this.#verdict.kind === 'refused') return this.#verdict.reply
    if (this.#isLeaving) return REPLIES.shuttingDown
    if (this.#messages >= limits.messagesPerConnection) return REPLIES.tooManyMessages
    const mail = parseMail(line)
    if (mail.kind === 'refused') return mail.reply
    const refusal = refuseMail(mail.value, limits, this.#tls !== undefined)
    if (refusal !== undefined) return refusal
    if (this.#deps.isDraining()) return REPLIES.draining
    this.#pinned = this.#deps.pin()
    if (this.#pinned === undefined) return REPLIES.noTable
    try {
      spool.checkRoom(declaredBytes(mail.value.parameters))
    } catch (error) {
      if (error instanceof SpoolFull) return REPLIES.spoolFull
      if (!(error instanceof SpoolBroken)) throw error
      this.#deps.log.error('intake.failed', { session: this.#wire.id, error })
      return REPLIES.spoolBroken
    }
    this.#transaction = new Transaction(mail.value, this.#deps.now())
    return REPLIES.senderOk
  }

  #rcpt(line: string): Reply {
    const [transaction, pinned] = [this.#transaction, this.#pinned]
    if (this.#hello === undefined) return REPLIES.helloFirst
    if (transaction === undefined || pinned === undefined) return REPLIES.mailFirst
    const { peer } = this.#admitted()
    const rcpt = parseRcpt(line, transaction.isSmtpUtf8)
    const reply =
      rcpt.kind === 'refused'
        ? rcpt.reply
        : transaction.addRecipient(rcpt.value, this.#deps.limits, this.#deps.recipientRules(peer, pinned))
    if (reply !== REPLIES.recipientOk) transaction.hadRefusedRecipient = true
    return reply
  }

  #data(): Reply {
    const [transaction, pinned] = [this.#transaction, this.#pinned]
    if (this.#hello === undefined) return REPLIES.helloFirst
    if (transaction === undefined || pinned === undefined) return REPLIES.mailFirst
    if (transaction.recipientCount === 0)
      return transaction.hadRefusedRecipient ? REPLIES.noRecipients : REPLIES.recipientFirst
    // What it began with may be too old by now, or not be in force any more for another reason.
    if (this.#deps.pin() === undefined) {
      this.#transaction = undefined
      return REPLIES.noTable
    }
    const client: Client = {
      helloName: this.#hello.name,
      address: this.#wire.remoteAddress,
      isEsmtp: this.#hello.isEsmtp,
      tls: this.#tls,
      peer: this.#admitted().peer,
    }
    this.#reception = this.#deps.receive(transaction, client, pinned)
    this.#wire.startData()
    this.#clock.dataBegins(this.#deps.monotonic())
    return REPLIES.startData
  }

  /** What let the client begin a transaction. */
  #admitted(): PeerVerdict & { kind: 'admitted' } {
    if (this.#verdict?.kind !== 'admitted')
      throw new Error('unreachable: a transaction of a client that was not admitted')
    return this.#verdict
  }

  data(content: Buffer, reader: DataReader): Promise<void> | undefined {
    const reception = this.#reception
    if (reception === undefined) return undefined
    if (reader.hasBareLineEnd || reader.sizeBytes > this.#deps.limits.messageBytes) {
      reception.abort()
      return undefined
    }
    const ready = reception.write(content)
    if (ready === undefined) return undefined
    this.#clock.hold(this.#deps.monotonic())
    return ready.finally(() => this.#clock.release(this.#deps.monotonic()))
  }

  dataEnds(reader: DataReader): Promise<void> {
    this.#concluding = this.#conclude(reader)
    return this.#concluding
  }

  async #conclude(reader: DataReader): Promise<void> {
    const reception = this.#reception
    if (reception === undefined) return
    this.#clock.dataEnds(this.#deps.monotonic())
    const reply = await this.#concludeWithin(reception, reader)
    this.#reception = undefined
    this.#transaction = undefined
    this.#messages++
    if (reply.code === 250) this.#errors = this.#junk = 0
    try {
      this.#answer(reply)
      this.#write() // DU-1: before anything else this session does
    } finally {
      reception.announce()
    }
    this.#clock.answered(this.#deps.monotonic())
    if (this.#isLeaving) this.#end(REPLIES.shuttingDown)
  }

  #concludeWithin(reception: Receiving, reader: DataReader): Promise<Reply> {
    if (reader.hasBareLineEnd) return reception.refuse(REPLIES.bareLineEnd)
    if (reader.sizeBytes > this.#deps.limits.messageBytes) return reception.refuse(REPLIES.tooBig)
    const tooLate = new Promise<Reply>((resolve) => {
      this.#giveUp = () => {
        reception.disown()
        resolve(REPLIES.tooSlowHere)
      }
    })
    const finished = reception.finish(reader.has8Bit)
    this.#finishing = finished
    return Promise.race([finished, tooLate]).finally(() => (this.#giveUp = undefined))
  }

  flush(): Promise<void> | undefined {
    this.#write()
    return this.#wire.drained()
  }

  ended(): void {
    this.#isOver = true
    this.#wire.close()
  }

  /** The client is gone. A message it had finished is not its to take back: `dataEnds` goes on. */
  closed(): void {
    this.#isOver = true
    if (this.#giveUp === undefined) this.#reception?.abort()
    this.#deps.closed()
  }

  /** PH-10: whatever went wrong here, it went wrong for this session only. */
  failed(error: unknown): void {
    this.#deps.log.error('session.failed', { session: this.#wire.id, error })
    this.#end(REPLIES.localError)
  }

  fault(code: number): void {
    this.#end(code === REPLIES.timeout.code ? REPLIES.shuttingDown : REPLIES.localError)
  }

  /** Called now and then: holds the client, and ourselves, to the limits of time. */
  checkTime(): void {
    const overdue = this.#isOver ? undefined : this.#clock.overdue(this.#deps.monotonic(), this.#deps.isStressed())
    if (overdue === 'processing') this.#giveUp?.()
    else if (overdue === 'handshake') this.handshakeFailed('timeout')
    else if (overdue !== undefined) this.#end(OVERDUE_REPLIES[overdue])
  }

  /** DU-6: ends now where no message is under way, after it where one is. */
  leave(): void {
    this.#isLeaving = true
    if (this.#transaction === undefined) this.#end(REPLIES.shuttingDown)
  }

  /** The end of patience: what isn't durable yet is dropped. */
  cutOff(): void {
    this.#giveUp?.()
    this.#end(REPLIES.shuttingDown)
    this.#wire.destroy()
  }

  /** Answers a command, unless the session has made too much noise. */
  #answer(reply: Reply): void {
    if (this.#isOver) return
    const { limits, isStressed } = this.#deps
    if (isPermanentFailure(reply)) this.#errors++
    if (reply.closes) this.#end(reply)
    else if (this.#errors > (isStressed() ? limits.stressErrorsPerSession : limits.errorsPerSession))
      this.#end(REPLIES.tooManyErrors)
    else if (this.#junk > limits.junkCommandsPerSession) this.#end(REPLIES.tooMuchJunk)
    else this.#reply(reply)
  }

  #reply(reply: Reply): void {
    this.#out += reply.line
    this.#deps.replied(reply)
  }

  #write(): void {
    if (this.#out === '') return
    const out = this.#out
    this.#out = ''
    this.#wire.write(out)
  }

  #end(reply: Reply): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#reply(reply)
    this.#write()
    if (this.#giveUp === undefined) this.#reception?.abort()
    this.#wire.close()
  }
}
