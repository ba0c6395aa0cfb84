// Durability of the whole relay (DU-1, DU-2, DU-4, DU-6): load over SMTP, kill -9 at a random moment, start again on the same spool, and in
// the end every message that got a 250 must have reached the next hop, with no more duplicates than deliveries were in flight at the kills.
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startCountingSink } from './counting-sink.ts'
import { EXAMPLE_TABLE } from './example-table.ts'
import { runCommand } from './postfix.ts'
import { ROOT, startRelay } from './relay.ts'
import type { RunningRelay } from './relay.ts'
import { SmtpClient } from './smtp-client.ts'

export interface KillResult {
  readonly rounds: number
  readonly accepted: number
  /** Accepted, and neither arrived nor set aside in quarantine. */
  readonly lost: readonly string[]
  /** Set aside because three kills found the relay with this very message in hand (DU-8): kept, listed, exportable. */
  readonly quarantined: number
  /** Arrivals beyond the first. */
  readonly duplicates: number
  /** What DU-4 allows: connections to the next hop that can have been in flight, summed over the kills. */
  readonly duplicatesAllowed: number
  /** Arrived although the client saw no 250 (DU-2). */
  readonly recovered: number
}

const SESSIONS = 10
/** The relay's default `nextHopConnectionsPerHost`. */
const IN_FLIGHT = 20

export async function killRounds(
  rounds: number,
  random: () => number,
  progress: (text: string) => void = () => {},
): Promise<KillResult> {
  const sink = await startCountingSink()
  /** Queue ids by Message-ID. */
  const accepted = new Map<string, string>()
  let directory: string | undefined
  let relay: RunningRelay | undefined
  let serial = 0
  try {
    for (let round = 0; round < rounds; round++) {
      relay = await startRelay({
        nextHopPort: sink.port,
        table: EXAMPLE_TABLE,
        ...(directory === undefined ? {} : { directory }),
        settings: { limits: { newConnectionsPerSecondAndAddress: 1000 } },
      })
      directory = relay.directory
      const sizes = [200, 4_000, 60_000, 400_000]
      const isOver = new AbortController()
      const { outPort } = relay
      const sessions = Array.from({ length: SESSIONS }, () =>
        load(outPort, isOver.signal, () => {
          const id = `kill-${++serial}@contoso.com`
          const size = sizes[Math.floor(random() ** 3 * sizes.length)] ?? 200
          return { id, message: message(id, size), accepted: (queueId: string) => accepted.set(id, queueId) }
        }),
      )
      await sleep(30 + random() * 500)
      await relay.stop('SIGKILL')
      isOver.abort()
      await Promise.all(sessions)
      progress(`kill ${round + 1}/${rounds}: ${accepted.size} accepted, ${sink.arrivals.size} arrived`)
    }
    relay = await startRelay({
      nextHopPort: sink.port,
      table: EXAMPLE_TABLE,
      ...(directory === undefined ? {} : { directory }),
    })
    let missing = unarrived(accepted, sink.arrivals)
    let quarantined: ReadonlySet<string> = new Set()
    for (let waited = 0; missing.length > 0 && waited < 30_000; waited += 250) {
      await sleep(250)
      quarantined = await quarantine(relay)
      missing = unarrived(accepted, sink.arrivals).filter((id) => !quarantined.has(accepted.get(id) ?? ''))
    }
    // What crashed between the sync and the 250 may still be on its way: let it arrive before counting.
    await sleep(300)
    await relay.stop()
    let duplicates = 0
    let recovered = 0
    for (const [id, times] of sink.arrivals) {
      duplicates += times - 1
      if (!accepted.has(id)) recovered++
    }
    const result = {
      rounds,
      accepted: accepted.size,
      lost: missing,
      quarantined: quarantined.size,
      duplicates,
      duplicatesAllowed: rounds * IN_FLIGHT,
      recovered,
    }
    await relay.remove()
    return result
  } finally {
    await relay?.stop('SIGKILL')
    await sink.close()
  }
}

function unarrived(accepted: ReadonlyMap<string, string>, arrivals: ReadonlyMap<string, number>): string[] {
  return [...accepted.keys()].filter((id) => !arrivals.has(id))
}

/** Queue ids the running relay has set aside. */
async function quarantine(relay: RunningRelay): Promise<Set<string>> {
  const args = ['quarantine', 'list', '--json', '--config', relay.configFile]
  const { status, output } = await runCommand(join(ROOT, 'bin/causeway'), args)
  if (status !== 0) throw new Error(`quarantine list: ${output}`)
  return new Set((JSON.parse(output) as { queueId: string }[]).map(({ queueId }) => queueId))
}

/** One session that sends until the relay dies. */
async function load(
  port: number,
  signal: AbortSignal,
  next: () => { id: string; message: Buffer; accepted: (queueId: string) => void },
): Promise<void> {
  const client = await SmtpClient.connect(port).catch(() => undefined)
  while (client !== undefined && !signal.aborted) {
    const mail = next()
    const reply = await client.send({ from: 'alice@contoso.com', to: ['dana@example.net'], data: mail.message })
    if (reply.startsWith('250')) mail.accepted(reply.split(' ').at(-1) ?? '')
    else break
  }
  client?.close()
}

function message(id: string, size: number): Buffer {
  const line = 'The quick brown fox jumps over the lazy dog and runs away.\r\n'
  return Buffer.from(
    `From: Alice <alice@contoso.com>\r\nTo: dana@example.net\r\nMessage-ID: <${id}>\r\nSubject: durability\r\n\r\n` +
      line.repeat(Math.ceil(size / line.length)),
  )
}
