// One message from the first octet of DATA to the 250: through the engine into the spool, durable, and only then accepted. (R79, DU-1)
import { isAscii } from 'node:buffer'
import type { Log } from '../../common/log.ts'
import { formatMarker, judgeLoop, messageId, MessageRewriter, Refusal } from '../../rewrite-rules/index.ts'
import type { Direction, HeaderBlock } from '../../rewrite-rules/index.ts'
import type { Limits } from '../limits.ts'
import type { AcceptedMail } from '../mail-event.ts'
import type { MarkerKeys } from '../marker-keys.ts'
import type { MessageRecord, RouteName } from '../message-record.ts'
import type { PinnedTable } from '../pinned-table.ts'
import { newQueueId } from '../queue-id.ts'
import type { QueueId } from '../queue-id.ts'
import { SpoolBroken, SpoolFull } from '../spool/contract.ts'
import type { Spool, SpoolIntake } from '../spool/contract.ts'
import { acceptedRecord, collapsedPaths, firstState } from './accepted-record.ts'
import type { InboundMetrics } from './inbound-metrics.ts'
import { LargePartsFull } from './large-parts.ts'
import type { LargeParts } from './large-parts.ts'
import { queuedReply, refusalReply, REPLIES } from './replies.ts'
import type { Reply } from './replies.ts'
import { receivedField, traceField, withoutForgedFields } from './trace-fields.ts'
import type { Transaction } from './transaction.ts'

export interface ReceiveDeps {
  readonly name: string
  readonly authservId: string
  readonly direction: Direction
  readonly limits: Limits
  readonly spool: Pick<Spool, 'begin' | 'remove'>
  readonly routes: Readonly<Record<Direction, RouteName>>
  /** undefined: delivered mail is not marked, and no loop is seen but by its Received fields. */
  readonly marker: MarkerKeys | undefined
  readonly largeParts: Pick<LargeParts, 'run'>
  readonly log: Log
  /** What of an address the log may hold (PR-2). */
  readonly tag: (address: string) => string | undefined
  readonly metrics: InboundMetrics
  /** ms since the epoch */
  readonly now: () => number
  /** The message is durable and its sender has been told so. */
  readonly accepted: (queueId: QueueId, mail: AcceptedMail) => void
}

/** What Received says of where a message came from. */
export interface Client {
  readonly helloName: string
  readonly address: string
  readonly isEsmtp: boolean
}

export class Reception {
  readonly #deps: ReceiveDeps
  readonly #pinned: PinnedTable
  readonly #transaction: Transaction
  readonly #client: Client
  readonly #queueId: QueueId
  readonly #rewriter: MessageRewriter
  #intake: SpoolIntake | undefined
  #validMarkers = 0
  #bodyBytes = 0
  #messageId = ''
  /** Why the message is not accepted; from then on its octets are dropped. */
  #verdict: Reply | undefined
  /** Set when the message is durable and nobody has said otherwise meanwhile. */
  #durable: MessageRecord | undefined

  constructor(deps: ReceiveDeps, pinned: PinnedTable, transaction: Transaction, client: Client) {
    this.#deps = deps
    this.#pinned = pinned
    this.#transaction = transaction
    this.#client = client
    this.#queueId = newQueueId(deps.now())
    this.#rewriter = new MessageRewriter({ largePartBytes: deps.limits.largePartBytes })
  }

  /**
   * Takes the next octets of content. Never throws: what goes wrong becomes the reply at the end of DATA.
   * @returns a promise when nothing more should come before it is settled
   */
  write(content: Buffer): Promise<void> | undefined {
    if (this.#verdict !== undefined || content.length === 0) return undefined
    try {
      let pieces: readonly Uint8Array[] = this.#rewriter.write(content)
      const { receivedHeader } = this.#rewriter
      // Nothing passes before the engine has begun.
      if (this.#intake === undefined && receivedHeader !== undefined) pieces = this.#begin(receivedHeader)
      const stored = this.#store(pieces)
      if (stored === undefined && this.#rewriter.work === undefined) return undefined
      return this.#catchUp(stored).catch((error: unknown) => this.#fail(error))
    } catch (error) {
      this.#fail(error)
      return undefined
    }
  }

  /** After the final dot. Never throws. A 250 means that the message is durable: it is the only one there is. */
  async finish(has8Bit: boolean): Promise<Reply> {
    try {
      if (this.#verdict === undefined) await this.#complete(has8Bit)
    } catch (error) {
      this.#fail(error)
    }
    if (this.#verdict === undefined) return queuedReply(this.#queueId)
    await this.#drop()
    return this.#verdict
  }

  /** The message is not taken, whatever it holds. */
  async refuse(reply: Reply): Promise<Reply> {
    this.#verdict = reply
    await this.#drop()
    return reply
  }

  /** The rest won't come, or isn't wanted. */
  abort(): void {
    if (this.#verdict !== undefined) return
    this.#verdict = REPLIES.localError
    void this.#drop()
  }

  /** The client was told 451: what becomes durable all the same must not be delivered, for the client will send it again. */
  disown(): void {
    this.#verdict ??= REPLIES.tooSlowHere
  }

  /** To be called when the 250 has been written: hands the message to the queue, then counts and logs it. */
  announce(): void {
    if (this.#durable === undefined) return
    const mail = { record: this.#durable, client: this.#client.address, messageId: this.#messageId }
    this.#deps.accepted(this.#queueId, mail)
    this.#report(this.#durable)
  }

  /** The header block is complete: judges loops, fixes direction, table and envelope. */
  #begin(receivedHeader: HeaderBlock): Uint8Array[] {
    const { direction, marker, log, spool } = this.#deps
    const { table, policy } = this.#pinned
    const keys = { tokens: marker?.tokens ?? [], secrets: marker?.secrets ?? [], project: table.project }
    const loop = judgeLoop(receivedHeader, direction, keys)
    if (loop.kind === 'loop') {
      log.warn('message.loop', { queueId: this.#queueId, direction, client: this.#client.address })
      this.#verdict = REPLIES.loop
      return []
    }
    this.#validMarkers = loop.validMarkers
    this.#intake = spool.begin(this.#queueId)
    return this.#rewriter.begin({
      direction,
      table,
      policy,
      smtpUtf8: this.#transaction.isSmtpUtf8,
      envelope: this.#transaction.envelope(),
      seenMarkers: loop.validMarkers,
    })
  }

  #store(pieces: readonly Uint8Array[], start = 0): Promise<void> | undefined {
    for (let i = start; i < pieces.length; i++) {
      const [piece, intake] = [pieces[i], this.#intake]
      if (this.#verdict !== undefined) return undefined // dropped while it waited
      if (piece === undefined || intake === undefined) throw new Error('unreachable: body before header')
      this.#bodyBytes += piece.length
      const ready = intake.write(piece)
      if (ready !== undefined) return ready.then(() => this.#store(pieces, i + 1))
    }
    return undefined
  }

  /** Waits for the spool, then for the worker thread as long as the engine has large parts for it. */
  async #catchUp(stored: Promise<void> | undefined): Promise<void> {
    await stored
    for (
      let work = this.#rewriter.work;
      work !== undefined && this.#verdict === undefined;
      work = this.#rewriter.work
    ) {
      const { table, policy } = this.#pinned
      const result = await this.#deps.largeParts.run(work, table.withPolicy(policy))
      if (this.#verdict === undefined) await this.#store(this.#rewriter.resume(result))
    }
  }

  async #complete(has8Bit: boolean): Promise<void> {
    this.#rewriter.finishHeader()
    const { receivedHeader } = this.#rewriter
    if (receivedHeader === undefined) throw new Error('unreachable: no header block')
    if (this.#intake === undefined) await this.#catchUp(this.#store(this.#begin(receivedHeader)))
    if (this.#verdict === undefined) await this.#catchUp(this.#store(this.#rewriter.end()))
    if (this.#verdict !== undefined || this.#intake === undefined) return

    this.#messageId = messageId(receivedHeader)
    const header = this.#header(receivedHeader)
    const record = this.#recordOf(header, has8Bit || !isAscii(header))
    await this.#intake.commit(header, record, firstState(record))
    // Nothing that could fail may stand between here and the 250.
    if (this.#verdict === undefined) this.#durable = record
    else await this.#takeBack()
  }

  /** The rewritten header with the fields of R79 on top. */
  #header(receivedHeader: HeaderBlock): Buffer {
    const { name, authservId, direction, marker, now } = this.#deps
    const received = receivedField({
      ...this.#client,
      by: name,
      isSmtpUtf8: this.#transaction.isSmtpUtf8,
      queueId: this.#queueId,
      at: now(),
    })
    const trace =
      marker === undefined
        ? ''
        : traceField(
            formatMarker({
              ...marker,
              project: this.#pinned.table.project,
              direction,
              count: this.#validMarkers + 1,
              relay: name,
              messageId: this.#messageId,
            }),
          )
    const rewritten = withoutForgedFields(receivedHeader, this.#rewriter.header(), authservId)
    // Without any header block, the first line of the body would join ours.
    const separator = receivedHeader.bytes.length === 0 ? '\r\n' : ''
    return Buffer.concat([Buffer.from(received + trace + separator, 'latin1'), rewritten])
  }

  #recordOf(header: Buffer, has8Bit: boolean): MessageRecord {
    const { envelope } = this.#rewriter
    if (envelope === undefined) throw new Error('unreachable: the engine was given an envelope')
    const { direction, routes, now } = this.#deps
    const { table } = this.#pinned
    return acceptedRecord({
      queueId: this.#queueId,
      transaction: this.#transaction,
      rewritten: envelope,
      direction,
      route: routes[direction],
      project: table.project,
      tableVersion: table.version,
      receivedAt: now(),
      has8Bit,
      headerBytes: header.length,
      bodyBytes: this.#bodyBytes,
    })
  }

  #report(record: MessageRecord): void {
    const { direction, log, metrics, tag } = this.#deps
    const { changeCount, codes } = this.#rewriter.report()
    const bytes = record.headerBytes + record.bodyBytes
    const collapsed = collapsedPaths(this.#transaction, this.#rewriter.envelope)
    metrics.accepted.inc({ direction })
    metrics.acceptedBytes.inc({ direction }, bytes)
    if (collapsed.length > 0) metrics.collapsed.inc({ direction }, collapsed.length)
    for (const code of codes) metrics.reportCodes.inc({ direction, code })
    log.info('message.accepted', {
      queueId: this.#queueId,
      direction,
      client: this.#client.address,
      bytes,
      recipients: record.recipients.length,
      ...(collapsed.length > 0 ? { collapsed: collapsed.map((path) => tag(path)) } : {}), // R13
      tableVersion: record.tableVersion,
      changes: changeCount,
      ...(codes.length > 0 ? { codes } : {}),
      intakeMs: record.intakeMs,
    })
  }

  #fail(error: unknown): void {
    if (this.#verdict !== undefined) return
    this.#verdict = this.#judge(error)
    void this.#drop()
  }

  #judge(error: unknown): Reply {
    const { log } = this.#deps
    const about = { queueId: this.#queueId, error }
    if (error instanceof Refusal) {
      // 4xx of the engine: something it could not decide, for an operator to see (rewriting.md §12).
      log[error.code < 500 ? 'error' : 'info']('message.refused', { ...about, status: error.status })
      return refusalReply(error)
    }
    if (error instanceof SpoolFull) return REPLIES.spoolFull
    if (error instanceof LargePartsFull) return REPLIES.partsBusy
    log.error('intake.failed', about)
    return error instanceof SpoolBroken ? REPLIES.spoolBroken : REPLIES.localError
  }

  /** Became durable after the client had been told 451. */
  async #takeBack(): Promise<void> {
    this.#intake = undefined
    try {
      await this.#deps.spool.remove(this.#queueId)
    } catch (error) {
      // It will be delivered after a restart, and again when the client has sent it again: a duplicate, but no loss (DU-2).
      this.#deps.log.error('intake.remove-failed', { queueId: this.#queueId, error })
    }
  }

  /** What was written to the spool goes; that it can't be removed doesn't make the message accepted. */
  async #drop(): Promise<void> {
    const intake = this.#intake
    this.#intake = undefined
    try {
      await intake?.abort()
    } catch (error) {
      this.#deps.log.error('intake.abort-failed', { queueId: this.#queueId, error })
    }
  }
}
