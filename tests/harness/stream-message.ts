// A message through `MessageRewriter` in given pieces, as the relay feeds it: large parts done by the three steps of off-loop work.
import { Buffer } from 'node:buffer'
import { answerQueries, collectQueries, finishWork, MessageRewriter } from '../../rewrite-rules/index.ts'
import type { MessageOptions, Report } from '../../rewrite-rules/index.ts'

export interface Streamed {
  readonly bytes: Buffer
  readonly report: Report
}

export function streamMessage(
  chunks: Iterable<Uint8Array>,
  options: MessageOptions,
  largePartBytes?: number,
): Streamed {
  const rewriter = new MessageRewriter(largePartBytes === undefined ? {} : { largePartBytes })
  const out: Uint8Array[] = []
  const take = (views: readonly Uint8Array[]): void => {
    out.push(...views)
    while (rewriter.work !== undefined) {
      const work = structuredClone(rewriter.work)
      const answers = answerQueries(structuredClone(collectQueries(work)), options.table.withPolicy(options.policy))
      out.push(...rewriter.resume(structuredClone(finishWork(work, structuredClone(answers)))))
    }
  }
  let hasBegun = false
  const beginIfPossible = (): void => {
    if (hasBegun || rewriter.receivedHeader === undefined) return
    hasBegun = true
    take(rewriter.begin(options))
  }
  for (const chunk of chunks) {
    take(rewriter.write(chunk))
    beginIfPossible()
  }
  rewriter.finishHeader()
  beginIfPossible()
  take(rewriter.end())
  return { bytes: Buffer.concat([rewriter.header(), ...out]), report: rewriter.report() }
}

/** `bytes` cut into pieces whose sizes are `sizes`, over and over. Each is memory of its own, as from a socket. */
export function* cut(bytes: Buffer, sizes: readonly number[]): Generator<Buffer> {
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = Math.max(1, sizes[i % sizes.length] ?? 1)
    yield Buffer.from(bytes.subarray(at, at + size))
    at += size
  }
}
