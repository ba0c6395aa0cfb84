// Everything at once, for as long as it is told: load both ways through a relay whose next hops misbehave at random and crash, whose disk fills
// up, and which is killed and restarted. In the end every accepted message must have arrived, or been returned to its sender, or be in
// quarantine; and what arrived twice must be explained by what was in flight when somebody died. (DU-1 to DU-8, DL-1 to DL-6, BP-1)
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { EXAMPLE_TABLE } from './example-table.ts'
import { NextHop } from './next-hop.ts'
import type { Act, NextHopOptions, Stage, Turn } from './next-hop.ts'
import { runCommand } from './postfix.ts'
import { ROOT, startRelay } from './relay.ts'
import type { RelayOptions, RunningRelay } from './relay.ts'
import { SmtpClient } from './smtp-client.ts'
import { makeVolume, whyNoVolume } from './volume.ts'
import type { Volume } from './volume.ts'

export interface FaultLoadResult {
  readonly accepted: number
  /** Accepted, and neither arrived, nor returned, nor in quarantine. */
  readonly lost: readonly string[]
  readonly returned: number
  readonly quarantined: number
  readonly refused: number
  /** Arrivals and returns beyond the first. */
  readonly duplicates: number
  /** What DU-4 allows: deliveries that can have been in flight whenever the relay or a next hop died. */
  readonly duplicatesAllowed: number
  readonly kills: number
  readonly restarts: number
  readonly hopCrashes: number
  /** Rounds with a full disk; 0 where none can be mounted. */
  readonly fullDisks: number
}

const MIB = 1024 * 1024
const VOLUME_BYTES = 256 * MIB
/** The relay's default `nextHopConnectionsPerHost`. */
const IN_FLIGHT = 20
const SESSIONS = 5
/** A pause between two messages of a session: what waits must be delivered in the end, too. */
const PAUSE_MS = 20
const DRAIN_MS = 120_000

const FAULT_STAGES: readonly Stage[] = ['greeting', 'EHLO', 'MAIL', 'RCPT', 'DATA', 'content']
/** Nothing here says that a message was taken: who hears a 250 to its end is rid of it. */
const TEMPORARY: readonly Act[] = [
  '450 4.2.1 busy',
  '450 4.2.1 busy',
  '451 4.3.0 later',
  '421 4.3.2 bye',
  { drop: true },
  { drop: true, say: '451-4.3.0 not yet' },
  { silent: true },
  { raw: Buffer.alloc(200_000, '250-more\r\n') },
  { early: '250 2.0.0 ok' },
  { slowly: '450 4.2.1 slowly\r\n', everyMs: 200 },
]

/** Misbehaves in one transaction of ten, and refuses one message of fifty for good; reports it takes or puts off. */
function misbehaviour(random: () => number): NextHopOptions {
  const planned = new Map<number, { stage: Stage; act: Act }>()
  const plan = (connection: number, line: string, stages: readonly Stage[]) => {
    planned.delete(connection)
    const chance = random()
    const stage = stages[Math.floor(random() * stages.length)] ?? 'MAIL'
    if (chance < 0.02 && line !== '' && !line.includes('<>')) planned.set(connection, { stage, act: '550 5.7.1 no' })
    else if (chance < 0.12)
      planned.set(connection, { stage, act: TEMPORARY[Math.floor(random() * TEMPORARY.length)] ?? '450 no' })
  }
  const act = ({ connection, stage, line }: Turn): Act | undefined => {
    if (stage === 'greeting') plan(connection, '', random() < 0.3 ? FAULT_STAGES.slice(0, 2) : ['QUIT'])
    if (stage === 'MAIL') plan(connection, line, FAULT_STAGES.slice(2))
    const due = planned.get(connection)
    if (due?.stage !== stage) return undefined
    // Said after the 250 to a message, more would make a duplicate that nobody died for.
    return stage === 'content' && typeof due.act === 'object' && 'early' in due.act ? '450 4.2.1 busy' : due.act
  }
  return { act }
}

/** One next hop over all its crashes. */
class Peer {
  /** How often each message arrived, by its recipient. */
  readonly arrivals = new Map<string, number>()
  /** How often the sender was told of a failure, by the recipient. */
  readonly returns = new Map<string, number>()
  crashes = 0
  readonly port: number
  #hop: NextHop | undefined

  constructor(port: number) {
    this.port = port
  }

  async start(options: NextHopOptions): Promise<void> {
    this.#hop = await NextHop.start({ ...options, port: this.port })
  }

  get takenNow(): number {
    return this.#hop?.taken.length ?? 0
  }

  behave(options: NextHopOptions): void {
    this.#hop?.behave(options)
  }

  /** Counts what it has taken, and hangs up on everybody. */
  async stop(): Promise<void> {
    await this.#hop?.close()
    for (const { mail, rcpts, content } of this.#hop?.taken ?? []) {
      const isReport = mail.includes('<>')
      const text = isReport ? content.toString('latin1') : rcpts.join()
      const found = text.matchAll(isReport ? /^Final-Recipient: rfc822; (\S+)\r$/gm : /<(\S+?)>/g)
      const counts = isReport ? this.returns : this.arrivals
      for (const [, path = ''] of found) counts.set(path, (counts.get(path) ?? 0) + 1)
    }
    this.#hop = undefined
  }

  async crash(options: NextHopOptions): Promise<void> {
    await this.stop()
    this.crashes++
    await this.start(options)
  }
}

class Load {
  /** Queue ids by the recipient's address, one for each message. */
  readonly accepted = new Map<string, string>()
  refused = 0
  #serial = 0
  #isOver = false
  readonly #random: () => number
  readonly #relay: () => RunningRelay | undefined

  constructor(random: () => number, relay: () => RunningRelay | undefined) {
    this.#random = random
    this.#relay = relay
  }

  /** Sends until it is told to stop, over whatever relay is there. */
  run(): { stop(): Promise<void> } {
    const sessions = Array.from({ length: SESSIONS }, (_, number) => this.#session(number === 0 ? 'in' : 'out'))
    return {
      stop: async () => {
        this.#isOver = true
        await Promise.all(sessions)
      },
    }
  }

  async #session(direction: 'in' | 'out'): Promise<void> {
    while (!this.#isOver) {
      const relay = this.#relay()
      const port = direction === 'out' ? relay?.outPort : relay?.inPort
      const client = port === undefined ? undefined : await SmtpClient.connect(port).catch(() => undefined)
      if (client === undefined) await sleep(100)
      else await this.#use(client, direction)
      client?.close()
    }
  }

  async #use(client: SmtpClient, direction: 'in' | 'out'): Promise<void> {
    for (let i = 0; i < 100 && !this.#isOver; i++) {
      const number = ++this.#serial
      const [from, to] =
        direction === 'out'
          ? ['alice@contoso.com', `m${number}@example.net`]
          : ['dana@example.net', `m${number}@contoso.com`]
      const size = [300, 4_000, 60_000, 400_000][Math.floor(this.#random() ** 4 * 4)] ?? 300
      const reply = await client.send({ from, to: [to], data: message(from, to, size) })
      if (reply.startsWith('250')) this.accepted.set(to, reply.split(' ').at(-1) ?? '')
      else if (/^4\d\d/.test(reply)) this.refused++
      else if (reply !== '') throw new Error(`the relay refuses mail it must take: ${reply}`)
      if (!reply.startsWith('250')) {
        await sleep(100)
        return
      }
      await sleep(PAUSE_MS * 2 * this.#random())
    }
  }
}

function message(from: string, to: string, size: number): Buffer {
  const line = 'The quick brown fox jumps over the lazy dog and runs away.\r\n'
  return Buffer.from(`From: ${from}\r\nTo: ${to}\r\nSubject: load\r\n\r\n${line.repeat(Math.ceil(size / line.length))}`)
}

/** Below those that the system gives to outgoing connections: while a next hop is down, none of them may take its port. */
function quietPort(number: number): number {
  return 12_000 + 2 * (process.pid % 9_000) + number
}

/** A port that was free may have become that of somebody's connection before the relay took it. */
async function startedRelay(options: RelayOptions): Promise<RunningRelay> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await startRelay(options)
    } catch (error) {
      if (attempt === 5 || !String(error).includes('EADDRINUSE')) throw error
    }
  }
}

export async function faultLoad(
  forMs: number,
  random: () => number,
  progress: (text: string) => void = () => {},
): Promise<FaultLoadResult> {
  const volume: Volume | undefined = whyNoVolume() === undefined ? await makeVolume(VOLUME_BYTES) : undefined
  const peers = { out: new Peer(quietPort(0)), in: new Peer(quietPort(1)) }
  const both = [peers.out, peers.in]
  const ports = await Promise.all(
    both.map(async (peer) => {
      await peer.start(misbehaviour(random))
      return peer.port
    }),
  )
  const counts = { kills: 0, restarts: 0, hopCrashes: 0, fullDisks: 0 }
  let duplicatesAllowed = 0
  let relay: RunningRelay | undefined
  let directory: string | undefined
  const start = async () => {
    const [out = 0, inward = 0] = ports
    const hop = (port: number) => ({ kind: 'smart-host', host: '127.0.0.1', port, tls: 'none' })
    relay = await startedRelay({
      nextHopPort: out,
      // Started over a nearly full volume it is not ready until it has delivered some: no fault, senders are told 452.
      waitFor: 'alive',
      table: EXAMPLE_TABLE,
      ...(directory === undefined ? {} : { directory }),
      settings: {
        routes: { 'owner-tenant': hop(out), mailbox: hop(inward) },
        ...(volume === undefined
          ? {}
          : { spool: { directory: join(volume.path, 'spool'), key: { file: 'spool.key' } } }),
        limits: { messageBytes: 2 * MIB, newConnectionsPerSecondAndAddress: 1000 },
        retry: { firstWaits: ['1s'], thenWait: '1s', lastWait: '2s' },
        log: { level: 'error' },
      },
    })
    directory = relay.directory
    return relay
  }
  const kill = async () => {
    counts.kills++
    duplicatesAllowed += 2 * IN_FLIGHT
    await relay?.stop('SIGKILL')
    await start()
  }
  const crashHop = async (peer: Peer) => {
    counts.hopCrashes++
    // What it took and couldn't say any more comes again (RFC 1047).
    duplicatesAllowed += IN_FLIGHT
    await peer.crash(misbehaviour(random))
  }
  const fillDisk = async () => {
    if (volume === undefined) return
    counts.fullDisks++
    const before = both.map(({ takenNow }) => takenNow)
    await volume.fill(0)
    await sleep(500 + random() * 1_500)
    const isKilled = random() < 0.3
    if (isKilled) {
      counts.kills++
      await relay?.stop('SIGKILL')
      // No result could be written while the disk was full: each delivery of that time was in flight.
      duplicatesAllowed += 2 * IN_FLIGHT + both.reduce((sum, { takenNow }, i) => sum + takenNow - (before[i] ?? 0), 0)
    }
    await volume.fill(VOLUME_BYTES)
    if (isKilled) await start()
  }

  const load = new Load(random, () => relay)
  try {
    await start()
    const running = load.run()
    const endsAt = performance.now() + forMs
    while (performance.now() < endsAt) {
      await sleep(500 + random() * 3_000)
      const chance = random()
      if (chance < 0.3) await kill()
      else if (chance < 0.45) {
        counts.restarts++
        // Mostly; for what hangs there the relay waits as long as it may, half a minute.
        if (random() < 0.8) for (const peer of both) await crashHop(peer)
        const code = await relay?.stop('SIGTERM')
        if (code !== 0) throw new Error(`SIGTERM: the relay ended with ${code}\n${relay?.output().slice(-2_000)}`)
        await start()
      } else if (chance < 0.75) await crashHop(random() < 0.5 ? peers.out : peers.in)
      else await fillDisk()
      const arrived = both.reduce((sum, { arrivals }) => sum + arrivals.size, 0)
      progress(`${load.accepted.size} accepted, ${arrived} and more arrived, ${JSON.stringify(counts)}`)
    }
    await running.stop()

    // Peace: the hops are honest, the disk has room. Crashed once more, so that nobody hangs there any longer.
    for (const peer of both) await peer.crash({})
    duplicatesAllowed += 2 * IN_FLIGHT
    const quarantined = await drained(relay)
    if ((await relay?.stop()) !== 0) throw new Error('the relay did not end well')
    for (const peer of both) await peer.stop()
    return { ...judge(load, both, quarantined), refused: load.refused, duplicatesAllowed, ...counts }
  } finally {
    await relay?.stop('SIGKILL')
    await relay?.remove()
    for (const peer of both) await peer.stop()
    await volume?.remove()
  }
}

/** Waits until the relay holds nothing that waits. @returns queue ids in quarantine */
async function drained(relay: RunningRelay | undefined): Promise<ReadonlySet<string>> {
  if (relay === undefined) throw new Error('unreachable: no relay')
  const list = async (what: 'queue' | 'quarantine') => {
    const args = [what, 'list', '--json', '--config', relay.configFile]
    const { status, output } = await runCommand(join(ROOT, 'bin/causeway'), args)
    if (status !== 0) throw new Error(`${what} list: ${output}`)
    return output
  }
  for (let waited = 0; ; waited += 1_000) {
    const metrics = await (await fetch(`http://127.0.0.1:${relay.adminPort}/metrics`)).text()
    const left = Number(/^causeway_spool_messages (\d+)$/m.exec(metrics)?.[1] ?? Number.NaN)
    if (left === 0) break
    if (waited > DRAIN_MS)
      throw new Error(
        `${left} messages are left after ${DRAIN_MS} ms of peace:\n${(await list('queue')).slice(0, 2_000)}`,
      )
    await sleep(1_000)
  }
  return new Set((JSON.parse(await list('quarantine')) as { queueId: string }[]).map(({ queueId }) => queueId))
}

function judge(
  { accepted }: Load,
  peers: readonly Peer[],
  quarantinedIds: ReadonlySet<string>,
): Pick<FaultLoadResult, 'accepted' | 'lost' | 'returned' | 'quarantined' | 'duplicates'> {
  const ends = new Map<string, number>()
  let returned = 0
  for (const { arrivals, returns } of peers) {
    for (const [path, times] of [...arrivals, ...returns]) ends.set(path, (ends.get(path) ?? 0) + times)
    returned += returns.size
  }
  const unended = [...accepted].filter(([path]) => !ends.has(path))
  const lost = unended.filter(([, queueId]) => !quarantinedIds.has(queueId)).map(([path]) => path)
  let duplicates = 0
  for (const times of ends.values()) duplicates += times - 1
  return { accepted: accepted.size, lost, returned, quarantined: unended.length - lost.length, duplicates }
}
