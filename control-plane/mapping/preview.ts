// What a relay would make of a message: rewritten by the engine itself, kept nowhere. (rewriting.md §14, control-plane.md §2)
import { hash } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import { fromMailboxes, MessageRewriter, NO_HEADER_LIMITS, Refusal, scanHeader } from '../../rewrite-rules/index.ts'
import type { Envelope, HeaderBlock, MappingTable, Direction, Policy, Report } from '../../rewrite-rules/index.ts'
import { coveredNames, judgeSignatures } from './signature-verdict.ts'
import type { SignatureVerdict } from './signature-verdict.ts'

export interface PreviewOptions {
  readonly direction: Direction
  readonly table: MappingTable
  readonly policy: Policy
  readonly smtpUtf8: boolean
  readonly envelope: Envelope | undefined
  /** Of the project, in A-labels. */
  readonly ownDomains: ReadonlySet<string>
}

export interface PreviewedMessage {
  readonly header: string
  readonly bytes: number
  readonly sha256: string
  readonly chunks: readonly Buffer[]
}

export type Preview =
  | { readonly kind: 'refused'; readonly code: number; readonly status: string; readonly reason: string }
  | {
      readonly kind: 'rewritten'
      readonly before: PreviewedMessage
      readonly after: PreviewedMessage
      readonly report: Report
      readonly signatures: readonly SignatureVerdict[]
      /** Domains of From after rewriting: the relay signs for the first that has a key (R80, R81). */
      readonly fromDomains: readonly string[]
    }

/** @param chunks  of the whole message, of any size; not changed afterwards */
export async function previewMessage(chunks: AsyncIterable<Buffer>, options: PreviewOptions): Promise<Preview> {
  const { direction, table, policy, smtpUtf8, envelope } = options
  const rewriter = new MessageRewriter()
  const received: Buffer[] = []
  const body: Buffer[] = []
  let hasBegun = false
  const begin = (): void => {
    hasBegun = true
    const message = { direction, table, policy, smtpUtf8, hashes: true, ...(envelope && { envelope }) }
    body.push(...rewriter.begin(message))
  }
  try {
    for await (const chunk of chunks) {
      received.push(chunk)
      body.push(...rewriter.write(chunk))
      if (!hasBegun && rewriter.receivedHeader !== undefined) begin()
      await setImmediate()
    }
    rewriter.finishHeader()
    if (!hasBegun) begin()
    body.push(...rewriter.end())
    return finish(rewriter, received, body, options)
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    return { kind: 'refused', code: error.code, status: error.status, reason: error.message }
  }
}

function finish(
  rewriter: MessageRewriter,
  received: readonly Buffer[],
  body: readonly Buffer[],
  { policy, ownDomains }: PreviewOptions,
): Preview {
  const before = rewriter.receivedHeader
  if (before === undefined) throw new Error('unreachable: the header is complete')
  const authors = new Set(domainsOf(before))
  const isAligned = (domain: string): boolean =>
    [...authors].some((author) => author === domain || author.endsWith(`.${domain}`))
  const header = rewriter.header({ dkimCovered: coveredNames(before, isAligned) })
  const after = scanHeader(header, NO_HEADER_LIMITS)
  const report = rewriter.report()
  const signatures = judgeSignatures({
    received: before,
    sent: after,
    isBodyChanged: rewriter.hasChangedBody,
    removesOf: (domain) => policy.staleDkim === 'remove-own' && ownDomains.has(domain),
  })
  return {
    kind: 'rewritten',
    before: messageOf(before, received),
    after: messageOf(after, [header, ...body]),
    report,
    signatures,
    fromDomains: domainsOf(after),
  }
}

function messageOf(header: HeaderBlock, chunks: readonly Buffer[]): PreviewedMessage {
  const whole = Buffer.concat(chunks)
  return { header: header.bytes.toString(), bytes: whole.length, sha256: hash('sha256', whole, 'hex'), chunks }
}

function domainsOf(header: HeaderBlock): string[] {
  return fromMailboxes(header).map(({ domain }) => domain.toLowerCase())
}
