// Posts checkpoints to another place: a log service, another organisation's archive. Through the one client for outbound requests. (AU-3, WS-5)
import { sendOutbound } from '../http/outbound-client.ts'
import type { OutboundDeps } from '../http/outbound-client.ts'
import { CheckpointContradicted } from './checkpoint-storage.ts'
import type { CheckpointStorage } from './checkpoint-storage.ts'

const TIMEOUT_MS = 10_000
const MAX_ANSWER_BYTES = 64 * 1024

/**
 * Each note is the body of a POST, as text; its first lines tell chain and size. Any 2xx means that it is kept, 409 that another one of this size
 * is. The same note can come twice.
 * @throws OutboundError; Error for another status
 */
export function checkpointPost(url: URL, deps: OutboundDeps): CheckpointStorage {
  return {
    async write(chain, size, note) {
      const { status } = await sendOutbound(
        {
          method: 'POST',
          url,
          headers: { 'Content-Type': 'text/plain; charset=utf-8' },
          body: Buffer.from(note),
          timeoutMs: TIMEOUT_MS,
          maxAnswerBytes: MAX_ANSWER_BYTES,
        },
        deps,
      )
      if (status >= 200 && status <= 299) return
      if (status === 409)
        throw new CheckpointContradicted(`another checkpoint of ${chain} with ${size} events is kept elsewhere`)
      throw new Error(`a checkpoint was not taken: status ${status}`)
    },
  }
}
