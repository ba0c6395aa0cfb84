// The body of a message on its way through the engine (rewriting.md §7): walks the MIME structure, holds the parts that are rewritten, and
// lets all else pass as views of what came in.
import { Buffer } from 'node:buffer'
import type { Direction, IcsSkipReason, ReportRecorder } from './change-report.ts'
import { applyEdits, scanHeader } from './header-block.ts'
import type { Edit, HeaderBlock } from './header-block.ts'
import type { AddressMap } from './lookup.ts'
import { readMimePart, staleFieldEdits } from './mime-part.ts'
import type { MimePart } from './mime-part.ts'
import { MimeScanner } from './mime-scanner.ts'
import type { MimeEvent } from './mime-scanner.ts'
import type { Policy } from './policy.ts'
import { Refusal } from './refusal.ts'
import { MAX_ENCODED_OCTETS, rewritePart, skipCode } from './rewrite-part.ts'
import type { PartResult, PartWork } from './rewrite-part.ts'
import { firstLineBreak, transferEncodingOf } from './transfer-encoding.ts'

export interface BodyOptions {
  readonly direction: Direction
  readonly map: AddressMap
  readonly policy: Pick<Policy, 'displayNameAddress' | 'tnef'>
  readonly smtpUtf8: boolean
  readonly recorder: ReportRecorder
  /** Nothing is changed; the body is only read for the report and for policy `tnef` (R35 `envelope-only`). */
  readonly readOnly: boolean
  /** Held parts larger than this become `work`. */
  readonly largePartBytes: number
}

/** What counts of the multiparts around a part. */
interface Around {
  readonly isInReport: boolean
  readonly isInSigned: boolean
}

/** A part whose header waits for its body. */
interface HeldPart {
  /** Undefined for the message itself, whose header is not ours to write. */
  readonly header: Buffer | undefined
  readonly fields: HeaderBlock
  readonly task: Omit<PartWork, 'body'>
}

export class BodyRewriter {
  /** A part to be done elsewhere. While it is set, only `resume` may be called. */
  work: PartWork | undefined
  /** What the change of the body makes of the message's own header (R55); complete after the end. */
  headerEdits: readonly Edit[] = []
  readonly #options: BodyOptions
  /** Undefined when nothing in the body is of interest. */
  readonly #scanner: MimeScanner<Around> | undefined
  #held: HeldPart | undefined
  /** The body of `work`, for when there is no result. */
  #heldBody: Buffer | undefined
  #out: Buffer[] = []

  /** @throws Refusal for policy `tnef: reject` */
  constructor(header: HeaderBlock, part: MimePart, options: BodyOptions) {
    this.#options = options
    if (part.kind === 'other' || part.kind === 'encrypted') return
    const scanner = new MimeScanner<Around>()
    this.#scanner = scanner
    const around = { isInReport: part.kind === 'report', isInSigned: false }
    this.#beginPart(scanner, part, around, (task) => ({ header: undefined, fields: header, task }))
  }

  write(chunk: Buffer): Buffer[] {
    if (this.#scanner === undefined) return [chunk]
    this.#scanner.write(chunk)
    return this.#takeEvents(this.#scanner)
  }

  end(): Buffer[] {
    if (this.#scanner === undefined) return []
    this.#scanner.end()
    return this.#takeEvents(this.#scanner)
  }

  /** @param result  undefined leaves the part as it is */
  resume(result: PartResult | undefined): Buffer[] {
    const body = this.#heldBody
    if (body === undefined || this.#scanner === undefined) throw new Error('unreachable: there is no work')
    this.work = undefined
    this.#heldBody = undefined
    if (result === undefined) this.#reportSkipped('time')
    this.#endPart(body, result)
    return this.#takeEvents(this.#scanner)
  }

  #takeEvents(scanner: MimeScanner<Around>): Buffer[] {
    for (let event = scanner.next(); event !== undefined; event = scanner.next()) {
      this.#take(scanner, event)
      if (this.work !== undefined) break
    }
    const out = this.#out
    this.#out = []
    return out
  }

  #take(scanner: MimeScanner<Around>, event: MimeEvent<Around>): void {
    switch (event.kind) {
      case 'bytes':
        return this.#emit(event.bytes)
      case 'fault':
        return this.#options.recorder.code(event.fault)
      case 'part':
        return this.#takePartHeader(scanner, event.header, event.context)
      case 'held':
        return this.#takeHeldBody(event.body, event.closed)
      case 'too large':
        this.#reportSkipped('size')
        this.#emit(this.#held?.header)
        this.#held = undefined
    }
  }

  #takePartHeader(scanner: MimeScanner<Around>, bytes: Buffer, around: Around): void {
    const fields = this.#readPartHeader(scanner, bytes)
    if (fields !== undefined) {
      this.#beginPart(scanner, readMimePart(fields), around, (task) => ({ header: bytes, fields, task }))
    }
    // The header of a held part is written with its body.
    if (this.#held === undefined) this.#emit(bytes)
  }

  /** @returns undefined for one that can't be read: then its part passes, and over the limits all that follows (PS-4) */
  #readPartHeader(scanner: MimeScanner<Around>, bytes: Buffer): HeaderBlock | undefined {
    try {
      return scanHeader(bytes)
    } catch (refusal) {
      if (!(refusal instanceof Refusal)) throw refusal
      if (refusal.status === '5.3.4') {
        this.#options.recorder.code('mime-limit')
        scanner.pass()
      }
      return undefined
    }
  }

  #beginPart(
    scanner: MimeScanner<Around>,
    part: MimePart,
    around: Around,
    held: (task: Omit<PartWork, 'body'>) => HeldPart,
  ): void {
    const { direction, policy, recorder, readOnly } = this.#options
    switch (part.kind) {
      case 'multipart':
      case 'signed':
        return scanner.enter(part.boundary, {
          isInReport: around.isInReport || part.isReportMultipart,
          isInSigned: around.isInSigned || part.kind === 'signed',
        })
      case 'calendar':
        if (around.isInSigned) return recorder.code('ics-in-signed')
        if (!readOnly) this.#hold(scanner, part, 'calendar', held)
        return
      case 'report':
        // R70
        if (direction === 'out' && around.isInReport && !around.isInSigned && !readOnly) {
          this.#hold(scanner, part, 'report', held)
        }
        return
      case 'tnef':
        if (around.isInSigned) return
        if (policy.tnef === 'reject') throw new Refusal(554, '5.6.0', 'Message contains a TNEF part')
        return recorder.code('tnef')
      case 'partial':
        if (!around.isInSigned) recorder.code('partial')
    }
  }

  #hold(
    scanner: MimeScanner<Around>,
    part: MimePart,
    kind: PartWork['kind'],
    held: (task: Omit<PartWork, 'body'>) => HeldPart,
  ): void {
    const { direction, smtpUtf8, recorder } = this.#options
    const { displayNameAddress } = this.#options.policy
    const { charset, method } = part
    const encoding = transferEncodingOf(part.transferEncoding)
    if (encoding === undefined) return recorder.code('cte-unknown')
    const { path } = scanner
    const task = { kind, encoding, charset, method, lineBreak: '', direction, smtpUtf8, displayNameAddress, path }
    this.#held = held(task)
    scanner.hold(MAX_ENCODED_OCTETS[encoding])
  }

  #takeHeldBody(body: Buffer, closed: boolean): void {
    // The rest of a multipart that is never closed is one opaque part (§12).
    if (this.#held === undefined || !closed) return this.#endPart(body, undefined)
    const { task, fields } = this.#held
    const work = { ...task, body, lineBreak: firstLineBreak(fields.bytes, '\r\n') }
    if (body.length <= this.#options.largePartBytes) {
      this.#endPart(body, rewritePart(work, this.#options.map))
      return
    }
    this.#heldBody = body
    // In memory of its own, for a clone takes all memory that a view is of.
    this.work = { ...work, body: new Uint8Array(body) }
  }

  #reportSkipped(reason: IcsSkipReason): void {
    if (this.#held !== undefined) this.#options.recorder.code(skipCode(this.#held.task.kind, reason))
  }

  #endPart(body: Buffer, result: PartResult | undefined): void {
    const held = this.#held
    this.#held = undefined
    const { recorder } = this.#options
    if (result !== undefined) recorder.add(result.changes, result.changeCount, result.codes)
    const staleFields = result?.body === undefined || held === undefined ? [] : staleFieldEdits(held.fields)
    if (staleFields.length > 0) recorder.code('content-md5')
    if (held?.header === undefined) this.headerEdits = staleFields
    else this.#emit(staleFields.length === 0 ? held.header : applyEdits(held.header, staleFields))
    this.#emit(result?.body === undefined ? body : asBuffer(result.body))
  }

  /** Views that follow on each other in the same memory go out as one. */
  #emit(bytes: Buffer | undefined): void {
    if (bytes === undefined || bytes.length === 0) return
    const last = this.#out.at(-1)
    if (last === undefined || last.buffer !== bytes.buffer || last.byteOffset + last.length !== bytes.byteOffset) {
      this.#out.push(bytes)
    } else this.#out[this.#out.length - 1] = Buffer.from(last.buffer, last.byteOffset, last.length + bytes.length)
  }
}

export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
