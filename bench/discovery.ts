// Discovery at product.md §9's size: two simulated tenants of 100,000 people in a process of their own, a Postgres on a real disk, API and worker as
// processes: the first discovery of each, a second one by delta, then the matching of what was found. The worker's memory is looked at
// ten times a second. One JSON line per case. Microsoft would not serve so fast: its published budgets are lifted.
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import { startEmbeddedPostgres } from '../control-plane/db/embedded-postgres.ts'
import { CONTOSO } from '../sandbox/tenants/constants.ts'
import { connectTenants, makeConnectApp, startDiscovery } from '../tests/harness/connect-tenants.ts'
import type { ControlPlane } from '../tests/harness/control-plane.ts'
import type { TestDatabase } from '../tests/harness/postgres.ts'
import { SandboxProcess } from '../tests/harness/sandbox-process.ts'
import { withControlPlane } from '../tests/harness/start-control-plane.ts'
import { prepareDatabases } from './databases.ts'

const BUDGETS =
  'app=1000000/1,directory-small=1000000/1,directory-medium=1000000/1,directory-large=1000000/1,reports=1000/1,exchange-reads=8'
const CHANGES = 100
const PATIENCE_MS = 900_000

/** @param options.quick  a tenth of the people */
export async function run({ quick }: { readonly quick: boolean }): Promise<void> {
  const people = quick ? 10_000 : 100_000
  const [directory, keys] = await Promise.all([1, 2].map(() => mkdtemp(join(tmpdir(), 'causeway-bench-'))))
  if (directory === undefined || keys === undefined) throw new Error('unreachable: two were made')
  const ends: (() => unknown)[] = [directory, keys].map((path) => () => rm(path, { recursive: true }))
  const surroundings = {
    after: (end: () => Promise<void>) => void ends.push(end),
    diagnostic: (text: string) => void process.stderr.write(`${text}\n`),
  }
  try {
    const server = await startEmbeddedPostgres({ directory })
    ends.push(() => server.stop())
    await prepareDatabases(server.socket)
    process.env['CAUSEWAY_TEST_PG'] = server.socket
    const sandbox = await SandboxProcess.start({ people })
    ends.push(() => sandbox.stop())
    const app = await makeConnectApp(keys)
    const env = { ...sandbox.env, ...app.env, MICROSOFT_BUDGETS: BUDGETS }
    await withControlPlane(surroundings, { env }, async (plane) => {
      if (plane.database === undefined) throw new Error('unreachable: it has one of its own')
      await measure({ plane, sandbox, database: plane.database, people }, await connectTenants(plane, sandbox, app))
    })
  } finally {
    for (const end of ends.toReversed()) await end()
  }
}

interface Bench {
  readonly plane: ControlPlane
  readonly sandbox: SandboxProcess
  readonly database: TestDatabase
  readonly people: number
}

function print(line: Record<string, unknown>): void {
  process.stdout.write(`${JSON.stringify({ bench: 'discovery', ...line })}\n`)
}

const round = (value: number): number => Number(value.toPrecision(3))

async function measure(bench: Bench, tenants: { readonly source: string; readonly target: string }): Promise<void> {
  const { plane, sandbox, people } = bench
  const first = await discovered(bench, tenants.source)
  print({ case: 'first discovery', people, value: first.seconds, unit: 's', must: 120, aim: 45, counts: first.counts })
  print({ case: 'first discovery, peak memory', people, value: first.peakMb, unit: 'MB', must: 500, aim: 300 })

  const { items } = (
    await plane.done('GET', `${plane.path}/accounts?tenant=${tenants.source}&kind=user&limit=${CHANGES}`)
  ).body
  for (const [nth, { objectId }] of (items as { objectId: string }[]).entries())
    await sandbox.control('change-object', { tenant: CONTOSO, id: objectId, properties: { department: `New ${nth}` } })
  const before = await rowsWritten(bench)
  const delta = await discovered(bench, tenants.source)
  const after = await rowsWritten(bench)
  const written = Object.fromEntries([...after].map(([table, rows]) => [table, rows - (before.get(table) ?? 0)]))
  print({
    case: `delta of ${CHANGES}`,
    people,
    value: delta.seconds,
    unit: 's',
    peakMb: delta.peakMb,
    written,
    counts: delta.counts,
  })

  const second = await discovered(bench, tenants.target)
  print({ case: 'first discovery, the other tenant', people, value: second.seconds, unit: 's', peakMb: second.peakMb })
  await match(bench)
}

interface Figures {
  readonly seconds: number
  readonly peakMb: number
}

async function discovered(bench: Bench, tenant: string): Promise<Figures & { readonly counts: unknown }> {
  const { plane } = bench
  const watch = watchMemory(plane)
  const started = await startDiscovery(plane, tenant)
  const steps = new Map<string, number>()
  let last = performance.now()
  await plane.until(
    'the end of the discovery',
    `/operations/${started.operation}`,
    ({ state, progress }) => {
      const now = performance.now()
      const step = String(progress?.step ?? state)
      refuseRepeats(plane)
      steps.set(step, round((steps.get(step) ?? 0) + (now - last) / 1_000))
      last = now
      return state === 'succeeded'
    },
    { timeoutMs: PATIENCE_MS },
  )
  process.stderr.write(`${JSON.stringify(Object.fromEntries(steps))}\n`)
  const { startedAt, finishedAt, counts, gaps } = (await plane.done('GET', `${plane.path}/discoveries/${started.id}`))
    .body
  if (gaps.length > 0) throw new Error(JSON.stringify(gaps))
  const { violations } = await bench.sandbox.report()
  if (violations.length > 0) throw new Error(JSON.stringify(violations.slice(0, 3)))
  const seconds = round((Date.parse(finishedAt) - Date.parse(startedAt)) / 1_000)
  const peakMb = watch()
  await untilIdle(bench)
  return { seconds, peakMb, counts }
}

/** Findings follow a discovery: they are no part of it, and must not be in the way of the next case. */
async function untilIdle({ database: { owner } }: Bench): Promise<void> {
  for (;;) {
    const { rows } = await sql<{ jobs: number }>`
      select (select count(*) from job where state <> 'failed' and run_after <= now()) + (select count(*) from outbox) as jobs`.execute(
      owner.db,
    )
    if (rows[0]?.jobs === 0) break
    await sleep(500)
  }
  await sql`vacuum analyze`.execute(owner.db) // as autovacuum does in its own time
}

/** A discovery that was begun again would be measured twice. @throws with what its attempts ended by */
function refuseRepeats({ worker }: ControlPlane): void {
  const ended = ['job.not_done', 'jobs.requeued', 'job.lease_not_renewed'].flatMap((event) => worker.logged(event))
  const ofDiscovery = ended.filter(({ kind }) => kind === 'discovery.run' || kind === undefined)
  if (ofDiscovery.length > 0) throw new Error(JSON.stringify(ofDiscovery))
}

/**
 * From now on, as the relay's memory is counted (product.md §9): proportional set size, in which pages of the program that API and sandbox have too
 * count once between them.
 * @returns the most that the worker had since, in MB
 */
function watchMemory({ worker }: ControlPlane): () => number {
  let peakKb = 0
  const look = (): void => {
    const rollup = readFileSync(`/proc/${worker.pid}/smaps_rollup`, 'latin1')
    peakKb = Math.max(peakKb, Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1]))
  }
  look()
  const timer = setInterval(look, 100)
  return () => {
    clearInterval(timer)
    return round((peakKb * 1_024) / 1e6)
  }
}

const TABLES = ['account', 'account_address', 'account_part', 'group_member', 'tenant_facts', 'discovery_checkpoint']

async function rowsWritten({ database }: Bench): Promise<ReadonlyMap<string, number>> {
  // What a backend has counted is shown once it has been idle for ten seconds.
  await sleep(11_000)
  const { rows } = await sql<{ name: string; rows: number }>`
    select relname as name, (n_tup_ins + n_tup_upd + n_tup_del)::float8 as rows from pg_stat_user_tables where relname = any(${TABLES})`.execute(
    database.owner.db,
  )
  return new Map(rows.map(({ name, rows: count }) => [name, count] as const))
}

async function match(bench: Bench): Promise<void> {
  const { plane, people } = bench
  const watch = watchMemory(plane)
  const { operation, matching } = (await plane.done('POST', `${plane.path}/matchings`, {})).body
  await plane.succeeded(String(operation), { timeoutMs: PATIENCE_MS })
  const { createdAt, completedAt, counts } = (await plane.done('GET', `${plane.path}/matchings/${matching}`)).body
  const seconds = round((Date.parse(completedAt) - Date.parse(createdAt)) / 1_000)
  const { outcomes } = counts
  print({ case: 'matching of what was discovered', people, value: seconds, unit: 's', must: 60, aim: 15, outcomes })
  print({ case: 'matching, peak memory', people, value: watch(), unit: 'MB', must: 1_000, aim: 500 })
}
