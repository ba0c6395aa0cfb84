// Load on a relay with several workers, as a mail server makes it: sessions that send message after message, come back when they are sent away
// (421) or cut off, and remember what they were promised.
import { SmtpClient } from './smtp-client.ts'
import type { RunningRelay } from './relay.ts'

export interface Load {
  /** Queue ids by Message-ID. */
  readonly accepted: ReadonlyMap<string, string>
  /** Replies that were neither 250 nor 421. */
  readonly refusals: readonly string[]
  /** Connections without a greeting of 220 or 421. */
  readonly ungreeted: readonly string[]
  /** The longest wait for a greeting. */
  longestGreetingMs(): number
  /** Ends after the messages under way. */
  end(): Promise<void>
}

export function startLoad(relay: RunningRelay, name: string, sessions: number, messagesPerSession = 5): Load {
  const accepted = new Map<string, string>()
  const refusals: string[] = []
  const ungreeted: string[] = []
  let longest = 0
  let serial = 0
  let isOver = false

  const session = async (): Promise<void> => {
    while (!isOver) {
      const began = performance.now()
      const client = await SmtpClient.connect(relay.outPort).catch((error: unknown) => {
        const said = error instanceof Error ? error.message : String(error)
        if (!said.includes('421')) ungreeted.push(said)
      })
      longest = Math.max(longest, performance.now() - began)
      if (client === undefined) continue
      for (let sent = 0; sent < messagesPerSession && !isOver; sent++) {
        const id = `${name}-${++serial}@contoso.com`
        const reply = await client.send({ from: 'alice@contoso.com', to: ['dana@example.net'], data: testMessage(id) })
        if (reply.startsWith('250')) accepted.set(id, reply.split(' ').at(-1) ?? '')
        else {
          // Cut off, or sent away: it is the client's to send it again.
          if (reply !== '' && !reply.startsWith('421')) refusals.push(reply)
          break
        }
      }
      client.close()
    }
  }
  const all = Array.from({ length: sessions }, session)
  return {
    accepted,
    refusals,
    ungreeted,
    longestGreetingMs: () => longest,
    async end() {
      isOver = true
      await Promise.all(all)
    },
  }
}

export function testMessage(id: string, bytes = 2_000): Buffer {
  const line = 'The quick brown fox jumps over the lazy dog and runs away.\r\n'
  return Buffer.from(
    `From: Alice <alice@contoso.com>\r\nTo: dana@example.net\r\nMessage-ID: <${id}>\r\nSubject: workers\r\n\r\n` +
      line.repeat(Math.ceil(bytes / line.length)),
  )
}

/** Of the worker's newest process. */
export function workerPid(relay: RunningRelay, worker: number): number {
  const pid = logLines(relay)
    .filter((line) => line['event'] === 'worker.serves' && line['worker'] === worker)
    .at(-1)?.['pid']
  if (typeof pid !== 'number') throw new Error(`worker ${worker} has not served yet`)
  return pid
}

/** What the relay has logged so far; what is no JSON line (V8's last words) is left out. */
export function logLines(relay: RunningRelay): Readonly<Record<string, unknown>>[] {
  return relay
    .output()
    .split('\n')
    .filter((line) => line.startsWith('{') && line.endsWith('}'))
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}
