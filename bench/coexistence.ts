// What coexistence costs: the whole product between two simulated tenants, set up and switched on through its API, relay, api and worker as processes. A
// message of a mapped person to an outsider, natively and through the chain (tenant, rule, connector, relay, other tenant, outside), in turns: how much
// longer it takes, and how many a second come through. One JSON line a case.
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ALICE, CAST, OLGA } from '../cli/tour/cast.ts'
import { startEmbeddedPostgres } from '../control-plane/db/embedded-postgres.ts'
import { readJournal } from '../mta/journal/read-journal.ts'
import { withCoexistenceWorld } from '../tests/harness/coexistence-world.ts'
import type { CoexistenceWorld } from '../tests/harness/coexistence-world.ts'
import { eventually } from '../tests/harness/wait.ts'
import { prepareDatabases } from './databases.ts'
import { NumberedMail, OwnRules } from './numbered-mail.ts'
import type { Arrived, Way } from './numbered-mail.ts'
import { cpuSecondsOf, machineCpuSeconds } from './process-cpu.ts'

const WAYS: readonly Way[] = ['native', 'chain']
const WARM_UP = 20

interface Plan {
  /** Messages one after the other, each way. */
  readonly pairs: number
  readonly senders: number
  readonly rounds: number
  /** Of each way in each round. */
  readonly seconds: number
}

const FULL: Plan = { pairs: 200, senders: 20, rounds: 4, seconds: 10 }
const QUICK: Plan = { pairs: 40, senders: 20, rounds: 2, seconds: 3 }

/** @param options.quick  a fifth of the messages */
export async function run({ quick }: { readonly quick: boolean }): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'causeway-bench-'))
  const server = await startEmbeddedPostgres({ directory })
  try {
    await prepareDatabases(server.socket)
    process.env['CAUSEWAY_TEST_PG'] = server.socket
    const postmaster = Number(readFileSync(join(directory, 'data', 'postmaster.pid'), 'latin1').split('\n')[0])
    const say = (text: string) => void process.stderr.write(`${text}\n`)
    await withCoexistenceWorld({ after: () => {}, diagnostic: say }, async (world) => {
      say('switching on')
      await switchOn(world)
      await measure(world, quick ? QUICK : FULL, postmaster, say)
    })
  } finally {
    await server.stop()
    await rm(directory, { recursive: true })
  }
}

/** Its rules count as propagated when they have brought mail in both directions. */
async function switchOn(world: CoexistenceWorld): Promise<void> {
  const { people } = world.sandbox.control
  const ways = [
    { who: { tenantId: CAST[0].tenantId, person: ALICE.mailbox }, to: OLGA.mailbox },
    { who: { outside: OLGA.mailbox }, to: ALICE.presented },
  ]
  await world.turnOn()
  await world.until('its rules to be on', ({ waitingFor }) => waitingFor === 'rules-propagate')
  for (const { who, to } of ways) await people.send(who, { to: [to], subject: 'first', text: 'The first.' })
  await world.untilOn()
  await eventually('the first mail to be there', () => (world.mail.queued().length === 0 ? true : undefined))
}

async function measure(
  world: CoexistenceWorld,
  plan: Plan,
  postmaster: number,
  say: (text: string) => void,
): Promise<void> {
  const mail = new NumberedMail(world.mail)
  const rules = new OwnRules(world.sandbox.tenants.values())
  const from = new Date().toISOString()
  const send = (way: Way): Promise<Arrived> => {
    rules.letTake(way)
    return mail.send(way)
  }
  for (let count = 0; count < WARM_UP; count++) for (const way of WAYS) await send(way)

  say('one message at a time')
  const singles: Record<Way, Arrived[]> = { native: [], chain: [] }
  for (let count = 0; count < plan.pairs; count++) for (const way of WAYS) singles[way].push(await send(way))
  printLatencies(singles)
  const alone = (await throughRelay(world, from, WARM_UP + plan.pairs)).slice(WARM_UP)
  printStages(singles.chain, alone)

  say(`${plan.senders} senders`)
  const windows: Record<Way, Window[]> = { native: [], chain: [] }
  for (let round = 0; round < plan.rounds; round++) {
    for (const way of WAYS) {
      rules.letTake(way)
      windows[way].push(await sendAlong(plan, () => mail.send(way), pidsOf(world, postmaster)))
    }
  }
  rules.letTake('chain')
  for (const way of WAYS) printThroughput(way, plan, windows[way])
  const ratios = windows.chain.map(({ perSecond }, round) => perSecond / (windows.native[round]?.perSecond ?? 0))
  print({ case: 'through the chain / natively', value: round3(middle(ratios)), unit: '×', rounds: ratios.map(round3) })

  mail.close()
  const passed = await throughRelay(world, from, mail.counts.chain)
  const held = world.mail.queued().length
  const { state } = await world.read()
  if (passed.length !== mail.counts.chain || held > 0 || state !== 'on')
    throw new Error(
      `${mail.counts.chain} arrived, ${passed.length} went through the relay, ${held} wait, it is ${state}`,
    )
  print({ case: 'arrived once, as they should', ...mail.counts, deliveredByRelay: passed.length })
}

/** ms, but for the times, which are ms since the epoch. */
interface Passage {
  readonly acceptedAt: number
  readonly deliveredAt: number
  /** From MAIL to the 250. */
  readonly intake: number
  readonly queue: number
  readonly connect: number
  readonly send: number
}

/** What the relay's journal says of the messages since then, in the order of their acceptance. */
async function throughRelay(world: CoexistenceWorld, from: string, expected: number): Promise<Passage[]> {
  const spool = join(world.processes.relay.directory, 'spool')
  return eventually(`${expected} messages in the relay's journal`, async () => {
    const accepted = new Map<string, number>()
    const passages: Passage[] = []
    const isSince = ({ time, event }: { readonly time: string; readonly event: string }) =>
      time >= from && (event === 'accepted' || event === 'delivered')
    for await (const { time, event, queueId, delaysMs } of readJournal(spool, { filter: () => isSince })) {
      if (event === 'accepted') accepted.set(queueId, Date.parse(time))
      const acceptedAt = accepted.get(queueId)
      if (event !== 'delivered' || acceptedAt === undefined) continue
      passages.push({ acceptedAt, deliveredAt: Date.parse(time), ...(delaysMs as Omit<Passage, `${string}At`>) })
    }
    return passages.length >= expected ? passages.toSorted((a, b) => a.acceptedAt - b.acceptedAt) : undefined
  })
}

type Process = 'sandbox' | 'relay' | 'api' | 'worker' | 'postgres'

/** The sandbox, the outside and the senders are this process. */
type Pids = Readonly<Record<Exclude<Process, 'sandbox'>, number>>

function pidsOf({ processes }: CoexistenceWorld, postmaster: number): Pids {
  const pidOf = (name: keyof typeof processes): number => {
    const { pid } = processes[name]
    if (pid === undefined) throw new Error(`the ${name} has ended`)
    return pid
  }
  return { relay: pidOf('relay'), api: pidOf('api'), worker: pidOf('worker'), postgres: postmaster }
}

interface Window {
  readonly messages: number
  readonly seconds: number
  readonly perSecond: number
  /** ms */
  readonly latencies: readonly number[]
  /** Seconds by process; `others`: what else the machine did. */
  readonly cpu: Readonly<Record<Process | 'others', number>>
}

/** Each sender sends its next message when its last one has arrived. */
async function sendAlong(
  { senders, seconds: wanted }: Plan,
  send: () => Promise<Arrived>,
  pids: Pids,
): Promise<Window> {
  const latencies: number[] = []
  const before = cpuOf(pids)
  const start = performance.now()
  const sending = Array.from({ length: senders }, async () => {
    while (performance.now() - start < wanted * 1_000) latencies.push((await send()).ms)
  })
  await Promise.all(sending)
  const seconds = (performance.now() - start) / 1_000
  const after = cpuOf(pids)
  const used = (name: keyof typeof after) => after[name] - before[name]
  const messages = latencies.length
  const ours = {
    sandbox: used('sandbox'),
    relay: used('relay'),
    api: used('api'),
    worker: used('worker'),
    postgres: used('postgres'),
  }
  const ourSum = Object.values(ours).reduce((sum, each) => sum + each, 0)
  const cpu = { ...ours, others: Math.max(0, used('machine') - ourSum) }
  return { messages, seconds, perSecond: messages / seconds, latencies, cpu }
}

function cpuOf({ relay, api, worker, postgres }: Pids): Record<Process | 'machine', number> {
  const { user, system } = process.cpuUsage()
  return {
    sandbox: (user + system) / 1e6,
    relay: cpuSecondsOf(relay),
    api: cpuSecondsOf(api),
    worker: cpuSecondsOf(worker),
    postgres: cpuSecondsOf(postgres),
    machine: machineCpuSeconds(),
  }
}

function printLatencies({ native, chain }: Readonly<Record<Way, readonly Arrived[]>>): void {
  for (const [way, times] of Object.entries({ native, chain }))
    print({ case: `one message at a time, ${way}`, ...spread(times.map(({ ms }) => ms)) })
  const added = chain.map(({ ms }, nth) => ms - (native[nth]?.ms ?? 0))
  print({ case: 'what coexistence adds to a message', ...spread(added) })
}

/** Where the time goes of those sent one at a time: so the order of the journal is theirs. */
function printStages(sent: readonly Arrived[], passages: readonly Passage[]): void {
  const each = sent.map((arrived, nth) => {
    const passage = passages[nth]
    if (passage === undefined) throw new Error('unreachable: the journal was awaited')
    return { ...arrived, ...passage }
  })
  const stage = (name: string, length: (one: (typeof each)[number]) => number) =>
    print({ case: `of the chain: ${name}`, ...spread(each.map(length)) })
  stage('sent → accepted by the relay', ({ sentAt, acceptedAt }) => acceptedAt - sentAt)
  stage('accepted → delivered to the other tenant', ({ acceptedAt, deliveredAt }) => deliveredAt - acceptedAt)
  stage('delivered → at the outsider', ({ deliveredAt, arrivedAt }) => arrivedAt - deliveredAt)
  stage('in the relay: MAIL → 250, and until it is sent', ({ intake, queue }) => intake + queue)
  stage('in the relay: connecting to the other tenant', ({ connect }) => connect)
  stage('in the relay: MAIL → 250 of the other tenant', ({ send }) => send)
}

function printThroughput(way: Way, { senders }: Plan, windows: readonly Window[]): void {
  const sum = (of: (window: Window) => number) => windows.reduce((total, window) => total + of(window), 0)
  const messages = sum((window) => window.messages)
  const seconds = sum((window) => window.seconds)
  const cpu = (name: keyof Window['cpu']) => sum((window) => window.cpu[name])
  const names = ['sandbox', 'relay', 'api', 'worker', 'postgres'] as const
  print({
    case: `${senders} senders, ${way}`,
    value: round3(messages / seconds),
    unit: 'messages/s',
    rounds: windows.map(({ perSecond }) => round3(perSecond)),
    messages,
    seconds: round3(seconds),
    latencyMs: spread(windows.flatMap(({ latencies }) => latencies)),
    coresBusy: Object.fromEntries([...names, 'others' as const].map((name) => [name, round3(cpu(name) / seconds)])),
    cpuMsPerMessage: Object.fromEntries(names.map((name) => [name, round3((1_000 * cpu(name)) / messages)])),
  })
}

function print(line: Record<string, unknown>): void {
  process.stdout.write(`${JSON.stringify({ bench: 'coexistence', ...line })}\n`)
}

const round3 = (value: number): number => Number(value.toPrecision(3))

function middle(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const [low, high] = [sorted[Math.floor((sorted.length - 1) / 2)], sorted[Math.ceil((sorted.length - 1) / 2)]]
  return ((low ?? 0) + (high ?? 0)) / 2
}

/** ms */
function spread(values: readonly number[]): Readonly<Record<'p50' | 'p95' | 'max', number>> {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (share: number) => round3(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0)
  return { p50: at(0.5), p95: at(0.95), max: at(1) }
}
