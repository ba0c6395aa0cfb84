// One message from the first octet of DATA to the 250: through the engine into the spool, durable, and only then accepted. (R79, DU-1)
import { isAscii } from 'node:buffer'
import type { Log } from '../../common/log.ts'
import {
  formatMarker,
  fromMailboxes,
  judgeLoop,
  messageId,
  MessageRewriter,
  Refusal,
} from '../../rewrite-rules/index.ts'
import type { Direction, HeaderBlock, RewrittenEnvelope } from '../../rewrite-rules/index.ts'
import type { ActiveSnapshot } from '../active-snapshot.ts'
import { isAutomaticMail } from '../automatic-mail.ts'
import type { Limits } from '../limits.ts'
import type { AcceptedMail } from '../mail-event.ts'
import type { MessageRecord } from '../message-record.ts'
import { newQueueId } from '../queue-id.ts'
import type { QueueId } from '../queue-id.ts'
import { tenantOf } from '../route-names.ts'
import { keptFieldLists } from '../sign/verification.ts'
import type { Verification } from '../sign/verification.ts'
import { SpoolBroken, SpoolFull } from '../spool/contract.ts'
import type { Spool, SpoolIntake } from '../spool/contract.ts'
import { Attestation } from './attestation.ts'
import type { VerifierOf } from './attestation.ts'
import { acceptedRecord, collapsedPaths, firstState } from './accepted-record.ts'
import type { InboundMetrics } from './inbound-metrics.ts'
import { LargePartsFull } from './large-parts.ts'
import type { LargeParts } from './large-parts.ts'
import { planRoutes } from './plan-routes.ts'
import type { RoutePlan } from './plan-routes.ts'
import type { Client, Receiving } from './receiving.ts'
import { queuedReply, refusalReply, REPLIES } from './replies.ts'
import type { Reply } from './replies.ts'
import { judgeHeaderProof, readHeaderProof } from './tenant-proof.ts'
import { receivedField, traceField, withoutForgedFields } from './trace-fields.ts'
import type { Transaction } from './transaction.ts'

export interface ReceiveDeps {
  readonly name: string
  readonly authservId: string
  /** undefined: nothing in force asks for it. */
  readonly verifierOf: () => VerifierOf | undefined
  /** Of the listener; undefined: the token of each message tells it (R5). */
  readonly direction: Direction | undefined
  readonly limits: Limits
  readonly spool: Pick<Spool, 'begin' | 'remove'>
  readonly hasMx: boolean
  readonly largeParts: Pick<LargeParts, 'run'>
  readonly log: Log
  readonly metrics: InboundMetrics
  /** ms since the epoch */
  readonly now: () => number
  /** The message is durable and its sender has been told so. */
  readonly accepted: (queueId: QueueId, mail: AcceptedMail) => void
}

export class Reception implements Receiving {
  readonly #deps: ReceiveDeps
  readonly #pinned: ActiveSnapshot
  readonly #transaction: Transaction
  readonly #client: Client
  readonly #queueId: QueueId
  readonly #rewriter: MessageRewriter
  #intake: SpoolIntake | undefined
  #attestation: Attestation | undefined
  #direction: Direction | undefined
  /** Who handed it over, as far as it is proven. */
  #tenant: string | undefined
  #validMarkers = 0
  #bodyBytes = 0
  #messageId = ''
  /** Why the message is not accepted; from then on its octets are dropped. */
  #verdict: Reply | undefined
  /** Set when the message is durable and nobody has said otherwise meanwhile. */
  #durable: MessageRecord | undefined

  constructor(deps: ReceiveDeps, pinned: ActiveSnapshot, transaction: Transaction, client: Client) {
    this.#deps = deps
    this.#pinned = pinned
    this.#transaction = transaction
    this.#client = client
    this.#queueId = newQueueId(deps.now())
    this.#rewriter = new MessageRewriter({ largePartBytes: deps.limits.largePartBytes })
  }

  write(content: Buffer): Promise<void> | undefined {
    if (this.#verdict !== undefined || content.length === 0) return undefined
    try {
      this.#attestation?.received(content)
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

  /** A 250 means that the message is durable: it is the only one there is. */
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

  async refuse(reply: Reply): Promise<Reply> {
    this.#verdict = reply
    await this.#drop()
    return reply
  }

  abort(): void {
    if (this.#verdict !== undefined) return
    this.#verdict = REPLIES.localError
    void this.#drop()
  }

  disown(): void {
    this.#verdict ??= REPLIES.tooSlowHere
  }

  /** Hands the message to the queue, then counts and logs it. */
  announce(): void {
    if (this.#durable === undefined) return
    const mail = { record: this.#durable, client: this.#client.address, messageId: this.#messageId }
    this.#deps.accepted(this.#queueId, mail)
    this.#report(this.#durable)
  }

  /** The header block is complete: judges proof and loops, fixes direction, table and envelope. */
  #begin(receivedHeader: HeaderBlock): Uint8Array[] {
    const { log, spool } = this.#deps
    const { table, policy, marker } = this.#pinned
    const direction = this.#judgeProof(receivedHeader)
    if (direction === undefined) return []
    this.#direction = direction
    const keys = { tokens: marker?.tokens ?? [], secrets: marker?.secrets ?? [], project: table.project }
    const loop = judgeLoop(receivedHeader, direction, keys)
    if (loop.kind === 'loop') {
      log.warn('message.loop', { queueId: this.#queueId, direction, client: this.#client.address })
      this.#verdict = REPLIES.loop
      return []
    }
    this.#validMarkers = loop.validMarkers
    this.#attestation = this.#attest(receivedHeader, direction)
    for (const chunk of this.#rewriter.receivedBody) this.#attestation.received(chunk)
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

  #attest(received: HeaderBlock, direction: Direction): Attestation {
    const { authservId, verifierOf, now } = this.#deps
    const { tenants, proof, policy, signing } = this.#pinned
    const isProjectDomain = (domain: string): boolean => tenants?.ownerOf(domain) !== undefined
    return new Attestation(
      { authservId, keys: signing, verifierOf: verifierOf(), isProjectDomain, now },
      { received, direction, policy, need: this.#isTrusted ? undefined : proof.need },
    )
  }

  /** Whoever reaches the listener is trusted: it is on loopback without TLS (product.md §8). */
  get #isTrusted(): boolean {
    return this.#pinned.tenants === undefined || this.#client.peer === 'local'
  }

  /** @returns undefined, and sets the verdict, where the header doesn't show a tenant of ours (SP-4) */
  #judgeProof(receivedHeader: HeaderBlock): Direction | undefined {
    const { tenants, proof, tokens } = this.#pinned
    const { metrics } = this.#deps
    if (this.#isTrusted && this.#deps.direction !== undefined) return this.#deps.direction
    if (tenants === undefined) throw new Error('unreachable: a listener without direction has tenants')
    const shown = readHeaderProof(receivedHeader, tokens, tenants)
    metrics.crossTenant.inc({ tenant: shown.crossTenant })
    const verdict = judgeHeaderProof(shown, this.#deps.direction, proof)
    if (verdict.kind === 'refused') {
      this.#verdict = verdict.reply
      return undefined
    }
    this.#tenant = verdict.tenant
    return verdict.direction
  }

  #store(pieces: readonly Uint8Array[], start = 0): Promise<void> | undefined {
    for (let i = start; i < pieces.length; i++) {
      const [piece, intake] = [pieces[i], this.#intake]
      if (this.#verdict !== undefined) return undefined // dropped while it waited
      if (piece === undefined || intake === undefined) throw new Error('unreachable: body before header')
      this.#bodyBytes += piece.length
      this.#attestation?.sent(piece)
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
    const attestation = this.#attestation
    if (attestation === undefined) throw new Error('unreachable: a message without attestation')
    const verification = await attestation.verify()
    this.#judgeDkimProof(attestation)
    if (this.#verdict !== undefined) return
    const plan = this.#planRoutes(receivedHeader)
    if (plan.kind === 'refused') {
      this.#verdict = plan.reply
      return
    }
    const header = await this.#header(receivedHeader, plan, attestation, verification)
    if (header === undefined || this.#verdict !== undefined) return
    const record = this.#recordOf(header, plan, {
      has8Bit: has8Bit || !isAscii(header),
      isAutomatic: isAutomaticMail(receivedHeader),
    })
    await this.#intake.commit(header, record, firstState(record))
    // Nothing that could fail may stand between here and the 250.
    if (this.#verdict === undefined) this.#durable = record
    else await this.#takeBack()
  }

  #planRoutes(receivedHeader: HeaderBlock): RoutePlan {
    const { hasMx, log } = this.#deps
    const { envelope } = this.#rewritten()
    const plan = planRoutes({
      ...this.#pinned,
      direction: this.#knownDirection(),
      reversePath: this.#transaction.reversePath,
      receivedPaths: this.#transaction.envelope().forwardPaths.map(({ path }) => path),
      envelope,
      from: fromMailboxes(receivedHeader),
      isSmtpUtf8: this.#transaction.isSmtpUtf8,
      handedBy: this.#tenant,
      hasMx,
      isLocal: this.#client.peer === 'local',
    })
    // Nobody but the operator can mend these: the sender tries again meanwhile.
    if (plan.kind === 'refused' && plan.reply.code < 500) {
      log.error('message.no-route', { queueId: this.#queueId, reason: plan.reply.reason, tenant: this.#tenant })
    }
    return plan
  }

  #rewritten(): RewrittenEnvelope {
    const { envelope } = this.#rewriter
    if (envelope === undefined) throw new Error('unreachable: the engine was given an envelope')
    return envelope
  }

  #knownDirection(): Direction {
    if (this.#direction === undefined) throw new Error('unreachable: the direction is known once the header is')
    return this.#direction
  }

  /** SP-4 (b), once the last octet of the body is there. */
  #judgeDkimProof(attestation: Attestation): void {
    const { tenants, proof } = this.#pinned
    if (this.#isTrusted || proof.need === 'token') return
    const shown = attestation.proof()
    if (shown.kind === 'unknown') this.#verdict ??= REPLIES.proofUnknown
    else if (shown.kind === 'unproven') this.#verdict ??= REPLIES.noProof
    else this.#tenant ??= tenants?.ownerOf(shown.domain)
  }

  /**
   * The rewritten header with the fields of R79 on top, signed and sealed.
   * @returns undefined, and sets the verdict, where it would have to be signed and can't be (R81)
   */
  async #header(
    receivedHeader: HeaderBlock,
    { route, routes }: RoutePlan & { kind: 'routed' },
    attestation: Attestation,
    verification: Verification | undefined,
  ): Promise<Buffer | undefined> {
    const { name, authservId, now, log } = this.#deps
    const { marker, tenants } = this.#pinned
    const deliverer = tenantOf(routes[0] ?? '')
    const direction = this.#knownDirection()
    const received = receivedField({
      ...this.#client,
      by: name,
      isSmtpUtf8: this.#transaction.isSmtpUtf8,
      queueId: this.#queueId,
      at: now(),
    })
    const trace =
      marker === undefined || route === 'mx'
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
    const rewritten = this.#rewriter.header({ dkimCovered: keptFieldLists(verification) })
    // R76: what leaves by MX shows nothing of ours.
    const forbiddenTokens = route === 'mx' ? (marker?.tokens ?? []) : []
    const header = withoutForgedFields(receivedHeader, rewritten, authservId, forbiddenTokens)
    // Without any header block, the first line of the body would join ours.
    const separator = receivedHeader.bytes.length === 0 ? '\r\n' : ''
    const attested = await attestation.finish({
      header,
      above: received,
      below: trace + separator,
      route,
      isOfDeliverer: (domain) => deliverer !== undefined && tenants?.ownerOf(domain) === deliverer,
      hasChangedBody: this.#rewriter.hasChangedBody,
    })
    if (attested.kind === 'done') return attested.header
    log.error('message.no-key', { queueId: this.#queueId, domain: attested.domain, route })
    this.#verdict ??= REPLIES.noKey
    return undefined
  }

  #recordOf(
    header: Buffer,
    plan: RoutePlan & { kind: 'routed' },
    about: { readonly has8Bit: boolean; readonly isAutomatic: boolean },
  ): MessageRecord {
    const { table, snapshotVersion } = this.#pinned
    return acceptedRecord({
      queueId: this.#queueId,
      transaction: this.#transaction,
      rewritten: this.#rewritten(),
      direction: this.#knownDirection(),
      routes: plan.routes,
      returnRoute: plan.returnRoute,
      tenant: this.#tenant,
      project: table.project,
      tableVersion: table.version,
      snapshotVersion,
      receivedAt: this.#deps.now(),
      ...about,
      headerBytes: header.length,
      bodyBytes: this.#bodyBytes,
    })
  }

  #report(record: MessageRecord): void {
    const { log, metrics } = this.#deps
    const { tags } = this.#pinned
    const direction = this.#knownDirection()
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
      ...(this.#tenant === undefined ? {} : { tenant: this.#tenant }),
      client: this.#client.address,
      bytes,
      recipients: record.recipients.length,
      ...(collapsed.length > 0 ? { collapsed: collapsed.map((path) => tags.address(path)) } : {}), // R13
      tableVersion: record.tableVersion,
      ...(record.snapshotVersion === undefined ? {} : { snapshotVersion: record.snapshotVersion }),
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
