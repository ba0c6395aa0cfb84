// A whole message through the engine, chunk by chunk or at once (product.md §8): header block first, then the body, then the header again,
// rewritten, because what it becomes may depend on the last byte of the body (R79).
import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import type { Hash } from 'node:crypto'
import { ReportRecorder } from './change-report.ts'
import type { Direction, Report } from './change-report.ts'
import { CollectedBytes } from './collected-bytes.ts'
import type { Envelope } from './envelope.ts'
import { HeaderBoundary, scanHeader } from './header-block.ts'
import type { HeaderBlock, HeaderField } from './header-block.ts'
import type { MappingTable } from './mapping-table.ts'
import { readMimePart } from './mime-part.ts'
import type { Policy } from './policy.ts'
import { asBuffer, BodyRewriter } from './rewrite-body.ts'
import { rewriteEnvelope } from './rewrite-envelope.ts'
import type { RewrittenEnvelope } from './rewrite-envelope.ts'
import { rewriteHeader } from './rewrite-header.ts'
import type { PartResult, PartWork } from './rewrite-part.ts'

export interface MessageOptions {
  readonly direction: Direction
  readonly table: MappingTable
  readonly policy: Policy
  readonly smtpUtf8: boolean
  /** The received one: then the report has the rewritten one, and `mdn-mismatch` is judged by it (R32). */
  readonly envelope?: Envelope
  /** Puts SHA-256 of both messages into the report; the rewritten body is then kept in memory. */
  readonly hashes?: boolean
  /** Valid markers found (R77). */
  readonly seenMarkers?: number
}

export interface HeaderRequest {
  /** The h= lists of the DKIM signatures that verified on arrival and are aligned with From (R35 `keep-dkim`); names in any case. */
  readonly dkimCovered?: readonly (readonly string[])[]
}

/** Everything from `begin` on. */
interface Run {
  readonly options: MessageOptions
  /** Of the envelope and of the message as a whole. */
  readonly recorder: ReportRecorder
  readonly bodyRecorder: ReportRecorder
  readonly body: BodyRewriter
  readonly envelope: RewrittenEnvelope | undefined
  /** The header stays too: `signed: bypass`, `inHeaders: envelope-only`. */
  readonly keepsHeader: boolean
  readonly hash: Hash | undefined
}

/**
 * Streams one message. Calls in order: `write` … until `receivedHeader` is there (after the last chunk: `finishHeader`), `begin`,
 * `write` …, `end`, `header`, `report`. Chunks may be of any size and must not be changed after they were given; what comes out are views
 * of them where nothing changed.
 *
 * All of them throw a Refusal for a message that must not go on (rewriting.md §12); after that the rewriter is of no more use.
 */
export class MessageRewriter {
  readonly #largePartBytes: number
  readonly #boundary = new HeaderBoundary()
  #collected: CollectedBytes | undefined
  #received: HeaderBlock | undefined
  /** Body bytes that can't be taken yet. */
  #waiting: Buffer[] = []
  #run: Run | undefined
  #ended = false
  #bytesIn = 0
  #bodyBytesOut = 0
  readonly #bodyOut: Buffer[] = []
  #header: { readonly bytes: Buffer; readonly recorder: ReportRecorder } | undefined

  /** @param options  `largePartBytes`: held parts larger than this are handed out as `work`; default: none is */
  constructor({ largePartBytes = Infinity }: { readonly largePartBytes?: number } = {}) {
    this.#largePartBytes = largePartBytes
  }

  /** The header block as received, once it is complete. */
  get receivedHeader(): HeaderBlock | undefined {
    return this.#received
  }

  /** Octets of the body that came before `begin`. */
  get receivedBody(): readonly Buffer[] {
    return this.#run === undefined ? this.#waiting : []
  }

  /** Whether an octet of the body was changed so far. */
  get hasChangedBody(): boolean {
    return (this.#run?.bodyRecorder.changeCount ?? 0) > 0
  }

  /** The rewritten envelope after `begin`, if it was given one. */
  get envelope(): RewrittenEnvelope | undefined {
    return this.#run?.envelope
  }

  /** A large part, to be done by `collectQueries`, `answerQueries`, `finishWork`. While it is set, only `resume` may be called. */
  get work(): PartWork | undefined {
    return this.#run?.body.work
  }

  /** @returns bytes of the rewritten body, in order; none before `begin` */
  write(chunk: Uint8Array): Buffer[] {
    if (this.work !== undefined || this.#ended)
      throw new Error('unreachable: written to a rewriter that waits or has ended')
    const bytes = asBuffer(chunk)
    this.#bytesIn += bytes.length
    if (this.#received === undefined) this.#collectHeader(bytes)
    else this.#waiting.push(bytes)
    return this.#takeWaiting()
  }

  /** The message has ended, and with it the header block, if it hasn't before. */
  finishHeader(): void {
    if (this.#received === undefined) this.#endHeader(this.#collected?.take() ?? Buffer.alloc(0))
  }

  /**
   * Says what is to be done, once `receivedHeader` has been looked at.
   * @returns body bytes, as `write`
   */
  begin(options: MessageOptions): Buffer[] {
    const received = this.#receivedOrThrow()
    const { direction, table, policy, smtpUtf8, seenMarkers = 0 } = options
    const recorder = new ReportRecorder()
    if (seenMarkers > 0) recorder.code('seen')
    const part = readMimePart(received)
    const isBypassed = policy.signed === 'bypass' && (part.kind === 'signed' || part.kind === 'encrypted')
    if (isBypassed) recorder.code('bypass-signed')
    const envelopeOnly = direction === 'in' && policy.inHeaders === 'envelope-only'
    const envelope = options.envelope && rewriteEnvelope(options.envelope, { ...options, bypassSigned: isBypassed })
    if (envelope !== undefined) recorder.add(envelope.changes, envelope.changes.length, envelope.codes)
    const bodyRecorder = new ReportRecorder()
    const body = new BodyRewriter(received, isBypassed ? { ...part, kind: 'encrypted' } : part, {
      direction,
      map: table.withPolicy(policy),
      policy,
      smtpUtf8,
      recorder: bodyRecorder,
      readOnly: envelopeOnly,
      largePartBytes: this.#largePartBytes,
    })
    const hash = options.hashes === true ? createHash('sha256').update(received.bytes) : undefined
    const keepsHeader = isBypassed || envelopeOnly
    this.#run = { options, recorder, bodyRecorder, body, envelope, keepsHeader, hash }
    return this.#takeWaiting()
  }

  /** @returns body bytes, as `write` */
  end(): Buffer[] {
    const { body } = this.#runOrThrow()
    if (body.work !== undefined || this.#ended)
      throw new Error('unreachable: a rewriter that waits or has ended is ended')
    this.#ended = true
    return this.#pass(body.end())
  }

  /**
   * Goes on after `work`.
   * @param result  undefined: it could not be done, the part stays as it is (PS-8)
   * @returns body bytes, as `write` or `end`, which the work interrupted
   */
  resume(result: PartResult | undefined): Buffer[] {
    const { body } = this.#runOrThrow()
    return [...this.#pass(body.resume(result)), ...this.#takeWaiting()]
  }

  /** The rewritten header block with its final empty line. Only the first call's `request` counts. */
  header(request: HeaderRequest = {}): Buffer {
    return this.#rewrittenHeader(request).bytes
  }

  report(): Report {
    const { options, recorder, bodyRecorder, envelope, hash } = this.#runOrThrow()
    const header = this.#rewrittenHeader({})
    const all = new ReportRecorder()
    for (const { changes, changeCount, codes } of [recorder, header.recorder, bodyRecorder]) {
      all.add(changes, changeCount, codes)
    }
    const hashOut = hash && createHash('sha256').update(header.bytes)
    for (const bytes of this.#bodyOut) hashOut?.update(bytes)
    return {
      direction: options.direction,
      tableVersion: options.table.version,
      bytesIn: this.#bytesIn,
      bytesOut: header.bytes.length + this.#bodyBytesOut,
      ...(hash && hashOut && { sha256In: hash.copy().digest('hex'), sha256Out: hashOut.digest('hex') }),
      changes: all.changes,
      changeCount: all.changeCount,
      codes: all.codes,
      ...(envelope && { envelope: envelope.envelope }),
    }
  }

  #collectHeader(bytes: Buffer): void {
    const before = this.#collected?.length ?? 0
    const end = this.#boundary.write(bytes)
    if (end === undefined || before > 0) {
      this.#collected ??= new CollectedBytes()
      this.#collected.append(bytes, 0, end === undefined ? bytes.length : end - before)
    }
    if (end === undefined) return
    this.#endHeader(before > 0 && this.#collected !== undefined ? this.#collected.take() : bytes.subarray(0, end))
    if (end - before < bytes.length) this.#waiting.push(bytes.subarray(end - before))
  }

  #endHeader(bytes: Buffer): void {
    this.#received = scanHeader(bytes)
    // Lines that are no fields begin the body (§12).
    const rest = bytes.subarray(this.#received.bytes.length)
    if (rest.length > 0) this.#waiting.push(rest)
  }

  #takeWaiting(): Buffer[] {
    if (this.#run === undefined) return []
    const out: Buffer[] = []
    let taken = 0
    for (; taken < this.#waiting.length && this.#run.body.work === undefined; taken++) {
      const bytes = this.#waiting[taken]
      if (bytes === undefined) break
      this.#run.hash?.update(bytes)
      for (const view of this.#pass(this.#run.body.write(bytes))) out.push(view)
    }
    this.#waiting.splice(0, taken)
    return out
  }

  #pass(out: Buffer[]): Buffer[] {
    for (const bytes of out) this.#bodyBytesOut += bytes.length
    if (this.#run?.hash !== undefined) for (const bytes of out) this.#bodyOut.push(bytes)
    return out
  }

  #rewrittenHeader({ dkimCovered = [] }: HeaderRequest): { readonly bytes: Buffer; readonly recorder: ReportRecorder } {
    const { options, body, envelope, keepsHeader } = this.#runOrThrow()
    if (!this.#ended || body.work !== undefined) throw new Error('unreachable: the header is asked for before the end')
    if (this.#header !== undefined) return this.#header
    const received = this.#receivedOrThrow()
    const recorder = new ReportRecorder()
    const { direction, policy, smtpUtf8, table } = options
    const keepsCovered = direction === 'in' && policy.inHeaders === 'keep-dkim' && dkimCovered.length > 0
    const rewritten = keepsHeader
      ? undefined
      : rewriteHeader(received, {
          direction,
          map: table.withPolicy(policy),
          policy,
          smtpUtf8,
          recorder,
          reversePathChanged: envelope && envelope.envelope.reversePath !== options.envelope?.reversePath,
          extraEdits: body.headerEdits,
          ...(keepsCovered && { unchangedFields: coveredFields(received, dkimCovered) }),
        })
    this.#header = { bytes: rewritten ?? received.bytes, recorder }
    return this.#header
  }

  #runOrThrow(): Run {
    if (this.#run === undefined) throw new Error('unreachable: the rewriter has not begun')
    return this.#run
  }

  #receivedOrThrow(): HeaderBlock {
    if (this.#received === undefined) throw new Error('unreachable: the header block is not complete')
    return this.#received
  }
}

/** Whether a signature covers a field: h= takes instances of a name from the bottom up (RFC 6376 §5.4.2). */
function coveredFields(
  { fields }: HeaderBlock,
  lists: readonly (readonly string[])[],
): (field: HeaderField) => boolean {
  const covered = new Set<HeaderField>()
  const fromBottom = fields.toReversed()
  for (const list of lists) {
    const remaining = new Map<string, number>()
    for (const name of list) {
      const key = name.trim().toLowerCase()
      remaining.set(key, (remaining.get(key) ?? 0) + 1)
    }
    for (const field of fromBottom) {
      const left = remaining.get(field.name) ?? 0
      if (left > 0) covered.add(field)
      remaining.set(field.name, left - 1)
    }
  }
  return (field) => covered.has(field)
}

/** The streaming form in one call. @throws Refusal (rewriting.md §12) */
export function rewriteMessage(bytes: Uint8Array, options: MessageOptions): { bytes: Buffer; report: Report } {
  const rewriter = new MessageRewriter()
  rewriter.write(bytes)
  rewriter.finishHeader()
  const body = rewriter.begin(options)
  const rest = rewriter.end()
  return { bytes: Buffer.concat([rewriter.header(), ...body, ...rest]), report: rewriter.report() }
}
