// The push channel at product.md §9's size, over HTTP and a Postgres on a real disk: a change to ten relays, and a table of 1,000,000 entries to one that
// has nothing. The relays are small ones in a thread of their own that verify everything. One JSON line per case.
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { sql } from 'kysely'
import { openDatabase } from '../control-plane/db/database.ts'
import { EMBEDDED_OWNER, startEmbeddedPostgres } from '../control-plane/db/embedded-postgres.ts'
import { migrate, SERVICE_ROLE } from '../control-plane/db/migrate.ts'
import { openFleet } from '../tests/control-plane/relays/fleet.ts'
import type { Fleet } from '../tests/control-plane/relays/fleet.ts'
import type { Applied, RelaysData } from './push-relays.ts'

const RELAYS = 10

/** @param options.quick  a tenth of the entries and changes */
export async function run({ quick }: { readonly quick: boolean }): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'causeway-bench-'))
  const server = await startEmbeddedPostgres({ directory })
  const ends: (() => unknown)[] = [() => rm(directory, { recursive: true }), () => server.stop()]
  try {
    await prepare(server.socket)
    process.env['CAUSEWAY_TEST_PG'] = server.socket
    const it = await openFleet({ after: (end: unknown) => void ends.push(end as () => unknown) })
    ends.push(() => it.close())
    const entries = quick ? 100_000 : 1_000_000
    process.stderr.write(`filling a table of ${entries} entries\n`)
    await fill(it, entries)
    await pushWhole(it, entries, 'compiled from the database first')
    await pushWhole(it, entries, 'compiled already')
    await pushChanges(it, entries, quick ? 30 : 300)
  } finally {
    for (const end of ends.toReversed()) await end()
  }
}

async function prepare(host: string): Promise<void> {
  const connect = (database: string) =>
    openDatabase({ connection: { host, user: EMBEDDED_OWNER, database }, maxConnections: 1, onIdleError: () => {} })
  const admin = connect('postgres')
  await sql`create database template_causeway`.execute(admin.db)
  await sql.raw(`create role ${SERVICE_ROLE} login`).execute(admin.db)
  await admin.close()
  const template = connect('template_causeway')
  await migrate(template.db)
  await template.close()
}

function print(line: Record<string, unknown>): void {
  process.stdout.write(`${JSON.stringify({ bench: 'push', ...line })}\n`)
}

const round = (value: number): number => Number(value.toPrecision(3))
const now = (): number => performance.timeOrigin + performance.now()

async function fill(it: Fleet, entries: number): Promise<void> {
  const BATCH = 20_000
  for (let from = 0; from < entries; from += BATCH) {
    const count = Math.min(BATCH, entries - from)
    await it.map(Array.from({ length: count }, (_, index) => ({ user: from + index, aliases: ['alias.'] })))
  }
  await sql`analyze mapping_entry`.execute(it.api.database.owner.db)
}

class Relays {
  readonly #worker: Worker
  readonly applied: Applied[] = []
  #wake = (): void => {}

  private constructor(worker: Worker) {
    this.#worker = worker
    worker.on('message', (message: Applied | string) => {
      if (typeof message !== 'string') this.applied.push(message)
      this.#wake()
    })
  }

  static async start(it: Fleet, count: number): Promise<Relays> {
    const codes: string[] = []
    for (let relay = 0; relay < count; relay++) codes.push(await it.code())
    const data: RelaysData = { url: it.api.url, codes }
    const worker = new Worker(new URL('./push-relays.ts', import.meta.url), { workerData: data })
    const relays = new Relays(worker)
    await once(worker, 'message')
    return relays
  }

  open(): void {
    this.#worker.postMessage('open')
  }

  /** When the last of all relays had the revision, or a later one. */
  async untilAll(count: number, revision: number): Promise<number> {
    for (;;) {
      const first = new Map<number, Applied>()
      for (const each of this.applied)
        if (each.revision >= revision && !first.has(each.relay)) first.set(each.relay, each)
      if (first.size === count) return Math.max(...[...first.values()].map(({ at }) => at))
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  async stop(): Promise<void> {
    this.#worker.postMessage('close')
    await this.#worker.terminate()
  }
}

async function pushWhole(it: Fleet, entries: number, which: string): Promise<void> {
  const relays = await Relays.start(it, 1)
  const { mapping } = await it.versions()
  const cpu = process.cpuUsage()
  const start = now()
  relays.open()
  const end = await relays.untilAll(1, mapping)
  const used = process.cpuUsage(cpu)
  print({
    case: `whole snapshot to one relay, ${which}`,
    entries,
    value: round((end - start) / 1000),
    unit: 's',
    must: 10,
    aim: 4,
    mb: round((relays.applied.at(-1)?.bytes ?? 0) / 1e6),
    cpuS: round((used.user + used.system) / 1e6),
    peakRssMb: round(process.resourceUsage().maxRSS / 1000),
  })
  await relays.stop()
}

/** Changes of one entry, at moments that have nothing to do with one another. */
async function pushChanges(it: Fleet, entries: number, changes: number): Promise<void> {
  const relays = await Relays.start(it, RELAYS)
  relays.open()
  await relays.untilAll(RELAYS, (await it.versions()).mapping)
  const times: number[] = []
  for (let change = 0; change < changes; change++) {
    const user = (change * 7_919) % entries
    const revision = await it.map([{ user, mailbox: `moved${change}@contoso.example` }])
    const committed = now()
    times.push((await relays.untilAll(RELAYS, revision)) - committed)
    await sleep((change * 37) % 200)
  }
  await relays.stop()
  const sorted = times.toSorted((a, b) => a - b)
  const at = (share: number): number =>
    round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0)
  print({
    case: `a change committed → active and reported by ${RELAYS} relays`,
    entries,
    changes,
    value: at(0.99),
    unit: 'ms p99',
    must: 2000,
    aim: 500,
    p50: at(0.5),
    max: at(1),
  })
}
